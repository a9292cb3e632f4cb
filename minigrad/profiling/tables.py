"""Records added up, and shown as a table of text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from minigrad.debug.scopes import ScopeNames
from minigrad.profiling.records import Nested

__all__ = ["SORTS", "KernelWork", "Row", "by_module", "by_operation", "kernels_text"]
__all__ += ["table_text"]


@dataclass
class Row:
    """What one operation or module took.

    Attributes:
        name: of the operation, or the path of the module.
        count: how many times the operation ran forward, or the module was called; of what ran
            backward alone, how many times it did.
        forward, backward: nanoseconds, with what ran within.
        own: nanoseconds without what ran within.
        allocated: bytes of arrays that were made.
        peak: the most bytes that were alive.
    """

    name: str
    calls: set[int] = field(default_factory=set)
    repeats: int = 0
    forward: int = 0
    backward: int = 0
    own: int = 0
    allocated: int = 0
    peak: int = 0

    @property
    def count(self) -> int:
        """How many times it ran."""
        return len(self.calls) or self.repeats

    @property
    def total(self) -> int:
        """Nanoseconds, forward and backward."""
        return self.forward + self.backward

    def add(self, one: Nested, time: int, call: Any = None) -> None:
        """Add something that ran.

        Args:
            one: what ran.
            time: the nanoseconds of it that count.
            call: what to count once; None for each of its own.
        """
        if one.phase == "backward":
            self.backward += time
            self.repeats += 1
        else:
            self.forward += time
        if call is not None or one.phase == "forward":
            self.calls.add(id(one) if call is None else id(call))
        self.allocated += one.entry.allocated
        self.peak = max(self.peak, one.peak)


SORTS: Final[dict[str, Callable[[Row], Any]]] = {
    "total": lambda row: (-row.total, row.name),
    "self": lambda row: (-row.own, row.name),
    "forward": lambda row: (-row.forward, row.name),
    "backward": lambda row: (-row.backward, row.name),
    "count": lambda row: (-row.count, row.name),
    "allocated": lambda row: (-row.allocated, row.name),
    "peak": lambda row: (-row.peak, row.name),
    "name": lambda row: row.name,
}


def by_operation(found: Sequence[Nested]) -> list[Row]:
    """A row for each operation; parts of a compiled program are named after it."""
    rows: dict[str, Row] = {}
    for one in found:
        name = one.entry.name
        if not one.entry.phase and one.around is not None:
            name = f"{one.around.entry.name}: {name}"
        row = rows.setdefault(name, Row(name))
        row.add(one, one.entry.duration)
        row.own += one.own
    return list(rows.values())


def by_module(found: Sequence[Nested], names: ScopeNames) -> list[Row]:
    """A row for each module, which includes the modules within it."""
    rows: dict[str, Row] = {}
    for one in found:
        scope = one.scope
        chain = [] if scope is None else [part.origin for part in scope.chain() if part.name]
        paths = {names(part): part for part in chain} or {"": None}
        for path, call in paths.items():
            row = rows.setdefault(path, Row(path or "(no module)"))
            row.add(one, one.own, call)
        innermost = names(chain[-1]) if chain else ""
        rows[innermost].own += one.own
    return list(rows.values())


@dataclass(frozen=True)
class KernelWork:
    """A kernel of a compiled program, and an estimate of its work.

    Attributes:
        name: what it computes.
        count: how many times it runs in a call.
        flops: additions, multiplications and calls of functions, in all.
        nbytes: bytes read and written, in all, each number once for every time that it runs.
    """

    name: str
    count: int
    flops: int
    nbytes: int


def table_text(
    title: str, rows: Sequence[Row], ends: Sequence[tuple[str, int]], limit: int | None
) -> str:
    """Rows as text.

    Args:
        title: the heading of the first column.
        rows: in their order.
        ends: what stands below: names and nanoseconds.
        limit: how many rows to show; None for all.
    """
    whole = sum(row.own for row in rows)
    shown = list(rows if limit is None else rows[:limit])
    more = len(rows) - len(shown)
    left = f"({more} more)" if more else ""
    names = [title, left, *(row.name for row in shown), *(name for name, _ in ends)]
    width = max(map(len, names))
    heads = ("count", "forward ms", "backward ms", "total ms", "self", "allocated", "peak")
    lines = [f"{title:<{width}}" + "".join(f" {head:>11}" for head in heads)]
    for row in shown:
        times = "".join(f" {time / 1e6:>11,.3f}" for time in (row.forward, row.backward, row.total))
        share = f"{row.own / whole:.1%}" if whole else "0.0%"
        memory = f" {bytes_text(row.allocated):>11} {bytes_text(row.peak):>11}"
        lines.append(f"{row.name:<{width}} {row.count:>11,}{times} {share:>11}{memory}")
    if more:
        lines.append(left)
    lines.append("")
    lines += [f"{name:<{width}} {'':>11} {'':>11} {'':>11} {t / 1e6:>11,.3f}" for name, t in ends]
    return "\n".join(lines)


def kernels_text(name: str, kernels: Sequence[KernelWork]) -> str:
    """The kernels of a program as text."""
    width = max(len(name), *(len(kernel.name) for kernel in kernels))
    lines = [f"{name:<{width}} {'count':>11} {'flops':>15} {'bytes':>11}"]
    for kernel in kernels:
        numbers = f"{kernel.count:>11,} {kernel.flops:>15,} {bytes_text(kernel.nbytes):>11}"
        lines.append(f"{kernel.name:<{width}} {numbers}")
    return "\n".join(lines)


def bytes_text(size: int) -> str:
    """A number of bytes in at most four digits: `512 B`, `12.5 kB`, `3.07 MB`."""
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"
