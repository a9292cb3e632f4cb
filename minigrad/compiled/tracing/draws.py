"""Random numbers of a compiled call: asked for at each, and given again where the function runs."""

from collections.abc import Callable, Sequence
from typing import Any

from minigrad.core.observer import Drawn, Observer
from minigrad.ops.randomness import DrawRequest, default_generator

__all__ = ["Draw", "Repeat"]


class Repeat(Observer):
    """Gives draws the numbers of the call, in order."""

    def __init__(self, numbers: Sequence[Any]) -> None:
        self._numbers = iter(numbers)

    def draw(self, request: DrawRequest, ask: Callable[[], Drawn]) -> Drawn:
        """The next ones; the generator stays where it is."""
        state = request.generator.bit_generator.state
        return next(self._numbers), state, state


class Draw:
    """Random numbers that a program asks for at each call."""

    def __init__(self, request: DrawRequest) -> None:
        self._request = request
        self._default = request.generator is default_generator()

    def numbers(self, mode: Any, other: Callable[[DrawRequest], DrawRequest] | None = None) -> Any:
        """New ones, from the generator that the function would ask; perhaps others than traced."""
        request = self._request
        if self._default and request.generator is not default_generator():
            self._request = request = request._replace(generator=default_generator())
        if other is not None:
            request = other(request)
        observers = [o for o in mode.observers if o.looks_at_draws]
        return request.drawn_by(observers)[0] if observers else request.straight()
