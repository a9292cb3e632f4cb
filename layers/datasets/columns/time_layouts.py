"""The ways to write a time: dates, hours, months, quarters, weeks, years and counts."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

__all__ = ["EPOCH", "LAYOUTS", "Layout", "Reading", "month_number", "read_layout"]

MONTHS: Final = ("january", "february", "march", "april", "may", "june", "july", "august",
                 "september", "october", "november", "december")  # fmt: skip
DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
EPOCH: Final = datetime(1, 1, 1)

Fields = Mapping[str, str]


class Layout(NamedTuple):
    """A way to write a time.

    Attributes:
        unit: of the positions: "second", "month", "quarter", "half", "week", "year", "clock",
            "weekday", "monthname", "decimal" or "count".
        pattern: of a cell; the names of its groups are the parts that go on.
        numeric: whether such a cell is a plain number as well.
    """

    unit: str
    pattern: re.Pattern[str]
    numeric: bool = False


class Reading(NamedTuple):
    """Cells in a layout, as whole numbers of its unit since a beginning.

    Attributes:
        layout: of the cells.
        positions: in order of the cells.
        write: turns a position into a cell.
    """

    layout: Layout
    positions: list[int]
    write: Callable[[int], str]


def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.ASCII)


_Y, _M, _D = r"(?P<y>\d{4})", r"(?P<m>\d{1,2})", r"(?P<d>\d{1,2})"
_YY = r"(?P<yy>\d\d)"
_B = r"(?P<b>[a-z]{3,9})"
_CLOCK = r"(?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?:\.0+)?)?(?:\s?(?P<p>[ap]m))?"
_HOUR = (  # of a clock, with or without minutes
    r"(?P<H>\d{1,2})(?::(?P<M>\d{2})(?::(?P<S>\d{2})(?:\.0+)?)?)?(?:\s?(?P<p>[ap]m))?"
)
_AFTER = rf"(?:(?:T|\s+){_HOUR}\s*(?P<z>Z|UTC|[+-]\d{{2}}:?\d{{2}})?)?"
_PLAIN = r"(?P<y>1[6-9]\d\d|2[01]\d\d)(?P<m>0[1-9]|1[0-2])"  # as a number: years 1600 to 2199

LAYOUTS: Final = tuple(
    Layout(unit, _compile(pattern), numeric)
    for unit, numeric, pattern in (
        ("second", False, rf"{_Y}(?P<s>[-/.]){_M}(?P=s){_D}{_AFTER}"),
        ("second", False, rf"{_D}(?P<s>[-/.]){_M}(?P=s){_Y}{_AFTER}"),
        ("second", False, rf"{_M}(?P<s>[-/]){_D}(?P=s){_Y}{_AFTER}"),
        ("second", False, rf"{_D}(?P<s>[/.]){_M}(?P=s){_YY}{_AFTER}"),
        ("second", False, rf"{_M}(?P<s>/){_D}(?P=s){_YY}{_AFTER}"),
        ("second", False, rf"{_D}[ -]{_B}[ -]{_YY}{_AFTER}"),
        ("second", False, rf"{_D}\.?[ -]{_B}\.?,?[ -]{_Y}{_AFTER}"),
        ("second", False, rf"{_B}\.?[ -]{_D},?[ -]{_Y}{_AFTER}"),
        ("second", False, rf"{_Y}[ -]{_B}[ -]{_D}{_AFTER}"),
        ("second", True, rf"{_PLAIN}(?P<d>\d\d)(?:(?P<H>\d\d)(?:(?P<M>\d\d)(?P<S>\d\d)?)?)?"),
        ("second", False, rf"{_PLAIN}(?P<d>\d\d)T(?P<H>\d\d)(?:(?P<M>\d\d)(?P<S>\d\d)?)?Z?"),
        ("second", False, rf"{_PLAIN}(?P<d>\d\d)[ T]{_HOUR}"),
        ("year", False, r"(?P<y>\d{4})[/-](?P<next>\d{2})"),
        ("month", False, rf"{_Y}[-/ ]{_M}"),
        ("month", False, rf"{_Y}[- ]?M{_M}"),
        ("month", False, rf"{_M}[-/.]{_Y}"),
        ("month", False, rf"{_B}\.?,?[ /-]?{_Y}"),
        ("month", False, rf"{_Y}[ /-]?{_B}"),
        ("month", False, rf"{_B}[- ']{_YY}"),
        ("month", True, _PLAIN),
        ("month", True, r"(?P<y>1[6-9]\d\d|2[01]\d\d)\.(?P<m>0[1-9]|1[0-2])"),
        ("quarter", False, rf"{_Y}[ -/.:]?Q(?P<q>[1-4])"),
        ("quarter", False, rf"Q(?P<q>[1-4])[ -/.:]?{_Y}"),
        ("quarter", False, rf"(?P<q>[1-4])Q[ -/.:]?{_Y}"),
        ("half", False, rf"{_Y}[ -/.:]?[HS](?P<q>[12])"),
        ("half", False, rf"[HS](?P<q>[12])[ -/.:]?{_Y}"),
        ("week", False, rf"{_Y}[ -]?W(?P<w>\d\d)"),
        ("clock", False, _CLOCK),
        ("weekday", False, r"(?P<b>[a-z]{3,9})"),
        ("monthname", False, r"(?P<b>[a-z]{3,9})"),
        ("count", True, r"(?P<n>-?\d{1,18})"),
        ("decimal", True, r"(?P<n>-?\d{1,9}[.,]\d{1,9})"),
        ("count", False, r"(?P<before>\D*)(?P<n>\d{1,15})(?P<after>\D*)"),
    )
)
"""Tried in this order."""


def read_layout(layout: Layout, cells: Sequence[str]) -> Reading | None:
    """The cells in this layout; None when one of them is not."""
    matches = []
    for cell in cells:
        match = layout.pattern.fullmatch(cell)
        if match is None:
            return None
        matches.append(match)
    if not matches:
        return None
    fields = [match.groupdict() for match in matches]
    # Whether a number below 10 is written with a leading zero.
    padded = all(len(one.get(part) or "00") > 1 for one in fields for part in ("m", "d", "H"))
    try:
        positions = [_position(layout.unit, one) for one in fields]
    except (ValueError, OverflowError):
        return None
    if layout.unit == "count":
        if len({(one.get("before"), one.get("after")) for one in fields}) > 1:
            return None
        padded = any(re.match(r"-?0\d", one["n"]) for one in fields)
    if layout.unit == "decimal":
        mark = "," if "," in cells[0] else "."
        digits = max(len(one["n"].partition(mark)[2]) for one in fields)
        if any(mark not in one["n"] for one in fields):
            return None
        positions = [_scaled(one["n"], mark, digits) for one in fields]
        return Reading(layout, positions, lambda position: _decimal(position, mark, digits))
    zones = [_offset(one.get("z")) for one in fields]  # winter and summer time, of the last one
    positions = [place - zone + zones[-1] for place, zone in zip(positions, zones, strict=True)]
    words = [one["b"].lower() for one in fields if one.get("b")]
    short = all(word == "may" or word not in (*MONTHS, *DAYS) for word in words)

    def write(position: int) -> str:
        return _rewrite(matches[-1], _parts(layout.unit, position), padded, short)

    return Reading(layout, positions, write)


def _position(unit: str, one: Fields) -> int:
    """A time as a whole number of units.

    Raises:
        ValueError: when there is no such time.
    """
    if unit == "count":
        return int(one["n"])
    if unit == "decimal":
        return 0
    if unit in ("weekday", "monthname"):
        return _index(DAYS if unit == "weekday" else MONTHS, one["b"])
    if unit == "clock":
        return int((datetime(1, 1, 1, *_clock(one)) - EPOCH).total_seconds())
    year = _year(one)
    if unit == "year":
        if int(one["next"]) != (year + 1) % 100:
            raise ValueError("not a season")
        return year
    if unit in ("quarter", "half"):
        return year * (4 if unit == "quarter" else 2) + int(one["q"]) - 1
    if unit == "week":
        return (datetime.fromisocalendar(year, int(one["w"]), 1) - EPOCH).days // 7
    month = _index(MONTHS, one["b"]) + 1 if one.get("b") else int(one["m"])
    if unit == "month":
        datetime(year, month, 1)
        return year * 12 + month - 1
    time = datetime(year, month, int(one["d"]), *_clock(one))
    return round((time - EPOCH).total_seconds())


def _clock(one: Fields) -> tuple[int, int, int]:
    """Hour, minute and second.

    Raises:
        ValueError: for an hour that twelve hours do not have, before or after noon.
    """
    hour, minute, second = (int(one.get(part) or 0) for part in ("H", "M", "S"))
    if one.get("p"):
        if not 1 <= hour <= 12:
            raise ValueError("not an hour of twelve")
        hour = hour % 12 + (12 if one["p"].lower() == "pm" else 0)
    return hour, minute, second


def _year(one: Fields) -> int:
    """The year; one of two digits lies between 1970 and 2069."""
    if one.get("yy"):
        return int(one["yy"]) + (2000 if int(one["yy"]) < 70 else 1900)
    return int(one["y"])


def _offset(zone: str | None) -> int:
    """The seconds by which a time zone, as +01:00, is ahead."""
    if zone is None or zone[0] not in "+-":
        return 0
    seconds = 3600 * int(zone[1:3]) + 60 * int(zone[-2:])
    return -seconds if zone[0] == "-" else seconds


def month_number(word: str) -> int:
    """1 to 12 for the name of a month, whole or in three letters.

    Raises:
        ValueError: it is none.
    """
    return _index(MONTHS, word) + 1


def _index(names: Sequence[str], word: str) -> int:
    """The place of a name, whole or in its first three letters, or "sept"."""
    word = word.lower()
    for place, name in enumerate(names):
        if word in (name, name[:3]) or (word == "sept" and name == "september"):
            return place
    raise ValueError(f"{word} is no such name")


def _parts(unit: str, position: int) -> dict[str, int | str]:
    """The parts of the time at a position, by the names of the groups."""
    if unit == "count":
        return {"n": position}
    if unit == "year":
        return {"y": position, "next": f"{(position + 1) % 100:02d}"}
    if unit in ("quarter", "half"):
        year, part = divmod(position, 4 if unit == "quarter" else 2)
        return {"y": year, "q": part + 1}
    if unit == "month":
        year, month = divmod(position, 12)
        return {"y": year, "yy": f"{year % 100:02d}", "m": month + 1, "b": MONTHS[month]}
    if unit == "week":
        iso = (EPOCH + timedelta(weeks=position)).isocalendar()
        return {"y": iso.year, "w": f"{iso.week:02d}"}
    if unit in ("weekday", "monthname"):
        names = DAYS if unit == "weekday" else MONTHS
        return {"b": names[position % len(names)]}
    time = EPOCH + timedelta(seconds=position % 86400 if unit == "clock" else position)
    return {
        "y": time.year,
        "yy": f"{time.year % 100:02d}",
        "m": time.month,
        "b": MONTHS[time.month - 1],
        "d": time.day,
        "H": time.hour,
        "M": f"{time.minute:02d}",
        "S": f"{time.second:02d}",
    }


def _rewrite(last: re.Match[str], parts: Mapping[str, int | str], padded: bool, short: bool) -> str:
    """A cell like the last one, with other parts; names of months and days may be short."""
    text = last.string
    if last.groupdict().get("p"):
        hour = int(parts["H"])
        half = "PM" if hour >= 12 else "AM"
        half = half if last["p"].isupper() else half.lower()
        parts = {**parts, "H": (hour - 1) % 12 + 1, "p": half}
    present = [part for part in last.re.groupindex if part in parts and last.start(part) >= 0]
    for part in sorted(present, key=last.start, reverse=True):
        before, value = last[part], parts[part]
        if part == "b":
            name = str(value)[:3] if short else str(value)
            new = name.upper() if before.isupper() else name
            new = new.capitalize() if before.istitle() else new
        elif isinstance(value, str):
            new = value
        elif padded and part in ("m", "d", "H", "n"):
            new = f"{value:0{len(before) if part == 'n' else 2}d}"
        else:
            new = str(value)
        text = text[: last.start(part)] + new + text[last.end(part) :]
    return text


def _scaled(number: str, mark: str, digits: int) -> int:
    """A decimal number times a power of ten."""
    whole, _, fraction = number.partition(mark)
    return int(whole + fraction.ljust(digits, "0"))


def _decimal(position: int, mark: str, digits: int) -> str:
    """The inverse of `_scaled`."""
    sign, text = "-" if position < 0 else "", f"{abs(position):0{digits + 1}d}"
    return f"{sign}{text[:-digits]}{mark}{text[-digits:]}"
