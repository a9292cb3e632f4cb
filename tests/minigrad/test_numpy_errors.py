"""Wrong calls of NumPy's functions: what catches the error of arrays catches that of tensors."""

import numpy as np
import pytest

import minigrad as mg

NAMES = {
    "x": np.array([[1.0, 3.0, 2.0], [4.0, 0.0, 5.0]]),
    "v": np.array([1.0, 3.0, 2.0]),
    "w": np.array([1.0, 2.0]),
    "s": np.array(2.0),
    "e": np.zeros(0),
    "e2": np.zeros((2, 0)),
    "A": np.array([[4.0, 1.0, 2.0], [1.0, 5.0, 3.0], [0.0, 1.0, 6.0]]),
    "zero": np.zeros((2, 2)),
}
REDUCTIONS = "sum prod max min amax amin any all argmax argmin var std median ptp cumsum cumprod"
REDUCTIONS += " nansum nanprod nanmax nanmin nanmean nanvar nanstd nanmedian nanargmax nanargmin"
REDUCTIONS += (
    " nancumsum nancumprod mean sort argsort count_nonzero flip squeeze gradient trapezoid"
)
REDUCTIONS += " linalg.norm linalg.vector_norm diff cumulative_sum cumulative_prod unstack"
ALONG_AN_AXIS = [
    *(f"np.{name}({{a}}, axis={{k}})" for name in REDUCTIONS.split()),
    "np.add.reduce({a}, axis={k})",
    "np.append({a}, {a}, axis={k})",
    "np.argpartition({a}, 0, axis={k})",
    "np.array_split({a}, 2, axis={k})",
    "np.compress([True], {a}, axis={k})",
    "np.concatenate([{a}, {a}], axis={k})",
    "np.cross({a}, {a}, axis={k})",
    "np.delete({a}, 0, axis={k})",
    "np.diagonal({a}, axis1=0, axis2={k})",
    "np.expand_dims({a}, axis={k})",
    "np.insert({a}, 0, 1.0, axis={k})",
    "np.linalg.norm({a}, axis=(0, {k}))",
    "np.linspace({a}, {a}, 3, axis={k})",
    "np.logaddexp.reduce({a}, axis={k})",
    "np.maximum.accumulate({a}, axis={k})",
    "np.moveaxis({a}, 0, {k})",
    "np.nanquantile({a}, 0.3, axis={k})",
    "np.partition({a}, 0, axis={k})",
    "np.percentile({a}, 30, axis={k})",
    "np.quantile({a}, 0.3, axis={k})",
    "np.repeat({a}, 2, axis={k})",
    "np.roll({a}, 1, axis={k})",
    "np.rollaxis({a}, {k})",
    "np.rot90({a}, axes=(0, {k}))",
    "np.split({a}, 1, axis={k})",
    "np.stack([{a}, {a}], axis={k})",
    "np.swapaxes({a}, 0, {k})",
    "np.take({a}, [0], axis={k})",
    "np.take_along_axis({a}, np.array([[0]]), axis={k})",
    "np.tensordot({a}, {a}, axes=([0], [{k}]))",
    "np.trace({a}, axis1=0, axis2={k})",
    "np.transpose({a}, (0, {k}))",
    "np.vecdot({a}, {a}, axis={k})",
]
OTHERS = """
np.linalg.inv(zero)
np.linalg.inv(x)
np.linalg.inv(v)
np.linalg.solve(zero, w)
np.linalg.solve(A, w)
np.linalg.det(x)
np.linalg.slogdet(v)
np.linalg.cholesky(-A)
np.linalg.eigvalsh(x)
np.linalg.eigh(s)
np.linalg.svd(v)
np.linalg.qr(v)
np.linalg.qr(A, mode='abc')
np.linalg.pinv(v)
np.linalg.cond(v)
np.linalg.cond(e2)
np.linalg.matrix_power(x, 2)
np.linalg.matrix_power(A, 0.5)
np.linalg.matrix_norm(v)
np.linalg.norm(A, 'abc')
np.linalg.norm(v, 'fro')
np.linalg.norm(e, -np.inf)
np.hsplit(x, 'abc')
np.hsplit(s, 1)
np.split(x, [0.5])
np.roll(x, (1, 2), axis=(0, 5))
np.repeat(x, -1)
np.repeat(x, 2**70)
np.take(x, 10)
np.take(x, [0], mode='abc')
np.take(e, 0)
np.choose([0], [v], mode='abc')
np.searchsorted(v, v, side='abc')
np.sort(x, kind='abc')
np.argsort(x, kind='abc')
np.partition(x, 10)
np.reshape(x, (4, 2))
np.reshape(x, 6, order='Z')
np.rollaxis(x, 0, 5)
np.meshgrid(v, indexing='abc')
np.pad(x, 1, mode='abc')
np.pad(x, -1)
np.pad(x, 1.5)
np.pad(e, 1, mode='edge')
np.pad(e, 1, mode='mean')
np.pad(x, 1, mode='maximum', stat_length=0)
np.pad(x, 1, mode='edge', constant_values=1)
np.quantile(x, 1.5)
np.quantile(x, 0.5, method='abc')
np.quantile(x, 0.5, weights=x)
np.percentile(x, 101)
np.average(v, weights=np.zeros(3))
np.max(e)
np.max(x, where=x > 1)
np.sum(x, where=[True, False])
np.sum(x, initial=[1.0, 2.0])
np.nanargmax(v * np.nan)
np.cov(x, ddof=1.5)
np.diff(x, n=-1)
np.diff(s)
np.gradient(v[:1])
np.gradient(x, axis=(1, 1))
np.gradient(x, 1, 2, 3)
np.gradient(v, edge_order=3)
np.convolve(v, v, mode='abc')
np.vander(v, -1)
np.where(x > 1, x)
np.select([x], [x])
np.linspace(0, v, -1)
np.cumulative_sum(x)
np.add.accumulate(s)
np.add.accumulate(x, axis=None)
np.add(x, 'a')
np.add(x, w)
x[5]
x[[5]]
x[[0.5]]
x['a']
x.sum(5)
x.swapaxes(0, 5)
x.take(10)
x.flatten('Z')
"""
# Where a bound is given twice, NumPy 2.0 raises another class.
OF_LATER = pytest.param("np.clip(x, 1, 2, min=1)", marks=pytest.mark.present_numpy)
AXES = ("2", "-3", "'a'")


def outcome(call, values):
    with np.errstate(all="ignore"):
        try:
            return eval(call, {"np": np, **values})
        except Exception as error:
            return error


def kind(error):
    """The class that a user would name in an except clause."""
    public = (np.exceptions.AxisError, np.linalg.LinAlgError)
    return next(c for c in type(error).__mro__ if c.__module__ == "builtins" or c in public)


def check(call):
    theirs = outcome(call, NAMES)
    assert isinstance(theirs, Exception), call
    ours = outcome(call, {name: mg.Tensor(a, requires_grad=True) for name, a in NAMES.items()})
    assert isinstance(ours, kind(theirs)), (call, theirs, ours)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("call", ALONG_AN_AXIS)
def test_wrong_axes(call):
    for a in ("x", "v", "s", "e2"):
        for k in AXES:
            written = call.format(a=a, k=k)
            theirs = outcome(written, NAMES)
            # Of two things that are wrong either may be said first.
            if isinstance(theirs, Exception) and (a, k) != ("s", "'a'"):
                check(written)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("call", [*OTHERS.strip().splitlines(), OF_LATER])
def test_wrong_calls(call):
    check(call)


def test_axis_errors_are_of_every_kind_that_users_catch():
    for kind_ in (mg.AxisError, mg.ShapeError, np.exceptions.AxisError, IndexError, ValueError):
        with pytest.raises(kind_, match="out of bounds for array of dimension 1"):
            mg.Tensor([1.0]).sum(axis=3)


@pytest.mark.parametrize(
    ("call", "options"),
    [
        ("np.pad(x, 1, mode='abc')", "'constant', 'edge', 'empty', 'linear_ramp'"),
        ("np.pad(x, 1, mode='reflect', reflect_type='abc')", "'even', 'odd'"),
        ("np.take(x, 0, mode='abc')", "'raise', 'wrap', 'clip'"),
        ("np.choose([0], [v], mode='abc')", "'raise', 'wrap', 'clip'"),
        ("np.sort(x, kind='abc')", "None, 'quicksort', 'mergesort', 'heapsort', 'stable'"),
        ("np.searchsorted(v, v, side='abc')", "'left', 'right'"),
        ("np.reshape(x, 6, order='Z')", "'C', 'F'"),
        ("np.convolve(v, v, mode='abc')", "'full', 'same', 'valid'"),
        ("np.quantile(x, 0.5, method='abc')", "'inverted_cdf', 'averaged_inverted_cdf'"),
        ("np.linalg.qr(A, mode='abc')", "'reduced', 'complete', 'r', 'raw'"),
        ("mg.gelu(x, approximate='abc')", "'none', 'tanh'"),
        ("mg.scatter_reduce(v, 0, [0], v, 'abc')", "'sum', 'mean', 'prod', 'amax', 'amin'"),
    ],
)
def test_a_wrong_option_is_a_plain_value_error_that_lists_the_others(call, options):
    error = outcome(call, {"mg": mg, **{name: mg.Tensor(a) for name, a in NAMES.items()}})
    assert type(error) is ValueError
    assert f"must be one of {options}" in str(error)
    assert "'abc'" in str(error) or "'Z'" in str(error)


@pytest.mark.parametrize("axis", [0, -1, 1])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "complex64"])
@pytest.mark.parametrize("name", ["mean", "average", "var", "std"])
def test_means_of_a_number_have_no_axis(name, dtype, axis):
    function = getattr(np, name)
    for x in (np.array(2, dtype), mg.Tensor(np.array(2, dtype))):
        with pytest.raises(np.exceptions.AxisError):
            function(x, axis=axis)
        assert function(x).item() in (0, 2)


def test_no_differences_at_all_give_back_the_array():
    x = mg.Tensor(np.array(2.0), requires_grad=True)
    for axis in (-1, 0, 3):
        assert np.diff(x, n=0, axis=axis).item() == np.diff(np.array(2.0), n=0, axis=axis)
    assert mg.gradients(np.diff(x, n=0), x).item() == 1
    with pytest.raises(ValueError, match="out of bounds for 0 axes"):
        np.diff(x)
    with pytest.raises(ValueError, match="0 or more"):
        np.diff(x, n=-1)
