"""Recurrent layers and cells against PyTorch, from arrays that tests/fixtures holds."""

import json
import pathlib

import numpy as np
import pytest

import layers
import minigrad as mg

FILE = pathlib.Path(__file__).parents[1] / "fixtures" / "recurrent.npz"
ARRAYS = dict(np.load(FILE))
CASES = json.loads(str(ARRAYS["cases"]))


def tolerance(dtype):
    return 1e-10 if dtype == "float64" else 2e-5


def entries(prefix):
    """The arrays whose names begin with a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): a for name, a in ARRAYS.items() if name.startswith(prefix)}


def test_the_file_is_whole():
    assert str(ARRAYS["torch"]).startswith("2.13")
    assert {name.split("/")[0] for name in ARRAYS} == {"cases", "torch", *CASES}
    assert FILE.stat().st_size < 3e6


@pytest.mark.parametrize("fused", [True, False], ids=["kernel", "steps"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_values_and_all_gradients_are_those_of_pytorch(name, dtype, fused):
    options = dict(CASES[name])
    kind = options.pop("class")
    options.pop("given", None), options.pop("unbatched", None)
    lengths = options.pop("lengths", None)
    arrays = entries(f"{name}/{dtype}/")
    with mg.default_dtype(dtype):
        hidden = 3
        module = getattr(layers, kind)(4, hidden, **options).eval()
    parameters = {n.removeprefix("parameter."): a for n, a in arrays.items() if "parameter." in n}
    assert list(module.state_dict()) == list(parameters)
    module.load_state_dict(parameters)
    leaves = {"x": mg.Tensor(arrays["x"], requires_grad=True)}
    for key in ("h", "c"):
        if f"start.{key}" in arrays:
            leaves[key] = mg.Tensor(arrays[f"start.{key}"], requires_grad=True)
    states = [leaves[key] for key in ("h", "c") if key in leaves]
    state = None if not states else states[0] if len(states) == 1 else tuple(states)
    with mg.recording(fused=fused):
        if kind.endswith("Cell"):
            results = [module(leaves["x"], state)]
        else:
            results = list(module(leaves["x"], state, lengths=lengths))
    last = results.pop()
    results += last if isinstance(last, tuple) else [last]
    wanted = {n.removeprefix("result."): a for n, a in arrays.items() if "result." in n}
    close = {"rtol": tolerance(dtype), "atol": tolerance(dtype)}
    loss = 0.0
    for (key, expected), value in zip(wanted.items(), results, strict=True):
        assert value.dtype == dtype
        np.testing.assert_allclose(value.numpy(), expected, err_msg=key, **close)
        loss = loss + (value * arrays[f"weight.{key}"]).sum()
    loss.backward()
    leaves |= dict(module.named_parameters())
    gradients = {n.removeprefix("gradient."): a for n, a in arrays.items() if "gradient." in n}
    assert leaves.keys() == gradients.keys()
    for key, expected in gradients.items():
        np.testing.assert_allclose(leaves[key].grad.numpy(), expected, err_msg=key, **close)
