"""Threads that run one program together."""

import functools
import os
import queue
import threading
from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np

from minigrad.forks import after_forks
from minigrad.ops.checks import OptionError

__all__ = ["Crew", "Pace", "asked_for", "crew", "processors", "run_in_room"]

MOST: Final = 1024
"""Threads that may be asked for: with tens of thousands, a process has no room for its own code."""

Main: TypeAlias = Callable[[int, int, int, int], int]


class _Job:
    """One call of a program by another thread, which may be called off before it begins."""

    def __init__(self, main: Main, frame: int, room: int) -> None:
        self._call = main, frame, room
        self._by: dict[str, str] = {}  # who had it first: a thread of the crew, or the caller
        self._working = threading.Lock()  # no event: its own lock could be left taken by Ctrl-C
        self._working.acquire()
        self.status = 0

    def run(self, number: int, size: int) -> None:
        if self._by.setdefault("who", "crew") == "crew":
            main, frame, room = self._call
            try:
                self.status = main(frame, room, number, size)
            finally:
                self._working.release()

    def finish(self) -> int:
        """Call it off, or wait for it; returns its status flags. May be called again."""
        if self._by.setdefault("who", "caller") == "crew":
            with self._working:
                pass
        return self.status


class Crew:
    """The caller's thread and some more, which wait until there is something to do.

    A program is done when its chunks are, whoever did them: a thread that comes too late for all of
    them is not waited for.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._queues: list[queue.SimpleQueue[_Job]] = []
        for number in range(1, size):
            jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
            self._queues.append(jobs)
            threading.Thread(target=self._work, args=(number, jobs), daemon=True).start()

    def _work(self, number: int, jobs: "queue.SimpleQueue[_Job]") -> None:
        while True:
            jobs.get().run(number, self.size)

    def run(self, main: Main, frame: int, room: int) -> int:
        """Run a program; returns the status flags of all threads together.

        Nobody works on the frame and the room any more when this returns or raises: Ctrl-C waits.
        """
        jobs = [_Job(main, frame, room) for _ in self._queues]
        status, interrupt = 0, None
        try:
            for each, job in zip(self._queues, jobs, strict=True):
                each.put(job)
            status = main(frame, room, 0, self.size)
        finally:
            finished = False
            while not finished:
                try:
                    for job in jobs:
                        status |= job.finish()
                    finished = True
                except KeyboardInterrupt as error:
                    interrupt = error
            if interrupt is not None:
                raise interrupt
        return status


class Pace:
    """Whether more threads pay: what was faster of late, and the other one again at times.

    On a machine with other work to do, a thread may lose its processor in the middle of a chunk,
    and the others wait for it. How long calls take tells that best. The slower way is tried
    again soon, as one call may be disturbed, and then ever more seldom, so that it costs some two
    per cent.

    >>> pace = Pace()
    >>> ways = []
    >>> for _ in range(12):
    ...     ways.append(pace.together())
    ...     pace.took(ways[-1], 1.0 if ways[-1] else 2.0)
    >>> "".join(str(int(way)) for way in ways)
    '010011110111'
    """

    def __init__(self) -> None:
        self._seconds = {True: 0.0, False: 0.0}  # of a call, by whether threads took part
        self._calls = -1  # since the slower way was tried; the first call of all warms up
        self._wait = _TRIED_SOON  # calls until it is tried again

    def together(self) -> bool:
        """Whether the next call should be shared."""
        seconds = self._seconds
        for way in (True, False):
            if not seconds[way]:
                return way and self._calls >= 0
        best = seconds[True] < seconds[False]
        ratio = seconds[not best] / seconds[best]
        wait = min(_TRIED_AGAIN * ratio, 20 * _TRIED_AGAIN, self._wait)
        return best != (self._calls >= wait)

    def took(self, together: bool, seconds: float) -> None:
        """Note how long a call took."""
        if self._calls < 0:
            self._calls = 0
            return
        before = self._seconds
        other = before[not together]
        slower = bool(other) and not before[together] < other
        self._calls = 0 if slower else self._calls + 1
        self._wait = min(2 * self._wait if slower else self._wait, 20 * _TRIED_AGAIN)
        more = seconds - before[together]
        before[together] += more * _WEIGHT if before[together] and more > 0 else more


_TRIED_SOON: Final = 2
_TRIED_AGAIN: Final = 50
_WEIGHT: Final = 0.1
"""Of a call that took longer than those before; a shorter one counts at once."""


def processors() -> int:
    """How many this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def asked_for() -> int:
    """How many threads a program may have: `MINIGRAD_THREADS`, or as many as there are processors.

    Raises:
        OptionError: when the setting is no number from 1 to `MOST`.
    """
    setting = os.environ.get("MINIGRAD_THREADS", "")
    fits = setting.isdecimal() and len(setting) <= len(str(MOST)) and 1 <= int(setting) <= MOST
    if setting and not fits:
        raise OptionError(
            f"MINIGRAD_THREADS must be a number from 1 to {MOST}, got {setting!r:.80}"
        )
    return int(setting) if setting else processors()


@functools.cache
def crew(size: int) -> Crew:
    """The crew of that size; all programs share it."""
    return Crew(size)


def run_in_room(main: Main, frame: int, threads: int, header: int, room: int) -> None:
    """Run code in a workspace of its own: a header of zeros, and room for each thread, in bytes."""
    workspace = np.empty(header + threads * room, np.uint8)
    workspace[:header] = 0
    start = workspace.__array_interface__["data"][0]
    if threads == 1:
        main(frame, start, 0, 1)
    else:
        crew(threads).run(main, frame, start)


after_forks(crew.cache_clear)
