"""An update rule run on stand-ins for arrays, which note what is done at each element.

So the rule in NumPy is the only one there is: it is run once for all parameters that are at the
same point, and what it did becomes a recipe, and a function that gives the numbers in it. A branch
that the rule takes at another step makes another recipe; numbers never do.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from minigrad.compiled.graph import COMPARISONS
from minigrad.compiled.recipes import Recipe, Step
from minigrad.optim.states import State
from minigrad.optim.together.numbers import Number, Numbers, Options, Script, Unfollowed, plain

__all__ = ["Rule", "recorded"]

_ARITHMETIC: Final = frozenset({"add", "subtract", "multiply", "divide", "negative", "absolute"})
_UFUNCS: Final = COMPARISONS | _ARITHMETIC | {"maximum", "minimum", "sqrt", "sign"}


class Rule(NamedTuple):
    """What an update rule does.

    Attributes:
        recipe: at each element: it reads the value, the gradient, and the arrays of the state in
            order, and writes the new value and those.
        numbers: with which numbers, and which plain values the state has afterwards.
    """

    recipe: Recipe
    numbers: Numbers


class Recorder:
    """Notes what is done at each element, and the numbers beside arrays."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.numbers: list[Any] = []

    def note(self, op: str, operands: tuple[int, ...], dtype: str) -> int:
        """Another step; returns its number."""
        self.steps.append((op, operands, dtype))
        return len(self.steps) - 1

    def array(self, dtype: str) -> "_StandIn":
        """The stand-in of an array that is given."""
        return _StandIn(self, self.note("array", (), dtype), dtype)

    def number(self, value: Any, dtype: str) -> int:
        """A number, which NumPy would give the dtype of the arrays beside it."""
        if value.__class__ not in (Number, float, int, bool):
            raise Unfollowed(f"a {type(value).__name__} beside arrays")
        self.numbers.append(value)
        return self.note("number", (), dtype)


def recorded(
    rule: Callable[[Any, Any, State, Mapping[str, Any]], Any],
    dtype: str,
    state: State,
    options: Mapping[str, Any],
) -> tuple[Rule, tuple[list[float], dict[str, Any]]]:
    """What a rule does, and what its `numbers` are of this state and these options.

    Args:
        rule: takes the value of a parameter, its gradient, its state and options, and returns the
            new value; arrays of the state may be written.
        dtype: of all arrays.
        state: before the step, with arrays, which are not touched, and plain values.

    Raises:
        Unfollowed: it does something else, such as beginning another array of the state.
    """
    recorder, script = Recorder(), Script()
    value, gradient = recorder.array(dtype), recorder.array(dtype)
    held: State = {}
    for name, entry in state.items():
        if entry.__class__ is np.ndarray:
            held[name] = recorder.array(dtype)
        else:
            one_more = " + 1" if name == "steps" else ""
            now = entry + 1 if one_more else entry
            held[name] = script.given(f"state[{name!r}]{one_more}", now)
    names = [name for name, entry in state.items() if entry.__class__ is np.ndarray]
    given = Options(script, options)
    try:
        result = rule(value, -gradient if given["maximize"] else gradient, held, given)
    except TypeError as error:  # as of a function of plain numbers that takes floats alone
        raise Unfollowed("a rule that asks for more than stand-ins have") from error
    if held.keys() != state.keys() or (value.at, gradient.at) != (0, 1):
        raise Unfollowed("a rule that begins states, or writes what it is given")
    written = [result, *[held.pop(name) for name in names]]
    if any(each.__class__ is not _StandIn or each.dtype != dtype for each in written):
        raise Unfollowed("a rule with results of other kinds")
    recipe = Recipe(tuple(recorder.steps), tuple([each.at for each in written]))
    found = Rule(recipe, script.function(recorder.numbers, held))
    return found, (list(map(plain, recorder.numbers)), {k: plain(v) for k, v in held.items()})


def _operators(name: str) -> tuple[Any, Any, Any]:
    """The operators of an operation: x1 op x2, with x2 asked, and in-place."""

    def direct(self: "_StandIn", other: Any) -> "_StandIn":
        operands = self.at, self._beside(other)
        return _StandIn(self._recorder, self._recorder.note(name, operands, self.dtype), self.dtype)

    def asked(self: "_StandIn", other: Any) -> "_StandIn":
        operands = self._beside(other), self.at
        return _StandIn(self._recorder, self._recorder.note(name, operands, self.dtype), self.dtype)

    def in_place(self: "_StandIn", other: Any) -> "_StandIn":
        self.at = self._recorder.note(name, (self.at, self._beside(other)), self.dtype)
        return self

    return direct, asked, in_place


class _StandIn(NDArrayOperatorsMixin):
    """An array in an update rule: a cell that holds the number of a step.

    Attributes:
        at: the step that computed what is in it now.
        dtype: the name of that dtype.
    """

    __slots__ = ("_recorder", "at", "dtype")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, recorder: Recorder, at: int, dtype: str) -> None:
        self._recorder, self.at, self.dtype = recorder, at, dtype

    __add__, __radd__, __iadd__ = _operators("add")
    __sub__, __rsub__, __isub__ = _operators("subtract")
    __mul__, __rmul__, __imul__ = _operators("multiply")
    __truediv__, __rtruediv__, __itruediv__ = _operators("divide")

    def _beside(self, other: Any) -> int:
        """The other operand of arithmetic."""
        kind = self.dtype
        if kind == "bool":
            raise Unfollowed("arithmetic of booleans")
        if other.__class__ is not _StandIn:
            return self._recorder.number(other, kind)
        if other.dtype != kind:
            raise Unfollowed("arithmetic of several dtypes")
        at: int = other.at
        return at

    def __array_ufunc__(
        self, ufunc: Any, method: str, *inputs: Any, out: Any = (None,), **options: Any
    ) -> Any:
        name, kind = ufunc.__name__, self.dtype
        if method != "__call__" or options or name not in _UFUNCS or kind == "bool":
            raise Unfollowed(f"{name} of arrays")
        operands = []
        for each in inputs:
            if each.__class__ is not _StandIn:
                operands.append(self._recorder.number(each, kind))
            elif each.dtype == kind:
                operands.append(each.at)
            else:
                raise Unfollowed(f"{name} of arrays of several dtypes")
        made = "bool" if name in COMPARISONS else kind
        return self._result(self._recorder.note(name, tuple(operands), made), made, out[0])

    def _operand(self, given: Any, dtype: str) -> int:
        if given.__class__ is not _StandIn:
            return self._recorder.number(given, dtype)
        at: int = given.at
        return at if given.dtype == dtype else self._recorder.note("convert", (at,), dtype)

    def _result(self, at: int, dtype: str, out: Any = None) -> "_StandIn":
        if out is None:
            return _StandIn(self._recorder, at, dtype)
        if out.__class__ is not _StandIn or out.dtype != dtype:
            raise Unfollowed("a result written to an array of another kind")
        out.at = at
        given: _StandIn = out
        return given

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        known = {np.where: self._where, np.clip: self._clip}.get(function)
        if known is None or kwargs:
            raise Unfollowed(f"{function.__name__} of arrays")
        return known(*args)

    def _where(self, condition: Any, x: Any, y: Any) -> "_StandIn":
        found = [each.dtype for each in (x, y) if each.__class__ is _StandIn]
        dtype = found[0] if found else "float64"
        if condition.__class__ is not _StandIn or condition.dtype != "bool" or len({*found}) > 1:
            raise Unfollowed("where of arrays of several dtypes")
        operands = condition.at, self._operand(x, dtype), self._operand(y, dtype)
        return self._result(self._recorder.note("where", operands, dtype), dtype)

    def _clip(self, x: Any, low: Any, high: Any) -> Any:
        return np.minimum(np.maximum(x, low), high)

    def __setitem__(self, index: Any, value: Any) -> None:
        if index is not Ellipsis or value.__class__ is not _StandIn or value.dtype != self.dtype:
            raise Unfollowed("a part of an array written")
        self.at = value.at

    def astype(self, dtype: Any) -> "_StandIn":
        """The same numbers in another dtype."""
        name = np.dtype(dtype).name
        return self._result(self._operand(self, name), name)

    def copy(self) -> "_StandIn":
        """The same numbers."""
        return self._result(self.at, self.dtype)

    def __getattr__(self, name: str) -> Any:
        raise Unfollowed(f"{name} of an array")

    def __bool__(self) -> bool:
        raise Unfollowed("a branch on an array")
