"""Times of all contestants as a picture: dots for minigrad, crosses for other libraries."""

from pathlib import Path
from typing import Any

from benchmarks.speed.contestants import CONTESTANTS
from minigrad.io.serialize import write_atomically

__all__ = ["plot"]


def plot(record: dict[str, Any], path: Path) -> None:
    """One line of dots for each case, on a logarithmic axis of milliseconds.

    Raises:
        ImportError: without matplotlib.
    """
    from matplotlib.figure import Figure

    labels: dict[str, int] = {}
    for row in record["rows"]:
        labels.setdefault(f"{row['case']}-{row['size']}", len(labels))
    figure = Figure(figsize=(9, 1.5 + 0.3 * len(labels)), layout="constrained")
    axes = figure.add_subplot()
    for name in record["contestants"]:
        rows = [r for r in record["rows"] if r["contestant"] == name and "median" in r]
        heights = [labels[f"{row['case']}-{row['size']}"] for row in rows]
        marker = "o" if CONTESTANTS[name].peer == "ours" else "x"
        color = f"C{list(CONTESTANTS).index(name)}"
        axes.scatter(
            [1e3 * row["median"] for row in rows],
            heights,
            marker=marker,
            color=color,
            label=name,
        )
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds, median")
    axes.set_yticks(list(labels.values()), list(labels))
    axes.invert_yaxis()
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    write_atomically(path, lambda file: figure.savefig(file, format="svg"))
