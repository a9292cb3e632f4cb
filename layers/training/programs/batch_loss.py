"""The loss of a batch, compiled where that is wanted and possible."""

from collections.abc import Callable
from typing import Any

import numpy as np

from layers.base.module import Module
from layers.training.averages import LossResult, loss_and_weight, own_loss, with_weight
from layers.training.programs.engine import Engine
from minigrad import Tensor
from minigrad.compiled.backends import default_backend
from minigrad.compiled.operation import MOST_PROGRAMS, Compiled
from minigrad.ops.pytree import entries

__all__ = ["BatchLoss"]


class BatchLoss:
    """The mean loss of a batch and its weight; the gradient comes with it, as one program.

    Batches of the first eight kinds, by shapes and dtypes, have programs; others run as they are
    written. Which kinds those were must be known when a run goes on, or its bits would change.

    Args:
        model: what is trained.
        loss: of model and batch; None for the model's own.
        engine: what runs it.

    Attributes:
        kinds: of the batches that have programs, in the order in which they came.
        notes: what is to be told, in words; whoever tells it clears the list.
    """

    def __init__(
        self, model: Module, loss: Callable[[Any, Any], LossResult] | None, engine: Engine
    ) -> None:
        self._model, self._own = model, loss is None
        self._loss: Callable[[Any, Any], LossResult] = loss or own_loss
        self._engine = engine
        self.kinds: list[str] = []
        self.notes: list[str] = []
        self._program: Compiled | None = None
        self._told = self._full = False
        if engine.steps != "eager":
            function: Any = loss or model.loss
            self._program = Compiled(
                function, 0, default_backend(), tell=self.notes.append, at_once=True
            )

    def __call__(self, batch: Any) -> tuple[Tensor, float]:
        """Mean and weight."""
        if self._program is None or not self._has_program(batch):
            return self.as_written(batch)
        result = self._program(*(batch if self._own else (self._model, batch)))
        if not self._told and self._program.programs:
            self._told = True
            self.notes.append(f"compiled: {self._engine}")
        return self._with_weight(result, batch)

    def as_written(self, batch: Any) -> tuple[Tensor, float]:
        """The same, recorded on the tape operation by operation."""
        return self._with_weight(self._loss(self._model, batch), batch)

    def _with_weight(self, result: LossResult, batch: Any) -> tuple[Tensor, float]:
        if self._own:
            result = with_weight(result, self._model, batch)
        return loss_and_weight(result, batch)

    def _has_program(self, batch: Any) -> bool:
        kind = kind_of(batch)
        if kind in self.kinds:
            return True
        if len(self.kinds) < MOST_PROGRAMS:
            self.kinds.append(kind)
            return True
        if not self._full:
            self._full = True
            self.notes.append(
                f"there are {MOST_PROGRAMS} programs for batches of other shapes already: those of "
                "more shapes run as they are written"
            )
        return False


def kind_of(batch: Any) -> str:
    """What batches of one program share, in words that are the same in every process.

    Checkpoints keep it.

    >>> kind_of([np.zeros((2, 3), np.float32), 7])
    'list(float32[2, 3], 7)'
    >>> kind_of({"x": np.zeros(2), "lengths": (3, None)})
    "dict('x': float64[2], 'lengths': tuple(3, None))"
    """
    parts = entries(batch)
    if parts is None:
        return _word(batch)
    words = [kind_of(part) for _, part in parts]
    if isinstance(batch, dict):
        words = [f"{kind_of(key)}: {word}" for key, word in zip(batch, words, strict=True)]
    return f"{type(batch).__qualname__}({', '.join(words)})"


def _word(leaf: Any) -> str:
    """A tensor or an array by dtype and shape, a plain value as it is, else the class."""
    if isinstance(leaf, (Tensor, np.ndarray)):
        return f"{leaf.dtype}{list(leaf.shape)}"
    plain = isinstance(leaf, (bool, int, float, complex, str, bytes, np.generic, type(None)))
    return repr(leaf) if plain else type(leaf).__name__
