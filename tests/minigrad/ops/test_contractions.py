import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad
from minigrad import DtypeError, ShapeError, Tensor
from minigrad.testing import check_gradients

# Subscripts and shapes of: transpositions, sums, diagonals; products, contractions, batches; axes
# of length 1 that broadcast; ellipses; implicit results; nothing; three operands and more.
CASES = [
    ("->", [()]),
    ("i->i", [(3,)]),
    ("ij->ji", [(2, 3)]),
    ("ij->", [(2, 3)]),
    ("ij->j", [(2, 3)]),
    ("ba", [(2, 3)]),
    ("ii", [(3, 3)]),
    ("ii->i", [(3, 3)]),
    ("iij->ji", [(2, 2, 3)]),
    ("iji->j", [(2, 3, 2)]),
    ("iii->", [(2, 2, 2)]),
    ("ijij->ij", [(2, 3, 2, 3)]),
    ("...ii->...i", [(2, 3, 3)]),
    ("i...->...", [(2, 3, 2)]),
    ("...", [(2, 3)]),
    ("b...a", [(2, 3, 2)]),
    ("ij->ij", [(0, 3)]),
    ("ij->j", [(0, 3)]),
    (",", [(), ()]),
    (",ij->ji", [(), (2, 3)]),
    ("i,i", [(3,), (3,)]),
    ("i,j", [(2,), (3,)]),
    ("i,j->ji", [(2,), (3,)]),
    ("i,j->", [(2,), (3,)]),
    ("ij,ij->ij", [(2, 3), (2, 3)]),
    ("ij,j->ij", [(2, 3), (3,)]),
    ("ij,jk", [(2, 3), (3, 4)]),
    ("ij,jk->ki", [(2, 3), (3, 4)]),
    ("ij,kj->ik", [(2, 3), (4, 3)]),
    ("ij,jk->k", [(2, 3), (3, 4)]),
    ("ij,jk->", [(2, 3), (3, 4)]),
    ("bij,bjk->bik", [(2, 3, 2), (2, 2, 3)]),
    ("bij,kjb->ikb", [(2, 3, 2), (3, 2, 2)]),
    ("bhqd,bhkd->bhqk", [(2, 2, 2, 3), (2, 2, 3, 3)]),
    ("ijk,jkl->il", [(2, 3, 2), (3, 2, 2)]),
    ("ijk,lkj->il", [(2, 3, 2), (2, 2, 3)]),
    ("ii,ij->j", [(3, 3), (3, 2)]),
    ("iij,jkk->ik", [(2, 2, 3), (3, 2, 2)]),
    ("ij,j->i", [(2, 0), (0,)]),
    ("ij,jk->ik", [(0, 2), (2, 0)]),
    ("ij,jk->ik", [(2, 1), (3, 4)]),
    ("ij,jk->ik", [(2, 3), (1, 4)]),
    ("ij,ij->ij", [(1, 3), (2, 1)]),
    ("ij,ij->j", [(1, 3), (2, 1)]),
    ("ij,ij->", [(1, 3), (2, 1)]),
    ("ij,ij", [(1, 1), (2, 1)]),
    ("ii,i->i", [(1, 1), (3,)]),
    ("bij,bjk->bik", [(1, 2, 3), (2, 3, 2)]),
    ("...ij,...jk", [(2, 2, 3), (3, 2)]),
    ("...ij,...jk->...ik", [(2, 1, 2, 3), (4, 3, 2)]),
    ("...i,...i->...", [(2, 3), (3,)]),
    ("i...,i...->...", [(2, 3), (2, 3)]),
    ("...,...", [(2, 3), (3,)]),
    ("...i,ij", [(2, 3), (3, 2)]),
    ("ij,jk,kl->il", [(2, 3), (3, 2), (2, 3)]),
    ("ij,jk,kl", [(2, 3), (3, 2), (2, 3)]),
    ("i,ij,j->", [(2,), (2, 3), (3,)]),
    ("i,i,i->i", [(3,), (3,), (3,)]),
    ("i,i,i", [(3,), (1,), (3,)]),
    ("ij,ij,jk->ik", [(2, 3), (1, 3), (3, 2)]),
    ("a,b,c,d->dcba", [(2,), (1,), (3,), (2,)]),
    ("ab,bc,cd,da->", [(2, 3), (3, 2), (2, 2), (2, 2)]),
    ("ii,jj,ij->ij", [(2, 2), (3, 3), (2, 3)]),
    ("...i,...j,ij->...", [(2, 3), (2, 2), (3, 2)]),
]


def operands(shapes, dtype=np.float64, seed=0):
    generator = np.random.default_rng(seed)
    return [np.asarray(generator.uniform(-2, 2, shape), dtype) for shape in shapes]


@pytest.mark.parametrize(("subscripts", "shapes"), CASES)
def test_value_gradient_and_second_derivative(subscripts, shapes):
    arrays = operands(shapes)
    expected = np.einsum(subscripts, *arrays)
    for optimize in (True, False, "optimal"):
        out = np.einsum(subscripts, *map(Tensor, arrays), optimize=optimize)
        assert out.shape == expected.shape
        np.testing.assert_allclose(out.numpy(), expected, rtol=1e-13, atol=1e-13)
    check_gradients(lambda *a: minigrad.einsum(subscripts, *a), *arrays, analytic=True)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("subscripts", "shapes"), CASES)
def test_dtypes_are_kept(subscripts, shapes, dtype):
    arrays = operands(shapes, dtype)
    tensors = [Tensor(a, requires_grad=True) for a in arrays]
    out = minigrad.einsum(subscripts, *tensors)
    assert out.dtype == dtype
    tolerance = 40 * np.finfo(dtype).eps
    np.testing.assert_allclose(
        out.numpy(), np.einsum(subscripts, *arrays), rtol=tolerance, atol=tolerance
    )
    out.backward(np.ones(out.shape))
    for tensor in tensors:
        assert tensor.grad.dtype == dtype
        assert tensor.grad.shape == tensor.shape


@st.composite
def subscripts_and_shapes(draw):
    """Any subscripts over a few labels, with an explicit result and some axes of length 1."""
    lengths = {label: draw(st.integers(0, 3)) for label in "abcd"}
    terms = draw(st.lists(st.text("abcd", max_size=3), min_size=1, max_size=3))
    shapes = []
    for term in terms:
        own = {a: 1 if draw(st.integers(0, 4)) == 0 else lengths[a] for a in set(term)}
        shapes.append(tuple(own[a] for a in term))
    used = sorted(set("".join(terms)))
    out = draw(st.permutations(used))[: draw(st.integers(0, len(used)))]
    return ",".join(terms) + "->" + "".join(out), shapes


@given(subscripts_and_shapes(), st.integers(0, 2**32 - 1))
def test_any_subscripts(case, seed):
    subscripts, shapes = case
    arrays = [a.swapaxes(0, -1).copy().swapaxes(0, -1) if a.ndim else a for a in operands(shapes)]
    out = minigrad.einsum(subscripts, *map(Tensor, arrays))
    np.testing.assert_allclose(out.numpy(), np.einsum(subscripts, *arrays), atol=1e-12)
    check_gradients(lambda *a: minigrad.einsum(subscripts, *a), *arrays, directions=2, seed=seed)


@pytest.mark.parametrize(
    "arguments",
    [
        ((2, 3), [0, 1], (3, 4), [1, 2]),
        ((2, 3), [0, 1], (3, 4), [1, 2], [2, 0]),
        ((2, 3), [5, 30], (3, 4), [30, 2]),
        ((2, 3), [0, Ellipsis], (2, 4), [0, 2]),
        ((2, 3, 3), [Ellipsis, 0, 0], [Ellipsis]),
        ((3, 3), [0, 0]),
        ((2,), [1], (3,), [0], (2, 3), [1, 0], []),
    ],
)
def test_interleaved_form(arguments):
    values = [np.asarray(operands([a])[0]) if isinstance(a, tuple) else a for a in arguments]
    places = [i for i, a in enumerate(arguments) if isinstance(a, tuple)]

    def call(*arrays):
        filled = list(values)
        for place, array in zip(places, arrays, strict=True):
            filled[place] = array
        return np.einsum(*filled)

    arrays = [values[i] for i in places]
    np.testing.assert_allclose(call(*map(Tensor, arrays)).numpy(), np.einsum(*values))
    check_gradients(call, *arrays)


def test_one_operand_twice():
    x = operands([(3, 3)])[0]
    check_gradients(lambda t: np.einsum("ij,jk,ki->", t, t, np.tanh(t)), x)
    check_gradients(lambda t: np.einsum("ij,ij->i", t, t), x)


def test_derivatives_of_higher_order():
    def fourth(x):
        out = np.einsum("i,i,i,i->", x, x, x, x)
        for _ in range(4):
            out = minigrad.gradients(out, [x], create_graph=True)[0].sum()
        return out

    assert fourth(Tensor([2.0, 3.0], requires_grad=True)).item() == 48.0


def test_integers_booleans_and_complex_numbers_pass():
    whole = np.arange(6, dtype=np.int8).reshape(2, 3)
    out = minigrad.einsum("ij,kj->ik", Tensor(whole), whole)
    expected = np.einsum("ij,kj->ik", whole, whole)
    assert out.dtype == expected.dtype == np.int8
    np.testing.assert_array_equal(out.numpy(), expected)
    assert minigrad.einsum("ij->", Tensor(whole)).dtype == np.int8
    mixed = minigrad.einsum("ij,ij->i", Tensor(whole), np.ones((2, 3), np.float32))
    assert mixed.dtype == np.float32
    flags = whole > 2
    np.testing.assert_array_equal(
        minigrad.einsum("ij,kj->ik", Tensor(flags), flags).numpy(),
        np.einsum("ij,kj->ik", flags, flags),
    )
    numbers = whole + 1j
    np.testing.assert_array_equal(
        minigrad.einsum("ij,kj->ik", Tensor(numbers), whole).numpy(),
        np.einsum("ij,kj->ik", numbers, whole),
    )


def test_lists_of_numbers_take_the_other_dtype():
    t = Tensor(np.ones(2, np.float64), requires_grad=True)
    out = minigrad.einsum("i,i", [0.1, 0.2], t)
    assert out.dtype == np.float64
    assert out.item() == pytest.approx(0.3, rel=1e-15)


def test_a_path_can_be_given():
    arrays = operands([(2, 3), (3, 4), (4, 2)])
    tensors = [Tensor(a, requires_grad=True) for a in arrays]
    path, text = np.einsum_path("ij,jk,kl->il", *tensors, optimize="optimal")
    assert path[0] == "einsum_path"
    assert "Complete contraction" in text
    for chosen in (path, ["einsum_path", (0, 2), (0, 1)], ["einsum_path", (0, 1, 2)]):
        out = np.einsum("ij,jk,kl->il", *tensors, optimize=chosen)
        np.testing.assert_allclose(out.numpy(), np.einsum("ij,jk,kl->il", *arrays))


def test_the_cheap_order_is_taken_by_default():
    tall = Tensor(np.ones((100, 1)), requires_grad=True)
    out = minigrad.einsum("ij,kj,kl->il", tall, tall, tall)
    largest = max(source.shape for source in out._node.inputs if source is not None)
    assert largest == (100, 1)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((), DtypeError, "needs subscripts and at least one array"),
        (("ij",), DtypeError, "there is no array"),
        (("ij,jk", 1), ShapeError, "2 groups of subscripts for 1 operands"),
        (("ijk", 1), ShapeError, "operand 0 has 2 axes, but its subscripts are 'ijk'"),
        (("i", 1), ShapeError, "operand 0 has 2 axes"),
        (("...ijk", 1), ShapeError, "operand 0 has 2 axes"),
        (("......", 1), ShapeError, "operand 0 has 2 axes"),
        (("i1", 1), ShapeError, "'1' is not a letter"),
        (("i.j", 1), ShapeError, "'.' is not a letter"),
        (("ij>j", 1), ShapeError, "'>' is not a letter"),
        (("ij->k", 1), ShapeError, "the result has 'k', which no operand has"),
        (("ij->ii", 1), ShapeError, "the result names 'i' more than once"),
        (("...j->j", 1), ShapeError, "needs '...' for the axes"),
        (("ij->i,j", 1), ShapeError, "must be letters"),
        (("ii", 1), ShapeError, "'i' has length 3 in operand 0 but 2 before"),
        (("ij,jk", 1, 1), ShapeError, "'j' has length 2 in operand 1 but 3 before"),
        ((1, 1), DtypeError, "arrays and lists of labels alternate"),
        ((1, [0, 1], 1), DtypeError, "arrays and lists of labels alternate"),
        ((1, [*range(53)]), ShapeError, "at most 52 labels, got 53"),
    ],
)
def test_wrong_calls(arguments, error, words):
    t = Tensor(np.ones((2, 3)), requires_grad=True)
    with pytest.raises(error, match=f"einsum: .*{words}"):
        minigrad.einsum(*(t if a == 1 else a for a in arguments))
