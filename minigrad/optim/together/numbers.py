"""Plain numbers in an update rule, as expressions of what the rule was given.

A rule is run once with these in the place of its options and of the plain values of its state, such
as the count of steps. What it computes with them becomes a function, written for it, that gives the
numbers of every later step. Where the rule looked at a number to decide on its way, that function
refuses numbers by which it would go another way.
"""

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from minigrad.core.plans import compile_source

__all__ = ["Number", "Numbers", "Options", "Script", "Unfollowed", "plain"]

Numbers: TypeAlias = Callable[
    [Mapping[str, Any], Mapping[str, Any]], tuple[list[float], dict[str, Any]] | None
]
"""From a state and options to the numbers of a recipe and the plain values of the next state; None
where the rule would do something else."""

_PLAIN: Final = (float, int)


class Unfollowed(Exception):
    """An update rule does what is not done element by element; it runs on arrays."""


class Script:
    """The lines of a function from a state and options."""

    def __init__(self) -> None:
        self._lines = ["def numbers(state, options):"]
        self._scope: dict[str, Any] = {}

    def _named(self, text: str) -> str:
        name = f"x{len(self._lines)}"
        self._lines.append(f"{name} = {text}")
        return name

    def refuse(self, condition: str) -> None:
        """The rule went by the opposite of a condition."""
        self._lines.append(f"if {condition}: return None")

    def computed(self, text: str, value: Any) -> "Number":
        """The result of arithmetic."""
        return Number(self, self._named(text), value)

    def given(self, text: str, value: Any) -> Any:
        """What the rule gets in the place of a plain value.

        Args:
            text: where that is.
            value: a number, or a tuple of them; of others it is only seen whether they change.
        """
        kind, name = value.__class__, self._named(text)
        if kind in _PLAIN:
            self.refuse(f"{name}.__class__ is not {kind.__name__}")
            return Number(self, name, value)
        if kind is tuple:
            self.refuse(f"{name}.__class__ is not tuple or len({name}) != {len(value)}")
            return tuple([self.given(f"{name}[{i}]", each) for i, each in enumerate(value)])
        self._scope[f"{name}_kind"], self._scope[f"{name}_was"] = kind, value
        self.refuse(f"{name}.__class__ is not {name}_kind or {name} != {name}_was")
        return value

    def function(self, numbers: list[Any], state: Mapping[str, Any]) -> Numbers:
        """What was written, compiled.

        Args:
            numbers: those that a recipe takes.
            state: its plain values afterwards.
        """
        given = ", ".join(map(_text, numbers))
        pairs = ", ".join(f"{name!r}: {_text(value)}" for name, value in state.items())
        lines = (*self._lines, f"return [{given}], {{{pairs}}}\n")
        source = "\n    ".join(lines)
        found: Numbers = compile_source(source, "numbers of an update", dict(self._scope))[
            "numbers"
        ]
        return found


def _text(value: Any) -> str:
    """A number or a literal of the rule, as an expression.

    Raises:
        Unfollowed: it is something else.
    """
    if value.__class__ is Number:
        return str(value.text)
    if value.__class__ not in (float, int, bool) or not math.isfinite(value):
        raise Unfollowed(f"{value!r} among plain numbers")
    return repr(value)


def plain(value: Any) -> Any:
    """What a number is now; others as they are."""
    return value.value if value.__class__ is Number else value


def _operators(sign: str, function: Callable[[Any, Any], Any]) -> tuple[Any, Any]:
    """The methods of an operator: self op other, and other op self."""

    def direct(self: "Number", other: Any) -> Any:
        kind = other.__class__
        if kind is not Number and kind not in _PLAIN:
            return NotImplemented  # an array in the rule, which asks back
        value = function(self.value, plain(other))
        return self.script.computed(f"{self.text} {sign} {_text(other)}", value)

    def asked(self: "Number", other: Any) -> Any:
        if other.__class__ not in _PLAIN:
            return NotImplemented
        return self.script.computed(
            f"{_text(other)} {sign} {self.text}", function(other, self.value)
        )

    return direct, asked


class Number:
    """A plain number in a rule.

    Args:
        script: where it was computed.
        text: its name there.
        value: its value now.
    """

    __slots__ = ("script", "text", "value")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, script: Script, text: str, value: Any) -> None:
        self.script, self.text, self.value = script, text, value

    __add__, __radd__ = _operators("+", operator.add)
    __sub__, __rsub__ = _operators("-", operator.sub)
    __mul__, __rmul__ = _operators("*", operator.mul)
    __truediv__, __rtruediv__ = _operators("/", operator.truediv)
    __pow__, __rpow__ = _operators("**", operator.pow)
    __lt__, _ = _operators("<", operator.lt)
    __le__, _ = _operators("<=", operator.le)
    __gt__, _ = _operators(">", operator.gt)
    __ge__, _ = _operators(">=", operator.ge)
    __eq__, _ = _operators("==", operator.eq)
    __ne__, _ = _operators("!=", operator.ne)

    def __neg__(self) -> "Number":
        return self.script.computed(f"-{self.text}", -self.value)

    def __bool__(self) -> bool:
        """The rule goes by it."""
        taken = bool(self.value)
        self.script.refuse(f"not {self.text}" if taken else self.text)
        return taken

    def __float__(self) -> float:
        raise Unfollowed("a function of a plain number, other than arithmetic")

    __int__ = __index__ = __float__


class Options(dict[str, Any]):
    """The options of a group, as a rule gets them: those that it reads are noted.

    Args:
        script: where.
        group: the options.
    """

    def __init__(self, script: Script, group: Mapping[str, Any]) -> None:
        super().__init__()
        self._script, self._group = script, group

    def __missing__(self, name: str) -> Any:
        value = self[name] = self._script.given(f"options[{name!r}]", self._group[name])
        return value
