"""Cells that a loss function makes anew for each sequence: one program serves all of a kind."""

import threading
from weakref import WeakKeyDictionary

import numpy as np
import pytest

import minigrad as mg
from layers import scan
from layers.cells import steps
from minigrad.compiled.stepping import closures, scanned
from minigrad.compiled.stepping.scanned import MOST_ALIKE

pytest.importorskip("llvmlite")

STEPS = 20


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(closures, "_known", closures._Known())
    monkeypatch.setattr(scanned, "_alike", WeakKeyDictionary())


@pytest.fixture
def by_steps(monkeypatch):
    """How often sequences ran step by step."""
    counted = []
    one_by_one = steps._one_by_one
    monkeypatch.setattr(steps, "_one_by_one", lambda *a: counted.append(1) or one_by_one(*a))
    return counted


def draw(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def loss(w, x, scale=1.0):
    """By a cell of its own, whose closure holds a tensor, a container of one, and a number."""
    parts = {"u": w["u"] * 2, "b": [w["b"]]}

    def cell(x, h):
        return mg.tanh(x @ w["w"] + scale * (h @ parts["u"]) + parts["b"][0])

    return (scan(cell, x, np.zeros((len(x), 3)))[0] ** 2).mean()


def by_hand(w, x, scale=1.0):
    h, total = np.zeros((len(x), 3)), 0.0
    for t in range(x.shape[1]):
        h = mg.tanh(x[:, t] @ w["w"] + scale * (h @ (w["u"] * 2)) + w["b"])
        total = total + (h**2).sum()
    return total / (x.shape[0] * x.shape[1] * 3)


def weights(factor=1.0):
    return {name: factor * draw(*shape) for name, shape in
            {"w": (2, 3), "u": (3, 3), "b": (3,)}.items()}  # fmt: skip


def agree(found, expected):
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, -0.5])
def test_gradients_are_those_of_the_call(scale, by_steps):
    for i in range(6):
        w, x = weights(0.3 * (i + 1)), draw(2, STEPS + i, 2)
        value, grad = mg.value_and_grad(loss)(w, x, scale)
        expected, gradient = mg.value_and_grad(by_hand)(w, x, scale)
        assert value.item() == pytest.approx(expected.item(), rel=1e-9)
        agree(grad, gradient)
    assert not by_steps
    assert [len(kinds) for kinds in closures._known.codes.values()] == [1]


def test_leaves_of_the_user_get_their_gradients(by_steps):
    for i in range(4):
        w = {name: mg.Tensor(a, requires_grad=True) for name, a in weights(i + 1.0).items()}
        loss(w, draw(2, STEPS, 2)).backward()
        expected = mg.grad(by_hand)(weights(i + 1.0), draw(2, STEPS, 2))
        agree({name: t.grad for name, t in w.items()}, expected)
        with mg.no_grad():
            assert not loss(w, draw(2, STEPS, 2)).requires_grad
    assert not by_steps


def test_second_derivatives_are_those_of_the_call():
    x = draw(1, STEPS, 2)
    results = []
    for i in range(4):
        w = mg.Tensor(weights(0.2 * (i + 1))["u"], requires_grad=True)
        results.append((w, loss({**weights(), "u": mg.positive(w)}, x)))
    for w, value in results:  # after others ran by the same program

        def at(u):
            return by_hand({**weights(), "u": u}, x)

        (first,) = mg.gradients(value, [w], create_graph=True)
        (second,) = mg.gradients((first**2).sum(), [w])
        np.testing.assert_allclose(
            second, mg.grad(lambda u: (mg.grad(at)(u) ** 2).sum())(w.numpy())
        )


def test_a_number_in_the_closure_and_a_tensor_twice_are_kinds_of_their_own():
    def run(w, again, power):
        def cell(x, h):
            return mg.tanh(x + h * w + again**power)

        return scan(cell, draw(1, STEPS, 3), np.zeros((1, 3)))[0].sum()

    def expected(w, again, power):
        h, total = np.zeros((1, 3)), 0.0
        for t in range(STEPS):
            h = mg.tanh(draw(1, STEPS, 3)[:, t] + h * w + again**power)
            total = total + h.sum()
        return total

    a, b = draw(3), draw(3) + 0.5
    for _ in range(3):
        for power in (1, 2):
            found, right = (
                mg.grad(lambda w, f=f: f(w, w, power))(a)  # noqa: B023
                for f in (run, expected)
            )
            np.testing.assert_allclose(found, right)
            for found, right in zip(
                *(mg.grad(f, (0, 1))(a, b, power) for f in (run, expected)), strict=True
            ):
                np.testing.assert_allclose(found, right)


def test_what_a_cell_writes_reaches_the_containers_of_its_user(by_steps):
    for _ in range(4):
        w, seen, count = mg.Tensor(draw(3), requires_grad=True), [], 0

        def cell(x, h):
            nonlocal count
            count += 1
            seen.append(count)  # noqa: B023
            return mg.tanh(x + h * w)  # noqa: B023

        scan(cell, draw(1, STEPS, 3), np.zeros((1, 3)))
        assert seen == [*range(1, STEPS + 1)]
        assert count == STEPS
    assert len(by_steps) == 4


def test_a_flag_lets_another_branch_write():
    def run(keep):
        w, kept = mg.Tensor(draw(3), requires_grad=True), []

        def cell(x, h):
            if keep:
                kept.append(x)
            return mg.tanh(x + h * w)

        scan(cell, draw(1, STEPS, 3), np.zeros((1, 3)))
        return len(kept)

    assert [run(keep) for keep in (False, False, True, False, True)] == [0, 0, STEPS, 0, STEPS]


def test_kinds_of_one_code_are_limited():
    for i in range(MOST_ALIKE + 2):
        found, _ = mg.value_and_grad(loss)(weights(), draw(1, STEPS, 2), float(i))
        assert found.item() == pytest.approx(by_hand(weights(), draw(1, STEPS, 2), i).item())
    assert [len(kinds) for kinds in closures._known.codes.values()] == [MOST_ALIKE]


def test_threads_have_functions_of_their_own():
    results = {}

    def train(i):
        for _ in range(10):
            results.setdefault(i, []).append(
                mg.value_and_grad(loss)(weights(i + 1.0), draw(2, STEPS, 2))
            )

    threads = [threading.Thread(target=train, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(3):
        expected, gradient = mg.value_and_grad(by_hand)(weights(i + 1.0), draw(2, STEPS, 2))
        for value, grad in results[i]:
            assert value.item() == pytest.approx(expected.item())
            agree(grad, gradient)
