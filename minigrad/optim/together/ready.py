"""What a step of an optimiser needs to know again at the next one: which parameters go together."""

from collections.abc import Iterable, Mapping, Sequence
from operator import is_
from typing import Any, TypeAlias

from numpy import ndarray

from minigrad.core.nodes import Leaf
from minigrad.core.tensors import Tensor
from minigrad.optim.states import State
from minigrad.optim.together.gradients import is_plain

__all__ = ["Job", "Ready", "by_point"]

Job: TypeAlias = tuple[Tensor, Leaf, State, dict[str, Any]]
"""A parameter to update: its leaf, its state, and the options of its group."""

_Kept: TypeAlias = tuple[Tensor, tuple[int, ...], Any, State, dict[str, Any]]
"""As a job, with the shape and the dtype of the parameter."""


def by_point(jobs: Iterable[Job]) -> dict[Any, list[Job]]:
    """Jobs that differ in arrays alone, together; those without native code under None."""
    alike: dict[Any, list[Job]] = {}
    for job in jobs:
        alike.setdefault(_point(*job), []).append(job)
    return alike


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
    """The jobs of the last step, if native code did all of them.

    Mostly the next step has the same ones with other gradients. To see that takes a fraction of
    the time of checking and sorting them anew.
    """

    def __init__(self) -> None:
        self._groups: list[tuple[dict[str, Any], list[Tensor]]] = []
        self._alike: dict[Any, list[_Kept]] = {}
        self._idle: list[Tensor] = []  # without a gradient

    def __reduce__(self) -> Any:  # a copy of an optimiser has other parameters
        return Ready, ()

    def note(
        self,
        groups: Sequence[dict[str, Any]],
        alike: Mapping[Any, list[Job]],
        states: Mapping[Tensor, State],
    ) -> None:
        """All these jobs were done by native code."""
        self._groups = [(group, list(group["parameters"])) for group in groups]
        self._alike = {
            point: [(p, p.shape, p._array.dtype, states[p], group) for p, _, _, group in jobs]
            for point, jobs in alike.items()
        }
        busy = {id(job[0]) for jobs in alike.values() for job in jobs}
        self._idle = [p for _, some in self._groups for p in some if id(p) not in busy]

    def jobs(
        self, groups: Sequence[dict[str, Any]], states: Mapping[Tensor, State]
    ) -> dict[Any, list[Job]] | None:
        """The jobs of a step, as `by_point` gives them; None where they are to be found anew.

        Args:
            groups: of the optimiser, with options that were checked.
            states: of its parameters.
        """
        if not self._alike or len(groups) != len(self._groups):
            return None
        for group, (before, parameters) in zip(groups, self._groups, strict=True):
            now = group["parameters"]
            same = group is before and len(now) == len(parameters)
            if not same or not all(map(is_, now, parameters)):
                return None
        if any(parameter.grad is not None for parameter in self._idle):
            return None
        found: dict[Any, list[Job]] = {}
        for point, kept in self._alike.items():
            found[point] = some = []
            for parameter, shape, dtype, state, group in kept:
                leaf, value = parameter._node, parameter._array
                if leaf.__class__ is not Leaf or leaf.grad is None:
                    return None
                gradient = leaf.grad._array
                if value.__class__ is not ndarray or gradient.__class__ is not ndarray:
                    return None
                if value.dtype is not dtype or gradient.dtype is not dtype:
                    return None
                if value.shape != shape or gradient.shape != shape:
                    return None
                if states.get(parameter) is not state or not value.flags.c_contiguous:
                    return None
                some.append((parameter, leaf, state, group))
        return found
