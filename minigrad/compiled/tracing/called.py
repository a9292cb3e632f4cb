"""What a trace keeps besides values: tensors from outside, draws, operations run as they are."""

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from minigrad.compiled.graph import PlainArray, Value
from minigrad.core.observer import Drawn, Observer
from minigrad.ops.pytree import labelled_leaves, replace_leaves
from minigrad.ops.randomness import DrawRequest, default_generator

__all__ = ["ATOMS", "CalledOperation", "Captured", "Draw", "Refused", "Repeat", "Request"]
__all__ += ["of_leaves"]

ATOMS = (int, float, bool, str, type(None), type)
"""Parameters that hold nothing."""


class Refused(Exception):
    """A function cannot be compiled; the message says why."""


class Captured(NamedTuple):
    """A tensor that the function read without being given it.

    Attributes:
        tensor: a weak reference to it.
        array, node: what it held when it was first read.
        value: the input of the graph that stands for it.
    """

    tensor: "weakref.ref[Any]"
    array: PlainArray
    node: Any
    value: Value


class Request(NamedTuple):
    """Random numbers that the function drew.

    Attributes:
        request: what was asked for.
        value: the input of the graph that stands for the numbers.
    """

    request: DrawRequest
    value: Value


class CalledOperation:
    """An operation that runs as it is, on arrays.

    Calls of minigrad's own operations with equal parameters are equal, so that on the same arrays
    they become one; what a user's operation does besides nobody knows.

    Attributes:
        name: of the operation.
        shapes, dtypes: of the arrays that it returned; None for what was no array.
        fresh: whether each result is an array of its own that nobody else keeps.
    """

    def __init__(
        self,
        operation: Any,
        inputs: Sequence[Any],
        params: dict[str, Any],
        places: Sequence[int | None],
        results: Sequence[Any],
        fresh: bool = False,
    ) -> None:
        self.name: str = operation.name
        self.fresh = fresh
        # What enters is not kept: it would live as long as the program.
        entering = {place for place in places if place is not None}
        self._inputs = [None if i in entering else value for i, value in enumerate(inputs)]
        self._operation, self._params, self._places = operation, params, places
        leaves = [leaf for _, leaf in labelled_leaves(params)]
        pairs_of_leaves = zip(leaves, params.values(), strict=False)
        flat = len(leaves) == len(params) and all(x is y for x, y in pairs_of_leaves)
        self._names = list(params) if flat else None  # of the leaves, if they are the parameters
        arrays = [result.__class__ is ndarray for result in results]
        pairs = list(zip(results, arrays, strict=True))
        self.shapes = [r.shape if known else None for r, known in pairs]
        self.dtypes = [r.dtype if known else None for r, known in pairs]

    def run(self, arrays: Sequence[PlainArray]) -> list[Any]:
        """The results for other arrays.

        Raises:
            Refused: when they have other shapes or dtypes than those that were traced.
        """
        given = list(self._inputs)
        leaves, params = None, self._params
        if self._names is not None:
            params = dict(params)
        for array, place in zip(arrays, self._places, strict=True):
            if place is None:
                continue
            if place < len(given):
                given[place] = array
            elif self._names is not None:
                params[self._names[place - len(given)]] = array
            else:
                if leaves is None:
                    leaves = [leaf for _, leaf in labelled_leaves(self._params)]
                leaves[place - len(given)] = array
        if leaves is not None:
            params = replace_leaves(params, leaves)
        operation = self._operation
        found = operation.forward(*((given,) if operation.list_input else given), **params)
        results = list(found) if isinstance(found, tuple) else [found]
        for i, (shape, dtype) in enumerate(zip(self.shapes, self.dtypes, strict=True)):
            if shape is None:
                continue
            results[i] = array = np.asarray(results[i])
            if array.shape != shape:
                raise Refused(f"{self.name} gave the shape {array.shape}, where it had {shape}")
            results[i] = array.astype(dtype, copy=False)
        return results

    @property
    def fixed(self) -> list[Any]:
        """What does not enter as an array, to compare two traces."""
        leaves = [leaf for _, leaf in labelled_leaves(self._params)]
        values = [*self._inputs, *leaves]
        entered = set(self._places)
        return [None if i in entered else value for i, value in enumerate(values)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CalledOperation) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @functools.cached_property
    def _key(self) -> Any:
        if not getattr(self._operation.forward, "__module__", "").startswith("minigrad."):
            return id(self)
        fixed = [(v.__class__, repr(v)) if isinstance(v, ATOMS) else id(v) for v in self.fixed]
        return id(self._operation), tuple(self._places), tuple(fixed), self.fresh

    def __repr__(self) -> str:
        return self.name


def of_leaves(function: Any, tree: Any) -> Callable[..., Any]:
    """A function of the leaves of its arguments, positional and named."""

    def run(*leaves: Any) -> Any:
        args, options = replace_leaves(tree, leaves)
        return np.asarray(function(*args, **options))

    return run


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
