"""Which column of a table is the series, and which one says when each value was."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final, NamedTuple

from layers.datasets.columns.numerals import is_gap, is_meant_as_number, is_number
from layers.datasets.columns.tables import SEPARATORS, Table, listed
from layers.datasets.columns.time_labels import TimeAxis, is_time, read_times
from layers.datasets.columns.time_names import UNSURE, named_as_time, part_named
from layers.datasets.columns.time_parts import Parts, named_parts, unnamed_parts

__all__ = [
    "Labels",
    "check_given_separator",
    "check_order",
    "check_separator",
    "column_name",
    "find_column",
    "find_labels",
    "only_values",
]

_VAGUE: Final = frozenset(("count", "decimal", "weekday", "monthname", "clock", "year"))
"""Units of times that may need another column to be whole."""


class Labels(NamedTuple):
    """What says when each value was.

    Attributes:
        columns: their places; none where the rows are counted.
        cells: a label for each row.
        axis: the labels, but those that are missing, as times, if they are.
    """

    columns: tuple[int, ...]
    cells: tuple[str, ...]
    axis: TimeAxis | None

    @property
    def is_ordered(self) -> bool:
        """Whether these are times that rise, or fall."""
        return self.axis is not None and (self.axis.rises or self.axis.falls)

    def row(self, place: int) -> int:
        """The row of a place on the axis."""
        return [row for row, cell in enumerate(self.cells) if not is_gap(cell)][place]


def column_name(table: Table, place: int) -> str:
    """The name of a column; its number, from 1 on, where it has none."""
    name = table.header.cells[place] if table.header else ""
    return name or f"column {place + 1}"


def find_labels(name: str, table: Table, value: int | None) -> Labels:
    """The columns that label the rows: times in order, years, or a first column that counts.

    Args:
        name: of the file, for messages.
        table: with at least one row.
        value: the column of the series, when it was chosen: that is no label.

    Raises:
        ValueError: beside years in several rows stands a part of the year, and nothing tells which.
    """
    columns = [table.column(place) for place in range(table.width)]
    places = [place for place in range(table.width) if place != value]
    if table.width == 1:
        places = []
    single = _single_columns(table, columns, places)
    for labels in single:
        if labels.is_ordered and labels.axis and labels.axis.unit not in _VAGUE:
            return labels
    spare = 0 if len(places) < table.width else 1  # for the series, unless that was chosen
    header = table.header.cells if table.header else ("",) * table.width
    named = _as_labels(named_parts(header, columns, places), len(places) - spare)
    if named is not None and named.is_ordered:
        return named
    parts, unclear = unnamed_parts(header, columns, places)
    unnamed = _as_labels(parts, len(places) - spare)
    if unnamed is not None and unnamed.is_ordered:
        return unnamed
    if single and single[0].is_ordered:
        return single[0]
    if named is not None:
        return named
    told = any(part_named(cell) not in ((), ("year",)) and cell.lower() not in UNSURE
               for cell in header)  # fmt: skip
    if unclear is not None and not told and len(places) - spare > 1:
        year, part = (column_name(table, place) for place in unclear)
        raise ValueError(
            f"{name}, line {table.rows[0].line}: {table.rows[0].cells[unclear[1]]!r:.80} in "
            f"{part!r:.80} "
            f"beside the year in {year!r:.80} may be a month, quarter, week, day or half of it, "
            "and "
            "nothing tells which; name the columns in the first line, such as year and quarter"
        )
    if single:
        return single[0]
    if 0 in places and not any(map(is_meant_as_number, columns[0])):
        return Labels((0,), columns[0], None)
    return Labels((), tuple(map(str, range(len(table.rows)))), None)


def _as_labels(parts: Parts | None, most: int) -> Labels | None:
    """Times that lie in no more than so many columns; None where there are none."""
    if parts is None or len(parts.columns) > most:
        return None
    return Labels(*parts, read_times([cell for cell in parts.cells if not is_gap(cell)]))


def _single_columns(
    table: Table, columns: Sequence[tuple[str, ...]], places: Sequence[int]
) -> list[Labels]:
    """The columns that are times by themselves, the surest one first.

    Dates and the like are; plain numbers are when the name of the column says so, or as years, and
    in the first column when they count on. Where two columns of numbers are equally good, none is.
    """
    ranked: dict[int, list[Labels]] = {}
    for place in places:
        filled = [cell for cell in columns[place] if not is_gap(cell)]
        axis = read_times(filled) if filled else None
        if axis is None:
            continue
        named = named_as_time(table.header.cells[place]) if table.header else None
        ordered = axis.rises or axis.falls
        even = axis.uneven() is None
        years = axis.looks_like_years or axis.unit not in ("count", "decimal")
        if not (axis.numeric or all(map(is_number, filled))):
            # A name that ends in a number need not be a time.
            sure = named is not None or is_time(filled[0])
            rank = 0 if sure else 6 if place == 0 else None
        elif named is not None and (years or (ordered and (even or axis.unit == "count"))):
            rank = 1 + named
        elif ordered and years:
            rank = 3 if even else 4
        else:
            rank = 5 if place == 0 and axis.rises and even else None
        if rank is not None:
            ranked.setdefault(rank, []).append(Labels((place,), columns[place], axis))
    found = []
    for rank, labels in sorted(ranked.items()):
        if rank in (3, 4) and len(labels) > 1:
            break
        found += labels
    return found


def check_order(name: str, table: Table, labels: Labels, value: int) -> None:
    """Refuse times that are missing beside a value, or neither rise nor fall.

    Raises:
        ValueError: as said. The message names the line.
    """
    axis = labels.axis
    title = " and ".join(f"{column_name(table, place)!r:.80}" for place in labels.columns)
    if axis is None:
        if len(labels.columns) > 1:
            _check_parts(name, table, labels, title)
        _check_no_sums(name, table, value)
        return
    for row, cell in zip(table.rows, labels.cells, strict=True):
        if is_gap(cell) and not is_gap(row.cells[value]):
            raise ValueError(
                f"{name}, line {row.line}: the time is missing ({cell!r:.80} in column {title}); "
                "write it, or leave out the row"
            )
    if axis.rises or axis.falls or axis.unit in ("weekday", "monthname", "clock"):
        return
    place = axis.disordered()
    if place is not None:
        late, before = labels.row(place), labels.row(place - 1)
        unread = [
            f"{table.rows[late].cells[other]!r:.80} in column {column_name(table, other)!r:.80}"
            for other in range(table.width)
            if other not in (*labels.columns, value) and _is_part(table, other, labels)
        ]
        besides = f" ({listed(unread)} is not read as a part of it)" if unread else ""
        raise ValueError(
            f"{name}, line {table.rows[late].line}: {labels.cells[late]!r:.80} in column {title} "
            f"comes after {labels.cells[before]!r:.80}{besides}; sort the rows by time, with one "
            "row for each, or put each series into a file of its own"
        )


def _check_parts(name: str, table: Table, labels: Labels, title: str) -> None:
    """Refuse columns that are together no times, such as the year 2021 and the week 53.

    Raises:
        ValueError: as said. The message names the first such line.
    """
    for row, cell in zip(table.rows, labels.cells, strict=True):
        if not is_gap(cell) and read_times([cell]) is None:
            raise ValueError(
                f"{name}, line {row.line}: {cell!r:.80} in the columns {title} is no time; "
                "correct it"
            )


def _check_no_sums(name: str, table: Table, value: int) -> None:
    """Refuse a row that is none of the series, such as a total below it.

    Raises:
        ValueError: where the first column has times or numbers, and in a row a word.
    """
    if value == 0 or not table.rows:
        return
    first = table.rows[0].cells[0]
    if not (is_time(first) or is_number(first)):
        return
    for row in table.rows:
        cell = row.cells[0]
        if not is_gap(cell) and not any(map(str.isdigit, cell)):
            raise ValueError(
                f"{name}, line {row.line}: {cell!r:.80} stands where others have a time, such as "
                f"{first!r:.80}; leave the row out, or put # before it"
            )


def find_column(name: str, table: Table, column: str | int | None) -> int | None:
    """The place of the column that was asked for, by its name or its number, from 1 on.

    Raises:
        ValueError: when there is no such column, or more than one of that name.
    """
    if column is None:
        return None
    header = table.header.cells if table.header else ()
    if isinstance(column, str):
        same = [place for place, cell in enumerate(header) if cell == column]
        same = same or [p for p, cell in enumerate(header) if cell.lower() == column.lower()]
        if len(same) > 1:
            numbers = listed(str(place + 1) for place in same)
            raise ValueError(
                f"{name} has {len(same)} columns {column!r:.80}; pass the number of one: {numbers} "
                f"(--column {same[0] + 1})"
            )
        if same:
            return same[0]
    if isinstance(column, int) or column.isdecimal():
        number = int(column)
        if not 1 <= number <= table.width:
            raise ValueError(
                f"{name} has no column {column!r:.80}: its {table.width} columns are numbered "
                "from 1 on"
            )
        return number - 1
    if not header:
        raise ValueError(
            f"{name} has no header, so it has no column {column!r:.80}: its first line is "
            f"{listed(map(repr, table.rows[0].cells))}; add a header, or pass the number of the "
            "column, from 1 "
            f"to {table.width}"
        )
    near = get_close_matches(column, header, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r:.80}?" if near else ""
    raise ValueError(f"{name} has no column {column!r:.80}, only {listed(header)}{hint}")


def check_given_separator(name: str, table: Table, decimal: str | None) -> None:
    """Refuse a separator that was asked for where another one parts the cells that it leaves.

    Args:
        name: of the file, for messages.
        table: parted at that separator.
        decimal: the decimal mark, if it was given: then a comma is no separator.

    Raises:
        ValueError: as said. The message names both.
    """
    for place in range(table.width):
        head = table.header.cells[place] if table.header else None
        if head is None and table.width > 1:
            continue  # what lies between two separators is a cell
        cells = [*([] if head is None else [head]), *table.column(place)]
        for mark in SEPARATORS[:-1]:
            if mark == table.separator or (mark == "," and decimal is not None):
                continue
            count = cells[0].count(mark)
            if f"{mark} " in (head or "") or not count:
                continue
            if all(cell.count(mark) == count for cell in cells):
                line = (table.header or table.rows[0]).line
                raise ValueError(
                    f"{name}, line {line}: {cells[0]!r:.80} is one cell with "
                    f"separator={table.separator!r}, and {mark!r} seems to part it into "
                    f"{count + 1}; pass separator={mark!r} (--separator) or none"
                    + (", or decimal=',' (--decimal ,) if it is a decimal mark" * (mark == ","))
                )


def check_separator(name: str, table: Table, labels: Labels, value: int | None) -> None:
    """Refuse rows of cells that are as well one number each, unless the first cells are times.

    Args:
        name: of the file, for messages.
        table: as it was parted.
        labels: found in it.
        value: the column that was asked for, if one was.

    Raises:
        ValueError: as said, with the options that decide.
    """
    if not table.unclear:
        return
    axis, header = labels.axis, table.header
    # In "temp, C" above 1,5 the comma of the header is no separator.
    spaced = any(cell.startswith(" ") for cell in table.head[1:])
    parted = header is not None and table.separator == "," and not spaced
    if header and parted and any(named_as_time(cell) == 0 for cell in header.cells):
        return
    if value or (axis is not None and axis.looks_like_years):
        return
    timed = axis is not None and axis.unit != "decimal" and 0 in labels.columns
    if parted and (value == 0 or timed):
        return
    mark = "a decimal comma" if table.separator == "," else "thousands apart"
    raise ValueError(
        f"{name}, line {table.rows[0].line}: "
        f"{(table.separator or '').join(table.rows[0].cells)!r:.80} "
        f"may be {table.width} cells or one number with {mark}; say which by "
        f"separator={table.separator!r} or decimal=',' (--separator or --decimal)"
    )


def _is_part(table: Table, place: int, labels: Labels) -> bool:
    """Whether the name of a column says that it is a part of a date, and no amount of time."""
    if table.header is None:
        return False
    name = table.header.cells[place]
    vague = name.lower().strip() in UNSURE
    return bool(part_named(name)) and not (vague and labels.axis is not None)


def _is_index(table: Table, place: int) -> bool:
    """Whether a column is the count of the rows that programs write, without a name, first."""
    if place or table.header is None or table.header.cells[0]:
        return False
    cells = table.column(0)
    return any(cells == tuple(str(row + first) for row in range(len(cells))) for first in (0, 1))


def only_values(name: str, table: Table, labels: Labels) -> int:
    """The place of the one column, besides the labels, that has numbers.

    Raises:
        ValueError: when there is none, or more than one. The message lists them.
    """
    places = [place for place in range(table.width) if place not in labels.columns]
    found = [
        place
        for place in places
        if any(is_meant_as_number(cell) and not is_time(cell) for cell in table.column(place))
    ]
    if len(found) > 1:
        spared = [p for p in found if not (_is_part(table, p, labels) or _is_index(table, p))]
        found = spared or found
    if len(found) > 1:
        found = [p for p in found if len(set(table.column(p))) > 1 or len(table.rows) < 3] or found
    if len(found) == 1:
        title = column_name(table, found[0])
        named = table.header is not None and named_as_time(title) is not None
        part = _is_part(table, found[0], labels)
        if (part or (named and labels.axis is None)) and table.width > 1:
            raise ValueError(
                f"{name} has numbers in column {title!r:.80} alone, which seems to be of times; "
                "look "
                f"into the others, or pass column={title!r:.80} (--column) if it is the series"
            )
        return found[0]
    header = table.header
    choice = f"; choose one by name: {listed(filter(None, header.cells))}" if header else ""
    labelled = listed(repr(column_name(table, place)) for place in labels.columns)
    besides = f" besides the times in {labelled}" if labels.axis is not None else ""
    if not found:
        if not table.rows:
            raise ValueError(
                f"{name} has 0 values; a series needs at least 2, each in its own line"
            )
        cell = table.rows[0].cells[places[-1]]
        raise ValueError(
            f"{name} has no column of numbers alone{besides}{choice}; the last one has "
            f"{cell!r:.80} in "
            f"line {table.rows[0].line}"
        )
    shown = listed(
        f"{column_name(table, place)!r:.50} (number {place + 1}: "
        f"{', '.join(f'{cell:.12}' for cell in table.column(place)[:3])}, ...)"
        for place in found
    )
    last = found[-1]
    title = header.cells[last] if header else ""
    option = title if title and header and header.cells.count(title) == 1 else last + 1
    raise ValueError(
        f"{name} has {len(found)} columns that may be the series{besides}: {shown}; choose one by "
        f"name or number, such as column={option!r:.80} (--column {option!s:.80})"
    )
