"""What a profile sees: when operations begin and end, forward and backward.

The observer of the core is told when an operation was applied, not when one begins. But the engine
asks the mode who looks at calls right before it computes, so a mode of a profile notes the time
when it is asked. Backward, a node's work begins when its gradient has arrived, and ends when the
gradient of the next one has: rules, casts and sums of what it sent are in between.
"""

import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Sequence
from threading import get_ident
from time import perf_counter_ns
from typing import Any, Final

from minigrad.core.contributions import output_plan
from minigrad.core.modes import Mode, current_mode, set_mode
from minigrad.core.nodes import Leaf, Node, alias_plan
from minigrad.core.observer import Applied, Observer
from minigrad.profiling.live_arrays import LiveArrays
from minigrad.restoring import Restoring

__all__ = ["Entry", "PartNote", "ProfileObserver", "TimedMode", "WholeCalls", "label_of"]
__all__ += ["run_seen", "see_whole_calls", "timed", "whole_work"]

PASSED_ON: Final = (alias_plan, output_plan)  # plans of nodes that compute nothing

PartNote = Callable[[str, int, int], None]  # a part of a program, when it began and ended, in ns


class _Clock(threading.local):
    """When this thread was last asked who looks at calls, in ns, and what profiles took since."""

    asked = lost = 0


_clock = _Clock()
_stored_watchers: Final = vars(Mode)["watchers"].__get__


class TimedMode(Mode):
    """A mode that notes the time when the engine asks it who looks at calls."""

    __slots__ = ()

    @property
    def watchers(self) -> tuple[Observer, ...]:  # type: ignore[override]
        """The observers that look at every call."""
        watchers: tuple[Observer, ...] = _stored_watchers(self)
        _clock.lost = 0
        _clock.asked = perf_counter_ns()
        return watchers

    def replace(self, **changes: Any) -> Mode:
        """A copy with some fields changed, which notes times as long as a profile looks on."""
        asked, lost = _clock.asked, _clock.lost
        mode = timed(super().replace(**changes))
        _clock.asked, _clock.lost = asked, lost  # perhaps an operation is going on
        return mode


def timed(mode: Mode) -> Mode:
    """A mode that was made just now, as a mode of a profile if there is one."""
    if any(isinstance(observer, ProfileObserver) for observer in mode.observers):
        mode.__class__ = TimedMode
    return mode


class WholeCalls(Observer):
    """An observer for which the call of a compiled function is one operation.

    For other observers that look at calls, compiled functions run as they are written.
    """


def see_whole_calls(observers: tuple[Observer, ...]) -> bool:
    """Whether the calls of compiled functions are single operations for all of these observers."""
    return not observers or all(isinstance(observer, WholeCalls) for observer in observers)


class Entry:
    """One piece of work, as it was seen.

    Attributes:
        name: of the operation.
        phase: "forward" or "backward".
        scope: where it ran, or where its node was recorded.
        thread: the identifier of the thread.
        start, end: on the clock `time.perf_counter_ns`.
        allocated: bytes of arrays that it made.
        held: bytes of all arrays that were alive then.
        lost: nanoseconds between start and end that the profile itself took.
        node: a weak reference to its node on the tape; None where there is none.
    """

    __slots__ = (
        "allocated",
        "end",
        "held",
        "lost",
        "name",
        "node",
        "phase",
        "scope",
        "start",
        "thread",
    )

    def __init__(
        self, name: str, phase: str, scope: Any, start: int, end: int, node: Node | None = None
    ) -> None:
        self.name, self.phase, self.scope = name, phase, scope
        self.thread = get_ident()
        self.start, self.end = start, end
        self.allocated = self.held = self.lost = 0
        self.node = None if node is None else weakref.ref(node)

    @property
    def duration(self) -> int:
        """The nanoseconds that it took."""
        return self.end - self.start - self.lost


def label_of(operation: Any) -> str:
    """What people call an operation: compiled functions may have names that are no identifiers."""
    label: str = getattr(operation, "label", "") or operation.name
    return label


class _Thread:
    """What a profile knows of a thread.

    Attributes:
        end: when its last operation ended, in ns.
        lost: nanoseconds that the profile itself took.
    """

    __slots__ = ("end", "lost")

    def __init__(self) -> None:
        self.end = self.lost = 0


class ProfileObserver(WholeCalls):
    """Notes what is seen while a profile is open.

    Args:
        inside: whether to look into compiled programs.

    Attributes:
        entries: what was seen, in the order in which it ended forward and began backward.
        passes: of each backward pass its thread, its beginning and its end.
        entered: when modules were called, by their scopes.
        programs: the operations of the compiled programs that ran, if it looks inside.
        live: the arrays that were made.
        threads: by their identifiers.
    """

    def __init__(self, inside: bool) -> None:
        self.inside = inside
        self.entries: list[Entry] = []
        self.passes: list[list[int]] = []
        self.entered: dict[Any, int] = {}
        self.programs: dict[Any, None] = {}
        self.live = LiveArrays()
        self.threads: defaultdict[int, _Thread] = defaultdict(_Thread)

    def enter(self, module: Any, scope: Any) -> None:
        """A module is called."""
        self.entered[scope] = perf_counter_ns()

    def call(self, applied: Applied) -> None:
        """An operation was applied."""
        end = perf_counter_ns()
        thread = self.threads[get_ident()]
        # One operation within another: the outer one has the time after the inner one.
        start = max(_clock.asked, thread.end)
        entry = Entry(
            label_of(applied.operation), "forward", current_mode().scope, start, end, applied.node
        )
        entry.lost = _clock.lost
        entry.allocated, entry.held = self.live.add(applied.results, applied.arrays)
        self.entries.append(entry)
        thread.end = end
        thread.lost += perf_counter_ns() - end

        if self.inside and hasattr(applied.operation, "built"):
            self.programs[applied.operation] = None

    def work(self, name: str, start: int, made: Sequence[Any]) -> None:
        """Something was made as a whole, which began at `start` and ends now."""
        thread = self.threads[get_ident()]
        thread.end = perf_counter_ns()
        entry = Entry(name, "forward", current_mode().scope, start, thread.end)
        entry.allocated, entry.held = self.live.add(made)
        self.entries.append(entry)

    def of_pass(self) -> Observer:
        """Who looks on at one backward pass."""
        return _Pass(self)

    def part(self, name: str, start: int, end: int) -> None:
        """A part of what is going on took some time."""
        self.entries.append(Entry(name, "", current_mode().scope, start, end))
        lost = perf_counter_ns() - end
        _clock.lost += lost
        self.threads[get_ident()].lost += lost


class _Pass(Observer):
    """Notes what is seen of one backward pass."""

    def __init__(self, profile: ProfileObserver) -> None:
        self._profile = profile
        self._entry: Entry | None = None
        self._thread = profile.threads[get_ident()]
        self._lost = 0  # of the thread, when the entry began
        now = perf_counter_ns()
        self._span = [get_ident(), now, now]
        profile.passes.append(self._span)

    def edge(self, node: Any, gradient: Any, slot: int, source: Any, part: Any) -> None:
        """A gradient arrived, or is sent on."""
        self._span[2] = now = perf_counter_ns()
        entry, thread = self._entry, self._thread
        added, held = self._profile.live.add([part])
        if entry is not None:
            entry.end, entry.lost = now, thread.lost - self._lost
            entry.allocated += added
            entry.held = max(entry.held, held)
        if source is None:
            self._entry = None
            if node.__class__ is not Leaf and node.plan not in PASSED_ON:
                name = label_of(getattr(node.plan, "operation", node.plan))
                self._entry = entry = Entry(name, "backward", node.scope, now, now, node)
                entry.held = held
                self._profile.entries.append(entry)
                entry.start = entry.end = perf_counter_ns()
                self._lost = thread.lost + entry.start - now
        thread.lost += perf_counter_ns() - now


class whole_work(Restoring):
    """A block that is one piece of work for profiles, whatever runs in it.

    What it makes goes into the list that it gives.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def begin(self) -> list[Any]:
        """Have no profile look on."""
        mode = current_mode()
        made: list[Any] = []
        self.undone_by(self._end, mode, perf_counter_ns(), made)
        set_mode(mode.replace(observers=mode.without(ProfileObserver)))
        return made

    def _end(self, mode: Mode, start: int, made: list[Any]) -> None:
        set_mode(mode)
        for observer in mode.observers:
            if isinstance(observer, ProfileObserver):
                observer.work(self._name, start, made)


def run_seen(program: Any, arrays: Sequence[Any]) -> Any:
    """Run a compiled program on arrays; part by part, if it can, where a profile looks inside."""
    observers = current_mode().observers
    if not observers or not hasattr(program, "run_parts"):
        return program(arrays)
    inside = [o for o in observers if isinstance(o, ProfileObserver) and o.inside]
    if not inside:
        return program(arrays)

    def note(name: str, start: int, end: int) -> None:
        for observer in inside:
            observer.part(name, start, end)

    return program.run_parts(arrays, note)
