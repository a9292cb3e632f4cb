"""Results in words: for the terminal, and as the page docs/results.md."""

import platform
from collections.abc import Sequence
from datetime import date

import numpy as np

from layers.systems.results import ComparisonRow, Figure, Result, number

__all__ = ["as_page", "as_text", "figure_table", "misses"]

COMMAND = "minigrad run --all"


def verdict(figure: Figure) -> str:
    """Whether a figure reaches its bar, in a word."""
    return {True: "yes", False: "NO", None: ""}[figure.passed]


def misses(result: Result) -> list[str]:
    """A sentence for each bar that is missed, with the reason as far as it is known."""
    usual = "the reason is not known"
    if result.scale < 1:
        usual = f"only {result.scale:g} of the training steps were made"
    return [
        f"Missed: {figure.name}: {figure.reason or usual}."
        for figure in result.figures
        if figure.passed is False
    ]


def figure_table(figures: Sequence[Figure]) -> str:
    """What was measured beside bars and references, in columns, for a terminal.

    >>> print(figure_table([Figure("half of 3", 1.5, "1.5 ± 0.1", passed=True)]))
               measured  bar        reference  reached
    half of 3  1.5       1.5 ± 0.1             yes
    """
    rows = [("", "measured", "bar", "reference", "reached")]
    rows += [
        (figure.name, number(figure.value), figure.bar, figure.reference, verdict(figure))
        for figure in figures
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def as_text(result: Result) -> str:
    """The figures of a system beside bars and references, and the verdict."""
    lines = [f"System {result.number}: {result.title}", "", figure_table(result.figures)]
    lines += ["", *result.remarks] if result.remarks else []
    missed = misses(result)
    end = "passed" if not missed else f"NOT passed: {len(missed)} of its figures miss the bar"
    scaled = f", {result.scale:g} of the training steps" if result.scale != 1 else ""
    lines += [
        *missed,
        "",
        f"{result.name}: {end} ({result.seconds:.0f} s, seed {result.seed}{scaled})",
    ]
    return "\n".join(lines)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def as_page(results: Sequence[Result], day: date | None = None) -> str:
    """The page with the results of all systems.

    Args:
        results: of the systems, in their order.
        day: when they were measured; the page does not say it if None.

    >>> from datetime import date
    >>> print(as_page([], date(2026, 11, 28)).splitlines()[2][:70])
    Every figure on this page was measured and written on 2026-11-28 by on
    """
    scale = results[0].scale if results else 1.0
    passed = sum(result.passed for result in results)
    lines = [
        "# Results",
        "",
        f"Every figure on this page was measured and written{'' if day is None else f' on {day}'} "
        "by one command, which also draws a picture of each system:",
        "",
        "```console",
        COMMAND if scale == 1 else f"{COMMAND} --scale {scale:g}",
        "```",
        "",
        f"{passed} of {len(results)} systems reach all their bars. References are what a "
        "mainstream framework reaches with the same settings and data; the bar of a text figure is "
        "the reference plus 0.05 nats, or less. Systems run side by side and share the processors; "
        "Python "
        f"{platform.python_version()}, NumPy {np.__version__}. Seconds are those of the clock: "
        "a machine that does other work needs more.",
        "",
        *table(
            ["#", "system", "command", "bars reached", "seconds", "seed"],
            [
                [
                    str(result.number),
                    result.title,
                    f"`minigrad run {result.name}`",
                    f"{sum(f.passed is True for f in result.figures)} of "
                    f"{sum(f.passed is not None for f in result.figures)}",
                    f"{result.seconds:.0f}",
                    str(result.seed),
                ]
                for result in results
            ],
        ),
    ]
    rows = [row for result in results for row in result.comparisons]
    lines += comparison(
        "One text, all models",
        "Shakespeare, trained on the first 90 %, measured on the rest; networks on 20 batches of "
        "64 windows of 64 characters from a zero state. The parameters of an n-gram are the "
        "counts that it holds.",
        [row for row in rows if row.data == "text"],
        {"nats": "nats per character", "bits": "bits per character"},
    )
    lines += comparison(
        "One series, all models",
        "Yearly sunspot numbers, fitted to 1700-1920; the mean squared error of one-step forecasts "
        "divided by the variance 1535. All models see at least twelve years before the first that "
        "counts.",
        [row for row in rows if row.data == "series"],
        {},
    )
    for result in results:
        lines += ["", f"## {result.number}. {result.title}", ""]
        lines += table(
            ["figure", "measured", "bar", "reference", "reached"],
            [[f.name, number(f.value), f.bar, f.reference, verdict(f)] for f in result.figures],
        )
        for sentence in (*misses(result), *result.remarks):
            lines += ["", sentence]
    return "\n".join(lines) + "\n"


def comparison(
    title: str, about: str, rows: Sequence[ComparisonRow], names: dict[str, str]
) -> list[str]:
    """A table of models on one data set; nothing where none ran."""
    if not rows:
        return []
    measures = list(rows[0].values)
    header = ["model", "parameters", "seconds", *(names.get(name, name) for name in measures)]
    body = [
        [
            row.model,
            f"{row.parameters:,}",
            f"{row.seconds:.1f}",
            *(f"{row.values[name]:.3f}" for name in measures),
        ]
        for row in rows
    ]
    return ["", f"## {title}", "", about, "", *table(header, body)]
