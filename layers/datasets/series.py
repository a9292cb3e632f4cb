"""Series of your own, from CSV files."""

import math
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from layers.datasets.columns.numerals import choose_decimal, is_gap, is_number, parse_number
from layers.datasets.columns.series_columns import (
    Labels,
    check_given_separator,
    check_order,
    check_separator,
    column_name,
    find_column,
    find_labels,
    only_values,
)
from layers.datasets.columns.tables import Table, listed, parse_table
from layers.datasets.text_files import TextSource, read_text, source_name

__all__ = ["Missing", "Series", "read_series"]

Missing = Literal["error", "drop", "interpolate"]
"""What becomes of a row without a value."""

SHOWN = 5  # gaps that are listed one by one


class Series(NamedTuple):
    """What `read_series` found.

    Attributes:
        name: of the column; "value" in a file without a header.
        values: float64 (time,).
        times: what the file says of when each value was; else its number.
        notes: how the file was read, in sentences: the column, how many values, the gaps, and all
            that was not plain.
        has_times: whether the file says when each value was.
    """

    name: str
    values: NDArray[np.float64]
    times: tuple[str, ...]
    notes: tuple[str, ...] = ()
    has_times: bool = True


def read_series(
    path: TextSource,
    column: str | int | None = None,
    *,
    separator: str | None = None,
    decimal: str | None = None,
    missing: Missing = "error",
    encoding: str | None = None,
) -> Series:
    """Read one column of a CSV file as a series.

    Dates, months, quarters, years and the like in order, and a first column that counts, are the
    times of the values and never the values, unless asked for by name. A time may lie in several
    columns, as year and quarter or date and hour do: their names say which part of it each is, or
    else the marks of Q1 and Nov, or after how many a year ends. Rows that begin with the
    newest are turned round. What can be read in two ways is refused, with the option that decides.

    Args:
        path: a file, or one opened for reading bytes, with a header or, when every cell is a number
            or a time, without one. Blank lines and comments, from a # at the beginning on, are
            passed over.
        column: its name in the header, or its number, from 1 on. May be None where one column alone
            has numbers besides the times.
        separator: of cells: one character, or "tab" or "space" (any white space); found out from
            comma, semicolon, tab, bar and white space if None.
        decimal: "." or ","; found out from the numbers if None.
        missing: what to do about gaps, that is empty cells, NA, nan, - and the like: "error"
            refuses them; "drop" leaves the rows out, so that the values are not evenly spaced any
            more; "interpolate" puts them on a line between their neighbours, and leaves gaps at
            both ends out.
        encoding: as in `read_text`.

    Raises:
        FileNotFoundError, IsADirectoryError: as `read_text`.
        ValueError: the file is empty, no text or no CSV, there is no such column or more than one
            that may be meant, a cell of it is not a finite number, a row has another number of
            cells than the first, times are not in order, there are fewer than two values, or the
            first line has a number where the name of the column should be. The message names the
            line and the cell.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "rain.csv")
    ...     _ = file.write_text("year;rain\\n1900;3,5\\n1901;\\n1902;4\\n")
    ...     series = read_series(file, missing="interpolate")
    >>> series.values, series.times
    (array([3.5 , 3.75, 4.  ]), ('1900', '1901', '1902'))
    >>> for note in series.notes:
    ...     print(note)
    column 'rain' (2 of 2): 3 values, 1900 to 1902; 1 gap: 1901 (line 3)
    '3,5' in line 2 is read as 3.5
    the gap is filled by interpolation
    """
    name = source_name(path)
    if missing not in get_args(Missing):
        raise ValueError(f"missing={missing!r} must be one of {', '.join(get_args(Missing))}")
    if decimal not in (None, ".", ","):
        raise ValueError(f"decimal={decimal!r} must be '.' or ','")
    table = parse_table(name, read_text(path, encoding), separator, decimal)
    if separator is not None:
        check_given_separator(name, table, decimal)
    chosen = find_column(name, table, column)
    labels = find_labels(name, table, chosen)
    check_separator(name, table, labels, chosen)
    place = only_values(name, table, labels) if chosen is None else chosen
    _check_name(name, table, place, asked=column is not None)
    check_order(name, table, labels, place)
    table, labels, turned = _forward(table, labels)
    return _take_values(name, table, place, labels, decimal, missing, turned)


def _check_name(name: str, table: Table, place: int, asked: bool) -> None:
    """Refuse a value in the header: taking it for a name would lose it without a word.

    Raises:
        ValueError: as said.
    """
    if table.header is None or asked:
        return
    cell = table.header.cells[place]
    if is_number(cell) or is_gap(cell):
        raise ValueError(
            f"{name}, line {table.header.line}: {cell!r:.80} stands where the name of a column "
            "should, "
            "so there seems to be no header; write one as the first line, or pass "
            f"column={cell!r:.80} if that is the name"
        )


def _forward(table: Table, labels: Labels) -> tuple[Table, Labels, bool]:
    """Rows from the oldest to the newest, and whether they had to be turned round."""
    if labels.axis is None or not labels.axis.falls or len(table.rows) < 2:
        return table, labels, False
    labels.axis.turn_round()
    rows = table._replace(rows=table.rows[::-1])
    return rows, labels._replace(cells=labels.cells[::-1]), True


def _take_values(
    name: str,
    table: Table,
    place: int,
    labels: Labels,
    decimal: str | None,
    missing: Missing,
    turned: bool,
) -> Series:
    """The numbers of a column, and notes on how they were got.

    Raises:
        ValueError: for a cell that is no number, and for gaps unless they may be.
    """
    cells, lines = table.column(place), [row.line for row in table.rows]
    title, given = column_name(table, place) if table.header else "value", decimal is not None
    if decimal is None:
        others = [table.column(other) for other in range(table.width) if other != place]
        decimal = choose_decimal([cells, *others], table.separator, lines, name)
    values = _numbers(name, cells, lines, decimal)
    there = ~np.isnan(values)
    for row in map(int, np.flatnonzero(~there)):
        told = f"{name}, line {lines[row]}: {cells[row]!r:.80} is not a finite number"
        if not is_gap(cells[row]):
            other = "." if decimal == "," else ","
            if given and parse_number(cells[row], other) is not None:
                raise ValueError(
                    f"{told} with decimal={decimal!r}; with decimal={other!r} (--decimal {other}) "
                    "it is one"
                )
            raise ValueError(
                f"{told}, in column {title!r:.80}; correct it, or choose another column"
                f"{_others(table, place, labels)}"
            )
        if missing == "error":
            raise ValueError(
                f"{told}; fill the gap in column {title!r:.80}, or pass missing='interpolate' or "
                "missing='drop' (--missing)"
            )
    if there.sum() < 2:
        raise ValueError(
            f"{name} has {there.sum()} values in column {title!r:.80}; a series needs at least "
            "2, each "
            "in its own line"
        )
    at = np.arange(len(cells), dtype=np.float64)
    uneven = labels.axis.uneven() if labels.axis is not None else None
    # Even months and working days count by rows, whatever days lie between them.
    if (
        labels.axis is not None
        and uneven is not None
        and labels.axis.rises
        and not any(map(is_gap, labels.cells))
    ):
        begin = labels.axis.positions[0]
        at = np.array([place - begin for place in labels.axis.positions], np.float64)
    kept, notes = _without_gaps(values, at, missing)
    times = tuple(np.array(labels.cells, object)[kept])
    gaps = [(labels.cells[row], lines[row]) for row in np.flatnonzero(~there)]
    number = f" ({place + 1} of {table.width})" if table.width > 1 else ""
    first = f"column {title!r:.80}{number}: {kept.sum()} values, "
    first += f"{times[0]} to {times[-1]}; " if labels.columns else ""
    notes = [first + _tell_gaps(gaps), *_tell_marks(cells, lines, decimal), *notes]
    if turned:
        notes.append("the file begins with the newest: turned round")
    if uneven is not None:
        row, before = labels.row(uneven), labels.row(uneven - 1)
        notes.append(
            f"the times are not evenly spaced: {labels.cells[row]} follows {labels.cells[before]} "
            f"(line {lines[row]})"
        )
    return Series(title, values[kept], times, tuple(notes), bool(labels.columns))


def _without_gaps(
    values: NDArray[np.float64], at: NDArray[np.float64], missing: Missing
) -> tuple[NDArray[np.bool_], list[str]]:
    """Which rows to keep, and what to tell of it; fills gaps (nan) between values in place.

    Args:
        values: (rows,).
        at: the times of the rows, (rows,).
        missing: "drop" or "interpolate", if there are gaps.
    """
    there = ~np.isnan(values)
    count = int((~there).sum())
    if not count:
        return there, []
    those = "the gap is" if count == 1 else "the gaps are"
    known = np.flatnonzero(there)
    between = slice(known[0], known[-1] + 1)
    inside = int((~there[between]).sum())
    if missing == "drop":
        broken = ", which breaks the even spacing of the series" if inside else ""
        return there, [f"{those} dropped{broken}"]
    values[between] = np.interp(at[between], at[known], values[known])
    kept = np.zeros_like(there)
    kept[between] = True
    if inside == count:
        return kept, [f"{those} filled by interpolation"]
    notes = [f"{count - inside} at the ends left out, as there is nothing to interpolate between"]
    return kept, [*notes, f"{inside} filled by interpolation"] if inside else notes


def _numbers(
    name: str, cells: tuple[str, ...], lines: list[int], decimal: str
) -> NDArray[np.float64]:
    """The numbers in cells, nan where there is none.

    Raises:
        ValueError: when some are percent and others are not.
    """
    values = np.array([math.nan if (v := parse_number(c, decimal)) is None else v for c in cells])
    percent = [cell.endswith("%") for cell in cells if not is_gap(cell)]
    if any(percent) and not all(percent):
        first = next(row for row, cell in enumerate(cells) if cell.endswith("%"))
        raise ValueError(
            f"{name}, line {lines[first]}: {cells[first]!r:.80} is percent, and other cells of its "
            "column are not; write them alike"
        )
    return values


def _tell_marks(cells: tuple[str, ...], lines: list[int], decimal: str) -> list[str]:
    """How numbers that Python would not read are read: the first of them."""
    for cell, line in zip(cells, lines, strict=True):
        value = parse_number(cell, decimal)
        if value is not None and (set(cell) & set(",%'’ \u00a0\u202f\u2009") or decimal == ","):
            return [f"{cell!r:.80} in line {line} is read as {value:.15g}"]
    return []


def _tell_gaps(gaps: list[tuple[str, int]]) -> str:
    """The gaps, with their times and lines."""
    if not gaps:
        return "no gaps"
    shown = listed((f"{time} (line {line})" for time, line in gaps), SHOWN)
    return f"{len(gaps)} gap{'s' if len(gaps) > 1 else ''}: {shown}"


def _others(table: Table, place: int, labels: Labels) -> str:
    """The names of the columns that might be the series instead, for messages."""
    names = table.header.cells if table.header else ()
    taken = (place, *labels.columns)
    others = [name for other, name in enumerate(names) if other not in taken and name]
    return f": {listed(others)}" if others else ""
