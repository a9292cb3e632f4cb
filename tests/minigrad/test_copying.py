"""Copying and pickling: leaves and constants keep what belongs to them, graphs stay behind."""

import copy
import pickle
import threading

import numpy as np
import pytest

import minigrad as mg


def leaf(value=(1.5, 2.0), dtype="float64"):
    return mg.Tensor(value, dtype=dtype, requires_grad=True)


ROUND_TRIPS = [lambda t: pickle.loads(pickle.dumps(t)), copy.deepcopy, copy.copy]


@pytest.mark.parametrize("duplicate", ROUND_TRIPS)
def test_a_copied_leaf_is_a_leaf_with_all_that_belongs_to_it(duplicate):
    t = leaf([1.0, 2.0], dtype="float32")
    t.name = "weight"
    (t * t).sum().backward()
    u = duplicate(t)
    assert u.is_leaf
    assert u.requires_grad
    assert (u.dtype, u.name, u.tolist()) == (t.dtype, "weight", t.tolist())
    assert u.grad.tolist() == [2, 4]
    (u * 3).sum().backward()
    assert t.grad.tolist() == [2, 4]
    with mg.no_grad():
        u += 1
    assert t.tolist() == [1, 2]


@pytest.mark.parametrize("duplicate", ROUND_TRIPS)
@pytest.mark.parametrize("data", [True, 3, [1.5], np.zeros((0, 2)), 1j])
def test_a_copied_constant_stays_one(duplicate, data):
    t = mg.Tensor(data)
    u = duplicate(t)
    assert not u.requires_grad
    assert (u.dtype, u.shape, u.tolist()) == (t.dtype, t.shape, t.tolist())


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_pickle_protocol(protocol):
    t = leaf()
    assert pickle.loads(pickle.dumps(t, protocol)).tolist() == t.tolist()


def test_copying_in_containers_keeps_identity_and_subclasses_their_attributes():
    t = leaf()
    first, second = copy.deepcopy([t, t])
    assert first is second
    assert first is not t

    class Named(mg.Tensor):
        pass

    named = Named([1.0])
    named.unit = ["m"]
    for duplicate in (copy.copy, copy.deepcopy):
        other = duplicate(named)
        assert type(other) is Named
        assert other.unit == ["m"]
    assert copy.deepcopy(named).unit is not named.unit


def test_a_computed_tensor_is_copied_with_its_history_or_not_at_all():
    x = leaf()
    y = x * 2
    z = copy.copy(y)
    z += 1
    assert y.tolist() == [3, 4]
    (y + z).sum().backward()
    assert x.grad.tolist() == [4, 4]
    with pytest.raises(mg.GradientError, match=r"computed by multiply.*Copy t\.detach\(\)"):
        copy.deepcopy(y)
    with pytest.raises(mg.GradientError, match=r"computed by multiply.*Pickle t\.detach\(\)"):
        pickle.dumps(y)
    with mg.no_grad():
        assert copy.deepcopy(x * 2).tolist() == [3, 4]


def test_a_deep_graph_does_not_recurse():
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = y + 1
    failures = []

    def work():
        try:
            copy.copy(y)
            repr(y)
            for refused in (copy.deepcopy, pickle.dumps):
                with pytest.raises(mg.GradientError):
                    refused(y)
        except BaseException as error:
            failures.append(error)

    size = threading.stack_size(1 << 20)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(size)
    assert not failures
