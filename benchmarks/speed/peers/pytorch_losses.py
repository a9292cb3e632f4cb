"""PyTorch: eager, and by `torch.compile`."""

from collections.abc import Callable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.speed.cases import KINDS, Case
from benchmarks.speed.inputs import Inputs
from benchmarks.speed.peers import Absent, Program
from benchmarks.speed.peers.written import GENERAL

__all__ = ["build", "encoder", "loaded", "tensors"]

LIB: Final = SimpleNamespace(
    tanh=torch.tanh, sigmoid=torch.sigmoid, mean=torch.mean, sum=torch.sum, zeros=torch.zeros
)
Loss = Callable[[Any, Any], Any]


def tensors(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}


def loaded(modules: Mapping[str, Any], inputs: Inputs) -> dict[str, Any]:
    """The leaves, after the modules got the parameters of the inputs, named after a prefix."""
    leaves = {name: leaf.requires_grad_() for name, leaf in tensors(inputs.leaves).items()}
    for prefix, module in modules.items():
        state = {name: leaves[prefix + name].detach() for name in module.state_dict()}
        module.load_state_dict(state)
        leaves |= {prefix + name: parameter for name, parameter in module.named_parameters()}
    return leaves


def encoder(sizes: tuple[int, ...]) -> Any:
    _, _, width, heads, inner, count = sizes
    layer = nn.TransformerEncoderLayer(width, heads, inner, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, count, enable_nested_tensor=False)


def mlp(inputs: Inputs, sizes: tuple[int, ...]) -> tuple[Loss, Any]:
    _, i, h, o = sizes
    module = nn.Sequential(
        nn.Linear(i, h), nn.ReLU(), nn.Linear(h, h), nn.ReLU(), nn.Linear(h, o)
    )  # fmt: skip
    return lambda p, c: functional.cross_entropy(module(p["x"]), c["y"]), loaded(
        {"": module}, inputs
    )


def recurrent(kind: str, inputs: Inputs, sizes: tuple[int, ...]) -> tuple[Loss, Any]:
    layer = getattr(nn, kind.upper())(*sizes[2:])
    return lambda p, c: layer(p["x"])[0].square().mean(), loaded({"": layer}, inputs)


def padded(inputs: Inputs, sizes: tuple[int, ...]) -> tuple[Loss, Any]:
    layer = nn.LSTM(*sizes[2:])

    def loss(p: Any, c: Any) -> Any:
        packed = nn.utils.rnn.pack_padded_sequence(p["x"], c["lengths"], enforce_sorted=False)
        y, _ = nn.utils.rnn.pad_packed_sequence(layer(packed)[0], total_length=len(p["x"]))
        return y.square().mean()

    return loss, loaded({"": layer}, inputs)


def transformer(inputs: Inputs, sizes: tuple[int, ...]) -> tuple[Loss, Any]:
    module = encoder(sizes)
    return lambda p, c: module(p["x"]).square().mean(), loaded({"": module}, inputs)


def attention(p: Any, c: Any) -> Any:
    y = functional.scaled_dot_product_attention(p["q"], p["k"], p["v"], is_causal=True)
    return (y * c["r"]).mean()


def layer_norm(p: Any, c: Any) -> Any:
    y = functional.layer_norm(p["x"], p["weight"].shape, p["weight"], p["bias"])
    return (y * c["r"]).mean()


FUNCTIONS: Final[dict[str, Loss]] = {
    **{name: partial(function, LIB) for name, function in GENERAL.items()},
    "attention": attention,
    "cross-entropy": lambda p, c: functional.cross_entropy(p["x"], c["y"]),
    "layer-norm": layer_norm,
    "gelu": lambda p, c: (functional.gelu(p["x"]) * c["r"]).mean(),
    "softmax": lambda p, c: (torch.softmax(p["x"], -1) * c["r"]).mean(),
}
MODULES: Final[dict[str, Callable[[Inputs, tuple[int, ...]], tuple[Loss, Any]]]] = {
    "mlp": mlp,
    "transformer": transformer,
    "lstm-lengths": padded,
    **{kind: partial(recurrent, kind) for kind in KINDS},
}


def build(case: Case, size: str, inputs: Inputs, form: str) -> Program:
    """A loss and its gradients in one of the forms of `pytorch.build`."""
    if case.name.endswith("-scan"):
        raise Absent("PyTorch has no scan with gradients; its Python loop is another row")
    constants = tensors(inputs.constants)
    if case.name in FUNCTIONS:
        return gradients(FUNCTIONS[case.name], loaded({}, inputs), constants, form)
    if case.name in MODULES:
        loss, leaves = MODULES[case.name](inputs, case.sizes[size])
        return gradients(loss, leaves, constants, form)
    raise Absent("not written for PyTorch")


def gradients(loss: Loss, leaves: Any, constants: Any, form: str) -> Program:
    """The value and all gradients of a loss."""
    function = torch.compile(loss) if form == "compiled" else loss

    def step() -> Any:
        for leaf in leaves.values():
            leaf.grad = None
        value = function(leaves, constants)
        value.backward()
        return value

    def results() -> dict[str, Any]:
        found: dict[str, np.ndarray[Any, Any]] = {"": step().detach().numpy()}
        return found | {name: leaf.grad.numpy() for name, leaf in leaves.items()}

    return Program(step, results)
