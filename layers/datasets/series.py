"""Series of your own, from CSV files."""

import csv
import io
import math
import os
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from layers.datasets.text import read_text


class Series(NamedTuple):
    """What `read_series` found.

    Attributes:
        name: of the column; "value" in a file without a header.
        values: float64 (time,).
        times: what the first column says of each value; else its number.
    """

    name: str
    values: NDArray[np.float64]
    times: tuple[str, ...]


def read_series(path: str | os.PathLike[str], column: str | None = None) -> Series:
    """Read one column of a CSV file as a series.

    Args:
        path: a file in UTF-8, with a header or, when every cell is a number, without one. The
            separator may be a comma, a semicolon or a tab. Blank lines are passed over.
        column: its name in the header; None takes the last column that has numbers only.

    Raises:
        FileNotFoundError, IsADirectoryError: as `read_text`.
        ValueError: the file is empty, no text or no CSV, there is no such column, a cell of it is
            not a finite number, a row has another number of cells than the first, there are fewer
            than two values, or the first line has a number where the name of the column should
            be. The message names the line.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "rain.csv")
    ...     _ = file.write_text("year,rain\\n1900,3.5\\n1901,4\\n")
    ...     read_series(file)
    Series(name='rain', values=array([3.5, 4. ]), times=('1900', '1901'))
    """
    name = os.fspath(path)
    text = read_text(path)
    header_line = text.split("\n", 1)[0]
    separator = max(",;\t", key=header_line.count)
    reader = csv.reader(io.StringIO(text), delimiter=separator)
    rows = []
    try:
        for row in reader:
            if len(row) > 1 or any(map(str.strip, row)):
                rows.append((reader.line_num, [cell.strip() for cell in row]))
    except csv.Error as problem:
        raise ValueError(
            f"{name}, up to line {reader.line_num}: this is no CSV ({problem}); look for a "
            "quotation mark that is never closed"
        ) from problem
    # Spreadsheets write rows of separators alone below a table; inside it, they are gaps.
    while rows and not any(rows[-1][1]):
        rows.pop()
    if not rows:
        raise ValueError(f"{name} has no rows; pass a CSV file with numbers in it")
    header = None if all(_number(cell) is not None for cell in rows[0][1]) else rows[0][1]
    if header is None and column is not None:
        raise ValueError(
            f"{name} has no header, so it has no column {column!r}: its first line is "
            f"{rows[0][1]}; add a header, or leave the column out"
        )
    width = len(rows[0][1])
    body = rows if header is None else rows[1:]
    for line, row in body:
        if len(row) != width:
            raise ValueError(
                f"{name}, line {line}: {len(row)} cells, and the first line has {width}; give "
                "every line as many, with quotation marks around a cell that has the separator"
            )
    place = _find_column(name, header, body, column, width)
    if column is None and header is not None and body and _looks_like_a_value(header[place]):
        # Taking it for a name would lose the first value without a word.
        raise ValueError(
            f"{name}, line {rows[0][0]}: {header[place]!r} stands where the name of a column "
            "should, so there seems to be no header; write one as the first line, or pass "
            f"column={header[place]!r} if that is the name"
        )
    values = []
    for line, row in body:
        value = _number(row[place])
        if value is None:
            raise ValueError(
                f"{name}, line {line}: {row[place]!r} is not a finite number; fill the gap, write "
                "decimals with a point, or choose another column"
            )
        values.append(value)
    if len(values) < 2:
        raise ValueError(
            f"{name} has {len(values)} values; a series needs at least 2, each in its own line"
        )
    times = tuple(row[0] if place else str(count) for count, (_, row) in enumerate(body))
    return Series("value" if header is None else header[place], np.array(values), times)


def _number(cell: str) -> float | None:
    """The finite number in a cell, or None."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _looks_like_a_value(cell: str) -> bool:
    """Whether a cell of the first line is a number, nan, infinity or a gap, and so no name."""
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True


def _find_column(
    name: str,
    header: list[str] | None,
    body: list[tuple[int, list[str]]],
    column: str | None,
    width: int,
) -> int:
    """The place of the column to read.

    Raises:
        ValueError: when there is none of that name, or none with numbers only.
    """
    if column is not None and header is not None:
        if column in header:
            return header.index(column)
        near = get_close_matches(column, header, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{name} has no column {column!r}, only {', '.join(header)}{hint}")
    for place in reversed(range(width)):
        if all(_number(row[place]) is not None for _, row in body):
            return place
    if width == 1:
        return 0  # the cell that is no number is named by the caller
    line, cell = next((line, row[-1]) for line, row in body if _number(row[-1]) is None)
    choice = f"; choose one by name: {', '.join(header)}" if header else ""
    raise ValueError(
        f"{name} has no column of numbers alone{choice}; the last one has {cell!r} in line {line}"
    )
