"""This checkout beside another one: operations, recurrent layers, training steps, the import.

    git worktree add /tmp/before COMMIT
    python benchmarks/against.py /tmp/before [--rounds 7] [--only NAME ...]

Each measurement is a process of its own, and the two checkouts take turns, so that whatever else
the machine does strikes both. Compared are the fastest of many runs in processor time; the ratio is
the other checkout's time by this one's: above 1 this one is faster.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parents[1]

SETUP: Final = """
import time
import numpy as np
rng = np.random.default_rng(0)

def best(run, count, repeats=15):
    run()
    fastest = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        for _ in range(count):
            run()
        fastest = min(fastest, (time.process_time() - start) / count)
    return fastest
"""

TRAIN: Final = """
import minigrad as mg, layers
from minigrad.optim import AdamW
optimizer = AdamW(model.parameters(), 1e-3)
def step():
    for parameter in model.parameters():
        parameter.grad = None
    loss_of().backward()
    optimizer.step()
print(best(step, COUNT))
"""

WORK: Final = {
    "operations, forward and backward": """
import minigrad as mg
x = mg.Tensor(rng.standard_normal((4, 4)).astype(np.float32), requires_grad=True)
def run():
    y = x
    for _ in range(300):
        y = mg.tanh(y) * x + x
    y.sum().backward()
print(best(run, 3))
""",
    "operations, forward": """
import minigrad as mg
x = mg.Tensor(rng.standard_normal((4, 4)).astype(np.float32), requires_grad=True)
def run():
    y = x
    for _ in range(300):
        y = mg.tanh(y) * x + x
print(best(run, 3))
""",
    "operations with parameters": """
import minigrad as mg
x = mg.Tensor(rng.standard_normal((4, 4)).astype(np.float32), requires_grad=True)
def run():
    for _ in range(100):
        y = mg.sum(x.reshape(2, 8).transpose(), axis=1, keepdims=True)
        mg.concatenate([y, y], axis=0).mean().backward()
print(best(run, 2))
""",
    "second derivatives": """
import minigrad as mg
x = mg.Tensor(rng.standard_normal((4, 4)).astype(np.float32), requires_grad=True)
def run():
    y = x
    for _ in range(30):
        y = mg.tanh(y) * x
    g = mg.gradients(y.sum(), x, create_graph=True)
    (g * g).sum().backward()
print(best(run, 3))
""",
    **{
        f"{kind}, kernel": f"""
import minigrad as mg, layers
layer = layers.{kind}(32, 64)
x = rng.standard_normal((8, 40, 32)).astype(np.float32)
def run():
    layer(x)[0].sum().backward()
print(best(run, 2))
"""
        for kind in ("RNN", "LSTM", "GRU")
    },
    **{
        f"{kind}, step by step": f"""
import minigrad as mg, layers
layer = layers.{kind}(32, 64)
x = rng.standard_normal((8, 40, 32)).astype(np.float32)
def run():
    with mg.recording(fused=False):
        layer(x)[0].sum().backward()
print(best(run, 1))
"""
        for kind in ("RNN", "LSTM", "GRU")
    },
    "training step, LSTM": """
import minigrad as mg, layers
lstm, head = layers.LSTM(16, 64), layers.Linear(64, 10)
model = layers.ModuleList([lstm, head])
x, y = rng.standard_normal((16, 30, 16)).astype(np.float32), rng.integers(0, 10, 16)
loss_of = lambda: mg.cross_entropy(head(lstm(x)[0][:, -1]), y)
COUNT = 2
"""
    + TRAIN,
    "training step, Transformer": """
import minigrad as mg, layers
body, head = layers.TransformerEncoderLayer(64, 4, 128, dropout=0.0), layers.Linear(64, 10)
model = layers.ModuleList([body, head])
x, y = rng.standard_normal((8, 32, 64)).astype(np.float32), rng.integers(0, 10, (8, 32))
loss_of = lambda: mg.cross_entropy(head(body(x)).reshape(-1, 10), y.reshape(-1))
COUNT = 2
"""
    + TRAIN,
    "training step, convolutions": """
import minigrad as mg, layers
model = layers.Sequential(layers.Conv2d(1, 8, 3), layers.ReLU(), layers.MaxPool2d(2),
                          layers.Flatten(), layers.Linear(8 * 13 * 13, 10))
x, y = rng.standard_normal((16, 1, 28, 28)).astype(np.float32), rng.integers(0, 10, 16)
loss_of = lambda: mg.cross_entropy(model(x), y)
COUNT = 1
"""
    + TRAIN,
    "import minigrad": """
import subprocess, sys
start = time.process_time()
import minigrad
print(time.process_time() - start)
""",
}
"""What is measured: programs that print seconds."""


def seconds(work: str, checkout: Path) -> float:
    """The time that a program prints in one checkout."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    environment |= {"OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    # Freed memory stays with the process: else the order in which arrays die decides how many pages
    # come anew from the system, which costs a small kernel a quarter of its time.
    environment |= {"MALLOC_TRIM_THRESHOLD_": "200000000", "MALLOC_TOP_PAD_": "1000000"}
    done = subprocess.run(
        [sys.executable, "-c", SETUP + work],
        env=environment,
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"in {checkout}: {done.stderr}")
    return float(done.stdout)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("other", type=Path, help="the folder of the other checkout")
    parser.add_argument("--rounds", type=int, default=7, help="processes of each")
    parser.add_argument("--only", nargs="*", default=[], help="words in the names of measurements")
    options = parser.parse_args()
    print(f"{'':<36} {'this, ms':>9} {'other, ms':>9} {'other / this':>13} {'of medians':>11}")
    for name, work in WORK.items():
        if options.only and not any(word in name for word in options.only):
            continue
        mine, theirs = [], []
        for _ in range(options.rounds):
            mine.append(seconds(work, HERE))
            theirs.append(seconds(work, options.other.resolve()))
        ratio = min(theirs) / min(mine)
        medians = statistics.median(theirs) / statistics.median(mine)
        print(
            f"{name:<36} {min(mine) * 1e3:>9.3f} {min(theirs) * 1e3:>9.3f} {ratio:>13.2f} "
            f"{medians:>11.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
