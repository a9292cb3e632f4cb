"""The code on a page, as a reader would copy it: found, and run from top to bottom.

    python -m tools.snippets docs/guides/operations.md ...

runs pages, each in an empty folder and with names of its own, and says how many snippets they have.

| block | what is done with it |
|---|---|
| ``{code-cell}`` | runs, and shows what its last line gives, as a notebook does |
| ``python`` | runs likewise |
| ``pycon`` | is a doctest: every example gives what stands below it |
| ``console`` | every command of `minigrad` and `python -m` can be parsed, or is there |

What a page includes is read in its place. Other blocks are left alone.
"""

import argparse
import ast
import doctest
import importlib.util
import linecache
import os
import re
import shlex
import socket
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from unittest import mock

__all__ = [
    "Snippet",
    "check_commands",
    "execute",
    "expanded",
    "fenced",
    "offline",
    "run",
    "snippets",
    "without_options",
]

ROOT: Final = Path(__file__).parents[1]
DOCTEST: Final = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_KINDS: Final = {"{code-cell}": "cell", "python": "python", "pycon": "pycon", "console": "console"}
_FENCE: Final = re.compile(r"(?P<marks>`{3,}|:{3,})\s*(?P<info>.*)")
_OPTION: Final = re.compile(r":[\w-]+:")


@dataclass(frozen=True)
class Snippet:
    """A piece of code on a page.

    Attributes:
        kind: "cell", "python", "pycon", "console", or of a lesson "solution".
        line: where its first line stands in `path`, counted from 1.
        code: the text.
        path: the file that it stands in: the page, or one that the page includes.
    """

    kind: str
    line: int
    code: str
    path: Path = Path()

    def replacing(self, word: str, other: str) -> "Snippet":
        """The same with another word in the place of one."""
        return replace(self, code=self.code.replace(word, other))


def fenced(lines: list[str], first: int, last: int) -> Iterator[tuple[int, int, str]]:
    """The first line within each outermost fenced block, the line that closes it, and its info.

    Raises:
        ValueError: for a block that is not closed, with its line.
    """
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


def without_options(lines: list[str], first: int, last: int) -> int:
    """The first line of a directive's body: options such as ``:tags:`` come before it."""
    while first < last and _OPTION.match(lines[first]):
        first += 1
    return first


def expanded(path: Path) -> list[tuple[Path, int, int]]:
    """What a page shows, as pieces (file, first line, line after the last), counted from 0.

    >>> len(expanded(ROOT / "docs" / "explanation" / "engine.md")) > 1
    True
    """
    lines = path.read_text("utf-8").splitlines()
    pieces, begun = [], 0
    for first, last, info in fenced(lines, 0, len(lines)):
        if not info.startswith("{include} "):
            continue
        pieces.append((path, begun, first - 1))
        begun = last + 1
        options = dict(re.findall(r'^:(\S+): "?(.*?)"?$', "\n".join(lines[first:last]), re.M))
        file = path.parent / info.removeprefix("{include} ").strip()
        shown = file.read_text("utf-8").splitlines()
        start, end = options.get("start-after"), options.get("end-before")
        after = _place(shown, start, 0) + 1 if start else 0
        pieces.append((file, after, _place(shown, end, after) if end else len(shown)))
    return [*pieces, (path, begun, len(lines))]


def _place(lines: list[str], text: str, first: int) -> int:
    """The first line from `first` on that holds a text."""
    return next(place for place in range(first, len(lines)) if text in lines[place])


def snippets(path: Path) -> list[Snippet]:
    """The snippets of a page in their order, includes in their place.

    Raises:
        ValueError: for a prompt ``>>>`` outside of a block ``pycon``, where nothing would run it.
    """
    found = []
    for file, begin, end in expanded(path):
        lines = file.read_text("utf-8").splitlines()
        prompts = {n for n in range(begin, end) if re.match(r" *>>> ", lines[n])}
        for snippet, inside in _within(file, lines, begin, end):
            found.append(snippet)
            if snippet.kind == "pycon":
                prompts -= inside
        if prompts:
            raise ValueError(f"{file}, line {min(prompts) + 1}: a prompt outside of a block pycon")
    return found


def _within(
    file: Path, lines: list[str], begin: int, end: int
) -> Iterator[tuple[Snippet, set[int]]]:
    """The snippets between two lines, also those within boxes, and the lines of each."""
    for start, stop, info in fenced(lines, begin, end):
        kind = _KINDS.get(info.split(" ")[0])
        if kind is not None:
            first = without_options(lines, start, stop) if kind == "cell" else start
            code = "\n".join(lines[first:stop])
            yield Snippet(kind, first + 1, code, file), set(range(start, stop))
        elif info.startswith("{"):
            yield from _within(file, lines, start, stop)


def run(page: Path, only: Iterable[Snippet] | None = None) -> dict[str, Any]:
    """Run the snippets of a page in the current folder; returns the names that they define.

    Args:
        page: the file.
        only: these of its snippets; all unless given.

    Raises:
        AssertionError: for an example that gives something else, with a report.
        whatever a snippet raises; warnings and connections are errors.
    """
    names: dict[str, Any] = {"__name__": "__page__"}
    with offline(), warnings.catch_warnings():
        warnings.simplefilter("error")
        for snippet in snippets(page) if only is None else only:
            if snippet.kind == "console":
                check_commands(snippet)
            elif snippet.kind == "pycon":
                check_examples(snippet, names)
            else:
                execute(snippet, snippet.path, names)
    return names


def check_examples(snippet: Snippet, names: dict[str, Any]) -> None:
    """Run the examples of a block, each of which gives what stands below it."""
    # A name of its own, because tracebacks and messages look lines up by it.
    name = f"{snippet.path.name}:{snippet.line}"
    where = (name, str(snippet.path), snippet.line - 1)
    test = doctest.DocTestParser().get_doctest(snippet.code + "\n", names, *where)
    test.globs = names  # it has a copy of its own, and later snippets need the names
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=DOCTEST)
    if runner.run(test, out=report.append, clear_globs=False).failed:
        raise AssertionError("".join(report))
    for number, example in enumerate(test.examples):  # functions stay, and so do their lines
        lines = example.source.splitlines(keepends=True)
        file = f"<doctest {name}[{number}]>"
        linecache.cache[file] = (len(example.source), None, lines, file)


def check_commands(snippet: Snippet) -> None:
    """Parse every command of a block that is one of `minigrad`; modules and scripts are there.

    Raises:
        AssertionError: for a command that the parser refuses, or a program that is not there.
    """
    from layers.cli.entry import build_parser
    from layers.systems import SYSTEMS

    for command in commands(snippet.code):
        where = f"{snippet.path}, line {snippet.line}: {shlex.join(command)}"
        if command[0] == "minigrad":
            try:
                options = argparse.Namespace(arguments=command[1:])
                options = build_parser().parse_args(command[1:], options)
            except SystemExit as error:
                raise AssertionError(where) from error
            if command[1] == "run" and options.name is not None:
                assert options.name in {system.name for system in SYSTEMS}, where
        elif command[0] == "python":
            module = command[1] == "-m"
            there = importlib.util.find_spec(command[2]) if module else (ROOT / command[1]).exists()
            assert there, where


def commands(text: str) -> list[list[str]]:
    """The commands of a shell block, each as its words.

    >>> commands('zcat a.gz | minigrad train - --out "b c"  # from a pipe')
    [['zcat', 'a.gz'], ['minigrad', 'train', '-', '--out', 'b c']]
    """
    found: list[list[str]] = []
    for line in text.replace("\\\n", " ").splitlines():
        # Not as POSIX: quotes stay, so that ";" in quotes is told from the end of a command.
        words = shlex.shlex(line, posix=False, punctuation_chars="|&;<>")
        words.whitespace_split = True
        found.append([])
        for word in words:
            if word in ("|", "&&", ";", ">", "<"):
                found.append([])
            else:
                found[-1] += shlex.split(word)
    return [command for command in found if command]


def execute(snippet: Snippet, path: Path, names: dict[str, Any]) -> None:
    """Run one block, and show the value of its last line if that is an expression."""
    # Empty lines before the code, so that a traceback names the line of the page.
    tree = ast.parse("\n" * (snippet.line - 1) + snippet.code, str(path))
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
        raise ConnectionError("a page of ours works without a network")

    with mock.patch.object(socket.socket, "connect", refused):
        yield


def main() -> None:
    """Run pages and print how many snippets they have."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="+", type=Path)
    os.environ.setdefault("MPLBACKEND", "Agg")
    for page in parser.parse_args().pages:
        path = page.resolve()
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            run(path)
        print(f"{page}: {len(snippets(path))} snippets", file=sys.stderr)


if __name__ == "__main__":
    main()
