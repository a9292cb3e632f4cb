"""Training runs of systems: one that Ctrl-C ends early is not measured, but ends the system."""

from collections.abc import Callable
from typing import ParamSpec

from layers import training
from layers.training import History

__all__ = ["fit", "fit_pairs", "fit_text"]

P = ParamSpec("P")


def whole(train: Callable[P, History]) -> Callable[P, History]:
    """The same training, which raises KeyboardInterrupt where the other returns early."""

    def run(*arguments: P.args, **options: P.kwargs) -> History:
        history = train(*arguments, **options)
        if history.interrupted:
            raise KeyboardInterrupt
        return history

    return run


fit = whole(training.fit)
fit_pairs = whole(training.fit_pairs)
fit_text = whole(training.fit_text)
