"""Reading one more token of each sequence by a compiled program, once that pays.

A program serves for all lengths: keys and values lie in arrays of a few sizes, and how many of
their places are taken is a number of the call. So tokens are read by the model itself until they
are as many as compiling takes the time of, and from then on by the program.
"""

import functools
from typing import Any, Final, Protocol

import numpy as np

from layers.transformer.caches import StackCache
from minigrad import Tensor
from minigrad.compiled.backends import compiles_natively, default_backend
from minigrad.compiled.operation import Compiled
from minigrad.core.modes import current_mode
from minigrad.core.nodes import PlainArray

__all__ = ["COMPILE_AFTER", "Room", "SteppingModel", "read_one"]

COMPILE_AFTER: Final = 64
"""How many tokens a model reads one by one before it is compiled for that."""

SMALLEST_ROOM: Final = 256
"""Places that are attended to at least, though most of them be empty: then one program does."""

Room = tuple[PlainArray, PlainArray]


class SteppingModel(Protocol):
    """A model that can read a token as a function of arrays alone."""

    def __call__(self, token_ids: PlainArray, cache: StackCache) -> Tensor:
        """The logits (batch, time, vocabulary); the cache is written."""

    def step(
        self, token_ids: PlainArray, places: PlainArray, rooms: list[Room]
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """The same of one token each, and its key and value for each layer."""

    @property
    def longest(self) -> int:
        """How many places there can be."""


class _Steps:
    """How often a model read a token, and its programs.

    The model owns it, and so its programs, which refer to what they read, live as long as the
    model does. A copy of the model begins with a new one.
    """

    def __init__(self) -> None:
        self.count = 0
        self._run = Compiled(_step, 0, default_backend(), tell=_silent)

    def __reduce__(self) -> Any:
        return _Steps, ()

    def pay(self, model: Any) -> bool:
        """Whether the next token should be read by a program."""
        self.count += 1
        if self.count <= COMPILE_AFTER or not _is_same(model.__class__) or not compiles_natively():
            return False
        if current_mode().watchers or model._hooks or model._pre_hooks:
            return False
        return bool(self._run.programs) or not self._run.refusals

    def run(self, model: SteppingModel, *arrays: Any) -> Any:
        """What the model's `step` gives."""
        return self._run(model, *arrays)


def _silent(_reason: str) -> None:
    """What cannot be compiled, as with a hook, runs as it always did."""


@functools.lru_cache(maxsize=64)
def _is_same(kind: type) -> bool:
    """Whether `step` computes what `forward` does: a subclass may have another `forward` only."""
    forward, step = (
        next(place for place, one in enumerate(kind.__mro__) if name in vars(one))
        for name in ("forward", "step")
    )
    return step <= forward


def _step(model: SteppingModel, *arrays: Any) -> Any:
    return model.step(*arrays)


def read_one(model: SteppingModel, token_ids: PlainArray, cache: StackCache) -> Tensor:
    """The logits (batch, 1, vocabulary) of one more token of each sequence; the cache is written.

    Args:
        model: reads, within `minigrad.no_grad`.
        token_ids: (batch, 1).
        cache: of the tokens before, one at least, none of them padding.
    """
    steps = vars(model).get("_steps")
    if steps is None:
        steps = vars(model)["_steps"] = _Steps()  # no submodule and no state
    if not steps.pay(model):
        return model(token_ids, cache)
    taken = len(cache)
    least = max(taken + 1, min(model.longest, SMALLEST_ROOM))
    rooms = [layer.own.room(least) for layer in cache.layers]
    places = np.full(len(token_ids), taken)
    token_ids = np.ascontiguousarray(token_ids)
    logits, added = steps.run(model, token_ids, places, rooms)
    for layer, (key, value) in zip(cache.layers, added, strict=True):
        layer.own.write(key.numpy(), value.numpy())
    result: Tensor = logits
    return result
