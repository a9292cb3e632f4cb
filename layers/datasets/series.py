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
            separator may be a comma, a semicolon or a tab.
        column: its name in the header; None takes the last column that has numbers only.

    Raises:
        FileNotFoundError, IsADirectoryError: as `read_text`.
        ValueError: the file is empty or no text, there is no such column, a cell of it is not a
            finite number, a row has another number of cells than the first, or there are fewer
            than two values. The message names the line.

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
    rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
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
                f"{name}, line {line}: {len(row)} cells, and the first line has {width}"
            )
    place = _find_column(name, header, body, column, width)
    values = []
    for line, row in body:
        value = _number(row[place])
        if value is None:
            raise ValueError(
                f"{name}, line {line}: {row[place]!r} is not a finite number; fill the gap or "
                "choose another column"
            )
        values.append(value)
    if len(values) < 2:
        raise ValueError(f"{name} has {len(values)} values; a series needs at least 2")
    times = tuple(row[0] if place else str(count) for count, (_, row) in enumerate(body))
    return Series("value" if header is None else header[place], np.array(values), times)


def _number(cell: str) -> float | None:
    """The finite number in a cell, or None."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


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
        if body and all(_number(row[place]) is not None for _, row in body):
            return place
    if body and width == 1:
        return 0  # the cell that is no number is named by the caller
    raise ValueError(
        f"{name} has no column of numbers alone; choose one by name"
        + (f": {', '.join(header)}" if header else "")
    )
