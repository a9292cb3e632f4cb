"""From what was seen to records: what ran within what, in which module, and for how long."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from minigrad.debug.scopes import ScopeNames
from minigrad.profiling.watching import Entry

__all__ = ["Nested", "ProfileRecord", "nested", "records_of"]


class ProfileRecord(NamedTuple):
    """One operation that ran, forward or backward, or one part of a compiled program.

    Attributes:
        operation: its name; of a compiled function, `compiled` and the function's name.
        phase: "forward" or "backward". What runs within a rule, as the operations that
            `checkpoint` repeats, is backward.
        module: the path of the module that ran it, or that made its node; "" outside of modules.
        step: the time step, or None.
        start: seconds since the profile was opened for the first time.
        seconds: how long it took.
        own_seconds: the same without what ran within it and has a record of its own.
        allocated: bytes of new arrays that it returned, kept for its backward, or sent back.
        peak: bytes of all arrays made since the profile was opened that were alive at its end, or
            at that of what ran within it.
        thread: the identifier of the thread.
        part_of: of a part, the compiled program; else "".
    """

    operation: str
    phase: str
    module: str
    step: int | None
    start: float
    seconds: float
    own_seconds: float
    allocated: int
    peak: int
    thread: int
    part_of: str


class Nested:
    """An entry with those within it.

    Attributes:
        entry: what was seen.
        scope: where it ran; of a part of a compiled program, the program's.
        around: what it ran within, or None.
        phase: its own, or that of what it ran within.
        own: its nanoseconds without those of what ran within it.
        peak: the most bytes held at its end, or at that of what ran within it.
    """

    __slots__ = ("around", "entry", "own", "peak", "phase", "scope")

    def __init__(self, entry: Entry, around: "Nested | None") -> None:
        self.entry, self.around = entry, around
        self.scope: Any = entry.scope if entry.phase or around is None else around.scope
        self.phase: str = (entry.phase or "forward") if around is None else around.phase
        self.own, self.peak = entry.duration, entry.held
        if around is not None:
            around.own -= self.own


def nested(entries: Iterable[Entry]) -> list[Nested]:
    """Entries by thread and beginning, each after what it ran within."""
    # What took no time comes before, not within, what began when it ended.
    ordered = sorted(entries, key=lambda e: (e.thread, e.start, e.end > e.start, -e.end))
    found: list[Nested] = []
    open_ones: list[Nested] = []
    for entry in ordered:
        while open_ones and not _within(entry, open_ones[-1].entry):
            open_ones.pop()
        one = Nested(entry, open_ones[-1] if open_ones else None)
        open_ones.append(one)
        found.append(one)
    for one in reversed(found):
        if one.around is not None:
            one.around.peak = max(one.around.peak, one.peak)
    return found


def _within(entry: Entry, other: Entry) -> bool:
    """Whether an entry, which does not begin before another, ran within it."""
    inside = entry.thread == other.thread and entry.end <= other.end
    return inside and entry.start < other.end


def records_of(found: Sequence[Nested], names: ScopeNames, origin: int) -> list[ProfileRecord]:
    """The records of what was seen, in the order in which it began.

    Args:
        found: what was seen.
        names: the paths of the scopes.
        origin: when the profile was opened, in ns.
    """
    records = [
        ProfileRecord(
            one.entry.name,
            one.phase,
            names(one.scope),
            None if one.scope is None else one.scope.time_step,
            (one.entry.start - origin) / 1e9,
            one.entry.duration / 1e9,
            one.own / 1e9,
            one.entry.allocated,
            one.peak,
            one.entry.thread,
            "" if one.entry.phase or one.around is None else one.around.entry.name,
        )
        for one in found
    ]
    return sorted(records, key=lambda record: record.start)
