"""Times that lie in several columns: year and quarter, date and hour and the like."""

import re
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Final, NamedTuple

from layers.datasets.columns.numerals import is_gap
from layers.datasets.columns.time_labels import is_time, read_times
from layers.datasets.columns.time_layouts import month_number
from layers.datasets.columns.time_names import UNSURE, named_as_time, part_named

__all__ = ["Parts", "named_parts", "unnamed_parts"]

Column = Sequence[str]

_RANGES: Final = {"year": (1000, 2999), "half": (1, 2), "quarter": (1, 4), "month": (1, 12),
                  "week": (1, 53), "day": (1, 31), "yearday": (1, 366), "hour": (0, 24),
                  "minute": (0, 59), "second": (0, 59)}  # fmt: skip
_NUMBER: Final = re.compile(
    r"(?:([^\W\d_]{1,8})\.?\s?)?(\d{1,4})(?:\.0*|(?::00){1,2}|[^\W\d_]{0,2}\.?)"
)
_MARKS: Final = {"half": "hs", "quarter": "qt", "month": "m", "week": "wks", "day": "dtj",
                 "yearday": "dtj", "hour": "h"}  # fmt: skip
"""What a word before the number begins with, as in Q4, T4 (trimestre), KW 4, S4 (semaine)."""
_TWELVE: Final = re.compile(r"(1[0-2]|0?[1-9])(?::00)?\s?([ap])\.?m\.?", re.IGNORECASE)
_ROMAN: Final = ("i", "ii", "iii", "iv")
_LENGTHS: Final = {2: "half", 4: "quarter", 12: "month", 52: "week", 53: "week", 365: "yearday",
                   366: "yearday"}  # fmt: skip
"""How many of a part a year has."""

_MARKED: Final = {
    "quarter": re.compile(r"Q0?[1-4]|[1-4]Q", re.IGNORECASE),
    "half": re.compile(r"[HS]0?[12]", re.IGNORECASE),
    "week": re.compile(r"(?:W|KW|week)\s?\d{1,2}", re.IGNORECASE),
}
"""Cells that say themselves what they are."""


class Parts(NamedTuple):
    """Times that were put together.

    Attributes:
        columns: their places.
        cells: a time for each row; empty where a part is missing.
    """

    columns: tuple[int, ...]
    cells: tuple[str, ...]


def _number(part: str, cell: str) -> int | None:
    """The number of a part of a date, as in 4, Q4, W04, 4. and Apr; None if it is none."""
    if part == "month" and cell[:1].isalpha():
        try:
            return month_number(cell.rstrip("."))
        except ValueError:
            pass
    if part in ("quarter", "half") and cell.lower() in _ROMAN:
        cell = str(_ROMAN.index(cell.lower()) + 1)
    if part == "hour" and (twelve := _TWELVE.fullmatch(cell)):
        return int(twelve[1]) % 12 + 12 * (twelve[2].lower() == "p")
    match = _NUMBER.fullmatch(cell)
    if match is None:
        return None
    if match[1] and match[1][0].lower() not in _MARKS.get(part, ""):
        return None
    number, (low, high) = int(match[2]), _RANGES[part]
    return number if low <= number <= high else None


def _fits(part: str, column: Column) -> bool:
    """Whether all cells, but gaps, are numbers that this part may have."""
    filled = [cell for cell in column if not is_gap(cell)]
    if part == "date":
        axis = read_times(filled)
        return axis is not None and axis.unit == "second" and is_time(filled[0])
    return bool(filled) and all(_number(part, cell) is not None for cell in filled)


def _is_clock(name: str, column: Column) -> bool:
    """Whether all cells, but gaps, are times of day: 22:00, or 2200 where the name says so."""
    filled = [cell for cell in column if not is_gap(cell)]
    if named_as_time(name) == 0 and any(len(cell) > 2 for cell in filled):
        filled = [_with_colon(cell) for cell in filled]
    axis = read_times(filled)
    return axis is not None and axis.unit == "clock"


def _with_colon(clock: str) -> str:
    """2200 as 22:00, and 30, whose zeros were lost, as 00:30."""
    bare = clock.isdecimal() and len(clock) <= 4
    return f"{clock.zfill(4)[:2]}:{clock.zfill(4)[2:]}" if bare else clock


def named_parts(
    header: Sequence[str], columns: Sequence[Column], places: Sequence[int]
) -> Parts | None:
    """The times that columns hold together by their names, in any order; None if there are none.

    Args:
        header: the names of the columns.
        columns: the cells of each.
        places: of the columns to look at.

    >>> named_parts(["quarter", "year"], [["4", "1"], ["2018", "2019"]], [0, 1])
    Parts(columns=(1, 0), cells=('2018-Q4', '2019-Q1'))
    """
    found: dict[str, int] = {}
    meant = {place: part_named(header[place]) for place in places}
    fine = any(part in ("date", "day", "yearday") for one in meant.values() for part in one)
    for place, parts in sorted(meant.items(), key=lambda item: len(item[1])):
        likely = sorted(parts, key=lambda part: part != "hour") if fine else parts
        for part in likely:
            wide = "yearday" if part == "day" and not _fits(part, columns[place]) else part
            if wide in ("weekday", *found) or not _fits(wide, columns[place]):
                continue
            found[wide] = place
            break
    if "year" not in found and "date" not in found:
        years = [p for p in places if not meant[p] and _repeats_years(columns[p])]
        found |= {"year": years[0]} if len(years) == 1 else {}
    if "date" not in found:
        dates = [p for p in places if not meant[p] and _fits("date", columns[p])]
        found |= {"date": dates[0]} if len(dates) == 1 else {}
    clocks = [p for p in places if p not in found.values() and _is_clock(header[p], columns[p])]
    if len(clocks) == 1 and "hour" not in found:
        found["clock"] = clocks[0]
    chosen = _combination(found)
    if chosen is None:
        return None
    coarse, *finer = chosen
    vague = any(header[found[part]].lower().strip() in UNSURE for part in finer)
    if (vague or coarse == "date") and _is_ordered(columns[found[coarse]]):
        return None
    together = _put_together({part: found[part] for part in chosen}, columns)
    return None if vague and not _is_even(together.cells) else together


def _combination(found: dict[str, int]) -> tuple[str, ...] | None:
    """The parts that make a time, from the coarsest to the finest; None if none do."""
    dates: tuple[tuple[str, ...], ...] = (
        ("date",), ("year", "month", "day"), ("year", "week", "day"), ("year", "yearday"),
        ("year", "month"), ("year", "week"), ("year", "day"), ("year", "quarter"), ("year", "half"),
    )  # fmt: skip
    date_parts = next((parts for parts in dates if all(part in found for part in parts)), None)
    if date_parts is None:
        return None
    clock: tuple[str, ...] = ()
    if date_parts[-1] in ("date", "day", "yearday"):
        if "clock" in found:
            clock = ("clock",)
        for part in ("hour", "minute", "second") if "hour" in found else ():
            if part not in found:
                break
            clock = (*clock, part)
    return None if date_parts == ("date",) and not clock else (*date_parts, *clock)


def _put_together(found: dict[str, int], columns: Sequence[Column]) -> Parts:
    """The time of each row."""
    parts = tuple(found)
    rows = zip(*(columns[place] for place in found.values()), strict=True)
    return Parts(tuple(found.values()), tuple(_time_of(parts, row) for row in rows))


def _time_of(parts: tuple[str, ...], row: Sequence[str]) -> str:
    """The time that the parts in a row are; parts with a blank between them if there is no such."""
    if any(map(is_gap, row)):
        return ""
    texts = dict(zip(parts, row, strict=True))
    numbers = {part: _number(part, texts[part]) or 0 for part in parts if part in _RANGES}
    year, hours = numbers.get("year", 0), numbers.get("hour", 0)
    day: date | None = None
    try:
        if "yearday" in parts:
            day = date(year, 1, 1) + timedelta(days=numbers["yearday"] - 1)
            if day.year != year:
                raise ValueError("not so many days")
        elif "week" in parts and "day" in parts:
            day = date.fromisocalendar(year, numbers["week"], numbers["day"])
        elif "month" in parts and "day" in parts:
            day = date(year, numbers["month"], numbers["day"])
        elif "day" in parts:
            day = date(year, 1, 1) + timedelta(days=numbers["day"] - 1)
        elif "date" in parts and hours == 24:
            axis = read_times([texts["date"]])
            day = None if axis is None else date(1, 1, 1) + timedelta(axis.positions[0] // 86400)
        if day is not None:
            text = (day + timedelta(days=hours // 24)).isoformat()
        elif "date" in parts:
            text = texts["date"]
        else:
            last = parts[1]
            text = (
                f"{year}-"
                + {
                    "month": f"{numbers[last]:02d}",
                    "week": f"W{numbers[last]:02d}",
                    "quarter": f"Q{numbers[last]}",
                    "half": f"H{numbers[last]}",
                }[last]
            )
    except (ValueError, OverflowError):
        return " ".join(row)
    if "clock" in parts:
        return f"{text} {_with_colon(texts['clock'])}"
    if "hour" in parts:
        text += f" {hours % 24:02d}:{numbers.get('minute', 0):02d}"
    return f"{text}:{numbers['second']:02d}" if "second" in parts else text


def _repeats_years(column: Column) -> bool:
    """Whether these are years in order, some of them more than once."""
    if not all(re.fullmatch(r"1[6-9]\d\d|2[01]\d\d", cell) for cell in column):
        return False
    years = list(map(int, column))
    return len(set(years)) < len(years) and years in (sorted(years), sorted(years, reverse=True))


def _is_ordered(cells: Column) -> bool:
    """Whether cells are times that rise, or fall."""
    axis = read_times([cell for cell in cells if not is_gap(cell)])
    return axis is not None and len(cells) > 1 and (axis.rises or axis.falls)


def unnamed_parts(
    names: Sequence[str], columns: Sequence[Column], places: Sequence[int]
) -> tuple[Parts | None, tuple[int, int] | None]:
    """The times that columns hold together by their values alone.

    Args:
        names: of the columns, "" where they have none.
        columns: the cells of each.
        places: of the columns to look at.

    Returns:
        The times, or None; and the places of a year and a part of it that may be several parts.
    """
    among = set(places)
    for first in places:
        for parts in (("year", "month", "day", "hour"), ("year", "month", "day"), ("date", "hour")):
            found = dict(zip(parts, range(first, first + len(parts)), strict=True))
            if not all(p in among and _fits(part, columns[p]) for part, p in found.items()):
                continue
            finer = [columns[p] for part, p in found.items() if part != "date"]
            pair = "year" in found and _part_by_values(finer[0], finer[1]) is not None
            if not pair and all(cell.isdecimal() for column in finer for cell in column):
                times = _put_together(found, columns)
                fits = _is_even if "date" in parts else _is_ordered
                if fits(times.cells) and not _is_ordered(columns[first]):
                    return times, None
    unclear = None
    years = [p for p in places if _repeats_years(columns[p]) and _may_be(("year",), names[p])]
    short = [p for p in places if _part_alone(columns[p]) is not None
             and (names[p].lower() in UNSURE or _may_be((), names[p]))]  # fmt: skip
    short = _distinct(short, columns)
    for year in _distinct(years, columns):
        for place in short:
            part = _part_by_values(columns[year], columns[place])
            if part:
                return _put_together({"year": year, part: place}, columns), None
            if part == "" and unclear is None:
                unclear = (year, place)
    return None, unclear


def _is_even(cells: Column) -> bool:
    """Whether cells are times in order, with none left out."""
    axis = read_times(cells)
    return axis is not None and (axis.rises or axis.falls) and axis.uneven() is None


def _may_be(parts: Sequence[str], name: str) -> bool:
    """Whether the name of a column says nothing, or first one of these parts."""
    named = part_named(name)
    return not named or named[0] in parts


def _distinct(places: Sequence[int], columns: Sequence[Column]) -> list[int]:
    """The first of the places whose columns have the same cells, for each such."""
    first: dict[tuple[str, ...], int] = {}
    for place in places:
        first.setdefault(tuple(columns[place]), place)
    return list(first.values())


def _part_alone(cells: Column) -> str | None:
    """The part of a year that cells are by their marks; "" for short numbers; else None."""
    part = next((p for p, m in _MARKED.items() if all(map(m.fullmatch, cells))), None)
    if part is None and _fits("month", cells) and not any(cell.isdecimal() for cell in cells):
        part = "month"
    if part is None and all(cell.isdecimal() and len(cell) < 4 for cell in cells):
        part = ""
    return part


def _part_by_values(years: Column, cells: Column) -> str | None:
    """Which part of a year the numbers beside it are: by marks as in Q1, or by how they wrap.

    Returns:
        The part; "" if they are one, but nothing tells which; None if they are none.
    """
    part = _part_alone(cells)
    if part != "":
        return part
    rows = [(int(year), int(cell)) for year, cell in zip(years, cells, strict=True)]
    rows = rows[::-1] if rows[0] > rows[-1] else rows
    if any(one >= other for one, other in pairwise(rows)):
        return None
    wraps = [(a[1], b[1]) for a, b in pairwise(rows) if a[0] != b[0]]
    if any(end <= start for end, start in wraps):
        return None
    lengths = {_LENGTHS.get(end, "") for end, _ in wraps}
    highest = max(max(number for _, number in rows), 1)
    ends = max((end for end, _ in wraps), default=0)
    clear = len(lengths) == 1 and highest <= ends and all(start == 1 for _, start in wraps)
    return lengths.pop() if clear else ""
