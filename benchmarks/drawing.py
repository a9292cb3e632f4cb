"""How long pictures take, and how large pages are: `python benchmarks/drawing.py`.

Each row runs in a process of its own, three times; the median is printed, with the peak memory.
The bars are those that the pictures are built for, on two cores.
"""

import resource
import statistics
import subprocess
import sys
import time

import numpy as np

import minigrad as mg
from layers import LSTM, TransformerEncoder, TransformerEncoderLayer
from minigrad.draw import backprop_through_time, draw

RUNS = 3


def lstm_loss(steps, layers, every=False):
    """The loss of an LSTM with 32 units on 4 sequences, which runs as a kernel."""
    mg.seed(0)
    lstm = LSTM(8, 32, num_layers=layers)
    x = np.random.default_rng(0).standard_normal((4, steps, 8)).astype(np.float32)
    output, _ = lstm(mg.Tensor(x))
    return ((output if every else output[:, -1]) ** 2).sum()


def transformer_loss():
    """The loss of six encoder layers, 32 wide, on 4 sequences of 20."""
    mg.seed(0)
    encoder = TransformerEncoder(TransformerEncoderLayer(32, 4, 64), 6)
    x = np.random.default_rng(0).standard_normal((4, 20, 32)).astype(np.float32)
    return (encoder(mg.Tensor(x)) ** 2).sum()


def doubled():
    """A number doubled forty times."""
    y = mg.Tensor(1.0, requires_grad=True)
    for _ in range(40):
        y = y + y
    return y


def chain(count):
    """A function applied again and again."""
    y = mg.Tensor(np.ones(3), requires_grad=True)
    for _ in range(count):
        y = mg.tanh(y)
    return y.sum()


def shared(count):
    """A chain in which one weight and every earlier result are read again."""
    generator = np.random.default_rng(0)
    w = mg.Tensor(np.ones(3), requires_grad=True)
    results = [mg.Tensor(np.ones(3), requires_grad=True)]
    for _ in range(count // 3):
        early = results[generator.integers(len(results))]
        results.append(mg.tanh(results[-1] * w) + early)
    return results[-1].sum()


def apart(count):
    """Results that have nothing to do with each other."""
    return [mg.sin(mg.exp(mg.Tensor(np.ones(3), requires_grad=True))).sum()
            for _ in range(count // 3)]  # fmt: skip


def operations(outputs):
    """Every operation, with the gradient's way back."""
    return draw(outputs, level="ops", grad="norm").svg()


def everything(loss):
    """All norms and lags, and the picture with most steps left out."""
    return backprop_through_time(loss).draw().svg()


CASES = {
    "LSTM, 2 layers, 100 steps: SVG (bar 1 s)": (
        lambda: lstm_loss(100, 2),
        lambda loss: draw(loss, level="cells", grad="norm").svg(),
    ),
    "LSTM, 2 layers, 1,000 steps elided: SVG (bar 2 s)": (
        lambda: lstm_loss(1000, 2),
        lambda loss: draw(loss, level="cells", grad="norm").svg(),
    ),
    "LSTM, 10,000 steps: norms, lags, SVG (bar 60 s, 2 GiB)": (
        lambda: lstm_loss(10_000, 1),
        everything,
    ),
    "Transformer, 6 layers, level layers: SVG (bar 2 s)": (
        transformer_loss,
        lambda loss: draw(loss, level="layers", grad="norm").svg(),
    ),
    "y = y + y, forty times: SVG (bar: at once)": (
        doubled,
        lambda y: draw(y, grad="norm").svg(),
    ),
    "chain of 1,000 operations: SVG (bar 2 s)": (lambda: chain(1000), operations),
    "chain of 3,000 operations: SVG (bar 5 s)": (lambda: chain(3000), operations),
    "chain of 20,000 operations: SVG (bar 30 s)": (lambda: chain(20_000), operations),
    "3,000 operations, a shared weight and skips: SVG (bar 8 s)": (
        lambda: shared(3000),
        operations,
    ),
    "3,000 operations in 1,000 parts: SVG (bar 8 s)": (lambda: apart(3000), operations),
    "page, LSTM, 2 layers, 100 steps (bar 300 kB)": (
        lambda: lstm_loss(100, 2, every=True),
        lambda loss: backprop_through_time(loss).draw().html(),
    ),
    "page, LSTM, 2 layers, 2,000 steps (bar 2 MB)": (
        lambda: lstm_loss(2000, 2, every=True),
        lambda loss: backprop_through_time(loss).draw().html(),
    ),
}


def one(name):
    """Run one case in this process; prints seconds, peak MiB and kB."""
    make, work = CASES[name]
    target = make()
    start = time.perf_counter()
    content = work(target)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(seconds, peak, len(content.encode()) / 1000)


def main():
    """Run all cases, each in its own process."""
    print(f"{'':58}{'seconds':>9}{'peak MiB':>10}{'kB':>8}")
    for name in CASES:
        rows = [
            [
                float(part)
                for part in subprocess.run(
                    [sys.executable, __file__, name], capture_output=True, text=True, check=True
                ).stdout.split()
            ]
            for _ in range(RUNS)
        ]
        seconds, peak, size = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"{name:58}{seconds:9.2f}{peak:10.0f}{size:8.0f}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        one(sys.argv[1])
    else:
        main()
