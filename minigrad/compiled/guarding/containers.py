"""The containers among the arguments of a traced call, which the function gets copies of.

The copies hold the arrays that are followed. What the function changes in them belongs into the
user's own.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from minigrad.ops.pytree import entries

__all__ = ["Containers"]


class Containers:
    """Containers and their copies.

    Args:
        given: nested ones, as the user gave them.
        copied: the same with other leaves.
    """

    def __init__(self, given: Any, copied: Any) -> None:
        pairs = [pair for pair in _pairs(given, copied) if not isinstance(pair[0], tuple)]
        self._parts = [(one, other, _parts(other)) for one, other in pairs]
        self._given = {id(other): one for one, other in pairs}

    def changed(self, own: Callable[[Any], Any]) -> str | None:
        """Change the user's own as their copies were changed, and name the first one.

        Args:
            own: gives for a leaf of a copy that of the user.
        """
        found = None
        for one, other, before in self._parts:
            now = _parts(other)
            same = now[0] == before[0] and len(now[1]) == len(before[1])
            if same and all(x is y for x, y in zip(now[1], before[1], strict=True)):
                continue
            found = found or type(one).__qualname__
            parts = [self._given[id(p)] if id(p) in self._given else own(p) for p in now[1]]
            _put(one, now[0], parts)
        return found


def _pairs(one: Any, other: Any) -> Iterator[tuple[Any, Any]]:
    """All containers beside their copies, from the outermost ones on."""
    parts = entries(one)
    if parts is None:
        return
    yield one, other
    for (_, part), (_, copied) in zip(parts, entries(other) or (), strict=True):
        yield from _pairs(part, copied)


def _parts(container: Any) -> tuple[list[Any], list[Any]]:
    """The keys and the parts of a container."""
    found = entries(container) or ()
    keys = list(container) if isinstance(container, dict) else [label[1:] for label, _ in found]
    return keys, [part for _, part in found]


def _put(container: Any, keys: Sequence[Any], parts: Sequence[Any]) -> None:
    if isinstance(container, list):
        container[:] = parts
    elif isinstance(container, dict):
        # Around what a derived class does; an OrderedDict keeps a list of its own.
        kind: type[dict[Any, Any]] = OrderedDict if isinstance(container, OrderedDict) else dict
        kind.clear(container)
        for key, part in zip(keys, parts, strict=True):
            kind.__setitem__(container, key, part)
    else:
        for name, part in zip(keys, parts, strict=True):
            object.__setattr__(container, name, part)
