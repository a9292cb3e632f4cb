"""Long sequences, long trainings, and models larger than the memory: time, memory, and gradients.

    python -m benchmarks.reliability.scale [--only sequences trainings parameters]

A recurrence over 100,000 steps, with and without checkpoints, eager and compiled: its gradient is
compared with a closed form, or with that of another way. Trainings of 10,000 steps: the largest
memory of the first and of the last thousand steps. Models and files of 8 GB in a process that may
have 4: the error has to name what does not fit. Each figure is of a process of its own.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import layers
import minigrad as mg
from layers.datasets import CharacterTokenizer
from layers.models import GPT, CharacterConfig, CharacterModel, GPTConfig
from layers.training import TrainingOptions, fit, fit_text

__all__ = ["PARAMETERS", "SEQUENCES", "TRAININGS", "main", "measured", "refusal"]

ROOT = Path(__file__).parents[2]
LIMIT = 4 * 2**30  # bytes that a process may have, in place of a machine with so many
DECAY = 0.999
UNITS = 16
TEXT = "the cat sat on the mat, and the dog sat on the cat. " * 40


# -- sequences -------------------------------------------------------------------------------------


def decay_series(length: int) -> tuple[Any, float]:
    """Inputs x of h_t = a h_(t-1) + x_t, and dh_T/da, from dh_t/da = h_(t-1) + a dh_(t-1)/da."""
    x = np.random.default_rng(0).standard_normal(length)
    h = slope = 0.0
    for value in x.tolist():
        h, slope = DECAY * h + value, h + DECAY * slope
    return x, slope


def checkpointed_chain(length: int) -> float:
    """The recurrence in plain operations, by `checkpoint_sequence`; the error of its gradient."""
    x, expected = decay_series(length)
    a = mg.Tensor(DECAY, dtype="float64", requires_grad=True)
    h = mg.Tensor(0.0, dtype="float64")
    mg.checkpoint_sequence(lambda h, t: a * h + x[t], h, steps=length).backward()
    assert a.grad is not None
    return abs(float(a.grad.item()) / expected - 1)


def scanned(length: int) -> float:
    """The recurrence by `scan`; the error of its gradient."""
    x, expected = decay_series(length)
    a = mg.Tensor(DECAY, dtype="float64", requires_grad=True)
    _, last = layers.scan(lambda x, h: x if h is None else a * h + x, x.reshape(1, length, 1))
    last.sum().backward()
    assert a.grad is not None
    return abs(float(a.grad.item()) / expected - 1)


def lstm_gradient(length: int, segment: int) -> Any:
    """The gradient of a loss over all steps, computed again in segments of so many steps."""
    mg.seed(0)
    lstm = layers.LSTM(4, UNITS)
    x = np.random.default_rng(1).standard_normal((1, length, 4), np.float32)

    def part(x: Any, state: Any) -> Any:
        output, state = lstm(x, state)
        return (output**2).sum(), state

    run = part if segment == length else mg.checkpoint(part)
    total, state = mg.Tensor(0.0), None
    for start in range(0, length, segment):
        loss, state = run(x[:, start : start + segment], state)
        total = total + loss
    (total / length).backward()
    return lstm.weight_hh_l0.grad.numpy()


def whole_layer(length: int) -> float:
    """An LSTM over the sequence at once; the norm of a gradient, which the next one has too."""
    return float(np.linalg.norm(lstm_gradient(length, length)))


def checkpointed_layer(length: int) -> float:
    """An LSTM in checkpointed segments; the norm of the same gradient."""
    return float(np.linalg.norm(lstm_gradient(length, max(1, int(length**0.5)))))


SEQUENCES: Mapping[str, Callable[[int], float]] = {
    "checkpoint_sequence, plain operations": checkpointed_chain,
    "scan": scanned,
    "LSTM": whole_layer,
    "LSTM in checkpointed segments": checkpointed_layer,
}


# -- trainings -------------------------------------------------------------------------------------


def text_training(model: Any, steps: int, compiled: bool, watch: Callable[[Any], None]) -> None:
    ids = model.tokenizer.encode(TEXT)
    fit_text(
        model, ids, batch_size=4, length=12, steps=steps, compiled=compiled, callbacks=[watch],
        progress=False,
    )  # fmt: skip


def lstm_training(*options: Any) -> None:
    tokenizer = CharacterTokenizer.from_text(TEXT)
    config = CharacterConfig(len(tokenizer), 8, UNITS, dropout=0.1)
    text_training(CharacterModel(config, tokenizer), *options)


def gpt_training(*options: Any) -> None:
    tokenizer = CharacterTokenizer.from_text(TEXT)
    config = GPTConfig(len(tokenizer), 12, num_layers=1, num_heads=2, width=16, dropout=0.1)
    text_training(GPT(config, tokenizer), *options)


def norm_training(steps: int, compiled: bool, watch: Callable[[Any], None]) -> None:
    """Layers with running statistics, and batches of many lengths."""
    model = layers.Sequential(
        layers.Linear(8, UNITS), layers.BatchNorm1d(UNITS), layers.Tanh(), layers.Linear(UNITS, 1)
    )

    def batches(generator: np.random.Generator) -> tuple[Any, ...]:
        x = generator.standard_normal((int(generator.integers(2, 40)), 8), np.float32)
        return x, x.sum(axis=1, keepdims=True)

    def loss(model: Any, batch: tuple[Any, ...]) -> mg.Tensor:
        return mg.mse_loss(model(batch[0]), batch[1])

    options = TrainingOptions(steps=steps)
    fit(
        model, batches, options, loss=loss, compiled=compiled, callbacks=[watch], progress=False
    )  # fmt: skip


TRAININGS: Mapping[str, Callable[..., None]] = {
    "LSTM": lstm_training,
    "GPT": gpt_training,
    "BatchNorm, batches of many lengths": norm_training,
}


def memory_of(train: Callable[..., None], steps: int, compiled: bool) -> tuple[float, float]:
    """The largest memory of the first and of the last tenth of the steps, in MiB."""
    part = max(1, steps // 10)
    most = [0, 0]

    def watch(told: Any) -> None:
        for place, inside in enumerate((told.step <= part, told.step > steps - part)):
            if inside:
                most[place] = max(most[place], resident())

    mg.seed(0)
    train(steps, compiled, watch)
    return most[0] / 2**20, most[1] / 2**20


def resident() -> int:
    """Bytes of memory that this process holds now."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize()


# -- parameters ------------------------------------------------------------------------------------


def large_file() -> None:
    """A file of 8 GB, nearly all of it a hole."""
    with tempfile.TemporaryDirectory() as folder:
        path, size = Path(folder, "weights.safetensors"), 2**33
        entry = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
        header = json.dumps({"w": entry}).encode()
        with path.open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            file.truncate(8 + len(header) + size)
        mg.load(path)


PARAMETERS: Mapping[str, tuple[Callable[[], Any], str]] = {
    "a layer of 8 GB": (lambda: layers.Linear(50_000, 40_000), "Linear.weight"),
    "a table of 8 GB": (lambda: layers.Embedding(10**9, 2), "Embedding.weight"),
    "an LSTM of 8 GB": (lambda: layers.LSTM(15_000, 16_000), "LSTMCell.weight_ih"),
    "a GPT of 13 GB, in parts of 1 GB at most": (
        lambda: GPT(GPTConfig(100, width=2**13, num_heads=16)),
        ".weight",
    ),
    "a file of 8 GB": (large_file, "weights.safetensors"),
    "a layer of 1 GB, which fits": (lambda: layers.Linear(2**14, 2**14), ""),
}
"""What is made in a process that may have `LIMIT`, and what its error has to name."""


def refusal(name: str) -> str:
    """Make something, and return the error; empty where there is none.

    Raises:
        AssertionError: when it does not name what does not fit, or what fits was refused.
    """
    make, named = PARAMETERS[name]
    told = ""
    try:
        make()
    except MemoryError as error:
        told = str(error)
    if named not in told or bool(named) != bool(told) or ("GB more" not in told) == bool(named):
        raise AssertionError(f"{name}: {told or 'no error'}")
    return told


# -- all of them -----------------------------------------------------------------------------------


def measured(kind: str, name: str, size: int, compiled: bool) -> dict[str, Any]:
    """One figure, in this process."""
    began = time.perf_counter()
    found: dict[str, Any] = {}
    if kind == "sequences":
        found["value"] = SEQUENCES[name](size)
    elif kind == "trainings":
        found["first"], found["last"] = memory_of(TRAININGS[name], size, compiled)
    else:
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
        found["error"] = refusal(name)
    found["seconds"] = time.perf_counter() - began
    found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def apart(*given: Any, **settings: str) -> dict[str, Any]:
    """`measured` in a process of its own; raises AssertionError when that fails."""
    module = "benchmarks.reliability.scale"
    done = subprocess.run(
        [sys.executable, "-m", module, "--one", json.dumps(given)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", **settings},
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    if done.returncode:
        raise AssertionError(f"{given}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main(given: Sequence[str] | None = None) -> None:
    """Print a line for each figure."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reliability.scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = ("sequences", "trainings", "parameters")
    parser.add_argument("--only", choices=kinds, nargs="+", default=kinds)
    parser.add_argument("--length", type=int, default=100_000, help="steps of the sequences")
    parser.add_argument("--steps", type=int, default=10_000, help="of the trainings")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(given)
    if options.one:
        print(json.dumps(measured(*json.loads(options.one))))
        return
    ways = {"eager": {"MINIGRAD_COMPILE": "0"}, "compiled": dict[str, str]()}
    for way, settings in ways.items():
        for name in SEQUENCES if "sequences" in options.only else ():
            found = apart("sequences", name, options.length, way == "compiled", **settings)
            what = "gradient norm" if "LSTM" in name else "relative error of the gradient"
            _say(f"{name}, {way}", found, f"{what} {found['value']:.6g}")
        for name in TRAININGS if "trainings" in options.only else ():
            found = apart("trainings", name, options.steps, way == "compiled", **settings)
            told = f"{found['first']:.1f} MiB in the first tenth, {found['last']:.1f} in the last"
            _say(f"{name}, {options.steps} steps, {way}", found, told)
    for name in PARAMETERS if "parameters" in options.only else ():
        found = apart("parameters", name, 0, True)
        _say(name, found, found["error"] or "no error")


def _say(name: str, found: Mapping[str, Any], told: str) -> None:
    figures = f"{found['seconds']:.1f} s, peak {found['peak']:.0f} MiB"
    print(f"{name}: {told}; {figures}", flush=True)


if __name__ == "__main__":
    main()
