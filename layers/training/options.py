"""How to train, and what came of it."""

import dataclasses
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from layers.training.averages import running_means, weighted_mean
from minigrad.io.state_dicts import MOST, StateDictError, entry_of, number_of, row_of

__all__ = ["History", "Progress", "TrainingOptions", "planned_rate", "share_done"]

RECENT: Final = 20  # steps that the loss in a sentence is the mean of

SCHEDULES: Final = ("constant", "linear", "cosine")

MAY_CHANGE: Final = frozenset(
    {
        "steps",
        "seconds",
        "validate_every",
        "patience",
        "checkpoint_every",
        "checkpoint_seconds",
        "log_every",
        "keep",
    }
)
"""The options that a run may change when it is resumed."""


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Attributes:
        steps: how many steps of the optimiser; None leaves it to `seconds`.
        seconds: stop after this time; None leaves it to `steps`. Whichever comes first.
        rate: the highest learning rate, reached after the warm-up.
        schedule: the way down from there, over the steps or, without `steps`, over the seconds:
            "cosine", "linear" or "constant".
        final: the share of `rate` at the end of the schedule.
        warmup: steps over which the rate rises on a line.
        betas, weight_decay: of AdamW; weights with two axes or more decay, the others do not.
        max_norm: gradients are clipped to this norm; None leaves them as they are.
        accumulate: batches of each step, whose gradient is that of one large batch.
        average: the decay of an exponential average of the weights, which is then what is
            validated and kept; None for no average.
        validate_every: steps between validations; there is always one at the end of a run.
        patience: stop after so many validations in a row that did not improve; None never does.
        keep: the weights that the model ends with when it is validated: "best" or "last".
        checkpoint_every: steps between checkpoints, when there is a folder; None leaves it to
            `checkpoint_seconds`.
        checkpoint_seconds: the longest time between them, so that slow steps are not lost; None
            leaves it to `checkpoint_every`. Whichever comes first.
        log_every: steps between lines of the log, when there is a folder.
        seed: of the generator that the batches are drawn with.

    Raises:
        ValueError: naming an option that is out of range.
    """

    steps: int | None = None
    seconds: float | None = None
    rate: float = 1e-3
    schedule: str = "cosine"
    final: float = 0.1
    warmup: int = 100
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    max_norm: float | None = 1.0
    accumulate: int = 1
    average: float | None = None
    validate_every: int = 250
    patience: int | None = None
    keep: str = "best"
    checkpoint_every: int | None = 250
    checkpoint_seconds: float | None = 60.0
    log_every: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps is None and self.seconds is None:
            raise ValueError("TrainingOptions: give steps, seconds or both")
        positive = "steps seconds rate max_norm accumulate validate_every patience checkpoint_every"
        for name in (*positive.split(), "checkpoint_seconds", "log_every"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"TrainingOptions: {name} must be above 0, got {value}")
        for name in ("warmup", "final", "weight_decay", "seed"):
            if not getattr(self, name) >= 0:
                raise ValueError(
                    f"TrainingOptions: {name} must be 0 or more, got {getattr(self, name)}"
                )
        for name, known in (("schedule", SCHEDULES), ("keep", ("best", "last"))):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"TrainingOptions: {name} must be one of {', '.join(known)}, got "
                    f"{getattr(self, name)!r}"
                )

    def fixed(self) -> dict[str, Any]:
        """The options that must stay the same when a run is resumed, as JSON knows them."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
            if name not in MAY_CHANGE
        }


def share_done(options: TrainingOptions, step: int, seconds: float) -> float:
    """How much of a run is done, between 0 and 1 or more."""
    shares = [0.0]
    if options.steps is not None:
        shares.append(step / options.steps)
    if options.seconds is not None:
        shares.append(seconds / options.seconds)
    return max(shares)


def planned_rate(options: TrainingOptions, step: int, seconds: float) -> float:
    """The rate of step 0, 1, 2, ...

    >>> options = TrainingOptions(steps=2000, rate=1.0)
    >>> [round(planned_rate(options, step, 0.0), 3) for step in (0, 49, 1000, 1999)]
    [0.01, 0.499, 0.55, 0.1]
    """
    # With steps the rate must not depend on the time, or no run could be repeated.
    done = share_done(options, step, seconds) if options.steps is None else step / options.steps
    rise = min(1.0, (step + 1) / options.warmup) if options.warmup else 1.0
    left = {
        "constant": 1.0,
        "linear": 1 - min(done, 1.0),
        "cosine": (1 + math.cos(math.pi * min(done, 1.0))) / 2,
    }[options.schedule]
    low = 1.0 if options.schedule == "constant" else options.final
    return options.rate * rise * (low + (1 - low) * left)


@dataclass(repr=False)
class History:
    """What a run was like; it goes on when the run is resumed.

    Attributes:
        losses: the loss of each step.
        weights: how many examples or tokens each of them is the mean of.
        validations: pairs of step and value; lower is better.
        best: the step and the value of the best of them; None before the first.
        stale: how many validations ago it was.
        seconds: how long the run took, all its parts together.
        interrupted: whether Ctrl-C ended it.
        stopped: why it ended before its steps or seconds were up, in words; "" if it did not.
        resumed: the step at which this part of the run began.
    """

    losses: list[float] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    validations: list[tuple[int, float]] = field(default_factory=list)
    best: tuple[int, float] | None = None
    stale: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    stopped: str = ""
    resumed: int = 0

    @property
    def step(self) -> int:
        """How many steps were made."""
        return len(self.losses)

    def __repr__(self) -> str:
        """How long the run was, and what it reached.

        >>> History([3.0, 2.0], validations=[(1, 2.5), (2, 2.6)], best=(1, 2.5), seconds=4.0)
        History(2 steps in 4 s, loss 2.5, validation 2.6, best 2.5 at step 1)
        """
        parts = [f"{self.step} steps in {self.seconds:.3g} s"]
        if self.losses:
            parts.append(f"loss {self.recent_loss(RECENT):.4g}")
        if self.validations:
            parts.append(f"validation {self.validations[-1][1]:.4g}")
        if self.best is not None:
            parts.append(f"best {self.best[1]:.4g} at step {self.best[0]}")
        ended = "interrupted" if self.interrupted else self.stopped
        return f"{type(self).__name__}({', '.join([*parts, ended] if ended else parts)})"

    def plot(self, path: "str | os.PathLike[str] | None" = None, *, log: str = "") -> Any:
        """The losses, as running means, and the validations, against the steps.

        Args:
            path: a file to write, .png, .svg or .pdf; None writes none.
            log: which axes are logarithmic: "", "x", "y" or "xy".

        Returns:
            A matplotlib Figure, which a notebook shows.

        Raises:
            MissingPackageError: when matplotlib is not installed.
            ValueError: when no step was made.
        """
        from layers.training.plots import plot_curves

        if not self.losses:
            raise ValueError("History.plot: no step was made, so there is nothing to plot")
        curves: dict[str, tuple[Any, Any]] = {"training": self.running_losses()}
        if self.validations:
            steps, values = zip(*self.validations, strict=True)
            curves["validation"] = steps, values
        file = None if path is None else Path(path)
        return plot_curves(file, curves, title="", x="step", y="loss", log=log)

    def note_step(self, loss: float, weight: float) -> None:
        """Add a step's mean loss, and what it is the mean of."""
        self.losses.append(loss)
        self.weights.append(weight)

    def recent_loss(self, steps: int) -> float:
        """The mean loss of all examples of the last so many steps; NaN before the first.

        >>> History(losses=[9.0, 1.0, 6.0], weights=[1.0, 4.0, 1.0]).recent_loss(2)
        2.0
        """
        if not self.losses:
            return math.nan
        return weighted_mean(self.losses[-steps:], self._all_weights()[-steps:])

    def running_losses(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Steps, and the mean loss of all examples up to each over a fiftieth of the run."""
        width = max(1, self.step // 50)
        means = running_means(self.losses, self._all_weights(), width)
        return np.arange(width, self.step + 1), means

    def _all_weights(self) -> list[float]:
        """A weight for each step; equal ones where those of some steps are not known."""
        known = len(self.weights) == len(self.losses)
        return self.weights if known else [1.0] * len(self.losses)

    def improves(self, value: float) -> bool:
        """Whether a validation would be the best so far."""
        return self.best is None or value < self.best[1]

    def note_validation(self, value: float) -> None:
        """Add a validation."""
        self._note((self.step, value))

    def _note(self, validation: tuple[int, float]) -> None:
        self.validations.append(validation)
        if self.improves(validation[1]):
            self.best, self.stale = validation, 0
        else:
            self.stale += 1

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """Losses and validations as arrays, for a checkpoint."""
        return {
            "losses": np.array(self.losses, np.float64),
            "weights": np.array(self.weights, np.float64),
            "validation_steps": np.array([step for step, _ in self.validations], np.int64),
            "validation_values": np.array([value for _, value in self.validations], np.float64),
            "seconds": np.array(self.seconds),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; on an error nothing is changed.

        Raises:
            StateDictError: when an entry is missing, or is not what a run can have had: losses and
                seconds are finite, validations no NaN, their steps rise up to that of the run.
        """
        owner, entries = "History.load_state_dict", {"weights": np.zeros(0), **state}
        losses, weights, steps, values = (
            row_of(f"{owner}: {name}", entry_of(owner, entries, name), low, endless)
            for name, low, endless in (
                ("losses", -math.inf, False),
                ("weights", 0, False),
                ("validation_steps", 0, False),
                ("validation_values", -math.inf, True),
            )
        )
        seconds = number_of(f"{owner}: seconds", entry_of(owner, entries, "seconds"), 0)
        if len(weights) > len(losses):  # files from before there were weights lack some
            raise StateDictError(f"{owner}: {len(weights)} weights for {len(losses)} losses")
        if not all(0 < weight <= MOST for weight in weights):
            raise StateDictError(f"{owner}: weights must be above 0, and at most 2**53")
        if len(steps) != len(values):
            raise StateDictError(
                f"{owner}: {len(steps)} validation_steps for {len(values)} validation_values"
            )
        ends = [-1.0, *steps, len(losses) + 1.0]
        if any(step % 1 for step in steps) or any(a >= b for a, b in pairwise(ends)):
            raise StateDictError(
                f"{owner}: validation_steps must rise, from 0 to {len(losses)}, got {steps!r:.80}"
            )
        read = History(losses, weights, seconds=seconds, resumed=len(losses))
        for step, value in zip(steps, values, strict=True):
            read._note((int(step), value))
        # At once, whatever Ctrl-C does; how the part of before ended is not told.
        self.__dict__ |= vars(read)


@dataclass(frozen=True)
class Progress:
    """What a callback is told after each step.

    Attributes:
        step: how many steps were made.
        loss: of this one.
        rate: the learning rate that it used.
        norm: of the gradient before clipping.
        seconds: since the start of the run.
        validation: the value of the last validation; None before the first.
        model: what is trained.
        history: all so far.
    """

    step: int
    loss: float
    rate: float
    norm: float
    seconds: float
    validation: float | None
    model: Any
    history: History
