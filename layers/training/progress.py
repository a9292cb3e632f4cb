"""How far a run is: a bar on a terminal; lines now and then in a pipe, a file or a log."""

import math
import sys
import time
from contextlib import suppress
from typing import Any, Final

from layers.training.options import RECENT, History, TrainingOptions
from minigrad.io.packages import require

__all__ = ["ProgressBar", "say"]

SHORTEST_BAR: Final = 6  # columns
LONGEST_BAR: Final = 24
LEFT_OUT: Final = ("rate", "validation", "left", "loss")
"""The numbers that a narrow terminal has no room for, the first to go first."""
LINE_SECONDS: Final = 5.0  # between lines where there is no terminal


def say(line: str) -> None:
    """Print a line on standard error; where nobody reads it any more, nothing happens."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(line, file=sys.stderr, flush=True)


def overwrites(stream: Any) -> bool:
    """Whether a line can be written over: on a terminal, and in the output of a notebook."""
    if stream is None or stream.closed:
        return False
    return bool(stream.isatty()) or type(stream).__module__.startswith("ipykernel")


def short(value: float) -> str:
    """A number in few characters.

    >>> short(2.0), short(123456.7), short(1e306)
    ('2.000', '123456.700', '1.00e+306')
    """
    return f"{value:.3f}" if abs(value) < 1e6 else f"{value:.2e}"


class ProgressBar:
    """Shows on standard error the share done, steps, loss, last validation, rate and time left.

    A narrow terminal keeps the numbers: first the bar gets shorter, then the rate, the validation
    and the time are left out. A reader that has gone does not end the run.
    """

    def __init__(self, options: TrainingOptions) -> None:
        self._steps = options.steps
        self._bar: Any = None
        self._next = time.monotonic() + LINE_SECONDS
        self._line = ""  # the last one, as long as it is not printed
        if overwrites(sys.stderr):
            self._bar = require("tqdm", "all", "the progress bar").tqdm(
                total=100, bar_format="training", mininterval=0.2, dynamic_ncols=True
            )

    def show(self, history: History, rate: float, elapsed: float, done: float) -> None:
        """Move the bar to where the run is; `elapsed` is the time of this part of it."""
        percent = min(100.0, 100 * done)
        parts = self._parts(history, rate, elapsed, done)
        if self._bar is None:
            self._line = f"training {percent:3.0f}%: {', '.join(parts.values())}"
            # The first line comes with the second step, whose time tells how long the others take.
            if history.step - history.resumed == 2 or time.monotonic() >= self._next:
                self._print()
            return
        with suppress(OSError, ValueError):
            self._bar.bar_format = bar_format(parts, self._bar.format_dict["ncols"] or 80)
            self._bar.update(percent - self._bar.n)

    def _parts(self, history: History, rate: float, elapsed: float, done: float) -> dict[str, str]:
        """The numbers in words, by name."""
        begun = history.resumed / self._steps if self._steps else 0.0
        left = elapsed / (done - begun) * (1 - done) if done > begun else math.nan
        clock = "--:--" if math.isnan(left) else f"{int(left) // 60}:{int(left) % 60:02d}"
        of = "" if self._steps is None else f"/{self._steps}"
        parts = {
            "step": f"step {history.step}{of}",
            "loss": f"loss {short(history.recent_loss(RECENT))}",
        }
        if history.validations:
            parts["validation"] = f"validation {short(history.validations[-1][1])}"
        return {**parts, "rate": f"rate {rate:.1e}", "left": f"{clock} left"}

    def _print(self) -> None:
        say(self._line)
        self._line, self._next = "", time.monotonic() + LINE_SECONDS

    def say(self, line: str) -> None:
        """Print a line, above the bar if there is one."""
        if self._bar is None:
            say(line)
            return
        with suppress(OSError, ValueError):
            self._bar.write(line, file=sys.stderr)

    def close(self) -> None:
        """Leave the bar as it stands, or print where the run ended."""
        if self._bar is not None:
            with suppress(OSError, ValueError):
                self._bar.close()
        elif self._line:
            self._print()


def bar_format(parts: dict[str, str], columns: int) -> str:
    """What tqdm shows of a run within so many columns, the bar in what the numbers leave.

    >>> parts = {"step": "step 7/9", "loss": "loss 2.10", "rate": "rate 1e-03", "left": "0:02 left"}
    >>> bar_format(parts, 80)
    'training {percentage:3.0f}%|{bar:22}| step 7/9, loss 2.10, rate 1e-03, 0:02 left'
    >>> bar_format(parts, 45)
    '{percentage:3.0f}%|{bar:8}| step 7/9, loss 2.10, 0:02 left'
    >>> bar_format(parts, 25)
    '{percentage:3.0f}% step 7/9, loss 2.10'
    """
    kept = dict(parts)
    for name in ("", *LEFT_OUT):
        kept.pop(name, None)
        text = ", ".join(kept.values())
        for word in ("training ", ""):
            room = columns - len(f"{word}100%|| {text}")
            if room >= SHORTEST_BAR:
                return f"{word}{{percentage:3.0f}}%|{{bar:{min(LONGEST_BAR, room)}}}| {text}"
        if len(f"100% {text}") <= columns:
            return f"{{percentage:3.0f}}% {text}"
    return text
