"""System 15: the Transformer classes, against what PyTorch's computed."""

import io
import json
from importlib.resources import files
from typing import Any, Final

import numpy as np

import minigrad as mg
from layers.basic.normalization import LayerNorm
from layers.systems.results import Figure, Setting, at_most
from layers.transformer.attention import MultiheadAttention
from layers.transformer.encoder_decoder import Transformer, TransformerDecoder, TransformerEncoder
from layers.transformer.transformer_layers import TransformerDecoderLayer, TransformerEncoderLayer

__all__ = ["run_classes"]

SIZE: Final = 8  # d_model of all cases
HEADS: Final = 2
FEEDFORWARD: Final = 6
BARS: Final = {"float32": 1e-6, "float64": 1e-12}

STACKS: Final[dict[str, tuple[Any, Any]]] = {
    "TransformerEncoder": (TransformerEncoder, TransformerEncoderLayer),
    "TransformerDecoder": (TransformerDecoder, TransformerDecoderLayer),
}
SINGLE: Final[dict[str, Any]] = {
    "TransformerEncoderLayer": TransformerEncoderLayer,
    "TransformerDecoderLayer": TransformerDecoderLayer,
}


def shipped_cases() -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """The cases by name, and the arrays "case/dtype/what", computed with PyTorch 2.13."""
    packed = files("layers.systems").joinpath("data", "transformer.npz").read_bytes()
    with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return json.loads(str(arrays["cases"])), arrays


def build(case: dict[str, Any]) -> Any:
    """The module of a case; None for the function."""
    kind, options = case["class"], case["options"]
    if kind == "scaled_dot_product_attention":
        return None
    if kind == "MultiheadAttention":
        return MultiheadAttention(SIZE, HEADS, **options)
    if kind == "Transformer":
        return Transformer(SIZE, HEADS, 1, 1, FEEDFORWARD, **options)
    if kind in SINGLE:
        return SINGLE[kind](SIZE, HEADS, FEEDFORWARD, **options)
    stack, layer = STACKS[kind]
    norm = LayerNorm(SIZE) if case.get("norm") else None
    return stack(layer(SIZE, HEADS, FEEDFORWARD, **options), case["layers"], norm)


def difference(case: dict[str, Any], arrays: dict[str, Any], dtype: str) -> float:
    """The largest difference of the output from PyTorch's, after loading its state dict.

    It is relative where a number of the output is above 1.
    """
    inputs = [arrays[f"input.{name}"] for name in case["inputs"]]
    with mg.default_dtype(dtype), mg.no_grad():
        module = build(case)
        if module is None:
            q, k, v = map(mg.Tensor, inputs)
            y: Any = mg.scaled_dot_product_attention(q, k, v, **case["call"])
        else:
            module.load_state_dict(_below("parameter.", arrays))
            y = module.eval()(*inputs, **case["call"])
    result = (y[0] if isinstance(y, tuple) else y).numpy()
    expected = arrays["result.0"]
    return float((np.abs(result - expected) / np.maximum(np.abs(expected), 1)).max())


def _below(prefix: str, arrays: dict[str, Any]) -> dict[str, Any]:
    """The arrays whose names begin with a prefix, by the rest of their names."""
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}


def run_classes(setting: Setting) -> list[Figure]:
    """System 15: a state_dict of each of PyTorch's classes loads and agrees, norm_first both ways.

    >>> cases, arrays = shipped_cases()
    >>> module = build(cases["TransformerEncoderLayer_norm_first"])
    >>> prefix = "TransformerEncoderLayer_norm_first/float32/parameter."
    >>> state = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
    >>> _ = module.load_state_dict(state)
    """
    cases, arrays = shipped_cases()
    worst: dict[tuple[str, str], float] = {}
    for name, case in cases.items():
        for dtype in BARS:
            own = _below(f"{name}/{dtype}/", arrays)
            key = case["class"], dtype
            worst[key] = max(worst.get(key, 0.0), difference(case, own, dtype))
    setting.remarks.append(
        f"{len(cases)} cases computed with PyTorch {arrays['torch']}; differences are relative "
        "where an output is above 1."
    )
    setting.picture("transformer.svg", "the layers of a Transformer", draw_transformer)
    return [
        at_most(f"{kind}, {dtype}: largest difference", value, BARS[dtype])
        for (kind, dtype), value in worst.items()
    ]


def draw_transformer(path: Any) -> None:
    """Draw the layers of an encoder with a decoder."""
    from layers.examples.showcase import build as build_example
    from minigrad.draw import draw

    example = build_example("transformer", steps=5)
    draw(example.loss, level="layers", grad="norm", title="A Transformer").save(path)
