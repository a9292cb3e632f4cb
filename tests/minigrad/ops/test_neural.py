"""Tables, one-hot codes and dropout."""

import re

import numpy as np
import pytest
from hypothesis import strategies as st

import minigrad as mg
from minigrad.ops.nn.neural import embedding_gradient
from minigrad.testing import Input, check_gradients, property_test

INDEX = np.array([[2, 0, 2], [1, 2, 3]])

test_embedding = property_test(
    mg.embedding,
    Input(shape=(4, 3)),
    params={"index": INDEX, "padding_idx": None},
    reference=lambda weight, index, padding_idx: weight[index],
)
test_embedding_of_nothing = property_test(
    mg.embedding,
    Input(shape=(4, 3)),
    params={"index": np.zeros((2, 0), int), "padding_idx": None},
    reference=lambda weight, index, padding_idx: weight[index],
)


def added_rows(x, index, rows, padding_idx):
    out = np.zeros((rows, x.shape[-1]), np.result_type(x, np.float32))
    np.add.at(out, index, x)
    if padding_idx is not None:
        out[padding_idx] = 0
    return out.astype(x.dtype)


test_embedding_gradient = property_test(
    embedding_gradient,
    Input(shape=(2, 3, 2)),
    params={"index": INDEX, "rows": 5, "padding_idx": st.sampled_from([None, 2, -3])},
    reference=added_rows,
)


def test_the_padding_row_gets_no_gradient():
    for padding_idx in (2, -2):
        weight = mg.Tensor(np.arange(8.0).reshape(4, 2), requires_grad=True)
        taken = mg.embedding(weight, INDEX, padding_idx=padding_idx)
        np.testing.assert_array_equal(taken.numpy(), weight.numpy()[INDEX])
        taken.sum().backward()
        np.testing.assert_array_equal(weight.grad.numpy()[:, 0], [1, 1, 0, 1])


def test_rows_of_an_embedding_in_second_order():
    weight = np.arange(1.0, 9.0).reshape(4, 2)
    check_gradients(lambda w: mg.embedding(w, INDEX) * mg.embedding(w, INDEX), weight)


def test_index_of_an_embedding_as_a_tensor_or_a_list():
    weight = np.arange(8.0).reshape(4, 2)
    for index in (mg.Tensor([3, 1]), [3, 1], np.array([3, 1], np.uint8)):
        np.testing.assert_array_equal(mg.embedding(weight, index).numpy(), weight[[3, 1]])
    assert mg.embedding(weight, []).shape == (0, 2)


def test_one_hot():
    coded = mg.one_hot(mg.Tensor([[0, 2]]), 4)
    assert coded.dtype == np.float32
    assert not coded.requires_grad
    np.testing.assert_array_equal(coded.numpy(), [[[1, 0, 0, 0], [0, 0, 1, 0]]])
    assert mg.one_hot([1, 0]).shape == (2, 2)
    assert mg.one_hot([], 3).shape == (0, 3)
    assert mg.one_hot(1, 2, dtype=np.int64).dtype == np.int64


def test_dropout_keeps_the_mean_and_zeroes_a_share():
    x = mg.Tensor(np.ones(20_000, np.float32), requires_grad=True)
    y = mg.dropout(x, 0.25, generator=np.random.default_rng(0))
    assert y.dtype == np.float32
    assert (y.numpy() == 0).mean() == pytest.approx(0.25, abs=0.02)
    assert y.numpy().mean() == pytest.approx(1, abs=0.02)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())


def test_dropout_in_second_order_sees_the_same_mask():
    x = mg.Tensor(np.arange(1.0, 9.0), requires_grad=True)
    y = mg.dropout(x, 0.5, generator=np.random.default_rng(1))
    slope = mg.gradients((y * y * y).sum(), x, create_graph=True)
    second = mg.gradients(slope.sum(), x)
    kept = y.numpy() != 0
    assert 0 < kept.sum() < 8
    np.testing.assert_allclose(slope.numpy(), 3 * 8 * x.numpy() ** 2 * kept)
    np.testing.assert_allclose(second.numpy(), 6 * 8 * x.numpy() * kept)


def test_dropout_derivatives():
    def dropped(x):
        return mg.dropout(x, 0.5, generator=np.random.default_rng(2)) ** 2

    check_gradients(dropped, np.arange(1.0, 7.0).reshape(2, 3))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dropout_of_everything_and_of_nothing(dtype):
    x = mg.Tensor(np.array([1.0, np.finfo(dtype).max], dtype), requires_grad=True)
    gone = mg.dropout(x, 1.0)
    np.testing.assert_array_equal(gone.numpy(), [0, 0])
    assert gone.dtype == dtype
    gone.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0, 0])
    for same in (mg.dropout(x, 0.0), mg.dropout(x, 0.5, training=False)):
        np.testing.assert_array_equal(same.numpy(), x.numpy())
        assert same.requires_grad


def test_writing_to_the_result_of_dropout_leaves_its_input_alone():
    x = mg.Tensor([1.0, 2.0], requires_grad=True) * 1.0
    y = mg.dropout(x, training=False)
    y += 1
    np.testing.assert_array_equal(x.numpy(), [1, 2])
    np.testing.assert_array_equal(y.numpy(), [2, 3])


def test_dropout_draws_nothing_when_it_is_off():
    generator = np.random.default_rng(0)
    mg.dropout(np.ones(3), 0.5, training=False, generator=generator)
    mg.dropout(np.ones(3), 0.0, generator=generator)
    assert generator.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mg.embedding(np.ones((3, 2)), [0, 3]), "index must hold integers from 0 to 2"),
        (lambda: mg.embedding(np.ones((3, 2)), [-1]), "from -1 to -1"),
        (lambda: mg.embedding(np.ones((3, 2)), [0.5]), "index must hold integers"),
        (lambda: mg.embedding(np.ones(3), [0]), "weight must be a table (rows, features)"),
        (lambda: mg.embedding(np.ones((3, 2)), [0], padding_idx=3), "one of the 3 rows, got 3"),
        (lambda: mg.one_hot([3], 3), "index must be within 0 to 2, got 3 to 3"),
        (lambda: mg.one_hot([0.5]), "one_hot: index must hold integers"),
        (lambda: mg.one_hot([]), "num_classes cannot be told"),
        (lambda: mg.dropout(np.ones(3), 1.5), "dropout: p must be 0 to 1"),
        (lambda: mg.dropout(np.ones(3), float("nan")), "got nan"),
    ],
)
def test_errors_say_what_is_wrong(call, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        call()


def test_dropout_of_integers_is_refused():
    with pytest.raises(mg.DtypeError, match="dropout: x must be floating, got i64"):
        mg.dropout(np.arange(3))


def test_rules_that_read_by_a_tensor_of_integers_give_arrays():
    # Else a second backward pass could not add in place what they send.
    codes = mg.Tensor(np.array([0, 2, 2]))
    rows = np.arange(6.0).reshape(3, 2)
    taken = mg.embedding.generic(rows, codes)
    added = embedding_gradient.generic(rows, codes, 3, None)
    assert type(taken) is type(added) is np.ndarray
    np.testing.assert_array_equal(taken, rows[[0, 2, 2]])
    np.testing.assert_array_equal(added, [rows[0], [0, 0], rows[1] + rows[2]])
