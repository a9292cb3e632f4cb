"""The progress bar of a run."""

import math

from layers.training.options import History, TrainingOptions
from minigrad.errors import require

__all__ = ["ProgressBar"]


class ProgressBar:
    """Shows on standard error the share done, steps, loss, rate, last validation and time left."""

    def __init__(self, options: TrainingOptions) -> None:
        tqdm = require("tqdm", "all", "the progress bar")
        self._steps = options.steps
        self._bar = tqdm.tqdm(
            total=100,
            bar_format="training {percentage:3.0f}%|{bar:24}| {desc}",
            mininterval=0.2,
            dynamic_ncols=True,
        )

    def show(self, history: History, rate: float, elapsed: float, done: float) -> None:
        """Move the bar to where the run is; `elapsed` is the time of this part of it."""
        begun = history.resumed / self._steps if self._steps else 0.0
        left = elapsed / (done - begun) * (1 - done) if done > begun else math.nan
        clock = "--:--" if math.isnan(left) else f"{int(left) // 60}:{int(left) % 60:02d}"
        of = "" if self._steps is None else f"/{self._steps}"
        recent = history.recent_loss(20)
        validated = f", validation {history.validations[-1][1]:.3f}" if history.validations else ""
        self._bar.set_description_str(
            f"step {history.step}{of}, loss {recent:.3f}{validated}, rate {rate:.1e}, {clock} left",
            refresh=False,
        )
        self._bar.update(min(100.0, 100 * done) - self._bar.n)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()
