"""Derivatives as functions of functions, and of graphs already recorded."""

from collections.abc import Sequence
from typing import Any, overload

from minigrad import tape
from minigrad.errors import GradientError, describe
from minigrad.nodes import Node
from minigrad.tensors import Tensor, seed_gradient, wrap

__all__ = ["gradients"]


@overload
def gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor,
    create_graph: bool | None = None,
    *,
    gradient: Any = None,
) -> Tensor: ...
@overload
def gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Sequence[Tensor],
    create_graph: bool | None = None,
    *,
    gradient: Any = None,
) -> list[Tensor]: ...
def gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    create_graph: bool | None = None,
    *,
    gradient: Any = None,
) -> Tensor | list[Tensor]:
    """The gradients of outputs with respect to tensors of a recorded graph.

    The graph stays usable, and `.grad` of no tensor is touched.

    Args:
        outputs: a tensor, or several whose gradients are added.
        inputs: the tensors to differentiate by; leaves or computed ones.
        create_graph: record the derivative, so that it can be differentiated again. None records
            it when the outputs depend on anything that requires grad besides the named inputs.
        gradient: where the outputs are not scalars, the gradient to start from (for several
            outputs a sequence of them).

    Returns:
        One gradient for each input, in the form in which `inputs` was given.

    Raises:
        GradientError: when an input does not require grad or no output depends on it.

    >>> x = Tensor(3.0, requires_grad=True)
    >>> slope = gradients(x * x * x, x, create_graph=True)
    >>> slope.item(), gradients(slope, x).item()
    (27.0, 18.0)
    """
    single = isinstance(inputs, Tensor)
    wanted: Sequence[Tensor] = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    several: Sequence[Tensor] = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    seeds = [gradient] if isinstance(outputs, Tensor) else (gradient or [None] * len(several))
    for i, tensor in enumerate(wanted):
        if tensor._node is None:
            raise GradientError(
                f"gradients: inputs[{i}] {describe(tensor)} does not require grad; make it with "
                "requires_grad=True before the outputs are computed from it."
            )
    targets = [t._node for t in wanted if t._node is not None]
    found, _ = pull_back(several, seeds, targets, create_graph)
    missing = [i for i, node in enumerate(targets) if node not in found]
    if missing:
        raise GradientError(
            f"gradients: no output depends on inputs[{missing[0]}] {describe(wanted[missing[0]])}. "
            "Was it used in computing them, and was nothing detached on the way?"
        )
    results = [g if isinstance(g := found[node], Tensor) else wrap(g, None) for node in targets]
    return results[0] if single else results


def pull_back(
    outputs: Sequence[Tensor],
    seeds: Sequence[Any],
    targets: Sequence[Node],
    create_graph: bool | None,
) -> tuple[dict[Node, Any], bool]:
    """The gradients that arrive at the targets, and whether they were recorded."""
    pairs = [
        (out._node, out, seed)
        for out, seed in zip(outputs, seeds, strict=True)
        if out._node is not None
    ]
    needed, beyond = tape.needed_nodes([node for node, _, _ in pairs], targets)
    recorded = beyond if create_graph is None else create_graph
    roots = [(node, seed_gradient(out, seed, recorded)) for node, out, seed in pairs]
    found = tape.run_backward(
        roots,
        needed=needed,
        keep=set(targets),
        retain=True,
        wrap=wrap,
        recorded=recorded,
    )
    return found, recorded
