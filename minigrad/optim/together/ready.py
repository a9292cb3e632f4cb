"""What a step of an optimiser needs to know again at the next one: which parameters go together."""

from collections.abc import Iterable, Sequence
from operator import is_
from typing import Any, TypeAlias

from numpy import ndarray

from minigrad.compiled.backends import array_looks
from minigrad.core.nodes import Leaf, PlainArray
from minigrad.core.tensors import Tensor
from minigrad.optim.states import State
from minigrad.optim.together.gradients import contiguous, is_plain
from minigrad.optim.together.recorded import Rule

__all__ = ["Job", "Point", "Ready", "by_point"]

Job: TypeAlias = tuple[Tensor, Leaf, State, dict[str, Any]]
"""A parameter to update: its leaf, its state, and the options of its group."""


class Point:
    """Parameters that are at the same point: their updates differ in arrays alone.

    Args:
        jobs: the parameters, with gradients and checked.

    Attributes:
        group: the options of all.
        kind: what all have in common that a recorded update depends on, beside plain numbers.
        parameters, states: of the jobs, in order.
        kept: the arrays in the states: the first of all states, then the second, ...
        leaves, values, gradients: of a step, while it runs.
        own: whether all values are known to be those of their leaves, with memory of their own
            that can be written.
        chunks: how native code cuts the work; None before the first step.
        known: whether the step before was of the same parameters and states.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.parameters, self.leaves, self.states, groups = map(list, zip(*jobs, strict=True))
        self.group: dict[str, Any] = groups[0]
        self.values: tuple[PlainArray, ...] = tuple([p._array for p in self.parameters])
        self.gradients = tuple([contiguous(leaf.grad._array) for leaf in self.leaves])
        entries = self.states[0].items()
        names = [name for name, entry in entries if entry.__class__ is ndarray]
        self.kept = tuple([state[name] for name in names for state in self.states])
        self.kind = id(self.group), self.values[0].dtype.char, *self.states[0]
        self.chunks: Any = None
        self.own = self.known = False
        self._kinds: Any = None

    @property
    def jobs(self) -> list[Job]:
        """The same, one by one."""
        found = zip(self.parameters, self.leaves, self.states, strict=True)
        return [(*each, self.group) for each in found]

    def note(self, looks: Any) -> None:
        """The next step is probably like this one."""
        kinds = [(array.shape, array.dtype) for array in (*self.values, *self.gradients)]
        self._kinds, self.known = looks.Kinds(kinds, own=len(self.values)), True

    def forget(self) -> None:
        """The step is over, and its arrays are not kept."""
        self.leaves, self.values, self.gradients = [], (), ()

    def find(self) -> bool:
        """Whether there are leaves, values and gradients like those of the step before."""
        leaves, values, gradients = [], [], []
        for parameter in self.parameters:
            leaf, value = parameter._node, parameter._array
            if leaf.__class__ is not Leaf or leaf.grad is None or leaf.value is not value:
                return False
            leaves.append(leaf)
            values.append(value)
            gradients.append(leaf.grad._array)
        self.leaves, self.values, self.gradients = leaves, tuple(values), tuple(gradients)
        if not self._kinds.are_of((*values, *gradients)):
            self.gradients = tuple(map(contiguous, gradients))
            if not self._kinds.are_of((*values, *self.gradients)):
                return False
        self.own = True
        return True


def by_point(jobs: Iterable[Job]) -> tuple[list[Point], list[Job]]:
    """Jobs that differ in arrays alone, together; and those that are not for native code."""
    alike: dict[Any, list[Job]] = {}
    for job in jobs:
        alike.setdefault(_point(*job), []).append(job)
    left = alike.pop(None, [])
    return list(map(Point, alike.values())), left


def _point(parameter: Tensor, leaf: Leaf, state: State, group: Any) -> tuple[Any, ...] | None:
    """What must be the same of two parameters whose updates differ in arrays alone.

    None for dtypes without native code, and where an array lies in memory in another order than
    that of its axes.
    """
    value = parameter._array
    if not is_plain(value) or leaf.grad._array.__class__ is not ndarray:
        return None
    point: list[Any] = [id(group), value.dtype.char]
    for name, entry in state.items():
        if entry.__class__ is not ndarray:
            point.append((name, entry))
        elif entry.flags.c_contiguous:
            point.append(name)
        else:
            return None
    return tuple(point)


class Ready:
    """The points of the last step, if native code did all of it.

    Mostly the next step has the same ones with other gradients. To see that takes a fraction of
    the time of checking and sorting them anew.

    Attributes:
        rules: what was recorded of updates, with its program, by the `kind` of the point.
    """

    def __init__(self) -> None:
        self.rules: dict[Any, tuple[Rule, Any]] = {}
        self._groups: list[tuple[dict[str, Any], list[Tensor]]] = []
        self._points: list[Point] = []
        self._idle: list[Tensor] = []  # without a gradient

    def __reduce__(self) -> Any:  # a copy of an optimiser has other parameters
        return Ready, ()

    def note(self, groups: Sequence[dict[str, Any]], points: list[Point]) -> None:
        """All these points were updated by native code."""
        looks = array_looks()
        self._points = points if looks is not None else []
        for point in self._points:
            point.note(looks)
        self._groups = [(group, list(group["parameters"])) for group in groups]
        busy = {id(parameter) for point in points for parameter in point.parameters}
        self._idle = [p for _, some in self._groups for p in some if id(p) not in busy]

    def points(self, groups: Sequence[dict[str, Any]]) -> list[Point] | None:
        """The points of a step, as `by_point` gives them; None where they are to be found anew.

        Args:
            groups: of the optimiser, with options that were checked.
        """
        if not self._points or len(groups) != len(self._groups):
            return None
        for group, (before, parameters) in zip(groups, self._groups, strict=True):
            now = group["parameters"]
            same = group is before and len(now) == len(parameters)
            if not same or not all(map(is_, now, parameters)):
                return None
        if any(parameter.grad is not None for parameter in self._idle):
            return None
        if not all(map(Point.find, self._points)):
            self._points = []
            return None
        return self._points
