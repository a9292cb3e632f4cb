"""Tables from CSV files of any dialect: separator, quotation marks, head and comments."""

import csv
import io
import operator
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from layers.datasets.columns.numerals import is_gap, is_number
from layers.datasets.columns.time_labels import is_time

__all__ = ["Row", "Table", "listed", "parse_table"]

SEPARATORS: Final = ("\t", ";", "|", ",", " ")
"""Tried in this order: commas and spaces are the likeliest to be part of a cell."""

SPELLED: Final = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " ",
                  "pipe": "|"}  # fmt: skip

SAMPLE: Final = 1000
"""Lines in which the separator is looked for."""

_SEP_LINE: Final = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_COMMENT: Final = re.compile(r"\s*(?:#(?!n/?a\b)|%|//)", re.IGNORECASE)


class Row(NamedTuple):
    """The cells of a row, and the line in which it ends."""

    line: int
    cells: tuple[str, ...]


class Table(NamedTuple):
    """Rows of equally many cells.

    Attributes:
        header: the names of the columns; None if the first line is a row of values.
        rows: of values.
        separator: between cells; None if there is one column.
        unclear: whether every line is a number by itself, such as 1,5, so that the separator may be
            a decimal mark.
        head: the first line, parted at the separator, with the spaces that it has.
    """

    header: Row | None
    rows: tuple[Row, ...]
    separator: str | None
    unclear: bool = False
    head: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """How many columns."""
        return len((self.header or self.rows[0]).cells)

    def column(self, place: int) -> tuple[str, ...]:
        """The cells of a column."""
        return tuple(row.cells[place] for row in self.rows)


def listed(names: Iterable[str], most: int = 10) -> str:
    """Names or cells for messages: of many the first ones, and of long ones the beginning.

    >>> listed(["rain", "snow", "wind"], most=2)
    'rain, snow and 1 more'
    """
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f"{name:.120}" for name in names[:most]) + more


def parse_table(
    name: str, text: str, separator: str | None = None, decimal: str | None = None
) -> Table:
    """The table in a text.

    Lines that begin with #, % or // are comments, but one with a name for each column, above a
    table without header, is its header. Excel's first line sep=; is heeded.

    Args:
        name: of the file, for messages.
        text: with line ends ``\\n``.
        separator: one character, or "tab", "space", "comma", "semicolon", "pipe"; found out if
            None. A space stands for any white space.
        decimal: the decimal mark if it is known: a decimal comma parts no cells.

    Raises:
        ValueError: there are no rows, they have unequal numbers of cells, a quotation mark is never
            closed, or the separator is not one character. The message names the line.

    >>> parse_table("x.csv", "a;b\\n1;2,5\\n").rows
    (Row(line=2, cells=('1', '2,5')),)
    """
    lines, comment = text.split("\n"), None
    if separator is not None:
        separator = SPELLED.get(separator.lower(), separator)
        if len(separator) != 1 or separator in '"\n\r':
            raise ValueError(
                f"separator={separator!r} must be one character, or one of "
                f"{', '.join(word for word in SPELLED if word.isalpha())}"
            )
    plain = (i for i, line in enumerate(lines) if line.strip() and not _COMMENT.match(line))
    first = next(plain, 0)
    if excel := _SEP_LINE.fullmatch(lines[first].strip(" ")):
        separator = separator or excel[1]
        lines[first] = ""
    data_seen = False
    for place, line in enumerate(lines):
        if _COMMENT.match(line):
            comment = comment if data_seen else Row(place + 1, (line,))
            lines[place] = ""
        data_seen = data_seen or bool(lines[place].strip())
    if not any(line.strip(" \t,;|") for line in lines):
        raise ValueError(f"{name} has no rows; pass a CSV file with numbers in it")
    chosen = _choose_separator(lines, decimal) if separator is None else separator
    rows = _even_out(name, _cells(name, lines, chosen), chosen)
    numbers = [is_number(cell) for cell in rows[0].cells]
    times = [is_time(cell) for cell in rows[0].cells]
    header: Row | None = rows[0]
    if any(numbers) and all(map(operator.or_, numbers, times)):
        header = None if comment is None else _header_of(name, comment, len(numbers), chosen)
    body = tuple(rows[1:] if header is rows[0] else rows)
    # Only a guess can be wrong, and only where the whole line is a number as well.
    guessed = separator is None and chosen is not None
    unclear = guessed and bool(body) and _are_numbers(lines[row.line - 1] for row in body)
    head = lines[rows[0].line - 1].split(chosen) if chosen else ()
    return Table(header, body, chosen, unclear, tuple(head))


def _cells(
    name: str, lines: Sequence[str], separator: str | None, strict: bool = True
) -> list[Row]:
    """All rows but blank ones, as they are separated.

    Raises:
        ValueError: for a quotation mark that is never closed, or text after a closing one.
    """
    if separator is None:
        return [
            Row(number, (line.strip().strip('"').strip(),))
            for number, line in enumerate(lines, 1)
            if line.strip()
        ]
    if separator == " ":
        lines = [re.sub(r"\s+", " ", line.strip()) for line in lines]
    first = next(line for line in lines if line.strip()).strip()
    single = first.startswith("'") and not any('"' in line for line in lines)
    reader = csv.reader(
        io.StringIO("\n".join(lines)),
        delimiter=separator,
        quotechar="'" if single else '"',
        skipinitialspace=True,
        strict=strict,
    )
    rows, line = [], 0
    try:
        for cells in reader:
            line = reader.line_num
            if len(cells) > 1 or any(map(str.strip, cells)):
                rows.append(Row(line, tuple(cell.strip() for cell in cells)))
    except csv.Error as problem:
        raise ValueError(
            f"{name}, from line {line + 1} on: this is no CSV ({problem}); look for a quotation "
            "mark that is never closed"
        ) from problem
    # Spreadsheets write rows of separators alone below a table; inside it, they are gaps.
    while rows and not any(rows[-1].cells):
        rows.pop()
    while rows and not any(rows[0].cells):
        del rows[0]
    return rows


def _filled(row: Row) -> int:
    """The number of cells without empty ones at the end."""
    count = len(row.cells)
    while count and not row.cells[count - 1]:
        count -= 1
    return count


def _even_out(name: str, rows: list[Row], separator: str | None) -> list[Row]:
    """Rows without the empty cells that a separator at the end of every line makes.

    Raises:
        ValueError: when the numbers of cells differ all the same.
    """
    if not rows:
        raise ValueError(f"{name} has no rows; pass a CSV file with numbers in it")
    width = max(map(_filled, rows))
    first = min(len(rows[0].cells), width)
    for row in rows:
        if _filled(row) > first or len(row.cells) < width == first:
            raise ValueError(
                f"{name}, line {row.line}: {len(row.cells)} cell{'s' * (len(row.cells) != 1)}, and "
                f"the first line has {first}, when {_spell(separator)} parts them; give every line "
                "as many, with quotation marks around a cell that has the separator, pass "
                "separator= or decimal= (--separator, --decimal), or put # before lines that are "
                "not of the table"
            )
    return [Row(row.line, row.cells[:width]) for row in rows]


def _spell(separator: str | None) -> str:
    """A separator in words."""
    words = {",": "a comma", ";": "a semicolon", "\t": "a tab", " ": "white space", None: "nothing"}
    return words.get(separator, repr(separator))


def _choose_separator(lines: Sequence[str], decimal: str | None) -> str | None:
    """The separator that gives every row as many cells; None if lines are single cells."""
    begin = next(place for place, line in enumerate(lines) if line.strip())
    lines, all_lines = lines[begin : begin + SAMPLE], len(lines) - begin
    whole = [line.strip().strip('"').strip() for line in lines if line.strip()]
    counts: dict[str, int] = {}
    for candidate in SEPARATORS:
        try:
            rows = _cells("", lines, candidate, strict=len(lines) == all_lines)
            if len(lines) < all_lines and len(rows) > 1:
                rows.pop()  # a cell of several lines may be cut
            width = len(_even_out("", rows, candidate)[0].cells)
        except ValueError:
            continue
        occurs = all(len(row.cells) > 1 for row in rows)
        if occurs and not (candidate == "," and decimal == "," and _are_numbers(whole[1:])):
            counts[candidate] = width
    if counts:
        # The first that makes columns; a separator at each line's end makes but one.
        return next((c for c, width in counts.items() if width > 1), next(iter(counts)))
    # A header with a separator makes it doubtful that lines with decimal commas are one cell.
    doubtful = len(whole) > 1 and decimal != "," and any(c in whole[0] for c in SEPARATORS[:-1])
    if not doubtful and _are_numbers(line for line in whole[1:] or whole if not is_gap(line)):
        return None
    often = Counter({c: sum(c in line for line in whole) for c in SEPARATORS if c != " "})
    candidate, lines_with = often.most_common(1)[0]
    return candidate if 2 * lines_with > len(whole) else None


def _are_numbers(lines: Iterable[str]) -> bool:
    """Whether every line is one number."""
    return all(is_number(line.strip()) for line in lines)


def _header_of(name: str, comment: Row, width: int, separator: str | None) -> Row | None:
    """The names that a comment gives to the columns of a table without header, as NumPy writes."""
    text = comment.cells[0].strip()
    bare = re.sub(r"^(#|%|//)\s*", "", text)
    for candidate in (bare, text):  # in "#,rain" the mark itself is the name
        try:
            (row,) = _cells(name, [candidate], separator)
        except ValueError:
            return None
        cells = row.cells
        if len(cells) == width and all(cells) and not any(map(is_number, cells)):
            return Row(comment.line, cells)
    return None
