"""Attention of long sequences: time and peak memory of both methods, next to PyTorch's.

Four heads of 64 features, in float32, forward and backward, with the allocations of NumPy (through
tracemalloc) beyond those of the inputs; PyTorch's are not traced. Methods take turns within one
run, so that a busy machine slows them all alike. Prints medians.

    python benchmarks/attention.py [--lengths 256 1024 4096] [--rounds 3] [--threads 1]
"""

import argparse
import importlib.util
import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import threadpoolctl

import minigrad as mg

HEADS, FEATURES = 4, 64
Run = Callable[[], tuple[list[Any], float, float]]


def make_minigrad(arrays: list[Any], cotangent: Any, causal: bool, method: str) -> Run:
    def run() -> tuple[list[Any], float, float]:
        tensors = [mg.Tensor(a, requires_grad=True) for a in arrays]
        start = time.perf_counter()
        y = mg.scaled_dot_product_attention(*tensors, causal=causal, method=method)
        middle = time.perf_counter()
        y.backward(cotangent)
        end = time.perf_counter()
        results = [y.numpy(), *(t.grad.numpy() for t in tensors if t.grad is not None)]
        return results, middle - start, end - middle

    return run


def make_torch(arrays: list[Any], cotangent: Any, causal: bool, threads: int) -> Run:
    torch = importlib.import_module("torch")
    torch.set_num_threads(threads)
    weight = torch.tensor(cotangent)[None]

    def run() -> tuple[list[Any], float, float]:
        tensors = [torch.tensor(a)[None].requires_grad_() for a in arrays]
        start = time.perf_counter()
        y = torch.nn.functional.scaled_dot_product_attention(*tensors, is_causal=causal)
        middle = time.perf_counter()
        y.backward(weight)
        end = time.perf_counter()
        results = [y.detach().numpy()[0], *(t.grad.numpy()[0] for t in tensors)]
        return results, middle - start, end - middle

    return run


def peak_of(run: Run) -> float:
    """The most memory allocated at once during a run, in MB."""
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=[256, 512, 1024, 2048, 4096])
    parser.add_argument("--rounds", type=int, default=5, help="runs of each method")
    parser.add_argument("--threads", type=int, default=1, help="of matrix products")
    options = parser.parse_args()
    threadpoolctl.threadpool_limits(options.threads)
    print(
        f"{'length':>6} {'causal':>6} {'method':<10} {'forward':>8} {'backward':>8} "
        f"{'peak':>7} {'/ torch':>7} {'differs':>8}"
    )
    for length in options.lengths:
        generator = np.random.default_rng(0)
        *arrays, cotangent = (
            generator.standard_normal((HEADS, length, FEATURES), np.float32) for _ in range(4)
        )
        for causal in (False, True):
            runs: dict[str, Run] = {
                method: make_minigrad(arrays, cotangent, causal, method)
                for method in ("plain", "blockwise")
            }
            if importlib.util.find_spec("torch"):
                runs["torch"] = make_torch(arrays, cotangent, causal, options.threads)
            found = {name: run()[0] for name, run in runs.items()}  # which warms up, too
            times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
            for _ in range(options.rounds):
                for name, run in runs.items():
                    times[name].append(run()[1:])
            medians = {
                name: [statistics.median(column) * 1e3 for column in zip(*pairs, strict=True)]
                for name, pairs in times.items()
            }
            for name, (forward, backward) in medians.items():
                peak = "" if name == "torch" else f"{peak_of(runs[name]):.0f} MB"
                share = ""
                if "torch" in medians:
                    share = f"{(forward + backward) / sum(medians['torch']):.2f}"
                pairs = zip(found[name], found["plain"], strict=True)
                differs = max(float(np.abs(a - b).max()) for a, b in pairs)
                print(
                    f"{length:>6} {causal!s:>6} {name:<10} {forward:>5.0f} ms {backward:>5.0f} ms "
                    f"{peak:>7} {share:>7} {differs:>8.0e}"
                )


if __name__ == "__main__":
    main()
