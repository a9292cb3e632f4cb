"""How fast recurrent layers are, forward and backward, beside PyTorch's when it is installed.

Run with ``python benchmarks/recurrent.py``. Both libraries get one thread; their calls take turns,
so that whatever else the machine does strikes both, and medians are compared. The ratio is
PyTorch's time by ours: above 1 we are faster.

The products are the BLAS library's of NumPy. OpenBLAS chooses its code by the name of the
processor, and takes AVX2 on some that have AVX-512: ``OPENBLAS_CORETYPE=SKYLAKEX`` in front of the
command shows whether that is so.
"""

import argparse
import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import numpy as np

import layers
import minigrad as mg

try:
    import torch
except ImportError:
    torch = None

Pair = tuple[Callable[[], Any], Callable[[Any], None]]


def ours(kind: str, x: Any, sizes: tuple[int, int], lengths: Any, options: Any) -> Pair:
    """The forward and the backward of our layer."""
    layer = getattr(layers, kind)(*sizes, **options)
    leaf = mg.Tensor(x, requires_grad=True)
    weight = np.ones((*x.shape[:2], sizes[1]), np.float32)

    def forward() -> Any:
        return layer(leaf, lengths=lengths)[0]

    return forward, lambda output: output.backward(weight)


def theirs(kind: str, x: Any, sizes: tuple[int, int], lengths: Any, options: Any) -> Pair:
    """The forward and the backward of PyTorch's layer."""
    torch.set_num_threads(1)
    layer = getattr(torch.nn, kind)(*sizes, batch_first=True, **options)
    leaf = torch.tensor(x, requires_grad=True)
    weight = torch.ones(*x.shape[:2], sizes[1])

    def forward() -> Any:
        if lengths is None:
            return layer(leaf)[0]
        pack = torch.nn.utils.rnn.pack_padded_sequence
        packed = pack(leaf, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
        unpack = torch.nn.utils.rnn.pad_packed_sequence
        return unpack(layer(packed)[0], batch_first=True, total_length=x.shape[1])[0]

    return forward, lambda output: output.backward(weight)


def measure(pairs: list[Pair], repeats: int) -> list[tuple[float, float]]:
    """The median milliseconds of each forward and backward, taken in turns."""
    times: list[list[tuple[float, float]]] = [[] for _ in pairs]
    for repeat in range(repeats + 3):
        for (forward, backward), taken in zip(pairs, times, strict=True):
            start = time.perf_counter()
            output = forward()
            middle = time.perf_counter()
            backward(output)
            if repeat >= 3:  # the first calls warm up
                taken.append((middle - start, time.perf_counter() - middle))
    return [tuple(1e3 * median(part) for part in zip(*taken, strict=True)) for taken in times]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--time", type=int, default=64)
    parser.add_argument("--inputs", type=int, default=128)
    parser.add_argument("--hidden", type=int, default=128)
    given = parser.parse_args()
    generator = np.random.default_rng(0)
    shape = (given.batch, given.time, given.inputs)
    x = generator.standard_normal(shape).astype(np.float32)
    lengths = generator.integers(1, given.time + 1, given.batch)
    lengths[0] = given.time
    print(f"x float32 {list(shape)}, {given.hidden} units; milliseconds, forward + backward")
    cases: list[tuple[str, Any, dict[str, Any]]] = [
        ("RNN", None, {}),
        ("LSTM", None, {}),
        ("GRU", None, {}),
        ("RNN", lengths, {}),
        ("LSTM", lengths, {}),
        ("GRU", lengths, {}),
    ]
    for kind, valid, options in cases:
        sizes = (given.inputs, given.hidden)
        label = kind + (", lengths" if valid is not None else "")
        makers = [ours] if torch is None else [ours, theirs]
        found = measure([make(kind, x, sizes, valid, options) for make in makers], given.repeats)
        line = f"{label:16} {found[0][0]:7.2f} + {found[0][1]:6.2f}"
        if torch is not None:
            ratio = sum(found[1]) / sum(found[0])
            line += f"   PyTorch {found[1][0]:7.2f} + {found[1][1]:6.2f}   ratio {ratio:.2f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
