"""What the values of one step read, seen over all steps of a region."""

from collections.abc import Sequence
from typing import NamedTuple

from minigrad.compiled.graph import Operand, Value, View
from minigrad.compiled.rolling.regions import Region

__all__ = ["Before", "Fixed", "Here", "Irregular", "Moving", "Number", "Other", "Reference"]
__all__ += ["references_of"]


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
        body.append([_reference(row, places, regions, region) for row in zip(*steps, strict=True)])
    return body


def _reference(
    row: Sequence[Operand], places: dict[Value, int], regions: Sequence[Region], region: Region
) -> Reference:
    """One operand, given at all steps."""
    second, third = row[1], row[2]
    if not isinstance(second, View) or not isinstance(third, View):
        if any(isinstance(o, View) or repr(o) != repr(second) for o in row):
            raise Irregular("a number changes")
        return Number(second)
    if any(not _alike(second, operand) for operand in row[2:]):
        raise Irregular("a value is read in several ways")
    place = places.get(second.value)
    if place is not None and region.start <= place < region.stop:
        step, index = divmod(place - region.start, region.period)
        if any(_offset(o) != second.offset for o in row[2:]):
            raise Irregular("a value of a step is read at several places")
        if step == 1 and _alike(second, row[0]) and _offset(row[0]) == second.offset:
            return Here(index, second)
        if step == 0:
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
