"""What the engine tells whoever looks on: anomaly checks, replay, recomputation, tracing."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

__all__ = ["Applied", "Drawn", "Observer"]


class Applied(NamedTuple):
    """An operation that was applied.

    Attributes:
        operation: what was called; it has a name, the function on arrays and its reference.
        inputs: the inputs as they were given: tensors, arrays and numbers.
        arrays: the same as the function got them.
        params: the parameters of the call.
        results: the arrays that the function returned, with its aux values.
        tensors: what the caller gets.
        node: its node on the tape, None when nothing is recorded.
    """

    operation: Any
    inputs: Sequence[Any]
    arrays: Sequence[Any]
    params: dict[str, Any]
    results: Sequence[Any]
    tensors: Sequence[Any]
    node: Any


Drawn = tuple[Any, Any, Any]  # random numbers, and the states of the generator before and after


class Observer:
    """Looks on at what the engine does, from within the mode: see `observed_by`.

    The engine knows nothing of its observers but these nine events. It asks only those who have
    something to do with an event, which is noted when a subclass is made. A subclass that sets
    `records_passes` has the rules of every backward pass run on tensors, to see them.
    """

    looks_at_calls = looks_at_edges = looks_at_draws = records_passes = False

    def __init_subclass__(cls) -> None:
        own = {name for name in dir(Observer) if getattr(cls, name) is not getattr(Observer, name)}
        cls.looks_at_calls = not own.isdisjoint(("call", "constant", "numbers", "instead"))
        cls.looks_at_edges = not own.isdisjoint(("edge", "of_pass"))
        cls.looks_at_draws = "draw" in own

    def instead(self, operation: Any, inputs: Sequence[Any], params: dict[str, Any]) -> Any:
        """An operation is about to run: what to take for its result, or None to run it."""

    def call(self, applied: Applied) -> None:
        """An operation was applied."""

    def constant(self, value: Any, array: Any) -> Any:
        """A value that is no tensor went into an operation as `array`; return what to keep of it.

        What is kept must hold the same numbers. Of a parameter of the call, `array` is the value
        itself, perhaps a container of arrays.
        """
        return array

    def numbers(self, value: Any, array: Any) -> Any:
        """Code of ours computes with a constant outside of operations; return what it should take.

        `array` holds the numbers of `value`, as a lengths argument or class numbers; what is
        returned must hold the same, in an array of its own that behaves as NumPy's. Nobody asks
        for it where a tensor is made of a copy, which may have another dtype than `value`.
        """
        return array

    def leave(self, tensor: Any, read_by: str = "") -> None:
        """A value goes on without its place in the graph, as after `detach`.

        `read_by` names the method that gives its numbers to Python or NumPy, such as `item`; it is
        empty where the value goes on as a tensor.
        """

    def draw(self, request: Any, ask: Callable[[], Drawn]) -> Drawn:
        """Random numbers are drawn: those of `ask()`, unless others are returned in their place."""
        return ask()

    def write(self, tensor: Any) -> None:
        """A tensor is about to be written in-place."""

    def enter(self, module: Any, scope: Any) -> None:
        """A module is called."""

    def edge(self, node: Any, gradient: Any, slot: int, source: Any, part: Any) -> None:
        """A gradient goes along an edge: `node` got `gradient`, and sends `part` to `source`.

        Where a backward pass begins, `node` is None and `slot` 0. When the gradient of a node is
        whole, before it sends anything, `source` is None and `slot` -1. A part may be a slice of a
        larger gradient, see `minigrad.core.contributions`; in a pass that is recorded, it is a
        tensor.
        """

    def of_pass(self) -> "Observer":
        """Who looks on at the edges of one backward pass: itself, or somebody with a memory."""
        return self
