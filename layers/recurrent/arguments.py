"""What recurrent layers are made with and give back: their cell, its options, and all states."""

import inspect
from collections import namedtuple
from functools import cache
from typing import Any, NamedTuple

from layers.cells.cell import Cell
from minigrad import Tensor

__all__ = ["AllStates", "all_states_type", "bind_sizes", "check_cell", "check_options"]


class AllStates(NamedTuple):
    """The inside of a recurrent layer at every step.

    The states of a cell that are called something else than h and c are there under their own
    names, in order, with the gates last.

    Attributes:
        h: the hidden states, (layers x directions, batch, time, hidden_size or proj_size).
        c: the cell states of an LSTM likewise; else None.
        gates: when asked for, a named tuple of the gates, each likewise: input, forget, candidate
            and output of an LSTM; reset, update and candidate of a GRU; else None.
    """

    h: Tensor
    c: Tensor | None
    gates: Any


@cache
def all_states_type(names: tuple[str, ...]) -> Any:
    """The named tuple for all states of a cell with these states."""
    if names == ("h", "c"):
        return AllStates
    if names == ("h",):
        return lambda h, gates: AllStates(h, None, gates)
    return namedtuple("AllStates", (*names, "gates"))


def bind_sizes(layer: type, sizes: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """What a new layer is made of, from arguments by place and by name.

    A class that names its cell is made without it, as in ``LSTM(3, 8)``; `Recurrent` itself takes
    it first.

    Args:
        layer: the class of the layer.
        sizes: the arguments by place.
        named: those by name, in order: cell, input_size, hidden_size (None if not given), and
            num_layers (1 if not given).

    Returns:
        The arguments in that order.

    Raises:
        TypeError: when one is missing or given twice, there are too many, or the cell is none.
    """
    name, own = layer.__name__, getattr(layer, "cell", None)
    given = dict(named)
    if own is not None:
        other = given["cell"] or (
            sizes[0] if sizes and isinstance(sizes[0], (type, Cell)) else None
        )
        if other is not None:
            shown = getattr(other, "__name__", "another one")
            raise TypeError(
                f"{name} names its cell, {own.__name__}; leave {shown} out, or write "
                f"layers.Recurrent({shown}, ...)"
            )
        given["cell"] = own
    order = list(given)[own is not None :]
    form = f"{name}({', '.join(order[:-1])}, num_layers=1, ...)"
    if len(sizes) > len(order):
        raise TypeError(f"{name}: {len(sizes)} arguments by place are too many; write {form}")
    for argument, value in zip(order, sizes, strict=False):
        if given[argument] is not None and not (argument == "num_layers" and given[argument] == 1):
            raise TypeError(f"{name}: {argument} was given twice; write {form}")
        given[argument] = value
    if given["cell"] is not None:
        check_cell(name, given["cell"])
    missing = [argument for argument in order if given[argument] is None]
    if missing:
        advice = ", or name the cell in a subclass: cell = ..." if missing[0] == "cell" else ""
        raise TypeError(f"{name}: {missing[0]} is missing; write {form}{advice}")
    return given


def check_cell(layer: str, cell: Any) -> None:
    """Refuse what is no class of cells that layers can run.

    Raises:
        TypeError: saying what to pass.
    """
    if isinstance(cell, Cell):
        raise TypeError(
            f"{layer}: cell must be a class, since each layer and direction gets a cell of its "
            f"own; pass {type(cell).__name__}, and its options by keyword"
        )
    if not (isinstance(cell, type) and issubclass(cell, Cell)):
        shown = cell.__name__ if isinstance(cell, type) else repr(cell)
        raise TypeError(
            f"{layer}: cell must be a subclass of layers.Cell, got {shown}; layers.scan runs any "
            "function of inputs and state over time"
        )
    if cell.forward is not Cell.forward:
        raise TypeError(
            f"{layer}: {cell.__name__} overrides forward, which layers do not run; override step"
        )


def check_options(
    layer: str, cell: type[Cell], options: dict[str, Any], known: tuple[str, ...]
) -> None:
    """Refuse options that neither the layer nor its cell has.

    Raises:
        TypeError: listing the options of both.
    """
    parameters = inspect.signature(cell).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    unknown = [option for option in options if option not in parameters]
    if unknown:
        own = [p for p in parameters if p not in ("input_size", "hidden_size")]
        raise TypeError(
            f"{layer}: no option {unknown[0]!r}; those of the layer are "
            f"{', '.join(known)}, and those of {cell.__name__} {', '.join(own) or 'none'}"
        )
