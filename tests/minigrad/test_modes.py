"""The mode in blocks, decorators, threads and tasks; backward in several threads."""

import asyncio
import sys
import threading
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.modes import Mode, ModeChange, current_mode

# -- threads and tasks ---------------------------------------------------------------------------


def test_eight_threads_give_the_results_of_one():
    shared = mg.Tensor(np.random.default_rng(0).standard_normal((6, 6)), requires_grad=True)

    def work(seed: int) -> list[Any]:
        rng = np.random.default_rng(seed)
        x = mg.Tensor(rng.standard_normal((6, 6)), requires_grad=True)
        out = []
        for k in range(15):
            h = np.tanh(x @ shared) if k % 2 else mg.softmax(x * shared, axis=-1)
            loss = mg.cross_entropy(h, np.arange(6)) + (h * x).mean()
            out += mg.gradients(loss, [x, shared])
            with mg.no_grad():
                assert not (x * 2).requires_grad
            x.grad = None
            (x * h.detach()).sum().backward()
            out.append(x.grad)
            out.append(mg.hvp(lambda x: np.sin(x @ shared.detach()).sum(), x.detach(), x.detach()))
        return [t.numpy() for t in out]

    alone = [work(seed) for seed in range(8)]
    results: list[Any] = [None] * 8
    start = threading.Barrier(8, timeout=60)  # a thread that does not come is an error

    def target(seed: int) -> None:
        start.wait()
        results[seed] = work(seed)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=target, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    for mine, expected in zip(results, alone, strict=True):
        assert mine is not None
        for a, b in zip(mine, expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_threads_add_into_one_leaf_without_losing_any():
    x = mg.Tensor(np.zeros(20_000), requires_grad=True)  # NumPy lets others run as it adds these

    def target() -> None:
        for _ in range(100):
            (x * 2).sum().backward()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=target) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    np.testing.assert_array_equal(x.grad.numpy(), np.full(20_000, 8 * 100 * 2.0))


def test_the_mode_belongs_to_the_thread_and_to_the_task():
    seen = []
    with mg.no_grad():
        thread = threading.Thread(target=lambda: seen.append(mg.is_recording()))
        thread.start()
        thread.join()
    assert seen == [True]

    async def off(entered: asyncio.Event, leave: asyncio.Event) -> None:
        with mg.no_grad():
            entered.set()
            await leave.wait()
            seen.append(mg.is_recording())

    async def main() -> None:
        entered, leave = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(off(entered, leave))
        await entered.wait()
        seen.append(mg.is_recording())
        leave.set()
        await task

    asyncio.run(main())
    assert seen == [True, True, False]


# -- modes ---------------------------------------------------------------------------------------


def test_no_grad_and_enable_grad_nest_and_restore():
    x = mg.Tensor(2.0, requires_grad=True)
    states = []
    with mg.no_grad():
        states.append((x * x).requires_grad)
        with mg.enable_grad():
            states.append((x * x).requires_grad)
            with mg.no_grad():
                states.append((x * x).requires_grad)
            states.append((x * x).requires_grad)
        states.append((x * x).requires_grad)
    states.append((x * x).requires_grad)
    assert states == [False, True, False, True, False, True]
    before = current_mode()
    with pytest.raises(ZeroDivisionError, match="division"), mg.no_grad():
        _ = 1 / 0
    assert current_mode() is before


def test_the_mode_without_recording_is_made_once_and_changes_nothing_else():
    scope, dtype = object(), np.dtype(np.float64)
    mode = Mode(scope=scope, fused=False, deriving=True, dtype=dtype)
    with ModeChange(scope=scope, fused=False, deriving=True, dtype=dtype), mg.no_grad():
        found = current_mode()
    for one in (mode.unrecorded(), found):
        assert [getattr(one, name) for name in ("scope", "fused", "deriving", "dtype")] == [
            scope, False, True, dtype,
        ]  # fmt: skip
        assert not one.recording
    assert mode.recording
    assert mode.unrecorded() is mode.unrecorded()
    assert mode.replace(scope=None).unrecorded().scope is None


def test_one_block_object_may_be_entered_twice():
    block = mg.no_grad()
    with block:
        with block:
            assert not mg.is_recording()
        assert not mg.is_recording()
    assert mg.is_recording()


def test_modes_decorate_functions():
    x = mg.Tensor(2.0, requires_grad=True)

    @mg.no_grad()
    def predict(x):
        """Predict."""
        return x * x

    @mg.enable_grad()
    def record(x):
        return x * x

    assert not predict(x).requires_grad
    assert predict.__doc__ == "Predict."
    with mg.no_grad():
        assert record(x).requires_grad

    @mg.no_grad()
    def recursive(n):
        return [mg.is_recording()] + (recursive(n - 1) if n else [])

    assert recursive(3) == [False] * 4
    assert mg.is_recording()


def test_functions_that_pause_are_refused_by_the_decorator():
    def numbers():
        yield 1

    async def later():
        yield 1

    async def once():
        return 1

    for mode in (mg.no_grad(), mg.enable_grad(), mg.anomaly_mode(), mg.step(1)):
        for function in (numbers, later, once):
            with pytest.raises(
                TypeError, match=f"{function.__name__} is a generator or a coroutine.*inside"
            ):
                mode(function)


def test_backward_leaves_the_mode_alone_even_when_it_fails():
    x = mg.Tensor(2.0, requires_grad=True)
    y = x * x
    y.register_hook(lambda g: 1 / 0)
    before = current_mode()
    with pytest.raises(ZeroDivisionError, match="division"):
        y.backward()
    assert current_mode() is before
    recorded = []
    z = x * x
    z.register_hook(lambda g: recorded.append(mg.is_recording()))
    z.backward(retain_graph=True)
    with mg.no_grad():
        z.backward(create_graph=True)
    assert recorded == [False, True]


def test_backward_does_not_warn():
    x = mg.Tensor([0.0], requires_grad=True)
    np.sqrt(x).sum().backward()  # a division by zero; warnings are errors here
    assert np.isinf(x.grad.numpy())
