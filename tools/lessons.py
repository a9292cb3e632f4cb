"""The lessons as programs: their cells, and the solutions of their exercises, run in order.

    python -m tools.lessons [FILE ...]

runs the given lessons, or all of `docs/lessons`, each with names of its own, without a network and
with warnings as errors, and prints the processor seconds that each took beside the budget. Lines of
a traceback are those of the page.
"""

import argparse
import os
import re
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tools.snippets import Snippet, execute, fenced, offline, without_options

__all__ = ["BUDGET", "LESSONS", "Run", "blocks", "headings", "pages", "run"]

LESSONS: Final = Path(__file__).parents[1] / "docs" / "lessons"
BUDGET: Final = 25.0
"""Processor seconds for the cells of one lesson, and as many again for its solutions."""


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


def blocks(text: str) -> list[Snippet]:
    """The cells of a lesson in their order, and then the Python of its solutions.

    Args:
        text: a MyST notebook. Cells are blocks ``{code-cell}``; solutions are blocks ``python``
            inside of a ``{dropdown}`` whose title begins with "Solution".

    Raises:
        ValueError: for a block that is not closed, with its line.

    >>> page = "```{code-cell} ipython3\\n:tags: [hide-input]\\nx = 1\\n```"
    >>> [(block.kind, block.line, block.code) for block in blocks(page)]
    [('cell', 3, 'x = 1')]
    """
    lines = text.splitlines()
    cells, solutions = [], []
    for first, last, info in fenced(lines, 0, len(lines)):
        if info.startswith("{code-cell}"):
            first = without_options(lines, first, last)
            cells.append(Snippet("cell", first + 1, "\n".join(lines[first:last])))
        elif info.startswith("{dropdown} Solution"):
            for start, end, language in fenced(lines, first, last):
                if language == "python":
                    code = "\n".join(lines[start:end])
                    solutions.append(Snippet("solution", start + 1, code))
    return [*cells, *solutions]


def headings(text: str) -> list[str]:
    """The headings of a page in their order, with their marks, without what blocks hold.

    >>> headings("# Title\\n\\n```python\\n# a comment\\n```\\n\\n## Part\\n")
    ['# Title', '## Part']
    """
    lines = text.splitlines()
    hidden = {
        place for start, end, _ in fenced(lines, 0, len(lines)) for place in range(start, end)
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
