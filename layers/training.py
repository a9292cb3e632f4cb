"""The training loop of the character models."""

import math
import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import minigrad as mg
from layers.datasets import random_windows
from layers.models.character import CharacterModel
from minigrad.errors import GradientError, require
from minigrad.optim import Adam, clip_grad_norm

__all__ = ["History", "TrainingOptions", "mean_loss", "one_blas_thread", "train"]


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Attributes:
        steps: how many steps; None leaves it to `seconds`.
        seconds: stop after this time; None leaves it to `steps`.
        batch_size, length: windows per step, and characters per window.
        rate: the highest learning rate, reached after the warm-up; it falls along a cosine to a
            tenth, over the steps or, without `steps`, over the seconds.
        warmup: steps over which the rate rises.
        max_norm: gradients are clipped to this norm.
        seed: of the windows.
    """

    steps: int | None = None
    seconds: float | None = 60.0
    batch_size: int = 32
    length: int = 64
    rate: float = 5e-3
    warmup: int = 100
    max_norm: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps is None and self.seconds is None:
            raise ValueError("TrainingOptions: give steps, seconds or both")
        for name in ("steps", "seconds"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"TrainingOptions: {name} must be above 0, got {value}")


@dataclass
class History:
    """What a run was like.

    Attributes:
        losses: the loss of each step, in nats per character.
        seconds: how long it took.
        interrupted: whether Ctrl-C ended it.
    """

    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False


def mean_loss(model: CharacterModel, batches: Sequence[tuple[Any, Any]]) -> float:
    """The mean loss over batches of windows, each from a zero state, in nats per character."""
    with mg.no_grad():
        return float(np.mean([model.loss(codes, targets).item() for codes, targets in batches]))


def train(
    model: CharacterModel, data: Any, options: TrainingOptions, *, progress: bool = True
) -> History:
    """Train a model on a sequence of codes with Adam; Ctrl-C ends the run and keeps the model.

    Args:
        model: changed in place.
        data: codes (time,).
        options: how.
        progress: whether to show a bar on standard error.

    Raises:
        GradientError: when the loss or the gradient is not finite; the model stays as it was
            before that step.
    """
    with one_blas_thread():
        return _train(model, data, options, progress)


def one_blas_thread() -> AbstractContextManager[object]:
    """A block in which NumPy's matrix products use one thread, unless the user chose a number.

    The matrices of a small model are too small to be shared: two threads gain a third at best on
    an idle machine, and on a busy one they wait for each other and lose a factor of ten.
    """
    if any(name in os.environ for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")):
        return nullcontext()
    library = require("threadpoolctl", "all", "choosing the number of threads")
    limits: AbstractContextManager[object] = library.threadpool_limits(1, user_api="blas")
    return limits


def _train(model: CharacterModel, data: Any, options: TrainingOptions, progress: bool) -> History:
    generator = np.random.default_rng(options.seed)
    optimizer = Adam(model.parameters(), betas=(0.9, 0.99))
    history = History()
    bar = _Bar(options) if progress else None
    start = time.perf_counter()
    model.train()
    try:
        while True:
            elapsed = time.perf_counter() - start
            done = _share_done(options, len(history.losses), elapsed)
            if done >= 1:
                break
            rise = min(1.0, (len(history.losses) + 1) / options.warmup)
            optimizer.rate = options.rate * rise * (0.55 + 0.45 * math.cos(math.pi * done))
            codes, targets = random_windows(data, options.batch_size, options.length, generator)
            loss = model.loss(codes, targets)
            value = loss.item()
            if not math.isfinite(value):
                raise GradientError(
                    f"train: the loss is {value} at step {len(history.losses)}; a lower rate than "
                    f"{options.rate} may help, and minigrad.anomaly_mode() finds the operation."
                )
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm(optimizer.parameters, options.max_norm)
            optimizer.step()
            history.losses.append(value)
            if bar:
                bar.show(history.losses, optimizer.rate, elapsed, done)
    except KeyboardInterrupt:
        history.interrupted = True
    finally:
        history.seconds = time.perf_counter() - start
        if bar:
            bar.close()
        model.eval()
    return history


def _share_done(options: TrainingOptions, steps: int, elapsed: float) -> float:
    shares = [0.0]
    if options.steps is not None:
        shares.append(steps / options.steps)
    if options.seconds is not None:
        shares.append(elapsed / options.seconds)
    return max(shares)


class _Bar:
    """A progress bar: share done, steps, loss, rate, time left."""

    def __init__(self, options: TrainingOptions) -> None:
        tqdm = require("tqdm", "all", "the progress bar")
        self._steps = options.steps
        self._bar = tqdm.tqdm(
            total=100,
            bar_format="training {percentage:3.0f}%|{bar:24}| {desc}",
            mininterval=0.2,
            dynamic_ncols=True,
        )

    def show(self, losses: list[float], rate: float, elapsed: float, done: float) -> None:
        """Move the bar to where the run is."""
        left = elapsed / done * (1 - done) if done else math.nan
        clock = "--:--" if math.isnan(left) else f"{int(left) // 60}:{int(left) % 60:02d}"
        of = "" if self._steps is None else f"/{self._steps}"
        recent = float(np.mean(losses[-20:]))
        self._bar.set_description_str(
            f"step {len(losses)}{of}, loss {recent:.3f}, rate {rate:.1e}, {clock} left",
            refresh=False,
        )
        self._bar.update(min(100.0, 100 * done) - self._bar.n)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()
