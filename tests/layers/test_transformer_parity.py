"""Attention and Transformers against PyTorch, from arrays that tests/fixtures holds."""

import json
import pathlib

import numpy as np
import pytest

import minigrad as mg
from layers.basic import normalization
from layers.transformer import attention, transformer_layers
from layers.transformer import encoder_decoder as transformer

FILE = pathlib.Path(__file__).parents[1] / "fixtures" / "transformer.npz"
ARRAYS = dict(np.load(FILE))
CASES = json.loads(str(ARRAYS["cases"]))
SIZE, HEADS = 8, 2
CLASSES = {
    name: getattr(module, name)
    for module in (attention, transformer_layers, transformer)
    for name in module.__all__
}


def entries(prefix):
    """The arrays whose names begin with a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): a for name, a in ARRAYS.items() if name.startswith(prefix)}


def build(case, method):
    kind, options = case["class"], dict(case["options"], method=method)
    if options.get("activation") == "tanh":
        options["activation"] = mg.tanh
    if kind == "MultiheadAttention":
        return CLASSES[kind](SIZE, HEADS, **options)
    if kind == "Transformer":
        return CLASSES[kind](SIZE, HEADS, 1, 1, dim_feedforward=6, **options)
    if kind.endswith("Layer"):
        return CLASSES[kind](SIZE, HEADS, dim_feedforward=6, **options)
    layer = CLASSES[f"{kind}Layer"](SIZE, HEADS, dim_feedforward=6, **options)
    norm = normalization.LayerNorm(SIZE) if case.get("norm") else None
    return CLASSES[kind](layer, case.get("layers", 1), norm)


def test_the_file_is_whole():
    assert str(ARRAYS["torch"]).startswith("2.13")
    assert {name.split("/")[0] for name in ARRAYS} == {"cases", "torch", *CASES}
    assert FILE.stat().st_size < 4e6


@pytest.mark.parametrize("method", ["plain", "blockwise"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_values_and_all_gradients_are_those_of_pytorch(name, dtype, method, monkeypatch):
    monkeypatch.setattr("minigrad.ops.nn.attention_blockwise.BLOCK", (2, 3))
    case, arrays = CASES[name], entries(f"{name}/{dtype}/")
    inputs = entries(f"{name}/{dtype}/input.")
    leaves = {key: mg.Tensor(a, requires_grad=True) for key, a in inputs.items()}
    masks = entries(f"{name}/{dtype}/mask.")
    biases = {key: leaves[key] for key in case.get("biases", {})}
    given = [leaves[key] for key in case["inputs"]]
    if case["class"] == "scaled_dot_product_attention":
        y = mg.scaled_dot_product_attention(
            *given, **case["call"], **masks, **biases, method=method
        )
        results = [y]
    else:
        with mg.default_dtype(dtype):
            module = build(case, method).eval()
        parameters = entries(f"{name}/{dtype}/parameter.")
        assert list(module.state_dict()) == list(parameters)
        module.load_state_dict(parameters)
        results = module(*given, **case["call"], **masks, **biases)
        results = [r for r in results if r is not None] if isinstance(results, tuple) else [results]
        leaves |= dict(module.named_parameters())
    tolerance = 1e-10 if dtype == "float64" else 2e-5
    close = {"rtol": tolerance, "atol": tolerance}
    assert len(results) == len(entries(f"{name}/{dtype}/result."))
    loss = 0.0
    for i, value in enumerate(results):
        assert value.dtype == dtype
        np.testing.assert_allclose(value.numpy(), arrays[f"result.{i}"], **close)
        loss = loss + (value * arrays[f"weight.{i}"]).sum()
    loss.backward()
    gradients = entries(f"{name}/{dtype}/gradient.")
    assert leaves.keys() == gradients.keys()
    for key, expected in gradients.items():
        np.testing.assert_allclose(leaves[key].grad.numpy(), expected, err_msg=key, **close)
