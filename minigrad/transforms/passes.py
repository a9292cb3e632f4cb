"""Backward passes within a transform, run as those who look on want it."""

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any

from minigrad.core.backward import pull_back
from minigrad.core.modes import current_mode
from minigrad.core.nodes import Array, Node
from minigrad.core.observer import Observer

__all__ = ["DerivativeObserver", "observed_pull_back"]

Pass = Callable[[], dict[Node, Array]]


class DerivativeObserver(Observer):
    """Looks on at the backward passes of transforms."""

    def run_pass(self, roots: Sequence[Node], needed: AbstractSet[Node] | None, run: Pass) -> Any:
        """Run a pass back from some nodes, through those that are needed; None for all."""
        return run()

    def derivative(self, output: Node, found: dict[Node, Any]) -> None:
        """Of an output that depends on nothing else, they are `found` where its own is 1."""


def observed_pull_back(
    outputs: Sequence[tuple[Node, Any]],
    targets: Iterable[Node],
    needed: AbstractSet[Node] | None,
    **options: Any,
) -> dict[Node, Array]:
    """`pull_back`, run by those who look on at derivatives."""
    run: Pass = partial(pull_back, outputs, targets, needed=needed, **options)
    for observer in current_mode().observers:
        if isinstance(observer, DerivativeObserver):
            run = partial(observer.run_pass, [node for node, _ in outputs], needed, run)
    return run()
