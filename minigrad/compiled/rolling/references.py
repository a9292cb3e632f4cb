"""What the values of one step read, seen over all steps of a region."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.compiled.graph import COMPARISONS, COUNTED, Operand, Value, View
from minigrad.compiled.rolling.regions import Region

__all__ = ["Before", "Fixed", "Here", "Irregular", "Moving", "Number", "Other", "Reference"]
__all__ += ["elements_of", "references_of"]


class Irregular(Exception):
    """A region that looked regular has no loop; the message says why."""


class Number(NamedTuple):
    """The same number at every step."""

    number: Operand


class Fixed(NamedTuple):
    """The same read of something outside at every step."""

    view: View


class Moving(NamedTuple):
    """A read of one value outside, `step` elements further from one step to the next."""

    view: View
    step: int


class Other(NamedTuple):
    """What another region computes at step `first`, and `direction` steps on each time."""

    region: int
    item: int
    first: int
    direction: int
    view: View


class Here(NamedTuple):
    """A value of the same step, by its number in the body."""

    item: int
    view: View


class Before(NamedTuple):
    """A value of the step before, and what the first step reads in its place."""

    item: int
    view: View
    initial: Operand


Reference = Number | Fixed | Moving | Other | Here | Before


def references_of(
    values: Sequence[Value], places: dict[Value, int], regions: Sequence[Region], number: int
) -> list[list[Reference]]:
    """For each value of the body of a region, what each of its operands is.

    Raises:
        Irregular: when a loop could not read the same.
    """
    region = regions[number]
    body = []
    for index in range(region.period):
        steps = [
            values[region.start + step * region.period + index].operands
            for step in range(region.steps)
        ]
        reader = values[region.start + index]
        rows = zip(*steps, strict=True)
        body.append([_reference(row, places, regions, region, reader) for row in rows])
    _check_beginnings(reference for row in body for reference in row)
    return body


def _check_beginnings(references: Iterable[Reference]) -> None:
    """Refuse a value of the step before in whose place the first step reads several things.

    Of a gradient that meets another one before a step, one reader takes what came first, and
    another one the sum.
    """
    known: dict[int, _Origins] = {}
    seen: set[Any] = set()
    for reference in references:
        if not isinstance(reference, Before):
            continue
        initial = reference.initial
        origin = initial.key if isinstance(initial, View) else repr(initial)
        key = reference.item, reference.view.key, origin
        if key in seen:  # as most are
            continue
        seen.add(key)
        origins = known.setdefault(reference.item, _Origins(reference))
        if not origins.agree(reference):
            raise Irregular("the first step reads several things in the place of one")


class _Origins:
    """From where each element of a carried value comes as the first step begins."""

    def __init__(self, reference: Before) -> None:
        self._initial = reference.initial
        self._places = np.full(reference.view.value.size, -1)

    def agree(self, reference: Before) -> bool:
        """Whether one more read, of all or of a part, is of the same elements."""
        one, other = self._initial, reference.initial
        if not isinstance(one, View) or not isinstance(other, View):
            return repr(one) == repr(other)
        read, come = elements_of(reference.view), elements_of(other)
        if one.value is not other.value or read.shape != come.shape:
            return False
        before = self._places[read]
        self._places[read] = come
        return bool(((before == come) | (before < 0)).all())


def elements_of(view: View) -> Any:
    """Which elements of its value a view shows."""
    found: Any = np.asarray(view.offset)
    for length, stride in zip(view.shape, view.strides, strict=True):
        found = np.add.outer(found, np.arange(length) * stride)
    return found


def _number(row: Sequence[Operand], reader: Value) -> Number | Moving:
    """A number, given at all steps; one that counts them is read from a constant."""
    if all(repr(o) == repr(row[1]) for o in row):
        return Number(row[1])
    if reader.op not in COUNTED or any(type(o) is not int for o in row):
        raise Irregular("a number changes")
    compared = next(reader.views).dtype
    try:
        counts = np.array(row, compared if reader.op in COMPARISONS else reader.dtype)
    except OverflowError:
        raise Irregular("a number changes to one that its dtype does not have") from None
    value = Value("constant", (), counts.shape, counts.dtype, array=counts)
    return Moving(View(value, reader.shape, (0,) * len(reader.shape)), 1)


def _reference(
    row: Sequence[Operand],
    places: dict[Value, int],
    regions: Sequence[Region],
    region: Region,
    reader: Value,
) -> Reference:
    """One operand of a value of the body, its reader, given at all steps."""
    second, third = row[1], row[2]
    if not isinstance(second, View) or not isinstance(third, View):
        return _number(row, reader)
    if any(not _alike(second, operand) for operand in row[2:]):
        raise Irregular("a value is read in several ways")
    place = places.get(second.value)
    if place is not None and region.start <= place < region.stop:
        step, index = divmod(place - region.start, region.period)
        if any(_offset(o) != second.offset for o in row[2:]):
            raise Irregular("a value of a step is read at several places")
        # Reads may move evenly, but by more or less than a step at each.
        at = (places.get(o.value) for o in row[1:] if isinstance(o, View))
        if list(at) != [place + i * region.period for i in range(len(row) - 1)]:
            raise Irregular("each step reads from a step further away")
        if step == 1 and _alike(second, row[0]) and _offset(row[0]) == second.offset:
            return Here(index, second)
        if step == 0:
            if isinstance(row[0], View) and region.start <= places.get(row[0].value, -1):
                raise Irregular("the first step begins with what it computes itself")
            return Before(index, second, row[0])
        raise Irregular("a step reads from two steps before")
    first = row[0]
    if not isinstance(first, View) or not _alike(second, first):
        raise Irregular("the first step reads something else")
    if all(isinstance(o, View) and o.value is first.value for o in row):
        move = second.offset - first.offset
        if any(_offset(o) != first.offset + i * move for i, o in enumerate(row)):
            raise Irregular("reads move unevenly")
        return Moving(first, move) if move else Fixed(first)
    return _other(row, places, regions)


def _other(
    row: Sequence[Operand], places: dict[Value, int], regions: Sequence[Region]
) -> Reference:
    """What steps of another region compute."""
    found = []
    for operand in row:
        assert isinstance(operand, View)
        place = places.get(operand.value, -1)
        number = next((i for i, r in enumerate(regions) if r.start <= place < r.stop), None)
        if number is None or operand.offset != row[0].offset:  # type: ignore[union-attr]
            raise Irregular("a step reads values that no loop computes")
        step, index = divmod(place - regions[number].start, regions[number].period)
        found.append((number, index, step))
    number, index, first = found[0]
    direction = found[1][2] - first
    if abs(direction) != 1 or found != [
        (number, index, first + i * direction) for i in range(len(found))
    ]:
        raise Irregular("a step reads unevenly from another loop")
    view = row[0]
    assert isinstance(view, View)
    return Other(number, index, first, direction, view)


def _alike(view: View, other: Operand) -> bool:
    return isinstance(other, View) and (other.shape, other.strides) == (view.shape, view.strides)


def _offset(operand: Operand) -> int:
    return operand.offset if isinstance(operand, View) else -1
