"""What enters a graph: arguments, tensors from outside, random numbers."""

import weakref
from typing import Any

from numpy import ndarray

from minigrad.compiled.graph import PlainArray, Value, View
from minigrad.compiled.tracing.builder import Builder, same_numbers
from minigrad.compiled.tracing.called import Captured, Request
from minigrad.compiled.tracing.known import KnownArrays
from minigrad.compiled.tracing.watching import user_line
from minigrad.core.nodes import Leaf
from minigrad.ops.randomness import DrawRequest

__all__ = ["Inputs"]


class Inputs(KnownArrays):
    """The inputs of one trace; those of a second one are the values of the first, one by one.

    Args:
        before: the first trace, if this is the second one.

    Attributes:
        builder: what the values are made by.
        entered: arguments and gradients of outputs.
        captured: tensors from outside, in the order in which they were first read.
        draws: random numbers, in the order in which they were drawn.
        refusal: why the function cannot be compiled, or None; and `line`, where that was seen.
    """

    def __init__(self, before: "Inputs | None" = None) -> None:
        super().__init__(Builder(None if before is None else before.builder))
        self.entered: list[Value] = []
        self.captured: list[Captured] = []
        self.draws: list[Request] = []
        self.refusal: str | None = None
        self.line = ""
        self._before = before
        self._detached: dict[int, int] = {}  # by the identity of an array, its place in `captured`
        self._states_of_draws: dict[int, tuple[Any, View]] = {}

    def input(self, index: int, array: PlainArray, unread: bool = False) -> View:
        """Know an array as an input of the graph; or have one of its kind that nothing reads."""
        before = self._before.entered if self._before is not None else []
        count = len(self.entered)
        like = before[count] if count < len(before) else None
        if unread:
            view = self.builder.input(index, array, like)
        else:
            view = self._entered(index, array, like)
        self.entered.append(view.value)
        return view

    def capture(self, tensor: Any) -> View:
        """Know a tensor from outside as an input of the graph."""
        array = tensor._array
        before = self._before.captured if self._before is not None else []
        count = len(self.captured)
        like = before[count] if count < len(before) else None
        if like is not None and not (
            like.array is array or like.tensor() is tensor or same_numbers(like.array, array)
        ):
            like = None
        view = self._entered(-1, array, None if like is None else like.value)
        view.value.place = "captured"
        if tensor._node is None:
            self._detached[id(array)] = count
        self.captured.append(Captured(weakref.ref(tensor), array, tensor._node, view.value))
        return view

    def capture_again(self, tensor: Any) -> None:
        """Know the place in the graph, too, of a tensor that was only read detached so far."""
        leaf = isinstance(tensor._node, Leaf)
        number = self._detached.pop(id(tensor._array), None) if leaf else None
        if number is not None:
            known = self.captured[number]
            self.captured[number] = known._replace(tensor=weakref.ref(tensor), node=tensor._node)

    def drawn(self, request: DrawRequest, numbers: PlainArray, state: Any) -> View:
        """Random numbers as an input of the graph, known by the state that they come from."""
        before = self._before.draws if self._before is not None else []
        count = len(self.draws)
        view = self.builder.input(-1, numbers, before[count].value if count < len(before) else None)
        view.value.place = f"drawn by {request.name}"
        self.draws.append(Request(request, view.value))
        self._states_of_draws[id(state)] = state, view
        return view

    def drawn_again(self, state: Any) -> View | None:
        """The same numbers when they are repeated, as a checkpoint does in its backward pass."""
        _, view = self._states_of_draws.get(id(state), (None, None))
        return view

    def numbers_of(self, value: Any, array: PlainArray) -> View | None:
        """What an array is that our own code made of a value, perhaps in another dtype."""
        known = self.view_of(array) or self.drawn_again(value)
        if known is None and isinstance(value, ndarray):
            known = self.view_of(value)
            if known is not None and array.dtype.kind in "fiub":
                known = self.builder.convert(known, array.dtype)
        elif known is None and hasattr(value, "_array"):
            known = self.capture(value)
        if known is None or known.dtype != array.dtype:
            return None
        self.enter_array(array, known)
        return known

    def _entered(self, index: int, array: PlainArray, like: Value | None) -> View:
        if not array.dtype.isnative:
            self.refuse("it computes with numbers in the order of bytes of another machine")
        view = self.builder.input(index, array, like)
        self.enter_array(array, view)
        return view

    def refuse(self, reason: str) -> None:
        """Note the first reason why the function cannot be compiled."""
        if self.refusal is None:
            self.refusal, self.line = reason, user_line()
