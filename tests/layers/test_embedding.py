import numpy as np
import pytest

import minigrad as mg
from layers import Embedding
from minigrad.core.errors import ShapeError


def test_rows_are_looked_up():
    table = Embedding(5, 3)
    index = np.array([[4, 0], [0, 1]])
    np.testing.assert_array_equal(table(index).numpy(), table.weight.numpy()[index])
    assert table(np.zeros((2, 0), int)).shape == (2, 0, 3)
    assert table([1, 2]).shape == (2, 3)


def test_the_table_begins_standard_normal():
    mg.seed(1)
    numbers = Embedding(200, 100).weight.numpy()
    assert numbers.dtype == np.float32
    assert abs(numbers.mean()) < 0.03
    assert numbers.std() == pytest.approx(1, rel=0.02)
    assert np.mean(np.abs(numbers) > 1.96) == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("padding", [2, -3])
def test_the_padding_row_is_zero_and_gets_no_gradient(padding):
    table = Embedding(5, 3, padding_idx=padding)
    assert table.padding_idx == 2
    assert (table.weight.numpy() == 0).all(axis=1).tolist() == [False, False, True, False, False]
    table(np.array([2, 1, 2])).sum().backward()
    np.testing.assert_array_equal(
        table.weight.grad.numpy().sum(axis=1), np.array([0, 3, 0, 0, 0], np.float32)
    )


def test_a_padding_row_that_was_loaded_is_used_as_it_is():
    table = Embedding(2, 1, padding_idx=0)
    table.load_state_dict({"weight": np.array([[7.0], [8.0]])})
    np.testing.assert_array_equal(table(np.array([0, 1])).numpy(), [[7.0], [8.0]])


def test_reset_parameters_draws_from_the_generator_and_keeps_the_padding_zero():
    table = Embedding(4, 2, padding_idx=1)
    table.reset_parameters(np.random.default_rng(0))
    first = table.weight.numpy()
    table.reset_parameters(np.random.default_rng(0))
    np.testing.assert_array_equal(table.weight.numpy(), first)
    assert not first[1].any()
    assert first[[0, 2, 3]].all()


def test_from_pretrained_copies_and_freezes():
    rows = np.arange(6.0).reshape(3, 2)
    table = Embedding.from_pretrained(rows)
    assert not table.weight.requires_grad
    assert (table.num_embeddings, table.embedding_dim) == (3, 2)
    rows[...] = 0
    np.testing.assert_array_equal(table(np.array(2)).numpy(), [4.0, 5.0])
    learned = Embedding.from_pretrained(mg.Tensor([[1.0], [2.0]]), freeze=False, padding_idx=0)
    learned(np.array([0, 1])).sum().backward()
    np.testing.assert_array_equal(learned.weight.grad.numpy(), [[0.0], [1.0]])


def test_names_and_repr():
    table = Embedding(5, 3, padding_idx=0)
    assert list(table.state_dict()) == ["weight"]
    assert repr(table) == "Embedding(num_embeddings=5, embedding_dim=3, padding_idx=0)"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Embedding(5, 3)(np.array([5])), "integers from 0 to 4"),
        (lambda: Embedding(5, 3)(np.array([-1])), "integers from 0 to 4"),
        (lambda: Embedding(5, 3)(np.array([1.0])), r"must hold integers .* got f64\[1\]"),
        (lambda: Embedding(5, 3, padding_idx=5), "padding_idx must be one of the 5 symbols, got 5"),
        (lambda: Embedding(5, -3), "embedding_dim must be an integer of 0 or more, got -3"),
        (lambda: Embedding.from_pretrained(np.zeros(3)), r"a table .* got f64\[3\]"),
    ],
)
def test_errors_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_symbol_out_of_range_is_a_shape_error():
    with pytest.raises(ShapeError, match="from 3 to 3"):
        Embedding(3, 2)(np.array([3]))


@pytest.mark.parametrize("padding", [None, 0])
def test_gradients_are_divided_by_how_often_a_symbol_comes(padding):
    index = np.array([[0, 2, 2], [3, 2, 0]])
    table = Embedding(5, 2, padding, scale_grad_by_freq=True)
    weights = np.random.default_rng(0).standard_normal((*index.shape, 2)).astype(np.float32)
    (table(index) * weights).sum().backward()
    expected = np.zeros((5, 2))
    for row, factor in zip(index.ravel(), weights.reshape(-1, 2), strict=True):
        expected[row] += factor / (index == row).sum()
    if padding is not None:
        expected[padding] = 0
    np.testing.assert_allclose(table.weight.grad.numpy(), expected, rtol=1e-5)
    assert "scale_grad_by_freq=True" in repr(table)


def test_division_by_frequency_can_be_differentiated_again_and_be_empty():
    weight = mg.Tensor(np.ones((3, 2)), requires_grad=True)
    index = np.array([1, 1, 2])
    rows = mg.embedding(weight, index, scale_grad_by_freq=True)
    gradient = mg.gradients((rows**3).sum(), weight, create_graph=True)
    again = mg.gradients(gradient.sum(), weight).numpy()
    np.testing.assert_allclose(again[:, 0], [0, 6 / 2, 6])
    empty = mg.embedding(weight, np.zeros((0,), int), scale_grad_by_freq=True)
    assert mg.gradients(empty.sum(), weight).numpy().tolist() == [[0, 0]] * 3
