"""Parts of another value refuse to be written; what NumPy computes anew can be."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import layers
import minigrad as mg

X = np.arange(6.0).reshape(2, 3)

PARTS = """
x[0]
x[0, 1]
x[:, 1:]
x[...]
x[[0, 1]]
x[x > 2]
x[None]
x[0][1:][:1]
x.T
x.mT
x.real
x.imag
x.transpose(1, 0)
x.reshape(-1)
x.ravel()
x.swapaxes(0, 1)
x.squeeze()
x.expand_dims(0)
x.moveaxis(0, 1)
x.flip(0)
x.broadcast_to((2, 2, 3))
x.split(2)[1]
x.unstack()[1]
np.reshape(x, 6)
np.ravel(x)
np.transpose(x)
np.permute_dims(x, (1, 0))
np.matrix_transpose(x)
np.rollaxis(x, 1)
np.rot90(x)
np.fliplr(x)
np.diagonal(x)
np.diag(x)
np.atleast_3d(x)
np.array_split(x, 2)[0]
np.hsplit(x, 3)[0]
np.broadcast_arrays(x, np.ones((2, 2, 3)))[0]
np.einsum("ij->ji", x)
np.einsum("ij->ij", x)
mg.reshape(x, (3, 2))
mg.einsum("ii->i", x[:, :2])
next(iter(x))
list(x)[1]
dict(enumerate(x))[0]
"""

VALUES = """
x.flatten()
x.copy()
x[0].copy()
x.T.copy()
x[0] * 1
-x[0]
+x[0]
x[0].detach()
x[0].astype(x.dtype)
mg.Tensor(x[0])
np.copy(x[0])
copy.copy(x[0])
copy.deepcopy(x[0])
pickle.loads(pickle.dumps(x[0]))
np.take(x, [0, 1], axis=1)
np.take_along_axis(x, np.zeros((2, 1), int), 1)
np.compress([True, False], x, axis=0)
np.einsum("ij->i", x)
np.dot(x, x.T)
np.inner(x, x)
np.outer(x, x)
np.kron(x, x)
np.tensordot(x, x, 2)
np.cross(x, x)
np.convolve(x[0], x[1])
np.correlate(x[0], x[1])
np.cov(x)
np.corrcoef(x + np.eye(2, 3))
np.median(x, axis=0)
np.quantile(x, [0.2, 0.5], axis=1)
np.percentile(x, 30)
np.full_like(x, 2.0)
np.meshgrid(x[0], x[1])[0]
np.linspace(x[0], x[1], 4, axis=1)
np.tile(x, (2, 1))
np.repeat(x, 2)
np.roll(x, 1)
np.pad(x, 1)
np.stack([x, x])
np.concatenate([x])
np.block([x])
np.append(x, x)
np.insert(x, 1, 0.0)
np.delete(x, 0, axis=1)
np.where(x > 2, x, 0)
np.choose([0, 1, 0], list(x))
np.select([x > 2], [x])
np.sort(x)
np.partition(x, 1)
np.cumsum(x)
np.diff(x)
np.gradient(x[0])
np.trace(x)
np.tril(x)
np.sum(x, axis=0, keepdims=True)
np.mean(x, axis=(0, 1), keepdims=True)
np.linalg.norm(x, axis=0)
np.linalg.tensorinv(np.eye(6).reshape(2, 3, 6) + 0 * x[..., None], ind=2)
np.vander(x[0])
np.interp(x[0], x[1], x[0])
mg.softmax(x, axis=-1)
mg.avg_pool1d(x, 2)
mg.max_pool1d(x, 2)
mg.conv1d(x[None], np.ones((1, 2, 2)))
mg.conv1d(x[None, :, :0], np.ones((1, 2, 2)), padding=1)
mg.topk(x, 2)[0]
mg.dropout(x, training=False)
layers.Linear(3, 2)(x.astype("float32"))
layers.LSTM(3, 4)(x[None].astype("float32"))[0]
"""


def lines(text: str) -> list[str]:
    return text.strip().splitlines()


def evaluate(text: str, x: Any) -> Any:
    names = {"np": np, "mg": mg, "layers": layers, "copy": copy, "pickle": pickle, "x": x}
    return eval(text, names)


@pytest.mark.parametrize("recording", [True, False])
@pytest.mark.parametrize("text", lines(PARTS))
def test_a_part_refuses_every_write(text, recording):
    x = mg.Tensor(X)
    with mg.recording() if recording else mg.no_grad():
        part = evaluate(text, x)
        writes = [
            lambda: part.__setitem__(..., 5.0),
            lambda: part.fill(5.0),
            lambda: np.copyto(part, 5.0),
            lambda: np.add(part, 1.0, out=part),
            lambda: np.add.at(part, (), 1.0) if part.ndim == 0 else np.add.at(part, 0, 1.0),
            lambda: part.write(part.numpy()),
        ]
        if part.ndim:
            writes += [part.sort, lambda: part.partition(0)]
            writes += [lambda: np.put_along_axis(part, np.zeros(part.shape, int), 5.0, 0)]
        if part.ndim == 2:
            writes += [lambda: np.fill_diagonal(part, 5.0)]
        before = part.tolist()
        for write in writes:
            with pytest.raises(mg.ReadOnlyError, match=r"would not reach x.*copy"):
                write()
    assert part.tolist() == before
    assert x.tolist() == X.tolist()


@pytest.mark.parametrize("text", lines(VALUES))
def test_a_value_can_be_written(text):
    x = mg.Tensor(X)
    value = evaluate(text, x)
    value[...] = 5.0
    assert (value.numpy() == 5.0).all()
    assert x.tolist() == X.tolist()


@pytest.mark.parametrize("text", [t for t in lines(PARTS + VALUES) if t.startswith("np.")])
def test_parts_are_what_numpy_makes_views_of(text):
    x = np.array(X)
    result = evaluate(text, x)
    assert np.shares_memory(result, x) == (text in lines(PARTS))


def test_the_error_is_one_that_numpy_users_catch():
    assert issubclass(mg.ReadOnlyError, ValueError)
    assert issubclass(mg.ReadOnlyError, mg.GradientError)


def test_parts_on_the_tape_and_of_parameters():
    layer = layers.Linear(3, 2)
    old = layer.weight.numpy()
    with mg.no_grad():
        with pytest.raises(mg.ReadOnlyError, match=r"x\[0, 1\] = "):
            layer.weight[0][1] = 5.0
        assert layer.weight.numpy() is not old
        np.testing.assert_array_equal(layer.weight.numpy(), old)
        layer.weight[0, 1] = 5.0
        layer.weight[1] += 1.0
        with pytest.raises(mg.ReadOnlyError):
            layers.init.zeros_(layer.bias[:1])
    assert layer.weight[0, 1].item() == 5.0
    x = mg.Tensor(X, requires_grad=True) * 1.0
    with pytest.raises(mg.ReadOnlyError):
        x.T[0] = 5.0
    with mg.anomaly_mode(), pytest.raises(mg.ReadOnlyError):
        x[0][1] = 5.0
    with mg.recording(replay=True), pytest.raises(mg.ReadOnlyError):
        x[0][1] = 5.0


def test_augmented_assignment_writes_items_and_rebinds_names():
    x = mg.Tensor(X, requires_grad=True) * 1.0
    x[0] += 1.0
    x[0, 1] *= 3.0
    x[:, 2] -= x[:, 0]
    assert x.tolist() == [[1.0, 6.0, 2.0], [3.0, 4.0, 2.0]]
    v = x[0]
    v += 10.0
    v[0] = 7.0  # by now a value of its own
    assert v.tolist() == [7.0, 16.0, 12.0]
    assert x.tolist()[0] == [1.0, 6.0, 2.0]
    with pytest.raises(mg.ReadOnlyError):
        x[0][1] += 1.0


def test_rows_got_by_iterating_are_read_only():
    x = mg.Tensor(X)
    for change in ("row[0] = 1", "row += 1", "row *= 2", "row @= np.eye(3)", "row.sort()"):
        for row in x:
            with pytest.raises(mg.ReadOnlyError, match=r"row.*range\(len\(x\)\)"):
                exec(change, {"row": row, "np": np})
    first, _ = x
    with pytest.raises(mg.ReadOnlyError, match="unpacking"):
        first -= 1.0
    total = 0.0
    for row in x:
        row = row + 1.0  # a new value
        row[0] = 0.0
        total += row
    assert total.tolist() == [0.0, 7.0, 9.0]
    for i in range(len(x)):
        x[i] += 1.0
    assert x.tolist() == (X + 1).tolist()


def test_numbers_got_by_iterating_over_a_vector_can_be_rebound():
    for number in mg.Tensor([1.0, 2.0]):
        before = number.item()
        number += 1.0
        assert number.item() == before + 1.0


def test_a_leaf_made_of_a_part_is_a_leaf_of_its_own():
    w = mg.Tensor(np.arange(6.0)).reshape(2, 3).requires_grad_()
    with mg.no_grad():
        w[0, 0] = 5.0
        w -= 1.0
    assert w.tolist() == [[4.0, 0.0, 1.0], [2.0, 3.0, 4.0]]
    assert w.requires_grad
