"""Layers, activations and losses against PyTorch, from arrays that tests/fixtures holds."""

import json
import pathlib

import numpy as np
import pytest

import layers
import minigrad as mg

FILE = pathlib.Path(__file__).parents[1] / "fixtures" / "layers.npz"
ARRAYS = dict(np.load(FILE))
CASES = json.loads(str(ARRAYS["cases"]))


def entries(prefix):
    """The arrays whose names begin with a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): a for name, a in ARRAYS.items() if name.startswith(prefix)}


def make(case):
    options = {k: v for k, v in case["options"].items() if k != "dim"}
    return getattr(layers, case["class"])(
        *case.get("positional", []), **{**options, **case.get("ours", {})}
    )


def close(mine, theirs, dtype, what):
    assert mine.shape == theirs.shape, what
    assert mine.dtype == theirs.dtype, what
    tolerance = 1e-10 if dtype == "float64" else 2e-5
    np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance, err_msg=what)


def test_the_file_is_whole():
    assert str(ARRAYS["torch"]).startswith("2.13")
    assert {name.split("/")[0] for name in ARRAYS} == {"cases", "gains", "torch", *CASES}
    assert FILE.stat().st_size < 2e6


@pytest.mark.parametrize("fused", [True, False], ids=["kernel", "steps"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_values_gradients_and_state_are_those_of_pytorch(name, dtype, fused):
    case = CASES[name]
    arrays = entries(f"{name}/")
    found = entries(f"{name}/{dtype}/")

    def converted(array):
        return array.astype(dtype) if array.dtype.kind == "f" else array

    module = make(case).to(dtype)
    state = {n.removeprefix("state."): a for n, a in arrays.items() if n.startswith("state.")}
    assert {n: a.shape for n, a in module.state_dict().items()} == {
        n: a.shape for n, a in state.items()
    }
    assert list(module.state_dict()) == list(state)
    module.load_state_dict(state)
    leaves, loss = {}, mg.Tensor(np.zeros((), dtype))
    with mg.recording(fused=fused):
        for call, mode in enumerate(case.get("modes", ["train"])):
            module.train(mode == "train")
            inputs = []
            for i in range(len(case["inputs"])):
                array = converted(arrays[f"input.{call}.{i}"])
                inputs.append(mg.Tensor(array, requires_grad=array.dtype.kind == "f"))
                if array.dtype.kind == "f":
                    leaves[f"{call}.{i}"] = inputs[-1]
            y = module(*inputs, **case.get("call", {}))
            close(y.detach().numpy(), found[f"result.{call}"], dtype, f"result {call}")
            loss = loss + (y * converted(arrays[f"weight.{call}"])).sum()
        loss.backward()
    leaves |= dict(module.named_parameters())
    wanted = {n.removeprefix("gradient.") for n in found if n.startswith("gradient.")}
    assert wanted == set(leaves)
    for leaf, tensor in leaves.items():
        close(tensor.grad.numpy(), found[f"gradient.{leaf}"], dtype, f"gradient of {leaf}")
    after = {n.removeprefix("after."): a for n, a in found.items() if n.startswith("after.")}
    for buffer, array in after.items():
        close(module.state_dict()[buffer], array, dtype, f"{buffer} afterwards")


def test_every_class_is_compared_or_tested_by_itself():
    compared = {case["class"] for case in CASES.values()}
    modules = [
        layers.basic.activations,
        layers.basic.batch_normalization,
        layers.basic.convolution,
        layers.basic.embedding,
        layers.basic.flatten,
        layers.basic.linear,
        layers.basic.losses,
        layers.basic.margin_losses,
        layers.basic.normalization,
        layers.basic.pooling,
    ]
    names = {name for module in modules for name in module.__all__}
    assert compared == names


def test_gains_are_those_of_pytorch():
    for name, gain in json.loads(str(ARRAYS["gains"])).items():
        nonlinearity, *parameter = name.split()
        slope = float(parameter[0]) if parameter else None
        assert layers.init.calculate_gain(nonlinearity, slope) == pytest.approx(gain, rel=1e-14)
