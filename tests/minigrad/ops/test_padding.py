"""All modes of padding against NumPy, and their derivatives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import Tensor
from minigrad.testing import check_gradients

MODES = [
    ("constant", "constant_values"),
    ("edge", None),
    ("linear_ramp", "end_values"),
    ("maximum", "stat_length"),
    ("mean", "stat_length"),
    ("median", "stat_length"),
    ("minimum", "stat_length"),
    ("reflect", None),
    ("reflect", "reflect_type"),
    ("symmetric", None),
    ("symmetric", "reflect_type"),
    ("wrap", None),
]


@st.composite
def calls(draw, option):
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    pairs = st.tuples(st.integers(0, 5), st.integers(0, 5))
    widths = draw(st.lists(pairs, min_size=len(shape), max_size=len(shape)))
    options = {}
    if option == "reflect_type":
        options[option] = "odd"
    elif option is not None:
        numbers = st.integers(1, 5)
        rows = st.lists(st.tuples(numbers, numbers), min_size=len(shape), max_size=len(shape))
        options[option] = draw(st.one_of(numbers, rows))
    return shape, widths, options


@pytest.mark.parametrize(("mode", "option"), MODES)
def test_values(mode, option):
    @given(calls(option), st.sampled_from([np.int64, np.float32, np.float64]))
    def check(call, dtype):
        shape, widths, options = call
        x = np.random.default_rng(0).integers(-9, 9, shape).astype(dtype)
        expected = np.pad(x, widths, mode=mode, **options)
        y = np.pad(Tensor(x), widths, mode=mode, **options)
        assert y.dtype == expected.dtype
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-5, atol=1e-5)

    check()


@pytest.mark.parametrize(("mode", "option"), MODES)
def test_derivatives(mode, option):
    options = {None: {}, "reflect_type": {"reflect_type": "odd"}}.get(option, {option: 2})
    x = np.array([[0.3, -1.2, 2.5], [1.7, 0.4, -0.6]])
    for widths in (1, ((3, 0), (2, 4))):
        check_gradients(lambda t, w=widths: np.pad(t, w, mode=mode, **options), x, analytic=False)


def test_infinities_stay_where_they_are():
    x = np.array([1.0, 2.0, 4.0, np.inf])
    for kind in ("reflect", "symmetric"):
        y = np.pad(Tensor(x), (2, 0), mode=kind, reflect_type="odd")
        np.testing.assert_array_equal(y.numpy(), np.pad(x, (2, 0), mode=kind, reflect_type="odd"))


def test_widths_by_axis_and_empty():
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    assert np.pad(x, {-1: (1, 2)}).shape == (2, 6)
    assert mg.pad(x, {0: 1}, "edge").shape == (4, 3)
    assert np.pad(x, 1, mode="empty").tolist() == np.pad(x, 1).tolist()
    np.pad(x, 1, mode="empty").sum().backward()
    assert x.grad.tolist() == [[1] * 3] * 2


def test_constants_that_require_grad_are_refused():
    x = Tensor([1.0], requires_grad=True)
    for mode, option in (("constant", "constant_values"), ("linear_ramp", "end_values")):
        with pytest.raises(mg.DetachError, match=f"{option} is a constant"):
            np.pad(x, 1, mode=mode, **{option: x[0]})
    with pytest.raises(ValueError, match="mode 'edge' takes no option, got constant_values=1"):
        np.pad(x, 1, mode="edge", constant_values=1)
    with pytest.raises(ValueError, match="takes stat_length= alone, got end_values=1"):
        np.pad(x, 1, mode="mean", end_values=1)
