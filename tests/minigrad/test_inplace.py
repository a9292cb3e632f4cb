"""Writing in place against NumPy as the model, in value, gradient and second order."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.ops.primitives import operations
from minigrad.testing import check_gradients

ROWS, COLUMNS = 3, 4


# -- sequences of writes ---------------------------------------------------------------------------


def code_arrays(shape, n):
    return hnp.arrays(np.int64, shape, elements=st.integers(-n, n - 1))


indices = st.one_of(
    st.sampled_from([..., 0, -1, np.s_[1:], np.s_[::-1], np.s_[:, 2], np.s_[..., None, ::2]]),
    hnp.arrays(bool, (ROWS, COLUMNS)),
    hnp.arrays(bool, (ROWS,)),
    code_arrays((4,), ROWS),
    st.tuples(code_arrays((2, 3), ROWS), code_arrays((3,), COLUMNS)),
    st.tuples(st.just(slice(None)), code_arrays((3,), COLUMNS)),
    st.tuples(code_arrays((2,), ROWS), st.just(slice(0, 2))),
)
operators = st.sampled_from(["=", "+=", "-=", "*=", "/=", "**="])
operands = st.sampled_from(["number", "other", "part", "self"])
writes = st.lists(st.tuples(operators, indices, operands), min_size=1, max_size=4)


def change(target, symbol, value):
    """An augmented assignment; what it returns is bound to the target's name, as Python does."""
    if symbol == "+=":
        target += value
    elif symbol == "-=":
        target -= value
    elif symbol == "*=":
        target *= value
    elif symbol == "/=":
        target /= 2.0 + value * value
    elif symbol == "**=":
        target **= 2
    return target


def run(program, x, v, read):
    """Run a sequence of writes; `read` reads a part, as a copy where reading gives a view."""
    seen = read(x, np.s_[0])
    for symbol, index, operand in program:
        part = read(x, index)
        value = {"number": 1.5, "other": v, "part": part * 0.5, "self": seen.sum() * 0.1}[operand]
        if symbol == "=":
            x[index] = value
        else:
            x[index] = change(part, symbol, value)
        x += 0.25 * v
        seen = seen * read(x, np.s_[-1])
    return x, seen


def on_tensors(program):
    def f(x, v):
        return run(program, x * 1.0, v, lambda t, index: t[index])

    return f


@given(writes, st.integers(0, 2**32 - 1))
def test_writes_are_those_of_numpy_and_differentiable(program, seed):
    rng = np.random.default_rng(seed)
    x, v = rng.uniform(0.5, 1.0, (ROWS, COLUMNS)), rng.uniform(0.5, 1.0)
    expected = run(program, x.copy(), v, lambda a, index: np.array(a[index]))
    tensors = mg.Tensor(x), mg.Tensor(v, dtype=np.float64)
    for mine, theirs in zip(on_tensors(program)(*tensors), expected, strict=True):
        # Where places repeat NumPy promises that the last write counts: the same rounding, too.
        np.testing.assert_allclose(mine.numpy(), theirs, rtol=1e-12)
    check_gradients(on_tensors(program), x, np.asarray(v), analytic=False)


def test_repeated_places_keep_the_last_write_and_its_gradient():
    x, v = np.zeros((2, 3)), np.arange(1.0, 7.0).reshape(2, 3)

    def write(t, values):
        t = t * 1.0
        t[:, [1, 0, 1]] = values
        return t * t

    np.testing.assert_array_equal(
        write(mg.Tensor(x), mg.Tensor(v)).numpy(), np.array([[2.0, 3, 0], [5, 6, 0]]) ** 2
    )
    check_gradients(write, x, v)


def test_a_value_may_have_leading_axes_of_length_one():
    def write(t, values):
        t = t * 1.0
        t[1] = values
        return t * t

    check_gradients(write, np.ones((2, 3)), np.arange(3.0).reshape(1, 1, 3))


# -- values, not aliases ---------------------------------------------------------------------------


def test_a_part_is_a_value():
    x = mg.Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True) * 1.0
    for part in (x[0], x.T, x.reshape(-1), x.ravel(), x.detach(), mg.split(x, 2)[0]):
        part += 1.0
        part[...] = 7.0
    assert x.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    before, shown = x.T, x.numpy()
    x[0, 0] = 9.0
    assert before.tolist()[0][0] == shown[0, 0] == 0.0


def test_what_was_computed_before_keeps_its_gradient():
    x = mg.Tensor([1.0, 2.0], requires_grad=True)
    y = x * 3.0
    square = y * y
    y[0] += 10.0
    y *= 2.0
    (square.sum() + y.sum()).backward()
    assert x.grad.tolist() == [18.0 + 6.0, 36.0 + 6.0]


def test_an_augmented_item_is_rebound_and_differentiable():
    x = mg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * 1.0
    same = y
    y[0] += 1
    y[1:] *= y[:2]
    assert same is y
    assert y.tolist() == [2.0, 4.0, 6.0]
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 5.0, 2.0]


def test_a_tensor_joins_the_graph_of_what_is_written():
    buffer, w = mg.Tensor(np.zeros((2, 2), np.float32)), mg.Tensor(3.0, requires_grad=True)
    buffer[0, 1] = w * w
    assert buffer.requires_grad
    assert not buffer.is_leaf
    (buffer * 2.0).sum().backward()
    assert w.grad.item() == 12.0
    other = mg.Tensor(np.zeros(2))
    other += w
    assert other.requires_grad


def test_every_operator_writes():
    for symbol, operand, expected in [
        ("+", 2.0, 5.0), ("-", 2.0, 1.0), ("*", 2.0, 6.0), ("/", 2.0, 1.5), ("**", 2.0, 9.0)
    ]:  # fmt: skip
        scope = {"t": mg.Tensor([3.0], requires_grad=True) * 1.0, "operand": operand}
        same = scope["t"]
        exec(f"t {symbol}= operand", scope)
        assert scope["t"] is same
        assert same.tolist() == [expected]
        assert same.requires_grad
    t = mg.Tensor(np.eye(2)) * 1.0
    t @= np.full((2, 2), 2.0)
    assert t.tolist() == [[2.0, 2.0], [2.0, 2.0]]


# -- leaves ----------------------------------------------------------------------------------------


def leaf():
    w = mg.Tensor(np.arange(4.0).reshape(2, 2), requires_grad=True)
    w.name = "weight"
    return w


WRITES = {
    "t += 1": lambda t: t.__iadd__(1.0),
    "t[0] = 1": lambda t: t.__setitem__(0, 1.0),
    "t[mask] = 1": lambda t: t.__setitem__(np.eye(2, dtype=bool), 1.0),
    "fill": lambda t: t.fill(5.0),
    "sort": lambda t: t.sort(axis=0),
    "partition": lambda t: t.partition(1),
    "copyto": lambda t: np.copyto(t, 3.0),
    "add.at": lambda t: np.add.at(t, [0, 0], 1.0),
    "fill_diagonal": lambda t: np.fill_diagonal(t, 3.0),
    "put_along_axis": lambda t: np.put_along_axis(t, np.array([[1]]), 3.0, axis=1),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_leaves_are_written_only_under_no_grad(write):
    w = leaf()
    with pytest.raises(mg.GradientError, match=r"is a leaf that requires grad.*no_grad"):
        write(w)
    assert w.tolist() == leaf().tolist()
    node = w._node
    with mg.no_grad():
        write(w)
    assert w._node is node
    assert w.is_leaf
    assert w.requires_grad
    assert node.value is w._array
    expected = np.arange(4.0).reshape(2, 2)
    write(expected)
    np.testing.assert_array_equal(w.numpy(), expected)


SAVED = {
    "itself": lambda w: w * w,
    "a part": lambda w: w[0] * w[0],
    "a view of a view": lambda w: mg.exp(w.T.reshape(-1)) * w.reshape(-1)[::-1],
    "squeezed": lambda w: mg.expand_dims(w, 0).squeeze(0) ** 2,
    "broadcast": lambda w: mg.broadcast_to(w, (3, 2, 2)) ** 3,
    "diagonal": lambda w: w.diagonal() * mg.flip(w[0]),
    "second operand": lambda w: mg.einsum("ij,jk->ik", np.ones((2, 2)) * w.sum(), w),
}


@pytest.mark.parametrize("compute", SAVED.values(), ids=SAVED)
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_node_that_saved_the_old_value_refuses(compute, create_graph):
    w = leaf()
    y = compute(w).sum()
    with mg.no_grad():
        w -= 0.1
    with pytest.raises(mg.GradientError, match=r"leaf 'weight' f64\[2, 2\].*written in place"):
        y.backward(create_graph=create_graph)
    compute(w).sum().backward()
    assert w.grad is not None


def test_every_array_of_a_list_is_looked_after():
    @mg.primitive(list_input=True)
    def product(arrays, /):
        return np.multiply(*arrays)

    product.vjp(arrays=lambda g, arrays: [g * arrays[1], g * arrays[0]])
    for written in (0, 1):
        pair = [leaf(), leaf()]
        y = product(pair).sum()
        with mg.no_grad():
            pair[written] += 1.0
        with pytest.raises(mg.GradientError, match="written in place"):
            y.backward()
    operations.pop(f"{__name__}.product")


def test_what_saved_nothing_of_the_leaf_runs_on():
    w = leaf()
    y = (w + 1.0).sum() + mg.concatenate([w, w * 2.0]).sum() + mg.stack([w]).sum() + w[0].sum()
    with mg.no_grad():
        w[0] = 100.0
    y.backward()
    assert w.grad.tolist() == [[6.0, 6.0], [5.0, 5.0]]


def test_an_optimiser_step():
    w = leaf()
    for _ in range(2):
        (w * w).sum().backward()
        with mg.no_grad():
            w -= 0.1 * w.grad
        w.grad *= 0.5
        w.grad[...] = 0.0
    np.testing.assert_allclose(w.numpy(), leaf().numpy() * 0.64)
    assert not w.grad.numpy().any()


def test_a_computed_tensor_is_not_written_under_no_grad():
    y = leaf() * 2.0
    with mg.no_grad():
        for write in WRITES.values():
            with pytest.raises(mg.GradientError, match=r"computed by multiply.*under no_grad"):
                write(y)
        free = mg.Tensor([1.0])
        free += 1.0
    assert free.tolist() == [2.0]
    assert y.tolist() == (leaf() * 2.0).tolist()


def test_a_copy_is_not_written_with_the_original():
    t, mask = mg.Tensor([1.0, 2.0], requires_grad=True), mg.Tensor([True])
    for twin in (t.copy(), np.copy(t)):
        twin += 1.0
        twin[0] *= 2.0
        (slope,) = mg.gradients(twin.sum(), [t])
        assert slope.tolist() == [2.0, 1.0]
    mask.copy()[0] = False
    twin = copy.copy(t)
    with mg.no_grad():
        t += 1.0
    assert mask.tolist() == [True]
    assert twin.tolist() == [1.0, 2.0]
    assert t.tolist() == [2.0, 3.0]


# -- dtypes, shapes, and errors that change nothing ------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_write_keeps_the_dtype(dtype):
    x = mg.Tensor(np.ones(3, dtype), requires_grad=True)
    v = mg.Tensor(np.ones(3), requires_grad=True)
    y = x * 1.0
    y += v
    y[0] = v[0]
    y[1:] *= np.float64(2.0)
    y /= np.full(3, 2.0)
    assert y.dtype == dtype
    y.sum().backward(np.ones((), dtype))
    assert (x.grad.dtype, v.grad.dtype) == (dtype, np.float64)


def test_numbers_that_keep_their_value_are_written():
    counts, mask = mg.Tensor([1, 2, 3]), mg.Tensor([True, False])
    counts[0] = 7.0
    counts[1] += 1
    mask[1] = 1
    assert (counts.tolist(), counts.dtype.kind) == ([7, 3, 3], "i")
    assert (mask.tolist(), mask.dtype.kind) == ([True, True], "b")


def whole():
    return mg.Tensor(np.arange(4).reshape(2, 2))


def real():
    return mg.Tensor(np.arange(4.0).reshape(2, 2), requires_grad=True) * 1.0


def plain():
    return mg.Tensor(np.arange(4.0).reshape(2, 2))


def add_wrong_value(t):
    t[0] += np.ones(3)


def divide(t):
    t /= 2


@pytest.mark.parametrize(
    ("make", "write", "error", "message"),
    [
        (real, lambda t: t.__setitem__(0, np.ones(3)), mg.ShapeError, r"f64\[2, 2\], value: f64"),
        (real, lambda t: t.__setitem__(5, 1.0), IndexError, "index 5 is out of bounds"),
        (real, lambda t: t.__setitem__(0.5, 1.0), IndexError, "only integers"),
        (real, lambda t: t.__setitem__(0, "a"), mg.DtypeError, "value must be a tensor"),
        (real, lambda t: t.__setitem__(0, None), mg.DtypeError, "value must be a tensor"),
        (real, lambda t: t.__setitem__(0, 1j), mg.DtypeError, "Complex numbers are supported"),
        (real, lambda t: t.__iadd__(1j), mg.DtypeError, "Complex numbers are supported"),
        (plain, lambda t: t.__setitem__(0, 1j), mg.DtypeError, "complex128 cannot be written"),
        (plain, lambda t: t.__iadd__(1j), mg.DtypeError, "complex128 cannot be written"),
        (real, lambda t: t.__iadd__(np.ones((3, 2, 2))), mg.ShapeError, r"\(3, 2, 2\).*\(2, 2\)"),
        (real, lambda t: t.__imul__(np.ones(3)), mg.ShapeError, "multiply"),
        (real, add_wrong_value, mg.ShapeError, "add: "),
        (real, lambda t: np.copyto(t, np.ones(3)), mg.ShapeError, "setitem: "),
        (real, lambda t: np.copyto(t, 1.0, casting="unsafe"), mg.DtypeError, "same_kind"),
        (real, lambda t: np.copyto(np.ones(2), t[0]), mg.DtypeError, "first argument"),
        (real, lambda t: np.fill_diagonal(t[0], 1.0), mg.ShapeError, "fill_diagonal: needs"),
        (whole, lambda t: t.__setitem__(0, 0.5), mg.DtypeError, r"float64 cannot be written.*i64"),
        (whole, lambda t: t.__setitem__(0, np.nan), mg.DtypeError, "float64 cannot be written"),
        (whole, lambda t: t.__setitem__(0, np.ones(2)), mg.DtypeError, "float64 cannot be written"),
        (whole, lambda t: t.__setitem__(0, real()[0]), mg.DtypeError, "float64 cannot be written"),
        (whole, lambda t: t.__iadd__(real()), mg.DtypeError, "t .= .*float64.*astype"),
        (whole, divide, mg.DtypeError, "t /= .*float64.*int64.*astype"),
    ],
)
def test_an_error_changes_nothing(make, write, error, message):
    t = make()
    array, node, values = t._array, t._node, t.tolist()
    with pytest.raises(error, match=message):
        write(t)
    assert t._array is array
    assert t._node is node
    assert t.tolist() == values


def test_an_array_cannot_take_a_tensor_that_requires_grad():
    array, t = np.zeros(2), mg.Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError):
        array += t
    with pytest.raises(mg.DetachError):
        array[:] = t
    with pytest.raises(ValueError, match="array element") as caught:  # NumPy's own words around it
        array[0] = t[0]
    assert isinstance(caught.value.__cause__, mg.DetachError)
    assert not array.any()


def test_numpy_functions_that_write_are_differentiable():
    x, v = np.arange(4.0).reshape(2, 2), np.array([5.0, 6.0])

    def write(t, values):
        t = t * 1.0
        np.add.at(t, [0, 0], values)
        np.fill_diagonal(t, values * 2.0)
        np.put_along_axis(t, np.array([[1], [0]]), values[:1] * t[:, :1], axis=1)
        t[0].copy().sort()  # a value: t itself stays as it is
        return t * t

    np.testing.assert_array_equal(
        write(mg.Tensor(x), mg.Tensor(v)).numpy(), np.array([[10.0, 50.0], [10.0, 12.0]]) ** 2
    )
    check_gradients(write, x, v)
