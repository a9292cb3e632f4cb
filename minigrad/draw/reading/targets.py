"""The target of a picture: tensors, containers of them, or a module, called for the picture."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from minigrad.core.errors import describe
from minigrad.core.nodes import Leaf
from minigrad.core.tensors import Tensor, wrap
from minigrad.debug.calls import copy_like, enter, recording
from minigrad.draw.graph.errors import DrawError
from minigrad.draw.reading.recorded_data import with_data
from minigrad.ops.pytree import labelled_leaves, replace_leaves
from minigrad.restoring import Restoring

__all__ = ["is_frozen", "results_of"]

_FROZEN: Final = " (frozen)"


def results_of(
    target: Any, states: Sequence[Tensor] = ()
) -> tuple[list[Tensor], Sequence[Tensor], list[str]]:
    """The tensors on the tape that a target stands for; a module with its inputs is called.

    Args:
        target: see `minigrad.draw.draw`.
        states: tensors on the way to it.

    Returns the results and the states, on a graph that has its data where they are known, and the
    keys of the results if they are in a dict, else nothing of each. Raises
    DrawError where nothing was recorded.
    """
    if isinstance(target, Tensor):
        found = with_data([target, *states])
        return found[:1], found[1:], [""]
    if isinstance(target, (tuple, list)) and target and callable(target[0]):
        outputs, keys = run_for_picture(target[0], target[1:])
        return outputs, states, keys
    leaves = [leaf for _, leaf in labelled_leaves(target)]
    found, keys = tensors_and_keys(target)
    if not found or (isinstance(target, (tuple, list)) and len(found) < len(leaves)):
        raise DrawError(
            "target must be a tensor, a list or dict of tensors, (module, input, ...), a Picture "
            f"or a GradientFlow, got {describe(target)}"
        )
    count, both = len(found), with_data([*found, *states])
    found, states = both[:count], both[count:]
    recorded = [(t, key) for t, key in zip(found, keys, strict=True) if t._node is not None]
    if not recorded:
        return found[:1], states, keys[:1]
    return [tensor for tensor, _ in recorded], states, [key for _, key in recorded]


def tensors_and_keys(container: Any) -> tuple[list[Tensor], list[str]]:
    """The tensors in a container, with their keys if it is a dict, else empty strings."""
    found = [(t, label) for label, t in labelled_leaves(container) if isinstance(t, Tensor)]
    in_dict = isinstance(container, Mapping)
    return [t for t, _ in found], [label if in_dict else "" for _, label in found]


def run_for_picture(
    module: Callable[..., Any], inputs: Sequence[Any]
) -> tuple[list[Tensor], list[str]]:
    """Call a module so that all of its graph is on the tape: its data, and frozen parameters too.

    Floating arrays and tensors among the inputs go in as leaves with the names of the module's
    arguments; integers and booleans, such as symbol numbers and masks, are shown as constants of
    these names where an operation reads them. Frozen parameters are leaves for as long as the call
    runs, and recording is on, whatever the mode is around the call; what the module itself computes
    under `no_grad` is known from the recording for replay.
    """
    names = argument_names(module, len(inputs))
    data: dict[int, str] = {}
    given = [as_inputs(value, name, data) for value, name in zip(inputs, names, strict=True)]
    with frozen_on_tape(module), recording(replay=True):
        result = module(*given)
        found, keys = tensors_and_keys(result)
        found = with_data(found, constants=data)
    recorded = [(t, key) for t, key in zip(found, keys, strict=True) if t._node is not None]
    if not recorded:
        raise DrawError(
            f"target: calling {describe(module)} gave no tensor that requires grad, so nothing "
            "was recorded: none depends on a parameter or on a floating input."
        )
    return [tensor for tensor, _ in recorded], [key for _, key in recorded]


def argument_names(module: Callable[..., Any], count: int) -> list[str]:
    """The names of the first arguments of a module's `forward`, or of a function."""
    try:
        parameters = inspect.signature(getattr(module, "forward", module)).parameters
    except (TypeError, ValueError):  # a function without a signature, such as one in C
        parameters = inspect.signature(lambda *inputs: None).parameters
    names: list[str] = []
    for parameter in parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}[{i}]" for i in range(count - len(names))]
        elif parameter.kind is not parameter.KEYWORD_ONLY:
            names.append(parameter.name)
    return [*names, *(f"input {i}" for i in range(len(names), count))][:count]


def as_inputs(value: Any, name: str, data: dict[int, str]) -> Any:
    """An argument with its floating arrays as leaves of the tape.

    Integers and booleans are entered in `data`, their names by the ids of the arrays; arrays among
    them are copied, so that the recording knows them by their identity. The rest stays as it is.
    """
    leaves = []
    for label, leaf in labelled_leaves(value, name):
        array = leaf._array if isinstance(leaf, Tensor) else leaf
        on_tape = isinstance(leaf, Tensor) and leaf._node is not None
        if not on_tape and isinstance(array, np.ndarray) and array.dtype.kind == "f":
            leaf = wrap(np.asarray(array), Leaf(np.asarray(array), label))
        elif not on_tape and type(array) is np.ndarray and array.dtype.kind in "iub":
            if leaf is array:
                leaf = array = copy_like(array)
                enter(array, None)
            data[id(array)] = label
        leaves.append(leaf)
    return replace_leaves(value, leaves)


def is_frozen(leaf: Leaf) -> bool:
    """Whether a leaf is a frozen parameter that is on the tape for the picture alone."""
    return leaf.learned and (leaf.name or "").endswith(_FROZEN)


class frozen_on_tape(Restoring):
    """A block in which the frozen parameters of a module are on the tape."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self._module = module

    def begin(self) -> None:
        """Put them on the tape."""
        named = getattr(self._module, "named_parameters", None)
        frozen = {
            name: parameter
            for name, parameter in (() if named is None else named())
            if parameter._node is None and parameter.dtype.kind == "f"
        }
        self.undone_by(_take_off, frozen.values())
        for name, parameter in frozen.items():
            short = name.rpartition(".")[2]
            parameter._node = Leaf(parameter._array, f"{short}{_FROZEN}", learned=True)


def _take_off(frozen: Iterable[Any]) -> None:
    for parameter in frozen:
        parameter._node = None
