"""A second trace of a function, with other values, that has to agree with the first."""

import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from minigrad.compiled.guarding.comparing import differences
from minigrad.compiled.guarding.guards import Guards
from minigrad.compiled.guarding.keys import repeated
from minigrad.compiled.guarding.other_values import other_argument, other_values, turned_values
from minigrad.compiled.trace import Traced, settle, trace, unfixed
from minigrad.compiled.tracing.stand_ins import LARGE
from minigrad.ops.pytree import replace_leaves
from minigrad.restoring import Restoring, errstate
from minigrad.transforms.generator_search import random_sources
from minigrad.transforms.recorded_draws import restore_state, state_of

__all__ = ["left_alone", "unwrite", "what_differs"]


def what_differs(
    function: Callable[..., Any],
    first: Traced,
    guards: Guards,
    tree: Any,
    leaves: list[Any],
    recording: bool,
    seeded: bool = False,
    kernels: bool = False,
) -> str | None:
    """Trace again with other values; what the two traces do not share, or None.

    Everything that is guarded, and the generators, are left as they were.

    Args:
        function: what was traced.
        first: what was seen of it.
        guards: what it read.
        tree, leaves: its arguments in their containers, and their leaves.
        recording, seeded, kernels: as it was traced.
    """

    def compared(change: Callable[..., Any], stand_ins: bool) -> str | None:
        others = [other_argument(leaf, partial(change, number=i)) for i, leaf in enumerate(leaves)]
        for i, same in repeated(leaves).items():
            others[i] = others[same]
        args, kwargs = replace_leaves(tree, others)
        again = partial(trace, function, args, kwargs, {}, recording, None, seeded, kernels, first)
        sources = random_sources(function, args, kwargs)
        return _compared(partial(again, stand_ins), first, guards, sources)

    if any(value.size >= LARGE for value in first.tracer.builder.values):
        with suppress(Exception):  # of numbers that the function never meets
            if compared(other_values, stand_ins=True) is None:
                return None
    failure = ""
    for change in (other_values, partial(other_values, signs=True), turned_values):
        try:
            return compared(change, stand_ins=False)
        except Exception as error:  # perhaps of the values alone
            failure = failure or f"{type(error).__name__}: {error}"
    return f"with other values it fails with {failure}"


def _compared(
    again: Callable[[], Traced], first: Traced, guards: Guards, sources: list[Any]
) -> str | None:
    """What a second trace does not share with the first, or None."""
    with left_alone(guards, sources), errstate(all="ignore"):
        with unfixed(first):
            second = again()
        settle(second, guards.tensors)
        unwrite(second, guards)
        changed = guards.changed()
        if changed is not None:
            return f"it changes {changed}"
    first.tracer.line = second.tracer.line
    return differences(first, second)


def unwrite(traced: Traced, guards: Guards) -> None:
    """Give the tensors from outside that a trace wrote what they held before."""
    for reference, array, node in traced.tracer.written.values():
        tensor = reference()
        if tensor is not None and id(tensor) in guards.tensors:
            tensor._array, tensor._node = array, node


class left_alone(Restoring):
    """A block after which generators and everything that is guarded are as they were.

    No warning is shown meanwhile.
    """

    def __init__(self, guards: Guards, sources: list[Any]) -> None:
        super().__init__()
        self._guards, self._sources = guards, sources

    def begin(self) -> None:
        """Note what is to be put back."""
        shown = warnings.catch_warnings()
        shown.__enter__()  # which copies the filters
        self.undone_by(self._put_back, [(s, state_of(s)) for s in self._sources], shown)
        warnings.simplefilter("ignore")

    def _put_back(self, states: list[tuple[Any, Any]], shown: "warnings.catch_warnings") -> None:
        shown.__exit__(None, None, None)
        self._guards.restore()
        for source, state in states:
            restore_state(source, state)
