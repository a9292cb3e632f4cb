"""The table of NumPy's public functions: what each of them does with a tensor.

``python -m tools.numpy_table docs/reference/numpy-functions.md`` writes the page of the
documentation. The table follows from the registry of `minigrad.numpy_api.protocols` and the texts
of `minigrad.numpy_api.unsupported`.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import minigrad
from minigrad.numpy_api import inplace
from minigrad.numpy_api.protocols import METADATA, numpy_functions
from minigrad.numpy_api.unsupported import REFUSED, UNREACHED, reason

__all__ = ["STATUSES", "Row", "markdown", "table"]

STATUSES = {
    "differentiable": "runs as the operation of minigrad that is named and is recorded",
    "constant": "runs; its derivative is 0 wherever it exists, so the result requires no grad",
    "metadata": "answers from shape, dtype or memory, or prints",
    "refused": "raises `DtypeError` with the advice that is given",
    "conversion": "makes an array; of a tensor that requires grad it raises `DetachError`",
    "other": "takes no array",
}
"""What each status means."""

# Compositions of operations do not say of themselves that nothing of them is recorded.
_CONSTANT = frozenset(
    {
        np.allclose,
        np.array_equal,
        np.array_equiv,
        np.einsum_path,
        np.empty_like,
        np.nonzero,
        np.ones_like,
        np.zeros_like,
    }
)
# Functions that NumPy writes in terms of others.
_THROUGH = {"np.isscalar": "metadata", "np.iterable": "metadata", "np.row_stack": "differentiable"}


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        name: as users write it: "np.linalg.norm".
        status: a key of `STATUSES`.
        text: the operation that runs, or what to write instead.
    """

    name: str
    status: str
    text: str


def _functions(module: ModuleType) -> Iterator[tuple[str, Any]]:
    for name in sorted(module.__all__):
        function = getattr(module, name)
        if callable(function) and not isinstance(function, type):
            yield name, function


def _our_name(name: str, ours: Any) -> str:
    """The public name of what runs, if it has one."""
    prefix, _, short = name.rpartition(".")
    packages = {"minigrad.linalg": minigrad.linalg} if prefix else {}
    for package, module in (packages | {"minigrad": minigrad}).items():
        for candidate in (short, ours.__name__):
            if getattr(module, candidate, None) is ours:
                return f"`{package}.{candidate}`"
    if getattr(np, short, None) in inplace.NUMPY and short != "copy":
        return "writes in place, into its first argument, which must be a tensor"
    return "" if getattr(minigrad, short, None) is None else f"`minigrad.{short}`"


def _status(name: str, function: Any) -> tuple[str, str]:
    full = f"np.{name}"
    ours = numpy_functions.get(function)
    if function in METADATA:
        return "metadata", ""
    if ours is not None:
        operation = getattr(ours, "operation", None)
        constant = operation.constant if operation is not None else function in _CONSTANT
        return "constant" if constant else "differentiable", _our_name(name, ours)
    if full in _THROUGH:
        return _THROUGH[full], "`minigrad.vstack`" if _THROUGH[full] == "differentiable" else ""
    if full in UNREACHED:
        return "conversion", UNREACHED[full]
    if full in REFUSED:
        return "refused", REFUSED[full]
    if hasattr(function, "_implementation") or isinstance(function, np.ufunc):
        return "refused", reason(full)
    return "other", ""


def table() -> list[Row]:
    """One row for every public function of `numpy` and `numpy.linalg`.

    >>> [row for row in table() if row.name == "np.tanh"]
    [Row(name='np.tanh', status='differentiable', text='`minigrad.tanh`')]
    """
    return [
        Row(f"np.{prefix}{name}", *_status(prefix + name, function))
        for prefix, module in (("", np), ("linalg.", np.linalg))
        for name, function in _functions(module)
    ]


def markdown() -> str:
    """The table as a page of the documentation."""
    rows = table()
    counts = Counter(row.status for row in rows)
    version = ".".join(np.__version__.split(".")[:2])
    lines = [
        "# NumPy's functions on tensors",
        "",
        f"Every public function of `numpy` and `numpy.linalg` (NumPy {version}), and what it does",
        "when a tensor is among its arguments. Functions of one name are also `minigrad.<name>`.",
        "This page is generated: `python -m tools.numpy_table docs/reference/numpy-functions.md`.",
        "",
        "| status | functions | meaning |",
        "|---|---|---|",
        *(f"| {status} | {counts[status]} | {text} |" for status, text in STATUSES.items()),
        "",
        "`out=` takes a tensor, which is written in place; an array cannot remember how its values",
        "were computed. Of the methods of ufuncs, `outer` works for all with two arguments, and",
        "`reduce`, `accumulate` and `at` where an operation stands for them: `np.add.reduce`,",
        "`np.maximum.accumulate`, `np.add.at` and the like. Everything else is refused by name.",
        "",
        "Results have NumPy's dtypes. Reductions take `where=` and `initial=`, both constant.",
        "",
        "| function | status | in minigrad, or what to write instead |",
        "|---|---|---|",
        *(f"| `{r.name}` | {r.status} | {r.text} |" for r in rows if r.status != "other"),
        "",
        "These take no array: "
        + ", ".join(f"`{row.name}`" for row in rows if row.status == "other")
        + ".",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(markdown(), encoding="utf-8")
    else:
        print(markdown())
