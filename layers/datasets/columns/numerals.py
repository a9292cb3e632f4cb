"""Numbers as people write them: decimal marks, groups of thousands, percent, and gaps."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Final

__all__ = ["GAPS", "choose_decimal", "is_gap", "is_meant_as_number", "is_number", "parse_number"]

GAPS: Final = frozenset(
    ("", "-", "--", "---", "–", "—", "?", ".", "..", "...", "na", "n/a", "n.a.", "#n/a", "#na",
     "<na>", "nan", "-nan", "nat", "null", "none", "nil", "missing")
)  # fmt: skip
"""Cells, in lower case, in which there is no value."""

_GROUPS: Final = {".": ",", ",": r"\."}  # what parts thousands, for each decimal mark


def _pattern(decimal: str) -> re.Pattern[str]:
    """A number with that decimal mark."""
    mark, group = re.escape(decimal), _GROUPS[decimal]
    whole = (
        rf"(?:[1-9]\d{{0,2}}(?:{group}\d{{2,3}})*{group}\d{{3}}"  # 1,234,567 and 12,34,567
        r"|[1-9]\d{0,2}(?:['\u2019 \u00a0\u2009\u202f]\d{3})+|\d+)"
    )
    fraction = rf"{mark}\d*" if decimal == "." else rf"{mark}\d+"
    return re.compile(
        rf"(?P<number>[+\-\u2212]?(?:{whole}(?:{fraction})?|{mark}\d+)(?:[eE][+\-]?\d+)?)"
        r"(?P<percent>[\s\u00a0\u202f]*%)?",
        re.ASCII,
    )


_PATTERNS: Final = {decimal: _pattern(decimal) for decimal in _GROUPS}
_MEANT: Final = re.compile(r"[^\w\s]{0,3}\s*[+\-\u2212]?\s*[.,]?\d[\d.,' \u00a0]*\s*\D{0,8}")


def parse_number(cell: str, decimal: str) -> float | None:
    """The finite number in a cell, or None; a percent sign is passed over.

    >>> parse_number("1,234.5", "."), parse_number("1.234,5", ","), parse_number("x", ".")
    (1234.5, 1234.5, None)
    """
    match = _PATTERNS[decimal].fullmatch(cell)
    if match is None:
        return None
    plain = re.sub(rf"[{_GROUPS[decimal]}'\u2019 \u00a0\u2009\u202f]", "", match["number"])
    value = float(plain.replace("\u2212", "-").replace(",", "."))
    return value if math.isfinite(value) else None


def is_number(cell: str) -> bool:
    """Whether a cell is a number, with either decimal mark."""
    return any(parse_number(cell, decimal) is not None for decimal in _PATTERNS)


def is_gap(cell: str) -> bool:
    """Whether a cell says that there is no value."""
    return cell.lower() in GAPS


def is_meant_as_number(cell: str) -> bool:
    """Whether a cell is a number, perhaps one with a unit or a currency, or badly written.

    >>> is_meant_as_number("$5"), is_meant_as_number("5 mm"), is_meant_as_number("Bern")
    (True, True, False)
    """
    return is_number(cell) or _MEANT.fullmatch(cell) is not None


def choose_decimal(
    columns: Sequence[Sequence[str]], separator: str | None, lines: Sequence[int], name: str
) -> str:
    """The decimal mark of the first column, by its own cells, or else by those of the others.

    Args:
        columns: of cells.
        separator: between the cells; a semicolon makes a decimal comma likely.
        lines: in which the cells stand.
        name: of the file, for messages.

    Raises:
        ValueError: when both marks are used in the first column, or nothing tells which one it is.
    """
    own = columns[0]
    marks = {decimal: _only_with(own, decimal) for decimal in _PATTERNS}
    if all(place is not None for place in marks.values()):
        shown = " and ".join(
            f"{own[place]!r:.80} in line {lines[place]}"
            for place in marks.values()
            if place is not None
        )
        raise ValueError(
            f"{name}: {shown} have different decimal marks; write them alike in one column"
        )
    for decimal, place in marks.items():
        if place is not None:
            return decimal
    unclear = next((place for place, cell in enumerate(own) if _is_ambiguous(cell)), None)
    if unclear is None:
        return "."
    told = {d for d in _PATTERNS for column in columns[1:] if _only_with(column, d) is not None}
    if len(told) == 1:
        return told.pop()
    commas = any("," in cell for cell in own if _is_ambiguous(cell))
    if commas or separator == ";":
        cell = own[unclear]
        one, other = (parse_number(cell, decimal) for decimal in _PATTERNS)
        raise ValueError(
            f"{name}, line {lines[unclear]}: {cell!r:.80} may be {one:g} or {other:g}; say "
            "which by "
            "decimal='.' or decimal=',' (--decimal . or --decimal ,)"
        )
    return "."


def _only_with(cells: Iterable[str], decimal: str) -> int | None:
    """The place of the first number that needs this decimal mark, or None."""
    other = "," if decimal == "." else "."
    return next(
        (
            place
            for place, cell in enumerate(cells)
            if parse_number(cell, decimal) is not None and parse_number(cell, other) is None
        ),
        None,
    )


def _is_ambiguous(cell: str) -> bool:
    """Whether a cell is one number with a decimal point and another with a decimal comma."""
    one, other = (parse_number(cell, decimal) for decimal in _PATTERNS)
    return one is not None and other is not None and one != other
