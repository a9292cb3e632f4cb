"""minigrad: eager, and compiled in both forms."""

from collections.abc import Callable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

import numpy as np

import layers
import minigrad as mg
from benchmarks.speed.cases import KINDS, Case
from benchmarks.speed.inputs import Inputs
from benchmarks.speed.peers import Absent, Program
from benchmarks.speed.peers.written import GENERAL, gru_step, lstm_step

__all__ = ["Model", "build", "from_modules"]

Tensors = dict[str, Any]
Loss = Callable[[Tensors, Any], Any]


def zeros(shape: tuple[int, ...]) -> Any:
    return np.zeros(shape, np.float32)


LIB: Final = SimpleNamespace(
    tanh=mg.tanh, sigmoid=mg.sigmoid, mean=mg.mean, sum=mg.sum, zeros=zeros
)


class Model(NamedTuple):
    """A loss, and what it is differentiated by.

    Attributes:
        loss: from the given leaves and the constants.
        given: leaves that are its argument.
        held: leaves that it knows by itself: parameters of modules.
    """

    loss: Loss
    given: Tensors
    held: Tensors


def from_modules(
    modules: Mapping[str, layers.Module], inputs: Inputs, loss: Callable[..., Any]
) -> Model:
    """Modules with the parameters of the inputs, named after a prefix; the rest is given."""
    held: Tensors = {}
    for prefix, module in modules.items():
        names = dict(module.named_parameters())
        module.load_state_dict({name: inputs.leaves[prefix + name] for name in names})
        held |= {prefix + name: parameter for name, parameter in module.named_parameters()}
    given = {k: mg.Tensor(v, requires_grad=True) for k, v in inputs.leaves.items() if k not in held}
    return Model(loss, given, held)


def encoder(sizes: tuple[int, ...]) -> layers.Module:
    _, _, width, heads, inner, count = sizes
    layer = layers.TransformerEncoderLayer(width, heads, inner, dropout=0.0)
    return layers.TransformerEncoder(layer, count)


def mlp(inputs: Inputs, sizes: tuple[int, ...]) -> Model:
    _, i, h, o = sizes
    module = layers.Sequential(
        layers.Linear(i, h), layers.ReLU(), layers.Linear(h, h), layers.ReLU(), layers.Linear(h, o)
    )
    return from_modules({"": module}, inputs, lambda p, c: mg.cross_entropy(module(p["x"]), c["y"]))


def recurrent(kind: str, inputs: Inputs, sizes: tuple[int, ...]) -> Model:
    layer = getattr(layers, kind.upper())(*sizes[2:], batch_first=False)
    return from_modules({"": layer}, inputs, lambda p, c: (layer(p["x"])[0] ** 2).mean())


def padded(inputs: Inputs, sizes: tuple[int, ...]) -> Model:
    layer = layers.LSTM(*sizes[2:], batch_first=False)

    def loss(p: Tensors, c: Any) -> Any:
        return (layer(p["x"], lengths=c["lengths"])[0] ** 2).mean()

    return from_modules({"": layer}, inputs, loss)


def transformer(inputs: Inputs, sizes: tuple[int, ...]) -> Model:
    module = encoder(sizes)
    return from_modules({"": module}, inputs, lambda p, c: (module(p["x"]) ** 2).mean())


def lstm_scan(p: Tensors, constants: Any) -> Any:
    start = zeros((p["x"].shape[1], p["wh"].shape[0]))

    def cell(x: Any, state: Any) -> Any:
        h, c = state
        return lstm_step(LIB, x @ p["wx"] + h @ p["wh"] + p["b"], c)

    h, _ = layers.scan(cell, p["x"].swapaxes(0, 1), (start, start))
    return (h**2).mean()


def gru_scan(p: Tensors, constants: Any) -> Any:
    start = zeros((p["x"].shape[1], p["wh"].shape[0]))

    def cell(x: Any, h: Any) -> Any:
        return gru_step(LIB, x @ p["wx"] + p["b"], h @ p["wh"] + p["bh"], h)

    h, _ = layers.scan(cell, p["x"].swapaxes(0, 1), start)
    return (h**2).mean()


def attention(p: Tensors, c: Any) -> Any:
    y = mg.scaled_dot_product_attention(p["q"], p["k"], p["v"], causal=True)
    return (y * c["r"]).mean()


FUNCTIONS: Final[dict[str, Loss]] = {
    **{name: partial(function, LIB) for name, function in GENERAL.items()},
    "lstm-scan": lstm_scan,
    "gru-scan": gru_scan,
    "attention": attention,
    "cross-entropy": lambda p, c: mg.cross_entropy(p["x"], c["y"]),
    "layer-norm": lambda p, c: (
        mg.layer_norm(p["x"], p["weight"], p["bias"]) * c["r"]
    ).mean(),
    "gelu": lambda p, c: (mg.gelu(p["x"]) * c["r"]).mean(),
    "softmax": lambda p, c: (mg.softmax(p["x"], axis=-1) * c["r"]).mean(),
}  # fmt: skip
MODULES: Final[dict[str, Callable[[Inputs, tuple[int, ...]], Model]]] = {
    "mlp": mlp,
    "transformer": transformer,
    "lstm-lengths": padded,
    **{kind: partial(recurrent, kind) for kind in KINDS},
}


def build(case: Case, size: str, inputs: Inputs, form: str) -> Program:
    """A loss and its gradients in one of the forms of `ours.build`."""
    if case.name in FUNCTIONS:
        given = {
            name: mg.Tensor(array, requires_grad=True) for name, array in inputs.leaves.items()
        }
        return gradients(Model(FUNCTIONS[case.name], given, {}), inputs.constants, form)
    if case.name in MODULES:
        return gradients(MODULES[case.name](inputs, case.sizes[size]), inputs.constants, form)
    raise Absent("not written for minigrad")


def gradients(model: Model, constants: Any, form: str) -> Program:
    """The value and all gradients of a loss."""
    if form == "value_and_grad":
        return as_one_program(model, constants)
    loss = mg.compile(model.loss) if form == "backward" else model.loss
    leaves = model.given | model.held

    def step() -> Any:
        for leaf in leaves.values():
            leaf.grad = None
        value = loss(model.given, constants)
        value.backward()
        return value

    def results() -> dict[str, Any]:
        value = step()
        return {"": value.numpy()} | {name: leaf.grad.numpy() for name, leaf in leaves.items()}

    return Program(step, results)


def as_one_program(model: Model, constants: Any) -> Program:
    """Loss and gradients as the outputs of one compiled function."""
    names = [*model.given, *model.held]

    def value_and_gradients(given: Tensors, c: Any) -> Any:
        value = model.loss(given, c)
        return value, mg.gradients(value, [*given.values(), *model.held.values()])

    if model.held:
        function = mg.compile(value_and_gradients)
        step = partial(function, model.given, constants)
    else:
        function = mg.compile(mg.value_and_grad(model.loss))
        step = partial(function, {k: v.detach() for k, v in model.given.items()}, constants)

    def results() -> dict[str, Any]:
        value, found = step()
        pairs = zip(names, found, strict=True) if model.held else found.items()
        return {"": value.numpy()} | {name: gradient.numpy() for name, gradient in pairs}

    return Program(step, results)


def only(form: str, *forms: str) -> None:
    """Refuse forms that a case does not have."""
    if form not in forms:
        raise Absent(f"not measured in the form {form}")
