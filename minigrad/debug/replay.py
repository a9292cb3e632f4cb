"""Replay: recorded calls run again, with the recorded values of their inputs or with others."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from minigrad.core.conversion import to_array
from minigrad.core.errors import DetachError, DtypeError, GradientError, ShapeError, describe
from minigrad.core.modes import ModeChange, current_mode
from minigrad.core.nodes import Leaf, Node, PlainArray, place
from minigrad.core.tensors import Tensor, wrap
from minigrad.debug.calls import Call, Constant, Result
from minigrad.ops.pytree import replace_leaves

__all__ = ["Recording"]


class Recording:
    """What replay knows of the outputs of a graph.

    Args:
        outputs: the outputs in their containers.
        sources: where each of them came from.
    """

    def __init__(self, outputs: Any, sources: Sequence[Constant | Result]) -> None:
        self.containers = replace_leaves(outputs, range(len(sources)))
        self.sources = sources

    def replay(self, leaves: Any, order: Sequence[Leaf]) -> Any:
        """The outputs computed again; see `minigrad.debug.graph_view.Graph.replay`.

        Args:
            leaves: new values for leaves, or None.
            order: the leaves of the graph.
        """
        for source in self.sources:
            if isinstance(source, Constant) and source.leaf is None:
                raise GradientError(
                    "replay: this graph was not recorded for it. Compute the outputs inside "
                    "`with minigrad.recording(replay=True):`."
                )
        values = {} if leaves is None else self._new_values(leaves, order)
        results = run(self.sources, values)
        return replace_leaves(self.containers, [wrap(result, None) for result in results])

    def _new_values(self, leaves: Any, order: Sequence[Leaf]) -> dict[Any, PlainArray]:
        """New values for a replay, by the leaf or the identity of the array that they replace."""
        _, constants = needed(self.sources)
        check_rules(constants)
        inputs: dict[Any, Any] = {
            id(constant.array) if constant.leaf is None else constant.leaf: constant.array
            for constant in constants
        }
        if not isinstance(leaves, Mapping):
            order = [leaf for leaf in order if leaf in inputs]
            if len(leaves) != len(order):
                raise ShapeError(
                    f"replay: {len(leaves)} values for the {len(order)} leaves of the graph: "
                    f"{', '.join(leaf_label(leaf) for leaf in order)}"
                )
            pairs: list[tuple[Any, Any, str]] = [
                (leaf, value, leaf_label(leaf)) for leaf, value in zip(order, leaves, strict=True)
            ]
        else:
            pairs = []
            for tensor, value in leaves.items():
                if not isinstance(tensor, Tensor):
                    raise TypeError(
                        f"replay: the keys must be tensors, got {type(tensor).__name__} "
                        f"{describe(tensor)}"
                    )
                node = tensor._node
                key = node if isinstance(node, Leaf) else id(tensor._array)
                if key not in inputs:
                    name = leaf_label(node) if isinstance(node, Leaf) else describe(tensor)
                    made = "" if tensor.is_leaf or node is None else f", it is made by {node.where}"
                    raise GradientError(
                        f"replay: {name} is no input of this graph{made}. Its leaves are "
                        f"{', '.join(map(leaf_label, order)) or 'none'}; tensors that do not "
                        "require grad are known as long as they are not written."
                    )
                pairs.append((key, value, leaf_label(node) if isinstance(node, Leaf) else "input"))
        return {key: new_value(value, inputs[key], label) for key, value, label in pairs}


def leaf_label(leaf: Leaf) -> str:
    """The name, dtype and shape of a leaf, for messages."""
    return f"{leaf.name or 'a leaf'} {describe(leaf)}"


def new_value(value: Any, recorded: PlainArray, label: str) -> PlainArray:
    """A value for a replay as an array of the recorded shape and dtype."""
    if isinstance(value, Tensor) and value.requires_grad:
        raise DetachError(
            f"replay: the value for {label} requires grad, and a replay is not recorded. Pass "
            "value.detach()."
        )
    typed = hasattr(value, "dtype")
    array = to_array(value, None if typed else recorded.dtype)
    if array.shape != recorded.shape:
        raise ShapeError(
            f"replay: the value for {label} must have the shape {recorded.shape} that was "
            f"recorded, got {array.shape}"
        )
    if array.dtype != recorded.dtype:
        raise DtypeError(
            f"replay: the value for {label} must have the dtype {recorded.dtype} that was "
            f"recorded, got {array.dtype}; convert it with astype."
        )
    return array


def run(outputs: Sequence[Constant | Result], values: Mapping[Any, PlainArray]) -> list[Any]:
    """The values of the outputs, computed again from the constants.

    Args:
        outputs: what to compute.
        values: other values for some constants: by their Leaf, or, for tensors that do not
            require grad, by the `id` of their array.

    Raises:
        GradientError: when values are given and the recording cannot tell what they change.
    """
    calls, constants = needed(outputs)
    if values:
        check_outside(constants, values)
    uses: dict[Call, int] = {}
    for source in (*(s for call in calls for s in call.sources), *outputs):
        if isinstance(source, Result):
            uses[source.call] = uses.get(source.call, 0) + 1
    results: dict[Call, list[Any]] = {}

    def value(source: Any) -> Any:
        if isinstance(source, Result):
            call, index = source
            found = results[call][index]
            uses[call] -= 1
            if not uses[call]:
                del results[call]  # it is not needed any more
            return found
        if isinstance(source, Constant):
            replaced = values.get(source.leaf if source.leaf is not None else id(source.array))
            return source.array if replaced is None else replaced
        return source

    with ModeChange(recording=False, observers=()):
        for call in calls:
            arguments = [value(source) for source in call.sources]
            try:
                if call.mode.dtype is current_mode().dtype:
                    results[call] = call.run(arguments)
                else:
                    with ModeChange(dtype=call.mode.dtype):
                        results[call] = call.run(arguments)
            except Exception as error:
                error.add_note(f"while replaying {place(call.name, call.mode.scope)}")
                raise
    return [value(output) for output in outputs]


def needed(outputs: Iterable[Constant | Result]) -> tuple[list[Call], list[Constant]]:
    """The calls that outputs depend on, in the order of recording, and the constants."""
    seen: set[Call] = set()
    constants: list[Constant] = []
    stack: list[Any] = list(outputs)
    while stack:
        source = stack.pop()
        if isinstance(source, Constant):
            constants.append(source)
        elif isinstance(source, Result) and source.call not in seen:
            seen.add(source.call)
            stack.extend(source.call.sources)
    return sorted(seen, key=lambda call: call.number), constants


def check_rules(constants: Iterable[Constant]) -> None:
    """Refuse other values for a recorded derivative that may hold something of the old ones.

    Raises:
        GradientError: when a derivative rule made an array of its own.
    """
    if any(constant.derived for constant in constants):
        raise GradientError(
            "replay with other values: a derivative rule computed an array outside of the recorded "
            "operations, perhaps from the old values. Replay the forward pass and differentiate "
            "anew, or replay the derivative with its recorded values."
        )


def check_outside(constants: Iterable[Constant], values: Mapping[Any, PlainArray]) -> None:
    """Refuse other values where constants may have been computed from the old ones.

    Raises:
        GradientError: when a tensor was computed from one of the leaves outside of the recording.
    """
    outside = [constant.node for constant in constants if constant.node is not None]
    seen: set[Node] = set()
    stack: list[tuple[Node, Node]] = [(node, node) for node in outside]
    while stack:
        node, start = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in values:
            raise GradientError(
                f"replay with other values: {start.where} was computed from one of these leaves "
                "outside of `with minigrad.recording(replay=True)`; compute it inside."
            )
        stack.extend((source, start) for source in node.inputs if source is not None)
