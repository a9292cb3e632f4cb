"""What was measured, as JSON and as tables in Markdown."""

import statistics
from collections.abc import Iterable
from typing import Any, Final

from benchmarks.speed.cases import CASES
from benchmarks.speed.contestants import CONTESTANTS

__all__ = ["SUMMARY", "markdown", "milliseconds", "summary"]

Record = dict[str, Any]


def milliseconds(seconds: float) -> str:
    """Three digits."""
    value = 1e3 * seconds
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}".rstrip(".")


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    head = list(head)
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]


def cell(row: Record | None, notes: list[str]) -> str:
    """Median and minimum, or a mark of a note that says why there are none."""
    if row is None:
        return ""
    who = f"{row['case']}-{row['size']}, {row['contestant']}"
    if "absent" in row:
        return "-"
    if "failed" in row:
        notes.append(f"{who}: {row['failed']}.")
        return f"failed ({len(notes)})"
    text = f"{milliseconds(row['median'])} ({milliseconds(row['min'])})"
    if row.get("notes"):
        notes.append(f"{who}: {'; '.join(row['notes'])}.")
        text += f" ({len(notes)})"
    return text


def grouped(record: Record) -> dict[tuple[str, str], dict[str, Record]]:
    """Rows by case and size, then by contestant."""
    found: dict[tuple[str, str], dict[str, Record]] = {}
    for row in record["rows"]:
        found.setdefault((row["case"], row["size"]), {})[row["contestant"]] = row
    return found


def times(record: Record, notes: list[str]) -> list[str]:
    names = record["contestants"]
    rows = [
        [f"{CASES[case].title}, {size}", *(cell(found.get(name), notes) for name in names)]
        for (case, size), found in grouped(record).items()
    ]
    return table(["ms, median (minimum)", *names], rows)


def against(record: Record) -> list[str]:
    """How many times as fast our forms are as the fastest of the other libraries."""
    ours = [n for n in record["contestants"] if CONTESTANTS[n].peer == "ours"]
    ratios: dict[str, list[float]] = {name: [] for name in ours}
    rows = []
    for (case, size), found in grouped(record).items():
        others = {n: r["median"] for n, r in found.items() if n not in ours and "median" in r}
        if not others:
            continue
        best = min(others, key=lambda name: others[name])
        cells = [f"{CASES[case].title}, {size}", best]
        for name in ours:
            if "median" in found.get(name, {}):
                ratios[name].append(others[best] / found[name]["median"])
                cells.append(f"{ratios[name][-1]:.2f}")
            else:
                cells.append("-")
        rows.append(cells)
    if not rows:
        return []
    # A mean over fewer rows says so: what failed must not make it look better.
    means = [
        f"{statistics.geometric_mean(each):.2f} ({len(each)} of {len(rows)})" if each else "-"
        for each in ratios.values()
    ]
    rows.append(["geometric mean (of how many rows)", "", *means])
    return table(["times as fast as", "the fastest other", *ours], rows)


def measures(record: Record) -> list[str]:
    """First calls, memory, and the share of the rate of products, one row a contestant."""
    rows = []
    for row in record["rows"]:
        if "median" not in row:
            continue
        case = CASES[row["case"]]
        products = case.products(case.sizes[row["size"]])
        share = products / row["min"] / record["product rate"]
        count = case.per_second
        rows.append(
            [
                f"{case.title}, {row['size']}: {row['contestant']}",
                milliseconds(row["first"]),
                milliseconds(row["second"]) if row.get("second") else "",
                f"{row['peak']:.0f}" if "peak" in row else "",
                f"{row['base'] + row['peak']:.0f}" if "base" in row else "",
                f"{share:.0%}" if products else "",
                f"{count[0] / row['median']:,.0f} {count[1]}" if count else "",
            ]
        )
    head = [
        "",
        "first call, ms",
        "in a second process",
        "peak MB",
        "whole process, MB",
        "of the products' rate",
        "a second",
    ]
    return [MEMORY, "", *table(head, rows)]


MEMORY = (
    "Peak MB is what a process takes beyond its inputs and the library, once that is imported. "
    "Of llvmlite's own file, of which compiling reads 60 MB, processes have the same pages; those "
    "of its code, 50 MB, are given back once a program runs. "
    "The whole process is the interpreter, the library, the inputs and that peak: what a system "
    "that ends processes for their memory looks at."
)

SUMMARY = (
    ("ops", "s", "900 operations on 8 numbers"),
    ("lstm-loop", "s", "an LSTM cell of one's own, in a Python loop, 32 units, 50 steps"),
    ("lstm", "m", "the LSTM layer, 128 units, 50 steps, 32 sequences"),
    ("transformer", "m", "a Transformer encoder, 256 wide"),
)
"""The rows of the README: case, size, and words for people who have not read of cases."""

SHOWN = ("compiled", "core", "minigrad", "torch", "torch.compile", "jax.jit")


def summary(record: Record) -> str:
    """The table of the README: milliseconds of forward and backward, medians."""
    found = grouped(record)
    rows = []
    for case, size, title in SUMMARY:
        row = found[case, size]
        given = [row.get(name, {}).get("median") for name in SHOWN]
        rows.append([title, *(milliseconds(v) if v is not None else "-" for v in given)])
    return "\n".join(table(["ms", *SHOWN], rows))


def footprint(record: Record) -> list[str]:
    rows = [
        [
            row["library"],
            milliseconds(row["median"]) if "median" in row else row.get("failed", ""),
            f"{row['megabytes']:,.0f}" if "megabytes" in row else "",
        ]
        for row in record["footprint"]
    ]
    return table(["", "import, ms", "installed with all it needs, MB"], rows)


RARER: Final = ("torch.compile", "autograd", "mygrad")
"""Contestants that the other pages leave out, as they take minutes or are never the fastest."""


def title_of(record: Record) -> str:
    """The title of the page.

    >>> title_of({"rows": [{"size": "l"}], "threads": 2, "contestants": ["compiled", "torch"]})
    'Performance of large sizes with 2 threads'
    >>> title_of({"rows": [{"size": "s"}], "threads": 1, "contestants": ["mygrad"]})
    'Performance beside mygrad'
    """
    large = all(row["size"] == "l" for row in record["rows"])
    threads = f" with {record['threads']} threads" if record["threads"] > 1 else ""
    rarer = [name for name in record["contestants"] if name in RARER]
    beside = " beside " * bool(rarer) + ", ".join(rarer)
    return "Performance" + " of large sizes" * large + threads + beside


def markdown(record: Record) -> str:
    """The whole page."""
    machine, notes = record["machine"], list[str]()
    loads = [row["load"] for row in record["rows"] if row.get("load") is not None]
    load = f"the load was {min(loads):.1f} to {max(loads):.1f}" if loads else "the load is unknown"
    lines = [
        f"# {title_of(record)}",
        "",
        f"Written by `{record['command']}` on {record['date']}: {record['rounds']} alternated "
        f"rounds, {record['threads']} thread{'s' * (record['threads'] > 1)}; {load}. "
        f"{machine['processor']}, {machine['processors']} processors, {machine['system']}, Python "
        f"{machine['python']}; NumPy multiplies matrices at "
        f"{record['product rate'] / 1e9:.0f} GFLOP/s. Lower is better; rows that lose are shown.",
        "",
        '"compiled" is the value and all gradients as one program, "backward" is '
        '`mg.compile(loss)(...).backward()`, and "core" is the same without the extra `fast`. '
        "All contestants get the same inputs, and their results were compared; - is what a library "
        "does not have.",
        "",
    ]
    lines += times(record, notes)
    for title, part in (
        ("Beside the fastest other library", against(record)),
        ("First calls, memory, rates", measures(record)),
        ("Imports and sizes", footprint(record) if record.get("footprint") else []),
        ("Notes", [f"{i}. {note}" for i, note in enumerate(notes, 1)]),
        ("Left out", [f"- {name}: {why}." for name, why in record["left out"].items()]),
    ):
        if part:
            lines += ["", f"## {title}", "", *part]
    return "\n".join(lines) + "\n"
