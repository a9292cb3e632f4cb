"""The lessons as programs: their cells, and the solutions of their exercises, run in order.

    python -m tools.lessons [FILE ...]

runs the given lessons, or all of `docs/lessons`, each with names of its own, without a network and
with warnings as errors, and prints the processor seconds that each took beside the budget. Lines of
a traceback are those of the page.
"""

import argparse
import ast
import os
import re
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from unittest import mock

__all__ = ["BUDGET", "LESSONS", "Block", "Run", "blocks", "headings", "pages", "run"]

LESSONS: Final = Path(__file__).parents[1] / "docs" / "lessons"
BUDGET: Final = 25.0
"""Processor seconds for the cells of one lesson, and as many again for its solutions."""

_FENCE: Final = re.compile(r"(?P<marks>`{3,}|:{3,})\s*(?P<info>.*)")
_OPTION: Final = re.compile(r":[\w-]+:")


@dataclass(frozen=True)
class Block:
    """A piece of Python on a page.

    Attributes:
        kind: a cell of the lesson, or a block of a solution.
        line: where its first line stands on the page, counted from 1.
        code: the text.
    """

    kind: Literal["cell", "solution"]
    line: int
    code: str


@dataclass(frozen=True)
class Run:
    """What a lesson left behind.

    Attributes:
        names: what its cells and solutions defined.
        cells, solutions: processor seconds of each kind of block, child processes included.
    """

    names: dict[str, Any]
    cells: float
    solutions: float


def pages() -> list[Path]:
    """The lessons that there are, in their order."""
    return sorted(LESSONS.glob("[0-9][0-9]-*.md"))


def blocks(text: str) -> list[Block]:
    """The cells of a lesson in their order, and then the Python of its solutions.

    Args:
        text: a MyST notebook. Cells are blocks ``{code-cell}``; solutions are blocks ``python``
            inside of a ``{dropdown}`` whose title begins with "Solution".

    Raises:
        ValueError: for a block that is not closed, with its line.

    >>> page = "```{code-cell} ipython3\\n:tags: [hide-input]\\nx = 1\\n```"
    >>> blocks(page)
    [Block(kind='cell', line=3, code='x = 1')]
    """
    lines = text.splitlines()
    cells, solutions = [], []
    for first, last, info in _fenced(lines, 0, len(lines)):
        if info.startswith("{code-cell}"):
            while first < last and _OPTION.match(lines[first]):
                first += 1
            cells.append(Block("cell", first + 1, "\n".join(lines[first:last])))
        elif info.startswith("{dropdown} Solution"):
            for start, end, language in _fenced(lines, first, last):
                if language == "python":
                    code = "\n".join(lines[start:end])
                    solutions.append(Block("solution", start + 1, code))
    return [*cells, *solutions]


def _fenced(lines: list[str], first: int, last: int) -> Iterator[tuple[int, int, str]]:
    """The first line within each outermost fenced block, the line that closes it, and its info."""
    place = first
    while place < last:
        opened = _FENCE.fullmatch(lines[place])
        place += 1
        if opened is None:
            continue
        marks, start = opened["marks"], place
        closing = re.compile(rf"{marks[0]}{{{len(marks)},}}\s*")
        while place < last and closing.fullmatch(lines[place]) is None:
            place += 1
        if place == last:
            raise ValueError(f"line {start}: the block {opened['info']!r} is not closed")
        yield start, place, opened["info"]
        place += 1


def headings(text: str) -> list[str]:
    """The headings of a page in their order, with their marks, without what blocks hold.

    >>> headings("# Title\\n\\n```python\\n# a comment\\n```\\n\\n## Part\\n")
    ['# Title', '## Part']
    """
    lines = text.splitlines()
    hidden = {
        place for start, end, _ in _fenced(lines, 0, len(lines)) for place in range(start, end)
    }
    return [
        line for place, line in enumerate(lines) if place not in hidden and re.match(r"#+ ", line)
    ]


def run(path: Path, parts: tuple[str, ...] = ("cell", "solution")) -> Run:
    """Run a lesson: its cells in order, then its solutions.

    What a cell ends with is shown as a notebook shows it, into nowhere.

    Args:
        path: of the lesson.
        parts: the kinds of blocks to run.

    Raises:
        whatever a block raises; warnings and connections are errors.
    """
    names: dict[str, Any] = {"__name__": "lesson"}
    spent = {"cell": 0.0, "solution": 0.0}
    with offline(), warnings.catch_warnings():
        warnings.simplefilter("error")
        for block in blocks(path.read_text("utf-8")):
            if block.kind in parts:
                begun = processor_seconds()
                execute(block, path, names)
                spent[block.kind] += processor_seconds() - begun
    return Run(names, spent["cell"], spent["solution"])


def processor_seconds() -> float:
    """Of this process and of the children that have ended: a busy machine does not change them."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def execute(block: Block, path: Path, names: dict[str, Any]) -> None:
    """Run one block, and show the value of its last line if that is an expression."""
    # Empty lines before the code, so that a traceback names the line of the page.
    tree = ast.parse("\n" * (block.line - 1) + block.code, str(path))
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)  # type: ignore[attr-defined]
    exec(compile(tree, str(path), "exec"), names)
    if last is not None:
        show(eval(compile(last, str(path), "eval"), names))


def show(value: Any) -> None:
    """Ask a value for its picture, as a notebook does; text where it has none."""
    for name in ("_repr_mimebundle_", "_repr_svg_", "_repr_png_", "_repr_html_"):
        if hasattr(value, name):
            getattr(value, name)()
            return
    repr(value)


@contextmanager
def offline() -> Iterator[None]:
    """Refuse connections to anywhere."""

    def refused(*_: Any) -> None:
        raise ConnectionError("a lesson works without a network")

    with mock.patch.object(socket.socket, "connect", refused):
        yield


def main() -> None:
    """Run lessons and print what each takes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="lessons; all if none are given")
    found = [(path.name, run(path)) for path in parser.parse_args().files or pages()]
    print(f"\n{'lesson':32}{'cells':>8}{'solutions':>11}   processor seconds, budget {BUDGET:g}")
    for name, spent in found:
        print(f"{name:32}{spent.cells:8.1f}{spent.solutions:11.1f}")
    if any(max(spent.cells, spent.solutions) > BUDGET for _, spent in found):
        sys.exit("a lesson is over its budget")


if __name__ == "__main__":
    main()
