"""HIPS autograd and MyGrad: eager tapes on NumPy, without layers."""

import importlib
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, Final

import numpy as np

from benchmarks.speed.cases import Case
from benchmarks.speed.inputs import Inputs
from benchmarks.speed.peers import Absent, Program
from benchmarks.speed.peers.written import GENERAL

__all__ = ["build"]


def library(numpy: Any) -> SimpleNamespace:
    """The functions that the cases need, from a module like NumPy."""

    def sigmoid(x: Any) -> Any:
        return 0.5 * (numpy.tanh(0.5 * x) + 1.0)

    return SimpleNamespace(
        numpy=numpy,
        tanh=numpy.tanh,
        sigmoid=sigmoid,
        mean=numpy.mean,
        sum=numpy.sum,
        zeros=lambda shape: np.zeros(shape, np.float32),
    )


def log_softmax(lib: Any, x: Any) -> Any:
    x = x - lib.numpy.max(x, axis=1, keepdims=True)
    return x - lib.numpy.log(lib.sum(lib.numpy.exp(x), axis=1, keepdims=True))


def cross_entropy(lib: Any, p: Any, c: Any) -> Any:
    return -lib.mean(log_softmax(lib, p["x"])[np.arange(len(c["y"])), c["y"]])


def mlp(lib: Any, p: Any, c: Any) -> Any:
    x = p["x"]
    for name in ("0", "2"):
        x = lib.numpy.maximum(x @ p[f"{name}.weight"].T + p[f"{name}.bias"], 0.0)
    return cross_entropy(lib, {"x": x @ p["4.weight"].T + p["4.bias"]}, c)


def layer_norm(lib: Any, p: Any, c: Any) -> Any:
    x = p["x"] - lib.mean(p["x"], axis=1, keepdims=True)
    x = x / lib.numpy.sqrt(lib.mean(x * x, axis=1, keepdims=True) + 1e-5)
    return lib.mean((x * p["weight"] + p["bias"]) * c["r"])


def softmax(lib: Any, p: Any, c: Any) -> Any:
    return lib.mean(lib.numpy.exp(log_softmax(lib, p["x"])) * c["r"])


LOSSES: Final[dict[str, Callable[[Any, Any, Any], Any]]] = {
    **GENERAL,
    "mlp": mlp,
    "cross-entropy": cross_entropy,
    "layer-norm": layer_norm,
    "softmax": softmax,
}


def build(case: Case, size: str, inputs: Inputs, form: str) -> Program:
    """A case by one of the libraries "autograd" and "mygrad"."""
    if case.name not in LOSSES:
        raise Absent(f"{form} has no such layer or optimiser")
    if form == "autograd":
        return by_autograd(LOSSES[case.name], inputs)
    return by_mygrad(LOSSES[case.name], inputs)


def by_autograd(loss: Callable[[Any, Any, Any], Any], inputs: Inputs) -> Program:
    lib = library(importlib.import_module("autograd.numpy"))
    run = importlib.import_module("autograd").value_and_grad(partial(loss, lib))

    def step() -> Any:
        return run(inputs.leaves, inputs.constants)

    def results() -> dict[str, Any]:
        value, found = step()
        return {"": np.asarray(value), **found}

    return Program(step, results)


def by_mygrad(loss: Callable[[Any, Any, Any], Any], inputs: Inputs) -> Program:
    mygrad = importlib.import_module("mygrad")
    lib = library(mygrad)
    leaves = {name: mygrad.tensor(array) for name, array in inputs.leaves.items()}

    def step() -> Any:
        for leaf in leaves.values():
            leaf.null_grad()
        value = loss(lib, leaves, inputs.constants)
        value.backward()
        return value

    def results() -> dict[str, Any]:
        value = step()
        return {"": value.data} | {name: leaf.grad for name, leaf in leaves.items()}

    return Program(step, results)
