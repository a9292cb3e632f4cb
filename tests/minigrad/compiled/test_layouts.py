"""Arguments in any memory layout, and views of them, when compiled."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.compiled import plain
from minigrad.compiled.backends import default_backend

_NUMBERS = np.random.default_rng(0).normal(size=(12, 6, 3)).astype(np.float32)

LAYOUTS = {
    "C order": lambda a: a,
    "Fortran order": np.asfortranarray,
    "part of an array": lambda a: np.concatenate([a, a])[3 : 3 + len(a)],
    "every second": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "backwards": lambda a: a[:, ::-1].copy()[:, ::-1],
    "axes swapped": lambda a: a.swapaxes(0, 1).copy().swapaxes(0, 1),
    "repeated": lambda a: np.broadcast_to(a[:1], a.shape),
    "reshaped": lambda a: a.reshape(-1).copy().reshape(a.shape),
    "unaligned": lambda a: (
        np.frombuffer(b"x" + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape)
    ),
}
FUNCTIONS = {
    "whole": lambda x: x,
    "one row": lambda x: x[1],
    "one step": lambda x: x[:, 1],
    "last step": lambda x: x[:, -1],
    "every second, backwards": lambda x: x[::2, ::-1],
    "axes swapped": lambda x: x[1:].swapaxes(0, 1),
    "steps reshaped": lambda x: x[:, 1:3].swapaxes(0, 1).reshape(-1, 3),
    "reshaped": lambda x: x.reshape(6, -1, 3),
    "ravelled": lambda x: x[:, 0].reshape(-1)[:3],
}
NUMPY = {
    "flip": np.flip,
    "concatenated": lambda x: np.concatenate([x[0], x[1]]),
    "np.reshape": lambda x: np.reshape(x[:, :2], (-1, 3)),
    "flatten": lambda x: x[:2, :, 1].flatten()[:3],
    "np.reshape in Fortran order": lambda x: np.reshape(x[:2], (-1, 3), order="F"),
    "in Fortran order": lambda x: x[:2].reshape((-1, 3), order="F"),
}


def check(view, argument, backend):
    """Twice the compiled function, and the function itself."""

    def loss(x, w):
        return (mg.tanh(mg.matmul(view(x), w)) ** 2).sum()

    compiled = mg.compile(loss, backend=backend)
    found = []
    for function in (loss, compiled, compiled):
        w = mg.Tensor(np.arange(12, dtype=np.float32).reshape(3, 4) / 20, requires_grad=True)
        value = function(argument, w)
        value.backward()
        found.append((value.numpy(), w.grad.numpy()))
    assert [r.reason for r in compiled.refusals] == []
    for value, gradient in found[1:]:
        np.testing.assert_allclose(value, found[0][0], rtol=1e-5)
        np.testing.assert_allclose(gradient, found[0][1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backend", [plain, default_backend()], ids=["NumPy", "best"])
@pytest.mark.parametrize("view", FUNCTIONS.values(), ids=list(FUNCTIONS))
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
def test_tensors_and_arrays_of_any_layout(layout, view, backend):
    check(view, layout(_NUMBERS), backend)


@pytest.mark.parametrize("backend", [plain, default_backend()], ids=["NumPy", "best"])
@pytest.mark.parametrize("view", FUNCTIONS.values(), ids=list(FUNCTIONS))
@pytest.mark.parametrize("swapped", [False, True])
def test_tensors_that_look_at_others(swapped, view, backend):
    tensor = mg.Tensor(np.concatenate([_NUMBERS, _NUMBERS]))[3:15]
    check(view, tensor.swapaxes(0, 1)[:, ::-1].swapaxes(0, 1) if swapped else tensor, backend)


@pytest.mark.parametrize("backend", [plain, default_backend()], ids=["NumPy", "best"])
@pytest.mark.parametrize("view", NUMPY.values(), ids=list(NUMPY))
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
def test_functions_of_numpy(layout, view, backend):
    check(view, layout(_NUMBERS), backend)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
def test_parameters_of_any_layout(layout):
    values = layout(_NUMBERS)
    weight = mg.Tensor(np.zeros(values.shape), values.dtype, requires_grad=True)
    weight._array = values
    compiled = mg.compile(lambda w: (mg.tanh(w) * w[:, ::-1]).sum())
    for _ in range(2):
        weight.grad = None
        compiled(weight).backward()
    w = values.astype(np.float64)
    expected = (1 - np.tanh(w) ** 2) * w[:, ::-1] + np.tanh(w)[:, ::-1]
    np.testing.assert_allclose(weight.grad.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_tensors_reshaped_in_fortran_order():
    compiled = mg.compile(lambda x, w: (mg.reshape(x, (1, -1), order="F")[0] * w).sum())
    weights = np.arange(12.0)
    for k in range(3):
        x = mg.Tensor(np.random.default_rng(k).normal(size=(2, 3, 2)), requires_grad=True)
        expected = (x.numpy().reshape(-1, order="F") * weights).sum()
        assert compiled(x, weights).item() == pytest.approx(expected)
    assert compiled.refusals == []
