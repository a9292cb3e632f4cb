"""Nested containers of arrays: lists, tuples, named tuples, dicts and dataclasses.

The transforms take and give them, leaf by leaf, in the order in which they are written.
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from minigrad.core.plans import compile_source

__all__ = ["entries", "labelled_leaves", "map_leaves", "rebuilding", "replace_leaves"]

_BRACKETS: Final[dict[Any, tuple[str, str]]] = {
    tuple: ("(", ",)"),
    list: ("[", "]"),
    dict: ("{", "}"),
}


def entries(tree: Any) -> list[tuple[str, Any]] | None:
    """The labelled parts of a container, or None for a leaf."""
    if isinstance(tree, dict):
        return [(f"[{key!r}]", value) for key, value in tree.items()]
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return [(f".{name}", value) for name, value in zip(tree._fields, tree, strict=True)]
    if isinstance(tree, (list, tuple)):
        return [(f"[{i}]", value) for i, value in enumerate(tree)]
    if hasattr(tree, "__dataclass_fields__") and not isinstance(tree, type):
        return [(f".{name}", getattr(tree, name)) for name in _field_names(tree)]
    return None


def _field_names(tree: Any) -> list[str]:
    """The fields of a dataclass."""
    import dataclasses  # here, because it would slow the import of the package

    return [field.name for field in dataclasses.fields(tree)]


def labelled_leaves(tree: Any, label: str = "") -> list[tuple[str, Any]]:
    """Each leaf of a nested container with its place in it.

    >>> labelled_leaves({"w": [1.0, 2.0], "b": 3.0}, "params")
    [("params['w'][0]", 1.0), ("params['w'][1]", 2.0), ("params['b']", 3.0)]
    """
    parts = entries(tree)
    if parts is None:
        return [(label, tree)]
    return [leaf for place, part in parts for leaf in labelled_leaves(part, label + place)]


def replace_leaves(tree: Any, leaves: Iterable[Any]) -> Any:
    """A container like `tree` with other leaves, taken in order.

    >>> replace_leaves({"w": [1.0, 2.0], "b": 3.0}, [10, 20, 30])
    {'w': [10, 20], 'b': 30}
    """
    return _rebuild(tree, iter(leaves))


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """A container like `tree` whose leaves are the function's results."""
    return replace_leaves(tree, [function(leaf) for _, leaf in labelled_leaves(tree)])


def rebuilding(tree: Any) -> Callable[[list[Any]], Any]:
    """`replace_leaves` for one container and many lists of leaves, as a function written for it.

    >>> make = rebuilding({"w": [1.0, 2.0], "b": 3.0})
    >>> make([10, 20, 30])
    {'w': [10, 20], 'b': 30}
    """
    scope: dict[str, Any] = {"replace_leaves": replace_leaves}
    text, _ = _written(tree, 0, scope)
    made: Callable[[list[Any]], Any] = compile_source(
        f"def rebuild(leaves):\n    return {text}\n", "containers of results", scope
    )["rebuild"]
    return made


def _written(tree: Any, start: int, scope: dict[str, Any]) -> tuple[str, int]:
    """The expression for a container whose leaves begin at a place, and the place after them."""
    if entries(tree) is None:
        return f"leaves[{start}]", start + 1
    kind, stop, parts = type(tree), start, []
    if kind is not tuple and kind is not list and kind is not dict:
        name = f"k{len(scope)}"
        scope[name], stop = tree, start + len(labelled_leaves(tree))
        return f"replace_leaves({name}, leaves[{start}:{stop}])", stop
    for key, value in tree.items() if kind is dict else enumerate(tree):
        part, stop = _written(value, stop, scope)
        if kind is dict:
            name = f"k{len(scope)}"
            scope[name], part = key, f"{name}: {part}"
        parts.append(part)
    opened, closed = _BRACKETS[kind]
    if kind is not dict and parts and all(entries(value) is None for value in tree):
        parts = [f"*leaves[{start}:{stop}]"]
    return (f"{opened}{', '.join(parts)}{closed}" if parts else f"{kind.__name__}()"), stop


def _rebuild(tree: Any, leaves: Iterator[Any]) -> Any:
    if isinstance(tree, dict):
        values = {key: _rebuild(value, leaves) for key, value in tree.items()}
        if type(tree) is dict:
            return values
        other = copy.copy(tree)  # an OrderedDict stays one, a defaultdict keeps its factory
        dict.update(other, values)  # a Counter's own would add them
        return other
    if isinstance(tree, (list, tuple)):
        parts = [_rebuild(value, leaves) for value in tree]
        if hasattr(tree, "_make"):
            return tree._make(parts)
        return parts if type(tree) is list else type(tree)(parts)
    if entries(tree) is None:
        return next(leaves)
    other = copy.copy(tree)
    for name in _field_names(tree):
        # Around __setattr__, which frozen dataclasses refuse, and around __init__, which may check.
        object.__setattr__(other, name, _rebuild(getattr(tree, name), leaves))
    return other
