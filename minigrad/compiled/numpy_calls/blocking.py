"""Chains of operations over the same rows, to be run on some rows at a time.

Each operation of NumPy goes through all of its arrays. Where these are larger than the cache, a
chain of operations waits for memory in each of them; run on a block of rows, from the first
operation to the last, it finds its operands in the cache. A value that only the chain reads needs
room for one block.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from minigrad.compiled.graph import ELEMENTWISE, REDUCTIONS, ROWS, Graph, Value, View, size_of

__all__ = ["Chain", "chains", "read_elsewhere"]

_BLOCK = 1 << 18  # bytes of one array in a block: several of them stay in the cache of a core
_LARGE = 1 << 19  # bytes of the largest array from which blocks pay
_MOST = 64  # blocks: each makes instructions of its own
_INPLACE_NOT = frozenset(("where", "erf", "copy", "convert"))  # they write before all is read


class Unlikely(NamedTuple):
    """What is only computed where some row needs it, as for scores that are infinite.

    Attributes:
        condition: of each row, whether it does.
        chosen: what is read by rows that need it, a `where`.
        otherwise: what the others read.
        values: those that nobody else reads, in order, the last one `chosen`.
    """

    condition: View
    chosen: Value
    otherwise: View
    values: list[Value]


class Chain:
    """Values whose rows depend on the same rows of each other alone, in order.

    Attributes:
        rows: how many there are, the length of the first axes.
        values: of row sums and the like, too; what sums over the rows is read by none of the chain.
        unlikely: by the value that reads it, what few calls need.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.values: list[Value] = []
        self.unlikely: dict[Value, Unlikely] = {}
        self._members: set[Value] = set()

    def append(self, value: Value) -> None:
        """Add a value at the end."""
        self.values.append(value)
        self._members.add(value)

    def takes(self, value: Value) -> bool:
        """Whether a value belongs to it."""
        return _rows_of(value) == self.rows and all(
            view.value.op not in REDUCTIONS and _is_aligned(view, self.rows)
            for view in value.views
            if view.value in self._members
        )

    def reads(self, view: View) -> bool:
        """Whether a value of the chain is read."""
        return view.value in self._members

    def set_aside(self, users: dict[Value, list[View]]) -> None:
        """Find what is unlikely to be needed, and put it right before the value that reads it."""
        for value in list(self.values):
            for view in value.views if value.op in ELEMENTWISE else ():
                found = self._unlikely(view, users)
                if found is None or value in self.unlikely:
                    continue
                if self.unlikely.keys().isdisjoint(found.values):  # one branch, and none within
                    self.unlikely[value] = found
                    self.values = [v for v in self.values if v not in found.values]
                    at = self.values.index(value)
                    self.values[at:at] = found.values

    def _unlikely(self, view: View, users: dict[Value, list[View]]) -> Unlikely | None:
        chosen = view.value
        if chosen.op != "where" or chosen not in self._members or not view.whole:
            return None
        condition, first, otherwise = chosen.operands
        if not isinstance(condition, View) or not isinstance(otherwise, View):
            return None
        if condition.strides[-1] or not otherwise.whole or len(users[chosen]) > 1:
            return None
        alone, reads = [chosen], [first]
        for value in reversed(self.values):
            own = [read for read in reads if isinstance(read, View) and read.value is value]
            if own and len(own) == len(users[value]):
                alone.append(value)
                reads.extend(value.operands)
        return Unlikely(condition, chosen, otherwise, alone[::-1])

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """The first rows and numbers of rows of the blocks; one block where more do not pay."""
        row = max(_row_bytes(value, self.rows) for value in self.values)
        if len(self.values) < 2 or row * self.rows < _LARGE:
            return [(0, self.rows)]
        count = max(_BLOCK // row, -(-self.rows // _MOST), 1)
        return [(i, min(count, self.rows - i)) for i in range(0, self.rows, count)]

    def places(self, local: set[Value]) -> dict[Value, int]:
        """For each value that nobody else reads, the number of the room that it takes.

        Values share a room when one is read for the last time before the other is made; they are
        of one dtype and size.
        """
        last = {view.value: i for i, value in enumerate(self.values) for view in value.views}
        for i, value in enumerate(self.values):
            if value in self.unlikely:  # it may read this in the place of what was chosen
                other = self.unlikely[value].otherwise.value
                last[other] = max(last[other], i)
        free: dict[object, list[int]] = {}
        found: dict[Value, int] = {}
        for i, value in enumerate(self.values):
            read = [view.value for view in value.views]
            if value in self.unlikely:
                read.append(self.unlikely[value].otherwise.value)
            over = [v for v in dict.fromkeys(read) if last[v] == i]
            over = [v for v in over if v in found]
            before = [v for v in over if _may_be_overwritten(v, value)]
            for v in before:
                free.setdefault(_kind(v), []).append(found[v])
            if value in local:
                kept = free.get(_kind(value))
                found[value] = kept.pop() if kept else len(set(found.values()))
            for v in over:
                if v not in before:
                    free.setdefault(_kind(v), []).append(found[v])
        return found


def chains(values: Iterable[Value]) -> Iterator[Value | Chain]:
    """The values of a graph in an order in which they can be computed, chains together."""
    chain: Chain | None = None
    for value in values:
        if chain is not None and chain.takes(value):
            chain.append(value)
            continue
        if chain is not None and any(map(chain.reads, value.views)):
            yield chain
            chain = None
        rows = _rows_of(value)
        if rows == 0:
            yield value  # it needs nothing of the chain, so it may come first
            continue
        if chain is not None:
            yield chain
        chain = Chain(rows)
        chain.append(value)
    if chain is not None:
        yield chain


def read_elsewhere(graph: Graph, chain: Chain) -> set[Value]:
    """The values of a chain that the rest of a graph reads."""
    own = set(chain.values)
    found = {view.value for view in graph.outputs}
    for value in graph.values:
        if value not in own:
            found.update(view.value for view in value.views)
    return found & own


def _rows_of(value: Value) -> int:
    """The number of rows that a value is computed from one by one; 0 for none."""
    if value.op in REDUCTIONS:
        (view,) = value.views
        shape: Sequence[int] = view.shape
    elif value.op in ELEMENTWISE or value.op in ROWS:
        shape = value.shape
    else:
        return 0
    return shape[0] if len(shape) > 1 and shape[0] > 1 and size_of(tuple(shape)) else 0


def _is_aligned(view: View, rows: int) -> bool:
    """Whether each row of a view lies in the same row of the value that it reads."""
    row = view.value.size // rows
    if view.shape[:1] != (rows,) or view.strides[0] != row or view.offset < 0:
        return False
    reach = [s * (n - 1) for s, n in zip(view.strides[1:], view.shape[1:], strict=True)]
    return all(r >= 0 for r in reach) and view.offset + sum(reach) < row


def _row_bytes(value: Value, rows: int) -> int:
    sizes = [size_of(view.shape) * int(view.dtype.itemsize) for view in value.views]
    return max(value.size * int(value.dtype.itemsize), *sizes, 1) // rows


def _kind(value: Value) -> tuple[str, int]:
    return value.dtype.str, value.size


def _may_be_overwritten(operand: Value, value: Value) -> bool:
    """Whether an operation may write where it reads an operand: element by element, in order."""
    return (
        value.op in ELEMENTWISE
        and value.op not in _INPLACE_NOT
        and all(view.whole for view in value.views if view.value is operand)
    )
