"""What tests of compiled sequences share: programs on any machine, and the steps one by one."""

import importlib.util
from types import SimpleNamespace

import numpy as np

import minigrad as mg
from minigrad.compiled import plain
from minigrad.compiled.backends import default_backend
from minigrad.compiled.stepping import scanned

NUMPY = SimpleNamespace(build=plain.build, LIFTS=False)
"""The back end of NumPy, taken by layers only where a test says so."""

BACKENDS = [NUMPY] if importlib.util.find_spec("llvmlite") is None else [NUMPY, default_backend()]


def use(monkeypatch, backend):
    """Let layers run their programs by a back end."""
    monkeypatch.setattr(scanned, "default_backend", lambda: backend)


def tensors_in(tree):
    """The tensors in what a layer returned, in order."""
    if isinstance(tree, mg.Tensor):
        return [tree]
    return [t for part in tree if part is not None for t in tensors_in(part)]


def outcome(function, inputs, parameters=(), seed=0):
    """All results of a function and the gradients of a fixed mixture of them.

    Args:
        function: of tensors.
        inputs: arrays; floats require grad.
        parameters: which get gradients, too.
        seed: of the default generator.
    """
    mg.seed(seed)
    leaves = [mg.Tensor(a, requires_grad=a.dtype.kind == "f") for a in inputs]
    for parameter in parameters:
        parameter.grad = None
    results = tensors_in(function(*leaves))
    loss = sum(
        (r * np.cos(np.arange(r.size)).reshape(r.shape).astype(r.dtype)).sum()
        for r in results
        if r.requires_grad
    )
    loss.backward()
    slopes = [t.grad for t in (*leaves, *parameters)]
    return [r.numpy() for r in results], [None if s is None else s.numpy() for s in slopes]


def one_by_one(monkeypatch, call):
    """What a call gives without programs."""
    with monkeypatch.context() as patch:
        patch.setenv("MINIGRAD_COMPILE", "0")
        return call()


def assert_agree(found, wanted, tolerance=None):
    """Results and gradients agree up to rounding of sums in another order."""
    for mine, theirs in zip(found, wanted, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            assert (one is None) == (other is None)
            if one is None:
                continue
            assert one.shape == other.shape
            assert one.dtype == other.dtype
            rtol = tolerance or (1e-10 if one.dtype == np.float64 else 2e-4)
            scale = np.abs(other).max(initial=1e-3)
            np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol * scale)


def programs_of(owner):
    """What was made of the steps of a cell or function: programs and refusals."""
    scan = vars(owner).get("_scanned")
    entries = [] if scan is None else [e for es in scan._entries.values() for e in es]
    return [entry.program for entry in entries]


def reasons(owner):
    """Why there are no programs of some steps."""
    return [p.reason for p in programs_of(owner) if isinstance(p, scanned.Refusal)]
