"""What recurrent cells and layers refuse, with messages that say what to write instead."""

import inspect
from collections.abc import Iterable
from keyword import iskeyword
from typing import Any

import numpy as np

from layers.cells.steps import Routes
from minigrad import Tensor
from minigrad.core.errors import DtypeError, ShapeError, describe
from minigrad.ops import checks

__all__ = [
    "check_declaration",
    "check_features",
    "check_lengths",
    "check_nonlinearity",
    "check_state",
    "check_step",
    "made_states",
    "states_of",
]


BATCH_FIRST = (
    "Layers here take the batch first, unlike PyTorch's: pass batch_first=False for "
    "(time, batch, features)."
)


def check_nonlinearity(layer: str, given: str, known: Iterable[str]) -> None:
    """Refuse an unknown nonlinearity.

    Raises:
        ValueError: listing the known ones.
    """
    if given not in known:
        raise ValueError(
            f"{layer}: nonlinearity must be one of {', '.join(map(repr, known))}, got {given!r}"
        )


def check_features(
    layer: str, x: Any, axes: tuple[Any, ...], optional: int, hint: str = ""
) -> None:
    """Refuse inputs of another shape than a layer takes.

    Args:
        layer: its name.
        x: the inputs.
        axes: the names of the axes; the last one is the number of features.
        optional: how many axes may be missing besides the full number.
        hint: what to write instead.

    Raises:
        ShapeError: for another number of axes or features.
        DtypeError: when x is no array.
    """
    if type(x).__name__ == "PackedSequence":
        raise DtypeError(
            f"{layer}: x is a PackedSequence; pass the padded array, and lengths= beside it: "
            "x, lengths = layers.pad_packed_sequence(packed)"
        )
    if not isinstance(x, (Tensor, np.ndarray)):
        raise DtypeError(f"{layer}: x must be a tensor or an array, got {type(x).__name__}")
    wanted = [axes, tuple(axis for axis in axes if axis != "batch")] if optional else [axes]
    if x.ndim not in {len(shape) for shape in wanted} or x.shape[-1] != axes[-1]:
        shapes = " or ".join(
            f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})" for shape in wanted
        )
        raise ShapeError(f"{layer}: x must have shape {shapes}, got {describe(x)}. {hint}".rstrip())


def states_of(layer: str, state: Any, names: tuple[str, ...]) -> tuple[Any, ...]:
    """The states in a tuple, from the form in which a cell takes them.

    Raises:
        ShapeError: when there are more or fewer than the cell has.
    """
    alone = isinstance(state, (Tensor, np.ndarray))
    if len(names) == 1 and alone:
        return (state,)
    wanted = "one array h" if len(names) == 1 else f"a tuple ({', '.join(names)})"
    if alone or not isinstance(state, (tuple, list)) or len(state) != len(names):
        raise ShapeError(f"{layer}: state must be {wanted}, got {describe(state)}")
    if len(names) == 1:
        raise ShapeError(f"{layer}: state must be {wanted}, got a tuple; pass its element alone")
    return tuple(state)


def check_state(
    layer: str, name: str, value: Any, shape: tuple[int, ...], x: Any, hint: str = ""
) -> None:
    """Refuse an initial state of another shape.

    Raises:
        ShapeError: with both shapes and that of the inputs.
    """
    if not isinstance(value, (Tensor, np.ndarray)) or tuple(value.shape) != shape:
        raise ShapeError(
            f"{layer}: state {name} must have shape {shape} for x {describe(x)}, got "
            f"{describe(value)}. {hint}".rstrip()
        )


def check_lengths(layer: str, lengths: Any, batch: int, time: int, x: Any) -> Any:
    """The lengths as an array of integers; None when all sequences are full.

    Raises:
        ShapeError: when there is not one length for each sequence.
        DtypeError: when they are not integers.
        ValueError: when one is negative or beyond the time steps.
    """
    if lengths is None:
        return None
    counts = checks.check_lengths(layer, "lengths", lengths, [(batch,)], time, "x", x, BATCH_FIRST)
    # Inside `mg.compile` the lengths are data, and a program serves all others, too.
    full = type(counts) is np.ndarray and (counts == time).all()
    return None if full else counts


def check_declaration(cell: type) -> None:
    """Refuse a class of cells that names its states, gates or ways wrongly.

    Raises:
        TypeError: naming the class and the attribute.
    """
    name, declared = cell.__name__, vars(cell)
    names: Any = getattr(cell, "states", None)
    for attribute in ("states", "gates"):
        given = declared.get(attribute)
        if attribute == "gates" and (given is None or hasattr(given, "_fields")):
            continue  # no gates, or the named tuple itself
        if attribute in declared and not _are_names(given):
            example = '("h",)' if attribute == "states" else '("forget", "candidate")'
            raise TypeError(
                f"{name}: {attribute} must be a tuple of different names such as {example}, each "
                f"one word, got {given!r}"
            )
    if "gates" in names:
        raise TypeError(f'{name}: a state cannot be called "gates"; got states = {names!r}')
    output: Any = getattr(cell, "output_state", "")
    if output and output not in names:
        raise TypeError(f"{name}: output_state must be one of the states {names!r}, got {output!r}")
    routes: Any = getattr(cell, "routes", None)
    if not isinstance(routes, Routes) or (routes.highway and routes.highway not in names):
        raise TypeError(
            f"{name}: routes must be layers.Routes(highway, detours), the highway one of the "
            f"states {names!r} or empty, got {routes!r}"
        )


def check_step(cell: Any) -> None:
    """Refuse a class of cells whose step cannot be called as step(x, states).

    Raises:
        TypeError: with the parameters that it has.
    """
    signature = inspect.signature(cell.step)
    try:
        signature.bind("self", "x", "states")
    except TypeError:
        raise TypeError(
            f"{cell.__name__}: step must be a method step(self, x, states), which may have "
            f"active=None and keep=None besides, got step{signature}"
        ) from None


def _are_names(given: Any) -> bool:
    """Whether something is a tuple of different names that a named tuple can have."""
    return (
        isinstance(given, tuple)
        and bool(given)
        and all(isinstance(n, str) and n.isidentifier() and not iskeyword(n) for n in given)
        and not any(n.startswith("_") for n in given)
        and len(set(given)) == len(given)
    )


def made_states(
    cell: str, made: Any, names: tuple[str, ...], before: tuple[Any, ...]
) -> tuple[Tensor, ...]:
    """The new states that a step returned, as tensors; refused if they are not like those before.

    Args:
        cell: the class of the cell.
        made: what the step returned: one tensor, or a tuple of as many as the cell has states.
        names: of the states.
        before: the states that the step was given.

    Raises:
        TypeError: when it is something else, or another number of states.
        ShapeError, DtypeError: when a state has another shape or dtype than before.
    """
    values = (made,) if len(names) == 1 and isinstance(made, (Tensor, np.ndarray)) else made
    wanted = f"the new state {names[0]}" if len(names) == 1 else f"a tuple ({', '.join(names)})"
    if not isinstance(values, (tuple, list)) or len(values) != len(names):
        raise TypeError(
            f"{cell}.step must return {wanted}, got {describe(made)}; a cell whose step returns "
            "gates as well names them: gates = (...)"
        )
    for name, value, old in zip(names, values, before, strict=True):
        if not isinstance(value, (Tensor, np.ndarray)):
            raise TypeError(
                f"{cell}.step must return {wanted} as tensors or arrays, got {name} = "
                f"{describe(value)}"
            )
        if value.shape != old.shape:
            raise ShapeError(
                f"{cell}.step: state {name} must keep its shape {tuple(old.shape)}, got "
                f"{describe(value)}; state_sizes= of the constructor tells its width"
            )
        if value.dtype != old.dtype:
            raise DtypeError(
                f"{cell}.step: state {name} must keep its dtype {old.dtype}, got "
                f"{describe(value)}; make constants plain Python numbers, or arrays in x.dtype"
            )
    return tuple(v if isinstance(v, Tensor) else Tensor(v) for v in values)
