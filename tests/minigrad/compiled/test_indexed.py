"""Elements chosen by integers: one for each place of the other axes, in programs."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.compiled import backends, plain
from tests.minigrad.compiled.programs import compare

BACKENDS = {"plain": plain, "default": backends.default_backend()}


def rows(*shape):
    return np.random.default_rng(0).standard_normal(shape)


def codes(length, *shape):
    return np.random.default_rng(1).integers(-length, length, shape)


def along(axis):
    def chosen(x, index):
        grid = list(np.meshgrid(*map(np.arange, index.shape), indexing="ij", sparse=True))
        grid.insert(axis, index)
        return (x * x)[tuple(grid)] * np.arange(1.0, 1 + index.size).reshape(index.shape)

    return chosen


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_element_for_each_place_along_any_axis(axis, backend):
    shape = (3, 4, 5)
    index = codes(shape[axis], *shape[:axis], *shape[axis + 1 :])
    x = mg.Tensor(rows(*shape), requires_grad=True)
    x_too = mg.Tensor(x.numpy(), requires_grad=True)
    compiled = mg.compile(along(axis), backend=BACKENDS[backend])
    for moved in (index, index[..., ::-1].copy()):
        for tensor, function in ((x, compiled), (x_too, along(axis))):
            tensor.grad = None
            function(tensor, moved).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), x_too.grad.numpy(), rtol=1e-12)
    assert not any("call" in line for line in str(compiled.lowered(x, index)).splitlines())


def test_a_formula_is_computed_for_the_chosen_elements_alone():
    def function(x, b, index):
        y = mg.tanh(x.reshape(6, 5) * 2 + b) - x.sum(axis=-1).reshape(6, 1)
        return y[np.arange(6), index]

    text = str(mg.compile(function).lowered(rows(2, 3, 5), rows(5), codes(5, 6)))
    plan = text[text.index("fused") :]
    assert "tanh(" in plan
    assert "[6, 5]  # kernel" not in plan
    arrays = [rows(2, 3, 5), rows(5), codes(5, 6)]
    compare(function, arrays, 1e-12, backends.default_backend().build)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("only", ["value", "gradient"])
@pytest.mark.parametrize("wrong", [4, -5])
def test_an_integer_out_of_bounds_is_an_error_even_if_only_the_gradient_is_asked_for(
    wrong, only, backend
):
    def value(x, index):
        return x[np.arange(3), index].sum()

    function = value if only == "value" else mg.grad(value)
    compiled = mg.compile(function, backend=BACKENDS[backend])
    x = mg.Tensor(rows(3, 4))
    for index in ([0, 3, -4], [1, 2, 3]):
        found = compiled(x, np.array(index)).numpy()
        np.testing.assert_allclose(found, function(x, np.array(index)).numpy())
    with pytest.raises(IndexError, match="out of bounds"):
        compiled(x, np.array([0, wrong, 1]))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("columns", ["one", "equal"])
def test_an_integer_out_of_bounds_is_an_error_where_all_elements_are_equal(
    columns, requires_grad, backend
):
    def function(x, index):
        return (x if columns == "one" else x * np.ones((3, 4)))[np.arange(3), index]

    compiled, last = mg.compile(function, backend=BACKENDS[backend]), 0 if columns == "one" else 3
    x = mg.Tensor(rows(3, 1), requires_grad=requires_grad)
    for index in ([0, last, -1 - last], [last, last, 0]):
        np.testing.assert_array_equal(compiled(x, np.array(index)).numpy(), x.numpy()[:, 0])
    for wrong in (last + 1, -last - 2):
        with pytest.raises(IndexError, match=f"getitem: index {wrong} is out of bounds for axis 1"):
            compiled(x, np.array([0, wrong, 0]))


def test_the_log_softmax_of_chosen_classes_has_one_exponential():
    def loss(x, index):
        return -mg.log_softmax(x)[np.arange(4), index].mean()

    x, index = mg.Tensor(rows(4, 7)), codes(7, 4)
    compiled = mg.compile(mg.value_and_grad(loss))
    text = str(compiled.lowered(x, index))
    assert text[text.index("fused") :].count("= exp(") == 1
    for one, other in zip(compiled(x, index), mg.value_and_grad(loss)(x, index), strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", [np.int64, np.int8, np.uint8])
@pytest.mark.parametrize("shape", [(9, 5), (9,), (9, 3, 4), (1, 5)])
def test_rows_of_a_table(shape, kind, dtype, backend):
    def function(table, index):
        return ((table * dtype(1.5))[index] ** 3).sum() + (table[index[0],] ** 2).sum()

    compiled = mg.compile(mg.value_and_grad(function), backend=BACKENDS[backend])
    table, least = rows(*shape).astype(dtype), 0 if kind is np.uint8 else -shape[0]
    for seed in range(3):  # rows that are chosen several times add up
        index = np.random.default_rng(seed).integers(least, shape[0], (2, 7)).astype(kind)
        found = compiled(mg.Tensor(table), index)
        expected = mg.value_and_grad(function)(mg.Tensor(table), index)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-4, atol=1e-6)
    traced = str(compiled.lowered(mg.Tensor(table), index))
    assert "gather" in traced
    assert "= call(" not in traced
    for wrong in (shape[0], *([] if kind is np.uint8 else [-shape[0] - 1])):
        index[-1, -1] = wrong
        with pytest.raises(IndexError, match=f"index {wrong} is out of bounds for axis 0"):
            compiled(mg.Tensor(table), index)


def test_rows_have_second_derivatives():
    def function(table, index):
        return (np.sin(table[index]) * table[index]).sum()

    index = codes(6, 4, 2)
    x, y = rows(6, 3), rows(6, 3)
    slope = mg.grad(lambda x: (mg.grad(function)(x, index) * y).sum())
    compiled = mg.compile(lambda x, index: (mg.grad(function)(x, index) * y).sum())
    for _ in range(2):
        found = mg.grad(lambda x: compiled(x, index))(mg.Tensor(x))
        np.testing.assert_allclose(found.numpy(), slope(mg.Tensor(x)).numpy(), rtol=1e-10)
