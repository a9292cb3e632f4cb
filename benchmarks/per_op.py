"""What one small operation costs, forward and backward, next to other engines.

A chain of 900 operations on a 4 x 4 array (tanh, multiply, add, 300 times), summed and
differentiated. Whichever peers are installed take turns within one run, so that a busy machine
slows them all alike. Prints medians in microseconds per operation, and minigrad's share of each.

    python benchmarks/per_op.py [--rounds 60]
"""

import argparse
import importlib
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

REPEATS = 300
OPERATIONS = 3 * REPEATS
START = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)


def chain(tanh: Callable[[Any], Any], x: Any) -> Any:
    y = x
    for _ in range(REPEATS):
        y = tanh(y) * x + x
    return y.sum()  # a method of all four


def minigrad() -> Callable[[], Any]:
    mg = importlib.import_module("minigrad")
    x = mg.Tensor(START, requires_grad=True)

    def run() -> Any:
        x.grad = None
        chain(mg.tanh, x).backward()
        return x.grad.numpy()

    return run


def torch() -> Callable[[], Any]:
    th = importlib.import_module("torch")
    th.set_num_threads(1)
    x = th.tensor(START, requires_grad=True)

    def run() -> Any:
        x.grad = None
        chain(th.tanh, x).backward()
        return x.grad.numpy()

    return run


def autograd() -> Callable[[], Any]:
    anp = importlib.import_module("autograd.numpy")
    gradient = importlib.import_module("autograd").grad(lambda x: chain(anp.tanh, x))
    return lambda: gradient(START)


def mygrad() -> Callable[[], Any]:
    my = importlib.import_module("mygrad")
    x = my.tensor(START)

    def run() -> Any:
        x.null_grad()
        chain(my.tanh, x).backward()
        return x.grad

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60, help="runs of each engine")
    rounds = parser.parse_args().rounds
    runs: dict[str, Callable[[], Any]] = {"minigrad": minigrad()}
    for make in (torch, autograd, mygrad):
        try:
            runs[make.__name__] = make()
        except ImportError:
            print(f"{make.__name__}: not installed")
    expected = runs["minigrad"]()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for name, run in runs.items():  # warm up, and hold the answers against each other
        np.testing.assert_allclose(run(), expected, rtol=1e-3, err_msg=name)
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - start) / OPERATIONS * 1e6)
    mine = statistics.median(times["minigrad"])
    print(f"{'engine':<10} {'us per op':>10} {'fastest':>10} {'minigrad / it':>14}")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:<10} {median:>10.2f} {min(values):>10.2f} {mine / median:>14.2f}")


if __name__ == "__main__":
    main()
