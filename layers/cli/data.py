"""Data of one's own on the command line: options of reading, shared by `train` and `sample`."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final, get_args

from layers.cli.arguments import refuse
from layers.datasets import Series, read_series
from layers.datasets.series import Missing
from layers.datasets.text_files import TextSource
from layers.training.progress import say

__all__ = ["SERIES_OPTIONS", "add_data_options", "given_series", "source_of", "tell_notes"]

SERIES_OPTIONS: Final = "column separator decimal missing"
"""Options that only the reader of series takes."""


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """The options of reading files."""
    group = parser.add_argument_group("reading data of your own")
    group.add_argument(
        "--column",
        help="of a CSV file, by name or by number from 1 on; needed where several have numbers",
    )
    group.add_argument(
        "--separator",
        help="between cells of a CSV file: one character, or tab, space; found out unless given",
    )
    group.add_argument(
        "--decimal",
        choices=(".", ","),
        metavar="MARK",
        help="decimal mark of a CSV file, . or a comma; found out unless given",
    )
    group.add_argument(
        "--missing",
        choices=get_args(Missing),
        help="what to do about gaps in a series: error unless given; drop breaks even spacing",
    )
    group.add_argument(
        "--encoding",
        help="of the file, such as cp1252; utf-8, or what its byte order mark says, unless given",
    )


def source_of(file: Path) -> TextSource:
    """A file, or standard input for "-"."""
    if str(file) != "-":
        return file
    if sys.stdin is None:
        raise ValueError("there is no standard input to read from; pass a file instead of -")
    if sys.stdin.isatty():
        say("reading from the keyboard; end with Ctrl-D")
    return sys.stdin.buffer


def given_series(options: argparse.Namespace, file: Path | None, usual: str = "") -> Series | None:
    """The series in a file, read as the options say; None if there is no file.

    Args:
        options: with those of `add_data_options`.
        file: or None.
        usual: the column to read, if the file has it, when the options name none.
    """
    if file is None:
        refuse(options, f"{SERIES_OPTIONS} encoding", "is for a CSV file of your own")
        return None
    source, column = source_of(file), options.column
    if column is None and usual and str(file) != "-":
        column = usual if _has_column(options, file, usual) else None
    return read_series(
        source,
        column,
        separator=options.separator,
        decimal=options.decimal,
        missing=options.missing or "error",
        encoding=options.encoding,
    )


def _has_column(options: argparse.Namespace, file: Path, name: str) -> bool:
    """Whether a CSV file has a column of a name, and one only."""
    from layers.datasets.columns.tables import parse_table
    from layers.datasets.text_files import read_text

    text = read_text(file, options.encoding)
    header = parse_table(str(file), text, options.separator, options.decimal).header
    return header is not None and header.cells.count(name) == 1


def tell_notes(notes: Iterable[str]) -> None:
    """Say on standard error how a file was read, so that standard output keeps the results."""
    for note in notes:
        say(note)
