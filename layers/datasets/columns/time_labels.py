"""Times that label a series: which cells are times, and how they go on."""

import calendar
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Final

from layers.datasets.columns.time_layouts import EPOCH, LAYOUTS, Reading, read_layout

__all__ = ["TimeAxis", "following", "is_time", "read_times", "why_unnamed"]

DAY: Final = 86_400  # seconds
ROUND: Final = {"clock": DAY, "weekday": 7, "monthname": 12}
"""Units that begin again, after how many."""

MONTHS_DIFFER: Final = Fraction(6, 100)
"""How far months, as fractions of a year, are from even: a share of their mean."""


class TimeAxis:
    """Cells that are times, in order.

    Attributes:
        positions: whole numbers of the layout's unit, for each cell.
        unit: of the positions; see `layers.datasets.columns.time_layouts.Layout`.
        numeric: whether the cells are plain numbers too.
    """

    def __init__(self, reading: Reading) -> None:
        self.unit, self.numeric = reading.layout.unit, reading.layout.numeric
        self.positions, self._write = reading.positions, reading.write
        self._clear = True  # not where day and month may be exchanged
        if self.unit in ROUND:
            self.positions = _unrolled(self.positions, ROUND[self.unit])

    @property
    def rises(self) -> bool:
        """Whether every time is later than the one before."""
        return all(one < other for one, other in pairwise(self.positions))

    @property
    def falls(self) -> bool:
        """Whether every time is earlier than the one before."""
        return all(one > other for one, other in pairwise(self.positions))

    @property
    def looks_like_years(self) -> bool:
        """Whether these are whole numbers of four digits, from 1000 on."""
        return self.unit == "count" and all(1000 <= place < 3000 for place in self.positions)

    def disordered(self) -> int | None:
        """The place of the first time that is not later than the one before; None if all are."""
        steps = pairwise(self.positions)
        return next((place for place, (a, b) in enumerate(steps, 1) if a >= b), None)

    def uneven(self) -> int | None:
        """The place of the first time that another one should stand before; None if none is.

        Months and years are even though they differ in days; so are working days.
        """
        if self.unit == "decimal" and _mean_step(self.positions) is not None:
            return None
        expected = self._continued(self.positions[:1], len(self.positions) - 1)
        if expected is None:  # no step is usual: the least one should be
            steps = [b - a for a, b in pairwise(self.positions)]
            least = min(steps, default=0)
            return next((i for i, step in enumerate(steps, 1) if step != least), None)
        found = zip(self.positions[1:], expected, strict=True)
        return next((i for i, (a, b) in enumerate(found, 1) if a != b), None)

    def turn_round(self) -> None:
        """Put the times into the opposite order."""
        self.positions = self.positions[::-1]

    def following(self, steps: int) -> list[str] | None:
        """The times of the next steps; None when the times so far do not tell them."""
        positions = self._continued(self.positions, steps) if self._clear else None
        try:
            return None if positions is None else [self._write(place) for place in positions]
        except (ValueError, OverflowError):  # beyond the year 9999
            return None

    def why_unnamed(self, last: str) -> str:
        """Why the next time cannot be told, for messages; "" if it can.

        Args:
            last: the last time, as it is written.
        """
        if self.following(1) is not None:
            return ""
        if not self._clear:
            return f"day and month of {last!r:.80} may be exchanged; write dates as 2020-12-31"
        if self._continued(self.positions, 1) is None:
            return f"no step between the times up to {last!r:.80} is usual"
        return f"the time after {last!r:.80} lies beyond the year 9999"

    def _continued(self, begun: Sequence[int], steps: int) -> list[int] | None:
        """The positions after those of `begun`, in the steps of all; None where there are none."""
        if self.unit == "second":
            return _calendar(self.positions, begun[-1], steps)
        step: Fraction | int | None = None
        if self.unit == "decimal":
            step = _mean_step(self.positions)
        step = step or _usual_step(self.positions)
        if not step:
            return None
        return [round(begun[-1] + step * count) for count in range(1, steps + 1)]


def read_times(cells: Sequence[str]) -> TimeAxis | None:
    """The times in cells, or None when one of them is none.

    >>> read_times(["2020Q3", "2020Q4"]).following(2)
    ['2021Q1', '2021Q2']
    """
    found = []
    for layout in LAYOUTS:
        reading = read_layout(layout, cells)
        if reading is not None and not _is_another(reading):
            found.append(TimeAxis(reading))
            if layout.unit != "second" or layout.numeric:
                break
    if not found:
        return None
    # Day and month may be exchanged: only the order of the times can tell.
    dates = [axis for axis in found if axis.unit == "second"]
    ordered = [axis for axis in dates if axis.rises or axis.falls] or dates
    if len(ordered) > 1:
        evenly = [axis for axis in ordered if axis.uneven() is None]
        if len(evenly) == 1:
            return evenly[0]
        ordered[0]._clear = False
    return (ordered or found)[0]


def is_time(cell: str) -> bool:
    """Whether a cell is a date, a time of day, a month, a quarter or the like by itself.

    >>> [is_time(cell) for cell in ("2020-01-31", "Q4 2020", "x1", "May")]
    [True, True, False, False]
    """
    vague = ("count", "decimal", "weekday", "monthname")
    return any(
        layout.unit not in vague and read_layout(layout, [cell]) is not None for layout in LAYOUTS
    )


def why_unnamed(times: Sequence[str]) -> str:
    """Why `following` calls the next step +1; "" if it does not.

    >>> why_unnamed(["01/02/2020", "01/03/2020"])
    "day and month of '01/03/2020' may be exchanged; write dates as 2020-12-31"
    """
    if len(times) < 2:
        return "there are fewer than two times"
    axis = read_times(times)
    if axis is not None:
        return axis.why_unnamed(times[-1])
    strange = next((time for time in times if read_times([time]) is None), None)
    if strange is not None:
        return (
            f"{strange!r:.80} is no time that is known; write times as 2020-12-31 or "
            "2020-12-31 22:00"
        )
    return f"{times[0]!r:.80} to {times[-1]!r:.80} are not all written alike"


def following(times: Sequence[str], steps: int) -> list[str]:
    """What the steps after a series are called.

    Dates, months, quarters, weeks and hours go on as a calendar does; years and counts by their
    usual step. What cannot be told is called +1, +2 and so on.

    Args:
        times: of the series.
        steps: how many to name.

    >>> following(["20201230", "20201231"], 2)
    ['20210101', '20210102']
    >>> following(["2020-11-30", "2020-12-31"], 2)
    ['2021-01-31', '2021-02-28']
    """
    axis = read_times(times) if len(times) > 1 else None
    names = axis.following(steps) if axis is not None else None
    return [f"+{step}" for step in range(1, steps + 1)] if names is None else names


def _is_another(reading: Reading) -> bool:
    """Whether cells that fit a layout are more likely of another one further below.

    Months as 2020.01 that skip some are decimals; seasons as 2002-03 that skip years are months.
    """
    layout, positions = reading.layout, reading.positions
    skips = any(b - a != 1 for a, b in pairwise(positions))
    if layout.unit == "year":
        return skips and all(1 <= (place + 1) % 100 <= 12 for place in positions)
    dotted = layout.unit == "month" and layout.numeric and r"\." in layout.pattern.pattern
    return dotted and skips


def _unrolled(positions: Sequence[int], turn: int) -> list[int]:
    """Positions that go on rising where they begin again."""
    result = list(positions[:1])
    for place in positions[1:]:
        result.append(result[-1] + (place - result[-1]) % turn)
    return result


def _usual_step(positions: Sequence[int]) -> int | None:
    """The step between most neighbours; None when there is no such."""
    if len(positions) < 2:
        return None
    steps = Counter(b - a for a, b in pairwise(positions))
    step, count = steps.most_common(1)[0]
    return step if 2 * count > len(positions) - 1 and step else None


def _mean_step(positions: Sequence[int]) -> Fraction | None:
    """The step of an even series whose numbers were rounded, as 1749.042, 1749.123, 1749.204."""
    if len(positions) < 3:
        return None
    step = Fraction(positions[-1] - positions[0], len(positions) - 1)
    near = max(Fraction(1), abs(step) * MONTHS_DIFFER)
    even = all(abs(place - positions[0] - step * i) <= near for i, place in enumerate(positions))
    return step if even else None


# -- the calendar ----------------------------------------------------------------------------------


def _calendar(positions: Sequence[int], last: int, steps: int) -> list[int] | None:
    """The times after `last`, in seconds, by months, working days, or the usual step."""
    times = [EPOCH + timedelta(seconds=place) for place in positions]
    begin = EPOCH + timedelta(seconds=last)
    try:
        if (months := _month_step(times)) is not None:
            day = _anchor(times)
            later = [_month_later(begin, months * count, day) for count in range(1, steps + 1)]
        elif _are_working_days(times):
            later = []
            while len(later) < steps:
                begin += timedelta(days=3 if begin.weekday() == 4 else 1)
                later.append(begin)
        else:
            step = _usual_step(positions)
            if step is None:
                return None
            return [last + step * count for count in range(1, steps + 1)]
    except (ValueError, OverflowError):  # beyond the year 9999
        return None
    return [round((time - EPOCH).total_seconds()) for time in later]


def _anchor(times: Sequence[datetime]) -> int:
    """The day of the month that all times have, where a month is long enough; 31 for last days."""
    last_days = all(time.day == calendar.monthrange(time.year, time.month)[1] for time in times)
    return 31 if last_days else max(time.day for time in times)


def _month_step(times: Sequence[datetime]) -> int | None:
    """The usual number of months between times at the same day of their months, or None."""
    day, clock = _anchor(times), times[0].time()
    for time in times:
        if time.time() != clock:
            return None
        if time.day != min(day, calendar.monthrange(time.year, time.month)[1]):
            return None
    return _usual_step([time.year * 12 + time.month for time in times])


def _month_later(time: datetime, months: int, day: int) -> datetime:
    """A time so many months later, at a day of the month or the last one before it."""
    year, month = divmod(time.year * 12 + time.month - 1 + months, 12)
    return time.replace(
        year=year, month=month + 1, day=min(day, calendar.monthrange(year, month + 1)[1])
    )


def _are_working_days(times: Sequence[datetime]) -> bool:
    """Whether the times are days from Monday to Friday, with every weekend left out."""
    steps = {(b - a) // timedelta(days=1) for a, b in pairwise(times)}
    return (
        len(times) > 2
        and all(time.weekday() < 5 and time.time() == times[0].time() for time in times)
        and 1 in steps
        and any(b.weekday() < a.weekday() for a, b in pairwise(times))
    )
