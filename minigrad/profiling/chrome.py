"""A profile as a trace that chrome://tracing and Perfetto open.

The format is the Trace Event Format: an array of events, each with its beginning and duration in
microseconds. Viewers nest those of a thread by their times, so each module gets an event around
what it did, for every stretch of time in which nothing else ran.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from minigrad.profiling.records import Nested
from minigrad.profiling.watching import Entry

__all__ = ["trace_events"]

Event = dict[str, Any]


def trace_events(
    found: Sequence[Nested],
    passes: Sequence[Sequence[int]],
    entered: Mapping[Any, int],
    origin: int,
    process: int,
) -> list[Event]:
    """The events of a profile: backward passes, modules, operations and parts of programs.

    Args:
        found: what was seen, as `nested` orders it.
        passes: of each backward pass its thread, its beginning and its end.
        entered: when modules were called, by their scopes.
        origin: the time that becomes 0, in ns.
        process: its number.
    """
    events: list[Event] = []
    threads = dict.fromkeys([one.entry.thread for one in found])
    for number, thread in enumerate(threads):
        writer = _Writer(entered, origin, process, number)
        mine: list[Any] = [_pass_entry(span) for span in passes if span[0] == thread]
        mine += [one for one in found if one.entry.thread == thread]
        mine.sort(key=_place)
        for one in mine:
            if isinstance(one, Nested):
                writer.add(one.entry, one.scope, one.phase, one.peak)
            else:
                writer.add(one, None, "pass", 0)
        events += writer.close()
        name = {"name": f"thread {number}"}
        events.append(
            {"ph": "M", "name": "thread_name", "pid": process, "tid": number, "args": name}
        )
    return events


def _place(one: Nested | Entry) -> tuple[int, bool, int]:
    """The place in the order of events; of two at the same time, passes come first."""
    entry = one.entry if isinstance(one, Nested) else one
    return entry.start, isinstance(one, Nested) and entry.end > entry.start, -entry.end


def _pass_entry(span: Sequence[int]) -> Entry:
    return Entry("backward pass", "backward", None, span[1], span[2])


class _Open:
    """An event that is not closed yet.

    Attributes:
        event: without its duration.
        start, end: in ns; the end of a module is not known before the next event.
        scope: of a module.
        chain: of an operation, the modules around it, the outermost first.
    """

    def __init__(self, event: Event, start: int) -> None:
        self.event, self.start = event, start
        self.end: int | None = None
        self.scope: Any = None
        self.chain: list[Any] = []


class _Writer:
    """Writes the events of one thread."""

    def __init__(self, entered: Mapping[Any, int], origin: int, process: int, thread: int) -> None:
        self._entered, self._origin = entered, origin
        self._place = {"pid": process, "tid": thread}
        self._open: list[_Open] = []
        self._events: list[Event] = []
        self._latest = origin  # when the last event ended, or the innermost open one began
        self._called: set[Any] = set()

    def add(self, entry: Entry, scope: Any, kind: str, peak: int) -> None:
        """Add what ran, with the modules around it."""
        around = -1  # the innermost open piece of work that this one is within
        for i, frame in enumerate(self._open):
            if frame.end is not None:
                if frame.end <= entry.start or frame.end < entry.end:
                    break
                around = i
        outer = set(self._open[around].chain) if around >= 0 else set()
        chain = _modules(scope)
        keep = around + 1
        wanted = [scope for scope in chain if scope not in outer]
        while (
            wanted
            and keep < len(self._open)
            and self._open[keep].end is None
            and self._open[keep].scope is wanted[0]
        ):
            keep += 1
            wanted.pop(0)
        self._close(keep)
        for module in wanted:
            called = self._entered.get(module, 0) if module not in self._called else 0
            self._called.add(module)
            start = called if self._latest <= called <= entry.start else entry.start
            place = {"path": module.path, "class": module.kind}
            self._begin(module.name, "module", start, place).scope = module
        args: dict[str, Any] = {"module": "" if scope is None else scope.path}
        if kind != "pass":
            args |= {"allocated": entry.allocated, "peak": peak}
        frame = self._begin(entry.name, kind, entry.start, args)
        frame.end, frame.chain = entry.end, chain

    def close(self) -> list[Event]:
        """Close what is open; returns all events."""
        self._close(0)
        return self._events

    def _begin(self, name: str, kind: str, start: int, args: dict[str, Any]) -> "_Open":
        event = {"name": name, "cat": kind, "ph": "X", **self._place, "args": args}
        event["ts"] = (start - self._origin) / 1000
        self._events.append(event)
        self._open.append(_Open(event, start))
        self._latest = start
        return self._open[-1]

    def _close(self, keep: int) -> None:
        """Close all open events but for the outermost ones."""
        while len(self._open) > keep:
            frame = self._open.pop()
            end = self._latest if frame.end is None else frame.end
            frame.event["dur"] = (end - frame.start) / 1000
            self._latest = max(self._latest, end)


def _modules(scope: Any) -> list[Any]:
    """The modules and named blocks around what ran, the outermost first."""
    return [] if scope is None else [part.origin for part in scope.chain() if part.name]
