"""Joining, splitting, repeating and padding against NumPy's own."""

import numpy as np
import pytest
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import Input, property_test
from minigrad.testing.strategies import shapes


def bend(f):
    """The squares of the results: a linear operation alone has no second derivative to check."""

    def bent(*args, **kwargs):
        results = f(*args, **kwargs)
        if isinstance(results, (list, tuple)):
            return [y * y for y in results]
        return results * results

    return bent


def agrees(f, *inputs, **options):
    """A property test that a function does to tensors what it does to arrays."""
    return property_test(bend(f), *inputs, reference=bend(f), analytic=True, **options)


SOME = Input(shape=shapes(min_dims=1))


def an_axis(arrays):
    n = arrays[0].ndim
    return st.fixed_dictionaries({"axis": st.integers(-n, n - 1)})


@st.composite
def joinable(draw, count=3):
    """Shapes that differ along one axis, which is the last one so that `-1` names it."""
    lead = draw(shapes(max_dims=2))
    return [(*lead, draw(st.integers(0, 3))) for _ in range(count)]


@st.composite
def equal_shapes(draw, count=3):
    return [draw(shapes())] * count


def new_axis(arrays):
    n = arrays[0].ndim
    return st.fixed_dictionaries({"axis": st.integers(-n - 1, n)})


def listed(f):
    return agrees(
        f, Input(), Input(), Input(), shapes=equal_shapes().filter(lambda s: s[0]), list_input=True
    )


test_concatenate = agrees(
    np.concatenate,
    *[Input()] * 3,
    shapes=joinable(),
    list_input=True,
    params={"axis": st.sampled_from([-1, None])},
)
test_concat = agrees(
    np.concat,
    *[Input()] * 3,
    shapes=equal_shapes().filter(lambda s: s[0]),
    list_input=True,
    params=an_axis,
)
test_stack = agrees(
    np.stack, *[Input()] * 3, shapes=equal_shapes(), list_input=True, params=new_axis
)
test_vstack = listed(np.vstack)
test_hstack = listed(np.hstack)
test_dstack = listed(np.dstack)
test_column_stack = agrees(
    np.column_stack, *[Input()] * 2, shapes=st.just([(3,), (3, 2)]), list_input=True
)
test_append = agrees(
    np.append, Input(), Input(), shapes=joinable(2), params={"axis": st.sampled_from([-1, None])}
)
test_array_split = agrees(
    lambda x, n, axis: np.array_split(x, n, axis=axis),
    SOME,
    params=lambda arrays: st.fixed_dictionaries(
        {"n": st.integers(1, 4), "axis": st.integers(-arrays[0].ndim, arrays[0].ndim - 1)}
    ),
)
test_split = agrees(
    lambda x, cuts: np.split(x, cuts, axis=-1),
    SOME,
    params={"cuts": st.lists(st.integers(-1, 4), max_size=3).map(sorted)},
)
test_split_into_equal_parts = agrees(
    lambda x: [*np.split(x, 2), *np.vsplit(x, 2), *np.hsplit(x, 3), *np.dsplit(x, 1)],
    Input(shape=st.sampled_from([(2, 3, 1), (4, 3, 2), (2, 0, 1)])),
)
test_hsplit_of_a_vector = agrees(lambda x: np.hsplit(x, [1]), Input(shape=(3,)))
test_unstack = property_test(
    bend(mg.unstack),
    Input(shape=shapes(min_dims=1, min_side=1)),
    params=an_axis,
    reference=bend(lambda x, axis: list(np.moveaxis(x, axis, 0))),
)


# -- repeating -------------------------------------------------------------------------------------


@st.composite
def counts(draw, arrays):
    axis = draw(st.none() | st.integers(-arrays[0].ndim, arrays[0].ndim - 1))
    length = arrays[0].size if axis is None else arrays[0].shape[axis]
    several = st.lists(st.integers(0, 3), min_size=length, max_size=length)
    return {"repeats": draw(st.integers(0, 3) | several), "axis": axis}


@st.composite
def shifts(draw, arrays):
    n = arrays[0].ndim
    one = st.integers(-4, 4)
    if draw(st.booleans()):
        return {"shift": draw(one), "axis": draw(st.none() | st.integers(-n, n - 1))}
    return {"shift": draw(st.tuples(one, one)), "axis": draw(st.sampled_from([(0, -1), (0, 0), 0]))}


@st.composite
def paddings(draw, arrays):
    n = arrays[0].ndim
    one = st.integers(0, 4)
    pair = st.tuples(one, one)
    width = draw(one | pair | st.lists(pair, min_size=n, max_size=n).map(tuple))
    empty = 0 in arrays[0].shape
    modes = ["constant"] if empty else ["constant", "edge", "reflect", "symmetric", "wrap"]
    mode = draw(st.sampled_from(modes))
    options = {"constant_values": draw(st.sampled_from([0, 3.0, (1.0, 2.0)]))}
    return {"pad_width": width, "mode": mode, **(options if mode == "constant" else {})}


test_tile = agrees(
    np.tile,
    Input(shape=shapes(max_dims=2)),
    params={"reps": st.integers(0, 3) | st.lists(st.integers(0, 2), max_size=3).map(tuple)},
)
test_repeat = agrees(np.repeat, SOME, params=counts)
test_roll = agrees(np.roll, SOME, params=shifts)
test_pad = agrees(np.pad, Input(shape=shapes(min_dims=1, max_dims=2)), params=paddings)


def test_repeat_copies_its_counts():
    x, counts_ = mg.Tensor([1.0, 2.0], requires_grad=True), np.array([1, 2])
    y = mg.repeat(x, counts_)
    counts_[:] = 0
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 2.0]


def test_a_split_is_pulled_back_without_an_array_of_the_whole_per_part():
    x = mg.Tensor(np.zeros((1000, 100)), requires_grad=True)
    parts = mg.unstack(x)
    total = parts[0]
    for i, part in enumerate(parts[1:], 2):
        total = total + part * float(i)
    total.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy()[:, 0], np.arange(1.0, 1001.0))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda t: mg.concatenate([t, t[0]]), mg.ShapeError, r"concatenate: .*f64\[4, 3\]"),
        (lambda t: mg.concatenate([]), mg.ShapeError, "at least one array, got none"),
        (lambda t: mg.stack([t, t[:2]]), mg.ShapeError, "stack: .*same shape"),
        (lambda t: mg.vstack([]), mg.ShapeError, "vstack: arrays must hold at least one"),
        (lambda t: mg.vstack(3.0), mg.DtypeError, "vstack: arrays must be a list or tuple"),
        (lambda t: mg.split(t, 3), mg.ShapeError, r"f64\[4, 3\] does not divide into 3 equal"),
        (lambda t: mg.split(t, 0), mg.ShapeError, "must be 1 or more, got 0"),
        (lambda t: mg.split(t, 2, axis=2), mg.ShapeError, "split: axis: 2 is out of bounds"),
        (lambda t: mg.vsplit(t[0], 1), mg.ShapeError, "vsplit: needs 2 axes"),
        (lambda t: mg.dsplit(t, 1), mg.ShapeError, "dsplit: needs 3 axes"),
        (lambda t: mg.unstack(t, axis=5), mg.ShapeError, "unstack: axis: 5 is out of bounds"),
        (lambda t: mg.repeat(t, 1.5), mg.DtypeError, "repeat: repeats must be integers"),
        (lambda t: mg.repeat(t, [1, 2], axis=0), mg.ShapeError, "repeat: .*broadcast"),
        (lambda t: mg.repeat(t, t), mg.DetachError, "repeat: repeats is a constant here"),
        (lambda t: mg.roll(t, 0.5), mg.DtypeError, "roll: shift must be integers"),
        (lambda t: mg.pad(t, 1, mode="mirror"), ValueError, "pad: mode must be one of 'constant'"),
        (lambda t: mg.pad(t, -1), mg.ShapeError, "pad: pad_width must be integers, 0 or more"),
        (lambda t: mg.pad(t, (1, 2, 3)), mg.ShapeError, "one pair for each of 2 axes"),
        (lambda t: mg.pad(t[:0], 1, mode="edge"), mg.ShapeError, "nothing to repeat along"),
        (lambda t: mg.pad(t, 1, "reflect", reflect_type="both"), ValueError, "'even', 'odd'"),
        (lambda t: mg.pad(t, 1, constant_values=t[0, 0]), mg.DetachError, "constant here"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(mg.Tensor(np.ones((4, 3)), requires_grad=True))


def test_shifts_of_any_size():
    x = np.arange(6.0).reshape(2, 3)
    for axis, length in ((None, 6), (0, 2), (1, 3)):
        for shift in (2**70, -(2**65) - 1):
            y = np.roll(mg.Tensor(x), shift, axis=axis)
            np.testing.assert_array_equal(y.numpy(), np.roll(x, shift % length, axis=axis))


def test_a_number_along_its_only_possible_axis_is_a_vector():
    s = mg.Tensor(2.0, requires_grad=True)
    for function in (
        lambda t: np.repeat(t, 3, axis=0),
        lambda t: np.take(t, [0, 0, 0], axis=0),
        lambda t: np.repeat(t, [3], axis=-1),
    ):
        assert function(s).tolist() == [2, 2, 2]
        assert mg.gradients(function(s).sum(), s).item() == 3
    assert np.compress([True], s, axis=0).tolist() == [2]
    assert np.take(s, 0, axis=0).shape == ()
    with pytest.raises(mg.AxisError):
        np.repeat(s, 2, axis=1)


@pytest.mark.parametrize("join", [mg.stack, mg.concatenate])
def test_what_is_no_list_of_tensors_is_refused(join):
    with pytest.raises(mg.DtypeError, match=r"must be a list or tuple of tensors, got float 3\.0"):
        join(3.0)
