import numpy as np
import pytest
from hypothesis import strategies as st

import minigrad
from minigrad import DtypeError, ShapeError, Tensor
from minigrad.testing import Input, check_gradients, property_test

sizes = st.integers(0, 3)


@st.composite
def product_shapes(draw, left, right, broadcast=True):
    """Shapes such as ("mk", "kn") with stacks of matrices in front that broadcast."""
    length = {label: draw(sizes) for label in left + right}
    stack = draw(st.sampled_from([(), (2,), (0,), (2, 3)])) if broadcast else ()

    def front():
        whole = stack[draw(st.integers(0, len(stack))) :]
        return tuple(1 if draw(st.booleans()) else n for n in whole)

    first = () if left == "k" else front()
    second = () if right == "k" else front()
    return (
        first + tuple(length[label] for label in left),
        second + tuple(length[label] for label in right),
    )


matmul_shapes = st.one_of(
    product_shapes("mk", "kn"),
    product_shapes("k", "kn"),
    product_shapes("mk", "k"),
    product_shapes("k", "k"),
)
test_matmul = property_test(
    minigrad.matmul, Input(), Input(), shapes=matmul_shapes, reference=np.matmul
)
test_dot = property_test(
    minigrad.dot,
    Input(),
    Input(),
    shapes=st.one_of(
        product_shapes("mk", "kn", broadcast=False),
        product_shapes("amk", "bkn", broadcast=False),
        product_shapes("k", "bkn", broadcast=False),
        product_shapes("amk", "k", broadcast=False),
        product_shapes("k", "k"),
        product_shapes("", "mk", broadcast=False),
        product_shapes("mk", "", broadcast=False),
    ),
    reference=np.dot,
)
test_inner = property_test(
    minigrad.inner,
    Input(),
    Input(),
    shapes=st.one_of(
        product_shapes("mk", "nk", broadcast=False),
        product_shapes("amk", "k", broadcast=False),
        product_shapes("k", "bnk", broadcast=False),
        product_shapes("", "nk", broadcast=False),
        product_shapes("nk", "", broadcast=False),
    ),
    reference=np.inner,
)
test_matvec = property_test(
    minigrad.matvec,
    Input(),
    Input(),
    shapes=st.one_of(product_shapes("mk", "k"), st.just(((2, 3, 4), (2, 4)))),
    reference=lambda x, z: np.matmul(x, z[..., None])[..., 0],
)
test_vecmat = property_test(
    minigrad.vecmat,
    Input(),
    Input(),
    shapes=st.one_of(product_shapes("k", "kn"), st.just(((2, 1, 3), (2, 3, 4)))),
    reference=lambda x, z: np.matmul(x[..., None, :], z)[..., 0, :],
)
test_vdot = property_test(
    minigrad.vdot,
    Input(),
    Input(),
    shapes=st.sampled_from([((), ()), ((3,), (3,)), ((2, 3), (3, 2)), ((0, 2), (0,))]),
    reference=np.vdot,
)
test_outer = property_test(minigrad.outer, Input(), Input(), reference=np.outer)
test_kron = property_test(
    minigrad.kron,
    Input(),
    Input(),
    shapes=st.sampled_from(
        [
            ((), ()),
            ((), (2,)),
            ((2,), (3,)),
            ((2, 3), (2, 2)),
            ((2, 3), (3,)),
            ((0, 2), (1, 2)),
            ((2,), (2, 1, 3)),
            ((2, 1, 2), (3, 2)),
        ]
    ),
    reference=np.kron,
)


@pytest.mark.parametrize("axis", [-1, -2, 0, 1])
@pytest.mark.parametrize("kind", ["same", "fewer axes", "length 1"])
@pytest.mark.parametrize("op", [np.vecdot, np.linalg.vecdot])
def test_vecdot_over_any_axis(op, kind, axis):
    generator = np.random.default_rng(0)
    x, z = generator.standard_normal((2, 3, 3, 3))
    if kind == "fewer axes":
        z = z[0]
    elif kind == "length 1":
        z = z.take([0], axis=(axis + 1) % 3)
    np.testing.assert_allclose(op(Tensor(x), z, axis=axis).numpy(), np.vecdot(x, z, axis=axis))
    check_gradients(lambda x, z: op(x, z, axis=axis), x, z)


test_vecdot = property_test(
    minigrad.vecdot,
    Input(),
    Input(),
    shapes=st.sampled_from(
        [((3,), (3,)), ((0,), (0,)), ((2, 3), (3,)), ((2, 1, 3), (4, 3)), ((0, 2), (2,))]
    ),
    reference=np.vecdot,
)

tensordot_cases = [
    ((), (), 0),
    ((2,), (3,), 0),
    ((2, 3), (2, 3), 2),
    ((2, 3), (3, 4), 1),
    ((2, 3, 4), (4, 3), ([2, 1], [0, 1])),
    ((2, 3, 4), (4, 2), ([0, -1], [1, 0])),
    ((2, 3), (4, 3, 2), ((1, 0), (1, 2))),
    ((0, 3), (3, 2), (1, 0)),
    ((2, 0), (0, 2), 1),
]


@pytest.mark.parametrize(("first", "second", "axes"), tensordot_cases)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_tensordot(first, second, axes, dtype):
    generator = np.random.default_rng(0)
    x = np.asarray(generator.standard_normal(first), dtype)
    z = np.asarray(generator.standard_normal(second), dtype)
    a, b = Tensor(x, requires_grad=True), Tensor(z, requires_grad=True)
    out = np.tensordot(a, b, axes=axes)
    expected = np.tensordot(x, z, axes)
    assert out.dtype == dtype
    np.testing.assert_array_equal(out.numpy(), expected)
    out.backward(np.ones(out.shape, dtype))
    assert a.grad.dtype == b.grad.dtype == dtype
    check_gradients(lambda p, q: minigrad.tensordot(p, q, axes), *map(np.float64, (x, z)))


cross_cases = [
    ((3,), (3,), {}),
    ((2, 3), (3,), {}),
    ((3,), (2, 4, 3), {}),
    ((4, 1, 3), (2, 3), {}),
    ((3, 2), (2, 3), {"axisa": 0}),
    ((2, 3), (3, 2), {"axisb": 0, "axisc": 0}),
    ((5, 3, 2), (3, 2), {"axisa": 1, "axisb": 0, "axisc": 1}),
    ((3, 4), (3, 4), {"axis": 0}),
    ((0, 3), (3,), {}),
]


@pytest.mark.parametrize(("first", "second", "axes"), cross_cases)
def test_cross(first, second, axes):
    generator = np.random.default_rng(0)
    x, z = generator.standard_normal(first), generator.standard_normal(second)
    np.testing.assert_array_equal(np.cross(Tensor(x), z, **axes).numpy(), np.cross(x, z, **axes))
    check_gradients(lambda p, q: np.cross(p, q, **axes), x, z)


test_cross_dtypes = property_test(
    minigrad.cross, Input(shape=(2, 3)), Input(shape=(3,)), reference=np.cross
)


def test_products_of_numpy_linalg_reach_ours():
    x = np.arange(1.0, 10.0).reshape(3, 3)
    t = Tensor(x, requires_grad=True)
    for function, arguments in [
        (np.linalg.matmul, (t, t)),
        (np.linalg.cross, (t, t + 1)),
        (np.linalg.tensordot, (t, t)),
        (np.linalg.outer, (t[0], t[1])),
        (np.linalg.multi_dot, ([t, t, t[0]],)),
    ]:
        out = function(*arguments)
        plain = [
            [a.numpy() for a in v] if isinstance(v, list) else v.detach().numpy() for v in arguments
        ]
        assert out.requires_grad
        np.testing.assert_allclose(out.numpy(), function(*plain))


@pytest.mark.parametrize("ends", [(None, None), (0, None), (None, 0), (0, 0)])
def test_multi_dot(ends):
    generator = np.random.default_rng(0)
    shapes = [(2, 5), (5, 3), (3, 6), (6, 1)]
    arrays = [generator.standard_normal(shape) for shape in shapes]
    if ends[0] is not None:
        arrays[0] = arrays[0][0]
    if ends[1] is not None:
        arrays[-1] = arrays[-1][:, 0]
    expected = np.linalg.multi_dot(arrays)
    out = minigrad.multi_dot([Tensor(a) for a in arrays])
    assert out.shape == np.shape(expected)
    np.testing.assert_allclose(out.numpy(), expected)
    check_gradients(lambda *m: np.linalg.multi_dot(m), *arrays)


def test_multi_dot_takes_the_cheapest_order():
    column = Tensor(np.ones((200, 1)), requires_grad=True)
    row = Tensor(np.ones((1, 200)))
    out = minigrad.multi_dot([column, row, column])
    # column @ (row @ column): the first factor of the last product is the column itself.
    assert out._node.inputs[0] is column._node
    assert out._node.inputs[1].shape == (1, 1)


def test_matmul_keeps_dtypes_and_promotes_as_numpy():
    half = Tensor(np.ones((2, 3, 4), np.float16), requires_grad=True)
    weight = Tensor(np.ones((4, 5), np.float32), requires_grad=True)
    out = half @ weight
    assert out.dtype == np.float32
    out.sum().backward()
    assert half.grad.dtype == np.float16
    assert weight.grad.dtype == np.float32
    whole = Tensor(np.arange(6).reshape(2, 3)) @ np.arange(3)
    assert whole.dtype == np.arange(3).dtype
    assert (np.arange(6).reshape(2, 3) @ weight.detach()[:3]).dtype == np.float64


def test_matmul_of_a_stack_of_nothing():
    x = Tensor(np.zeros((2, 3, 0)), requires_grad=True)
    w = Tensor(np.zeros((0, 4)), requires_grad=True)
    out = x @ w
    assert out.shape == (2, 3, 4)
    out.sum().backward()
    assert x.grad.shape == (2, 3, 0)
    assert w.grad.shape == (0, 4)


def test_complex_products_pass_without_grad():
    x = np.array([1 + 2j, 3 - 1j])
    z = np.array([2 - 1j, 1j])
    assert minigrad.vdot(Tensor(x), z).item() == np.vdot(x, z)
    assert minigrad.vecdot(Tensor(x), z).item() == np.vecdot(x, z)
    assert minigrad.dot(Tensor(x), z).item() == np.dot(x, z)
    matrix = np.outer(x, z)
    expected = np.matmul(np.conj(x), matrix)
    np.testing.assert_allclose(minigrad.vecmat(Tensor(x), matrix).numpy(), expected)


def test_repeated_inputs_have_the_right_second_derivative():
    x = np.random.default_rng(0).standard_normal((3, 3))
    check_gradients(lambda t: t @ t @ np.tanh(t), x)
    check_gradients(lambda t: np.kron(t, t), x[:2, :2])
    check_gradients(lambda t: np.cross(t, np.tanh(t)), x)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda t: t @ np.ones(4), ShapeError, r"matmul.*x1: f64\[2, 3\], x2: f64\[4\].*last axis"),
        (lambda t: t @ 2.0, ShapeError, "matmul: .*does not have enough dimensions"),
        (lambda t: np.dot(t, t), ShapeError, r"matmul: .*f64\[2, 3\], x2: f64\[2, 3\]"),
        (lambda t: np.tensordot(t, t, 3), ShapeError, "tensordot: axes=3 needs that many axes"),
        (lambda t: np.tensordot(t, t, ([0, 0], [0, 0])), ShapeError, "names an axis twice"),
        (lambda t: np.tensordot(t, t, ([0], [1])), ShapeError, "tensordot: .*must be equally long"),
        (lambda t: np.cross(t[:, :2], t[:, :2]), ShapeError, "cross: the vectors must have length"),
        (lambda t: np.linalg.outer(t, t), ShapeError, "needs two vectors.*np.outer flattens"),
        (lambda t: np.linalg.multi_dot([t]), ShapeError, "multi_dot: needs two or more matrices"),
        (lambda t: np.linalg.multi_dot([t, t[None]]), ShapeError, "Products of stacks"),
        (lambda t: np.inner(t, np.ones(2)), ShapeError, "inner: .*last axes must be equally long"),
        (lambda t: np.vdot(t, np.ones(2)), ShapeError, "vdot: .*flattened"),
        (lambda t: minigrad.matvec(t, t[0, :2]), ShapeError, "matvec: .*x1: f64"),
        (lambda t: t @ "text", DtypeError, "matmul: x2 must be a tensor"),
    ],
)
def test_wrong_calls(call, error, words):
    with pytest.raises(error, match=words):
        call(Tensor(np.ones((2, 3)), requires_grad=True))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: minigrad.matvec(np.ones(2), np.ones(2)),
            r"x1 must be a matrix .* got shape \(2,\)",
        ),
        (
            lambda: minigrad.vecmat(np.ones((1, 2)), np.ones(2)),
            r"x2 must be a matrix .* got shape \(2,\)",
        ),
        (lambda: minigrad.matvec(np.ones((2, 2)), 1.0), r"x2 must be a vector .* got shape \(\)"),
    ],
)
def test_operands_with_too_few_axes_are_refused(call, message):
    with pytest.raises(minigrad.ShapeError, match=message):
        call()
