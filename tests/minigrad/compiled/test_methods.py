"""Compiled methods: programs for each instance, which live and are copied as instances are."""

import copy
import gc
import pickle
import threading
import time
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


def test_copies_that_take_turns_keep_their_programs():
    one = Scale(1.0)
    one.total(X)
    two = copy.copy(one)
    found = one.total, two.total
    assert all(a is b for a, b in zip(found, (one.total, two.total), strict=True))


def test_what_holds_a_compiled_function_can_be_copied_and_pickled():
    class Holder(layers.Module):
        def __init__(self):
            super().__init__()
            self.linear = layers.Linear(3, 2)
            self.twice = mg.compile(self.double)

        def double(self, x):
            return self.linear(x) * 2

    one = Holder()
    expected = one.twice(X).numpy()
    two = copy.deepcopy(one)
    with mg.no_grad():
        one.linear.weight[...] = 0.0
        one.linear.bias[...] = 0.0
    np.testing.assert_allclose(two.twice(X).numpy(), expected, rtol=1e-6)
    assert not one.twice(X).numpy().any()
    for backend in (None, "plain"):
        compiled = mg.compile(np.tanh, check=3, backend=backend)
        again = pickle.loads(pickle.dumps(compiled))
        assert again(mg.Tensor(0.0)).item() == 0
        assert again.__reduce__() == compiled.__reduce__()


def test_derivatives_of_compiled_functions_can_be_compiled_after_calls():
    inner = mg.compile(lambda x: (np.sin(x) * x).sum())
    x = mg.Tensor([1.0], requires_grad=True)
    for _ in range(2):
        inner(x)
    outer = mg.compile(mg.grad(inner))
    for _ in range(2):
        assert outer(x).item() == pytest.approx(np.sin(1.0) + np.cos(1.0))
    assert outer.refusals == []


def test_class_methods_and_static_methods():
    class Kinds:
        scale = 2.0

        @classmethod
        @mg.compile
        def scaled(cls, x):
            return x * cls.scale

        @staticmethod
        @mg.compile
        def tripled(x):
            return x * 3

    for _ in range(2):
        assert Kinds.scaled(mg.Tensor(1.0)).item() == 2
        assert Kinds.tripled(mg.Tensor(1.0)).item() == 3
    Kinds.scale = 5.0
    assert Kinds.scaled(mg.Tensor(1.0)).item() == 5


def test_attributes_go_to_the_module_and_a_compiled_one_is_no_part():
    linear = layers.Linear(3, 2)
    compiled = mg.compile(linear)
    compiled.scale = 5.0
    assert linear.scale == 5.0
    outer = layers.Module()
    with pytest.raises(TypeError, match="the parameters of a compiled module would not be learned"):
        outer.inner = compiled


def test_what_is_compiled_is_no_state_of_a_module():
    model = Model()
    model(X[None])
    assert list(model.state_dict()) == ["linear.weight", "linear.bias"]
    assert "compiled" not in repr(model)


def test_calls_that_come_at_once_make_one_program():
    entered = threading.Barrier(4)
    w = mg.Tensor(np.ones((3, 3), np.float32), requires_grad=True)
    compiled = mg.compile(lambda x: (np.tanh(x @ w) ** 2).sum())
    found = []

    def run():
        x = mg.Tensor(np.ones((2, 3), np.float32))
        entered.wait()
        found.append(compiled(x).item())

    with compiled._tracing:  # as if a first call was on its way
        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        entered.wait()
        time.sleep(0.05)  # so that they wait for it
    for thread in threads:
        thread.join()
    assert found == pytest.approx([6 * np.tanh(3) ** 2] * 3)
    assert len(compiled.programs) == 1


def test_methods_without_an_instance_are_compiled_below_the_decorator():
    class Static:
        double = staticmethod(mg.compile(lambda x: x * 2))

    assert Static().double(mg.Tensor([1.0])).tolist() == [2.0]
    for decorator in (staticmethod, classmethod):
        with pytest.raises(TypeError, match=f"got {decorator.__name__}; put it below that"):
            mg.compile(decorator(lambda x: x))
