"""Compiled methods: programs for each instance, which live and are copied as instances are."""

import copy
import gc
import weakref

import numpy as np
import pytest

import layers
import minigrad as mg

X = np.ones(3, np.float32)


class Scale:
    def __init__(self, value):
        self.w = mg.Tensor(np.full(3, value, np.float32), requires_grad=True)

    @mg.compile
    def total(self, x):
        return (x * self.w).sum()


class Slots:
    __slots__ = ("w",)
    __init__ = Scale.__init__
    total = mg.compile(Scale.total.function)


class Model(layers.Module):
    def __init__(self):
        super().__init__()
        self.linear = layers.Linear(3, 2)

    @mg.compile
    def forward(self, x):
        return self.linear(x).sum()


@pytest.mark.parametrize("kind", [Scale, Slots])
def test_every_instance_has_its_own_values(kind):
    one, two = kind(1.0), kind(2.0)
    for _ in range(3):
        assert one.total(X).item() == 3
        assert two.total(X).item() == 6


def test_programs_do_not_keep_an_instance_alive():
    instances = [Scale(1.0), Model()]
    for _ in range(2):
        instances[0].total(X).backward()
        instances[1](X[None]).backward()
    references = [weakref.ref(instance) for instance in instances]
    instances.clear()
    gc.collect()
    assert [reference() for reference in references] == [None, None]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_have_programs_of_their_own(copied):
    one = Scale(1.0)
    assert one.total(X).item() == 3
    two = copied(one)
    two.w = mg.Tensor(np.full(3, 5.0, np.float32))
    assert (one.total(X).item(), two.total(X).item()) == (3, 15)
    assert one.total is one.total
    assert one.total is not two.total


def test_what_is_compiled_is_no_state_of_a_module():
    model = Model()
    model(X[None])
    assert list(model.state_dict()) == ["linear.weight", "linear.bias"]
    assert "compiled" not in repr(model)
