"""Measure the speed of minigrad beside other libraries.

    pip install -e ".[all,bench]"
    python -m benchmarks.speed --sizes s m --rounds 5 --threads 1 --to speed

writes speed.json, speed.md and speed.svg. What is not installed, or fails, is left out with a word.
"""

import argparse
import datetime
import json
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed.cases import CASES
from benchmarks.speed.contestants import CONTESTANTS, missing
from benchmarks.speed.footprint import footprints
from benchmarks.speed.machine import describe, product_rate
from benchmarks.speed.plot import plot
from benchmarks.speed.report import markdown, milliseconds, summary
from benchmarks.speed.rounds import compile_modules, environment, measure_case
from minigrad.io.serialize import write_atomically

__all__ = ["main"]


def arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--cases", nargs="+", choices=list(CASES), default=list(CASES), metavar="NAME"
    )
    parser.add_argument("--sizes", nargs="+", choices=list("sml"), default=["s", "m"])
    parser.add_argument("--contestants", nargs="+", choices=list(CONTESTANTS), metavar="NAME",
                        default=list(CONTESTANTS), help=f"of {', '.join(CONTESTANTS)}")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each turn")
    parser.add_argument("--threads", type=int, choices=(1, 2), default=1)
    parser.add_argument("--to", type=Path, help="where to write: PATH.json, PATH.md, PATH.svg")
    parser.add_argument("--page", type=Path, help="write the tables here too: docs/performance.md")
    parser.add_argument("--summary", type=Path, metavar="RECORD",
                        help="measure nothing; print the README's table from a record")  # fmt: skip
    parser.add_argument("--no-footprint", action="store_true", help="no imports and sizes")
    return parser.parse_args(given)


def tell(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        label = f"{row['case']}-{row['size']:2} {row['contestant']:20}"
        if "median" in row:
            text = f"{milliseconds(row['median'])} ms ({milliseconds(row['min'])})"
            print(f"{label} {text}", *row["notes"], flush=True)
        else:
            print(f"{label} {row.get('absent') or row.get('failed')}", flush=True)


def measure(options: argparse.Namespace, command: str) -> dict[str, Any]:
    """All that was asked for, as one record."""
    left_out = {name: missing(CONTESTANTS[name]) for name in options.contestants}
    left_out = {name: why for name, why in left_out.items() if why}
    names = [name for name in options.contestants if name not in left_out]
    record: dict[str, Any] = {
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": describe(),
        "threads": options.threads,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "contestants": names,
        "left out": left_out,
        "rows": [],
    }
    compile_modules()
    with tempfile.TemporaryDirectory() as folder:
        surroundings = environment(options.threads, Path(folder))
        record["product rate"] = product_rate(options.threads, surroundings)
        if not options.no_footprint:
            record["footprint"] = footprints(surroundings, options.rounds)
    for case in options.cases:
        for size in options.sizes:
            if size in CASES[case].sizes:
                rows = measure_case(
                    case, size, names, options.threads, options.rounds, options.seconds
                )
                tell(rows)
                record["rows"] += rows
                write(record, options)  # so that an interrupted run leaves what it has
    return record


def write(record: dict[str, Any], options: argparse.Namespace) -> None:
    """The record as JSON, tables and a picture."""
    if options.page is not None:
        save_text(options.page, markdown(record))
    if options.to is None:
        return
    save_text(options.to.with_suffix(".json"), json.dumps(record, indent=1))
    save_text(options.to.with_suffix(".md"), markdown(record))
    try:
        plot(record, options.to.with_suffix(".svg"))
    except ImportError:
        print("no picture: matplotlib is not installed", file=sys.stderr)


def save_text(path: Path, text: str) -> None:
    """Write a text, whole or not at all."""
    write_atomically(path, lambda file: file.write_text(text, encoding="utf-8"))


def _measured(given: Sequence[str]) -> list[str]:
    """The arguments but for where to write.

    >>> _measured(["--sizes", "s", "m", "--to", "speed", "--page", "docs/performance.md"])
    ['--sizes', 's', 'm']
    """
    kept = list(given)
    for option in ("--to", "--page"):
        if option in kept:
            at = kept.index(option)
            del kept[at : at + 2]
    return kept


def main(given: Sequence[str] | None = None) -> None:
    """Measure, show and write."""
    given = sys.argv[1:] if given is None else given
    options = arguments(given)
    if options.summary is not None:
        print(summary(json.loads(options.summary.read_text(encoding="utf-8"))))
        return
    record = measure(options, shlex.join(["python", "-m", "benchmarks.speed", *_measured(given)]))
    if options.to is None:
        print("\n" + markdown(record))


if __name__ == "__main__":
    main()
