"""The reference of the command line, written from the parsers themselves."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from layers.cli.entry import build_parser

__all__ = ["command_page", "commands", "write"]


def commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands of a parser, by name.

    >>> "draw" in commands(build_parser())
    True
    """
    (found,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return dict(found.choices)


def command_page() -> str:
    """The page in reStructuredText: for each command what it does, its arguments, and examples."""
    parser = build_parser()
    lines = [
        "Command line",
        "============",
        "",
        f"{parser.description}",
        "",
        ".. list-table::",
        "   :widths: 25 75",
        "",
    ]
    found = commands(parser)
    for name, command in found.items():
        summary = _plain((command.description or "").partition("\n")[0])
        lines += [f"   * - :ref:`minigrad {name} <minigrad-{name}>`", f"     - {summary}"]
    for name, command in found.items():
        lines += ["", f".. _minigrad-{name}:", "", *_command(f"minigrad {name}", command)]
    return "\n".join(lines) + "\n"


def _command(title: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    yield from (title, "-" * len(title), "")
    for paragraph in (parser.description or "").split("\n\n"):
        yield from (" ".join(_plain(line) for line in paragraph.strip().splitlines()), "")
    formatter = argparse.HelpFormatter(title, width=88)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, prefix="")
    yield from ("::", "", *_indented(formatter.format_help()), "")
    shown = [a for a in parser._actions if a.help != argparse.SUPPRESS and a.dest != "help"]
    if shown:
        yield from (".. list-table::", "   :header-rows: 1", "   :widths: 35 65", "")
        yield from ("   * - argument", "     - meaning")
    for action in shown:
        yield f"   * - {_argument(action)}"
        yield f"     - {_plain(_meaning(action, parser))}"
    heading, _, examples = (parser.epilog or "").partition("\n")
    if examples:
        yield from ("", f"{heading.rstrip(':').capitalize()}::", "", *_indented(examples))


def _argument(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"``{action.metavar or action.dest}``"
    value = _value(action)
    return ", ".join(f"``{option}{value}``" for option in action.option_strings)


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if action.choices is not None and action.metavar is None:
        return " " + "|".join(str(choice) for choice in action.choices)
    return f" {action.metavar or action.dest.upper()}"


def _meaning(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """The help of an argument, with its default as the terminal shows it."""
    formatter = parser._get_formatter()
    return formatter._expand_help(action) if action.help else ""


def _plain(text: str) -> str:
    """A text in which no sign is markup."""
    special = dict.fromkeys("*|`\\", "")
    escaped = "".join("\\" + sign if sign in special else sign for sign in text)
    return escaped.replace("_ ", "\\_ ").strip()


def _indented(text: str) -> list[str]:
    return [f"   {line}".rstrip() for line in text.strip("\n").splitlines()]


def write(path: Path) -> None:
    """Write the page, if it is another than the one that is there."""
    text = command_page()
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, encoding="utf-8")
