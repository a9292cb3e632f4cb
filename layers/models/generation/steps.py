"""Reading one more token of each sequence by a compiled program, once that pays.

A program serves for all lengths: keys and values lie in arrays of a few sizes, and how many of
their places are taken is a number of the call. So tokens are read by the model itself until they
are as many as compiling takes the time of, and from then on by the program.
"""

import functools
from collections.abc import Callable
from typing import Any, Final, Protocol

import numpy as np

import minigrad as mg
from layers.transformer.caches import StackCache
from minigrad import Tensor
from minigrad.compiled.backends import compiles_natively, default_backend
from minigrad.compiled.operation import Compiled
from minigrad.core.modes import current_mode
from minigrad.core.nodes import PlainArray

__all__ = ["COMPILE_AFTER", "Room", "SteppingModel", "read_again", "read_one"]

COMPILE_AFTER: Final = 64
"""How many tokens a model reads one by one before it is compiled for that."""

SMALLEST_ROOM: Final = 256
"""Places that are attended to at least, though most of them be empty: then one program does."""

Room = tuple[PlainArray, PlainArray]


class SteppingModel(Protocol):
    """A model that can read a token as a function of arrays alone."""

    training: bool

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
        if self.count <= COMPILE_AFTER or not self.allowed(model):
            return False
        return bool(self._run.programs) or not self._run.refusals

    def allowed(self, model: Any) -> bool:
        """Whether nobody could tell a program from the model."""
        same = _is_same(model.__class__) and compiles_natively() and not current_mode().watchers
        return same and not model._hooks and not model._pre_hooks

    def run(self, model: SteppingModel, *arrays: Any) -> Any:
        """What the model's `step` gives."""
        return self._run(model, *arrays)

    def again(self, model: SteppingModel, *arrays: Any) -> Any:
        """The same by the program of the token before; None where that does not serve."""
        return self._run.again(model, *arrays)


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
    result: Tensor = _read(steps.run, model, token_ids, cache)
    return result


@mg.no_grad()
def read_again(model: SteppingModel, token_ids: PlainArray, cache: StackCache) -> Tensor | None:
    """As `read_one`, for a model that need not be in evaluation mode.

    The program of the token before reads what it read then, so it serves if the parts of the model
    whose modes count are in evaluation mode, too, and if nobody began to watch the model or hooked
    something to it. To know that takes less than to look for them.

    Returns:
        None, with nothing done, where that program does not serve.
    """
    steps = vars(model).get("_steps")
    if steps is None or model.training:
        return None
    found: Tensor | None = _read(steps.again, model, token_ids, cache)
    return found


def _read(
    run: Callable[..., Any], model: SteppingModel, token_ids: PlainArray, cache: StackCache
) -> Any:
    """The logits that a program gives, whose keys and values the cache takes; or None."""
    taken = len(cache)
    least = max(taken + 1, min(model.longest, SMALLEST_ROOM))
    rooms = [layer.own.room(least) for layer in cache.layers]
    places = np.array([taken] * len(token_ids))
    found = run(model, np.ascontiguousarray(token_ids), places, rooms)
    if found is None:
        return None
    logits, added = found
    for layer, (key, value) in zip(cache.layers, added, strict=True):
        layer.own.write(key._array, value._array)  # nobody watches
    return logits
