"""Which values of a step must stay in the loop, and which can be computed for all steps at once."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from minigrad.compiled.graph import ELEMENTWISE, REDUCTIONS, ROWS, Value
from minigrad.compiled.rolling.references import Before, Fixed, Here, Reference

__all__ = ["Plan", "Sum", "make_plan"]


class Sum(NamedTuple):
    """A value that only adds something up from step to step.

    Attributes:
        terms: what is added at each step.
        before: the reference of the first addition to the value of the step before.
        chain: the additions, the last one first.
    """

    terms: list[Reference]
    before: Before
    chain: list[int]


class Plan(NamedTuple):
    """What becomes of the values of a body, by their numbers.

    Attributes:
        looped: those that stay in the loop.
        sums: those that are added up at once; of a chain of additions, the last.
    """

    looped: set[int]
    sums: dict[int, Sum]


def make_plan(
    body: Sequence[Value],
    references: Sequence[Sequence[Reference]],
    read_early: set[int],
    read_late: set[int],
    lift: bool,
) -> Plan:
    """Sort the values of a body.

    Args:
        body: the values of one step.
        references: of each value, what it reads.
        read_early: those of which an earlier step than the last is read from outside.
        read_late: those of which the last step is.
        lift: compute elementwise operations that need no carried value before the loop, too;
            else only products, and what they read.
    """
    users: dict[int, list[int]] = {}
    for index, row in enumerate(references):
        for reference in row:
            if isinstance(reference, (Here, Before)):
                users.setdefault(reference.item, []).append(index)
    carried = {r.item for row in references for r in row if isinstance(r, Before)}
    sums: dict[int, Sum] = {}
    for index in carried:
        found = _sum_of(index, body, references, users, read_early, read_late)
        if found is not None:
            sums[index] = found
    stuck = {i for i, row in enumerate(references) if not _can_lift(body[i], row)}
    looped = _needed(carried - sums.keys(), references)
    free: set[int] = set()  # what needs no carried value
    for index, row in enumerate(references):
        inner = [r for r in row if isinstance(r, (Here, Before))]
        if index not in stuck | carried and all(
            isinstance(r, Here) and r.item in free for r in inner
        ):
            free.add(index)
    roots = free if lift else {i for i in free if body[i].op == "matmul"}
    early = _needed(roots, references)
    looped |= _needed(stuck, references)
    return Plan(looped - early, sums)


def _needed(roots: Iterable[int], references: Sequence[Sequence[Reference]]) -> set[int]:
    """Values and all that they are computed from."""
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        index = waiting.pop()
        if index not in found:
            found.add(index)
            waiting += [r.item for r in references[index] if isinstance(r, (Here, Before))]
    return found


def _can_lift(value: Value, row: Sequence[Reference]) -> bool:
    """Whether all steps of a value can be computed by one operation."""
    if value.op == "gather":
        return isinstance(row[0], Fixed)
    return value.op in ELEMENTWISE | ROWS | REDUCTIONS | {"copy", "matmul", "assemble"}


def _sum_of(
    last: int,
    body: Sequence[Value],
    references: Sequence[Sequence[Reference]],
    users: dict[int, list[int]],
    read_early: set[int],
    read_late: set[int],
) -> Sum | None:
    """The sum that a carried value is, if it is nothing else."""
    if last in read_early or body[last].dtype.kind != "f":
        return None
    terms: list[Reference] = []
    chain: list[int] = []
    index = last
    while True:
        if body[index].op != "add":
            return None
        chain.append(index)
        row = references[index]
        ends = [r for r in row if isinstance(r, Before) and r.item == last]
        ways = [r for r in row if isinstance(r, Here) and _leads(r.item, last, body, references)]
        if len(ends) + len(ways) != 1:
            return None
        way: Here | Before = ends[0] if ends else ways[0]
        if not way.view.whole:
            return None
        terms += [r for r in row if r is not way]
        if len(row) != 2:
            return None
        if isinstance(way, Before):
            allowed = users[last] == [index]
            return Sum(terms, way, chain) if allowed else None
        if users[way.item] != [index] or way.item in read_early | read_late:
            return None
        index = way.item


def _leads(
    index: int, last: int, body: Sequence[Value], references: Sequence[Sequence[Reference]]
) -> bool:
    """Whether additions alone lead from a value to what the step before left of the sum."""
    while body[index].op == "add":
        for reference in references[index]:
            if isinstance(reference, Before) and reference.item == last:
                return True
        inner = [
            r.item for r in references[index] if isinstance(r, Here) and body[r.item].op == "add"
        ]
        if len(inner) != 1:
            return any(_leads(i, last, body, references) for i in inner)
        (index,) = inner
    return False
