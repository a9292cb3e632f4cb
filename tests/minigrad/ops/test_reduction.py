import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad
from minigrad import Tensor
from minigrad.testing import Input, check_gradients, property_test
from minigrad.testing.strategies import shapes


def axes(arrays):
    """No axis, one, or several, counted from either end; with the axes kept or not."""
    ndim = arrays[0].ndim
    some = [st.none()]
    if ndim:
        one = st.integers(-ndim, ndim - 1)
        several = st.lists(one, unique_by=lambda a: a % ndim, max_size=ndim).map(tuple)
        some += [one, several]
    return st.fixed_dictionaries({"axis": st.one_of(some), "keepdims": st.booleans()})


FULL = Input(shape=shapes(min_side=1))
DISTINCT = Input(shape=shapes(min_side=1), distinct=True)

test_sum = property_test(np.sum, Input(), params=axes, reference=np.sum)
test_mean = property_test(np.mean, FULL, params=axes, reference=np.mean)
test_prod = property_test(np.prod, Input(), params=axes, reference=np.prod)
test_max = property_test(np.max, DISTINCT, params=axes, reference=np.max, analytic=False)
test_min = property_test(np.min, DISTINCT, params=axes, reference=np.min, analytic=False)
test_amax = property_test(np.amax, DISTINCT, params=axes, reference=np.amax, analytic=False)
test_amin = property_test(np.amin, DISTINCT, params=axes, reference=np.amin, analytic=False)
test_logsumexp = property_test(
    minigrad.logsumexp,
    FULL,
    params=axes,
    reference=lambda x, axis, keepdims: np.log(np.exp(x).sum(axis=axis, keepdims=keepdims)),
)


@st.composite
def with_zeros(draw):
    rows, columns = draw(st.integers(0, 3)), draw(st.integers(1, 7))
    numbers = st.sampled_from([0.0, 0.0, 1.0, -2.0, 0.5])
    values = draw(st.lists(numbers, min_size=rows * columns, max_size=rows * columns))
    return np.array(values).reshape(rows, columns)


@pytest.mark.parametrize("axis", [None, 0, 1, (1, 0)])
def test_prod_with_any_zeros(axis):
    @given(with_zeros())
    def check(x):
        check_gradients(lambda t: np.prod(t, axis=axis), x)

    check()


def gradient_at(f, values):
    leaf = Tensor(np.array(values, np.float64), requires_grad=True)
    with np.errstate(all="ignore"):
        return minigrad.gradients(f(leaf).sum(), leaf).tolist()


INF, NAN = math.inf, math.nan

# What PyTorch 2.13 gives, but for two rows: where prod underflows it gives zeros, and for logsumexp
# of nothing but -inf NaN.
AT_SINGULAR_POINTS = {
    "max with ties": (lambda x: x.max(axis=-1), [[1, 1, 0], [2, 3, 2]], [[0.5, 0.5, 0], [0, 1, 0]]),
    "min with ties": (lambda x: x.min(), [[1, 1, 0], [0, 0, 0]], [[0, 0, 0.25], [0.25] * 3]),
    "max with NaN": (lambda x: x.max(axis=-1), [[NAN, 1], [0, 2]], [[NAN, NAN], [0, 1]]),
    "prod with one zero": (np.prod, [0, 2, 3], [6, 0, 0]),
    "prod with two zeros": (np.prod, [0, 0, 3], [0, 0, 0]),
    "prod of one zero": (np.prod, [0], [1]),
    "prod that underflows": (np.prod, [1e-200, 1e-200, 1e100], [1e-100, 1e-100, 0]),
    "logsumexp with -inf": (minigrad.logsumexp, [-INF, 0, -INF], [0, 1, 0]),
    "logsumexp of -inf": (
        lambda x: minigrad.logsumexp(x, -1),
        [[-INF, -INF], [0, 0]],
        [[0, 0], [0.5, 0.5]],
    ),
}


@pytest.mark.parametrize("name", AT_SINGULAR_POINTS)
def test_gradients_at_singular_points(name):
    f, values, expected = AT_SINGULAR_POINTS[name]
    np.testing.assert_array_equal(gradient_at(f, values), expected)


def test_second_derivatives_of_prod_with_zeros():
    x = Tensor(np.array([0.0, 0.0, 3.0, 5.0]), requires_grad=True)
    first = minigrad.gradients(np.prod(x), x, create_graph=True)
    second = [minigrad.gradients(first[i], x, create_graph=True).tolist() for i in range(4)]
    assert second == [[0, 15, 0, 0], [15, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_third_derivative_of_prod_with_zeros():
    x = Tensor(np.array([0.0, 0.0, 0.0, 5.0]), requires_grad=True)
    g = np.prod(x)
    for i in (0, 1):
        g = minigrad.gradients(g, x, create_graph=True)[i]
    assert minigrad.gradients(g, x).tolist() == [0, 0, 5, 0]


def test_logsumexp_neither_overflows_nor_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert minigrad.logsumexp(Tensor([1e4, 1e4])).item() == pytest.approx(1e4 + math.log(2))
        assert minigrad.logsumexp(Tensor([-1e4, -1e4])).item() == pytest.approx(-1e4 + math.log(2))
        assert minigrad.logsumexp(Tensor([-INF, -INF])).item() == -INF
        assert minigrad.logsumexp(Tensor([INF, 1.0])).item() == INF
        assert minigrad.logsumexp(Tensor(np.zeros((2, 0))), axis=1).tolist() == [-INF, -INF]


def test_logsumexp_of_half_precision_adds_up_in_single():
    x = Tensor(np.zeros(5000, np.float16))
    assert minigrad.logsumexp(x).item() == np.float16(math.log(5000))
    assert minigrad.logsumexp(x).dtype == np.float16
    assert minigrad.logsumexp(Tensor([0, 0])).item() == pytest.approx(math.log(2))


def test_second_derivative_of_logsumexp_with_empty_rows():
    x = Tensor(np.array([[-INF, -INF], [1.0, 1.0]]), requires_grad=True)
    first = minigrad.gradients(minigrad.logsumexp(x, 1).sum(), x, create_graph=True)
    second = minigrad.gradients((first * np.array([1.0, 0.0])).sum(), x)
    np.testing.assert_allclose(second.numpy(), [[0, 0], [0.25, -0.25]])


def test_reductions_take_a_dtype():
    x = Tensor(np.array([[1.5, 2.0], [3.0, 4.0]], np.float32), requires_grad=True)
    for reduce in (np.sum, np.mean, np.prod):
        y = reduce(x, axis=0, dtype=np.float64)
        assert y.dtype == np.float64
        y.sum().backward()
        assert x.grad.dtype == np.float32
    assert np.sum(x, 0, np.float64).dtype == np.float64


def test_keepdims_is_given_by_name_so_that_numpys_order_cannot_be_mistaken():
    assert np.sum(Tensor([1.0]), 0, None, None, True).shape == (1,)
    with pytest.raises(minigrad.DtypeError, match="data type"):
        Tensor([1.0]).sum(0, True)


def test_constants_of_arrays():
    x = Tensor([[1.0, 3.0, 3.0], [0.0, -1.0, 2.0]], requires_grad=True)
    assert np.argmax(x).item() == 1
    assert np.argmax(x, axis=1).tolist() == [1, 2]
    assert np.argmin(x, axis=0, keepdims=True).tolist() == [[1, 1, 1]]
    assert np.count_nonzero(x, axis=1).tolist() == [3, 2]
    assert x.all(axis=1).tolist() == [True, False]
    assert np.any(x < 0, axis=(0, 1)).item() is True
    assert not np.argmax(x).requires_grad


def test_sums_of_integers_and_booleans_stay_numpys():
    assert (Tensor([1, 2, 3]) > 1).sum().item() == 2
    assert Tensor([1, 2]).mean().dtype == np.float64
    assert np.sum(Tensor(np.array([200, 100], np.uint8))).item() == 300


def test_mean_of_half_precision_does_not_overflow():
    x = Tensor(np.full(4096, 30.0, np.float16), requires_grad=True)
    x.mean().backward()
    assert x.mean().item() == 30
    assert x.grad[0].item() == 2.0**-12


def test_an_axis_that_is_not_there_is_named():
    with pytest.raises(minigrad.ShapeError, match=r"sum: axis 2 is out of bounds.*x: f32\[1\]"):
        Tensor([1.0]).sum(axis=2)


MASK = np.array([[True, False, True], [True, True, False]])
MASKED = [
    ("sum", {}),
    ("sum", {"initial": 2.0}),
    ("prod", {}),
    ("prod", {"initial": -2.0}),
    ("mean", {}),
    ("var", {}),
    ("std", {}),
    ("max", {"initial": -9.0}),
    ("max", {"initial": 0.1}),
    ("min", {"initial": 9.0}),
    ("nansum", {"initial": 1.0}),
    ("nanprod", {}),
    ("nanmean", {}),
    ("nanvar", {}),
    ("nanstd", {}),
    ("nanmax", {"initial": -9.0}),
    ("nanmin", {"initial": 9.0}),
]


@pytest.mark.parametrize("axis", [None, 0, 1, (1, 0)])
@pytest.mark.parametrize(("name", "options"), MASKED)
def test_where_and_initial(name, options, axis):
    x = np.array([[0.3, -1.2, 2.5], [1.7, 0.4, -0.6]])
    mask = MASK | (axis == 0)  # deviations need more than one number
    if name.startswith("nan"):
        x = np.where(mask, x, np.nan)
        x[0, 0] = 0.8
    function = getattr(np, name)
    for keepdims in (False, True):
        given = {"axis": axis, "keepdims": keepdims, "where": mask, **options}
        np.testing.assert_allclose(function(Tensor(x), **given).numpy(), function(x, **given))
    if not np.isnan(x).any():
        check_gradients(lambda t: function(t, axis=axis, where=mask, **options), x, analytic=False)
    leaf = Tensor(np.where(mask, x, 1e30), requires_grad=True)
    function(leaf, axis=axis, where=mask, **options).sum().backward()
    assert (leaf.grad.numpy()[~mask] == 0).all()
    assert np.isfinite(leaf.grad.numpy()).all()


def test_masks_broadcast_and_methods_take_them():
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    assert x.sum(where=np.array([True, False, True])).item() == 10
    assert x.mean(axis=1, where=x > 1).tolist() == [2, 4]
    assert x.max(where=Tensor([True, False, False]), initial=-1).item() == 3
    assert x.any(axis=1, where=x < 2).tolist() == [True, False]
    assert x.all(where=[[True], [False]]).item() is False
    x.prod(axis=0, where=[[True], [False]], initial=3).sum().backward()
    assert x.grad.tolist() == [[3, 3, 3], [0, 0, 0]]


def test_an_initial_value_that_ties_takes_its_share():
    assert gradient_at(lambda x: np.max(x, initial=2), [2, 2, 1]) == [1 / 3, 1 / 3, 0]
    assert gradient_at(lambda x: np.min(x, initial=-5), [2, 2, 1]) == [0, 0, 0]


def test_masked_products_are_exact_with_zeros():
    x = np.array([[0.0, 5.0, 0.0], [2.0, 3.0, 7.0]])
    check_gradients(lambda t: np.prod(t, axis=1, where=MASK, initial=3.0), x)


def test_masks_and_initial_values_are_constants():
    x = Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(minigrad.DetachError, match="initial is a constant"):
        np.sum(x, initial=x[0])
    with pytest.raises(minigrad.DtypeError, match="where must hold booleans"):
        np.sum(x, where=[0.5, 1.0])
    with pytest.raises(minigrad.ShapeError, match="where= needs initial="):
        np.max(x, where=[True, False])
    with pytest.raises(minigrad.ShapeError, match="initial must be a single number"):
        np.sum(x, initial=[1.0, 2.0])
