"""A second trace of a function, with other values, that has to agree with the first."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minigrad.compiled.guarding.comparing import differences
from minigrad.compiled.guarding.guards import Guards
from minigrad.compiled.guarding.other_values import other_argument
from minigrad.compiled.trace import Traced, settle, trace, unfixed
from minigrad.ops.pytree import replace_leaves
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
    failure = ""
    for signs in (False, True):
        others = [other_argument(leaf, signs, i) for i, leaf in enumerate(leaves)]
        args, kwargs = replace_leaves(tree, others)
        try:
            return _compared(function, first, guards, args, kwargs, recording, seeded, kernels)
        except Exception as error:  # perhaps of the values alone
            failure = failure or f"{type(error).__name__}: {error}"
    return f"with other values it fails with {failure}"


def _compared(
    function: Callable[..., Any],
    first: Traced,
    guards: Guards,
    args: Any,
    kwargs: Any,
    recording: bool,
    seeded: bool,
    kernels: bool,
) -> str | None:
    with left_alone(guards, random_sources(function, args, kwargs)):
        with unfixed(first):
            second = trace(
                function, args, kwargs, {}, recording, None, seeded, kernels, before=first
            )
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


@contextlib.contextmanager
def left_alone(guards: Guards, sources: list[Any]) -> Iterator[None]:
    """A block after which generators and everything that is guarded are as they were."""
    states = [(source, state_of(source)) for source in sources]
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        guards.restore()
        for source, state in states:
            restore_state(source, state)
