"""Threads that run one program together."""

import functools
import os
import queue
import threading
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Crew", "asked_for", "crew"]

Main: TypeAlias = Callable[[int, int, int, int], int]


def asked_for() -> int:
    """How many threads a program may have: the environment variable `MINIGRAD_THREADS`, or 1."""
    return int(os.environ.get("MINIGRAD_THREADS") or 1)


class _Job:
    """One call of a program by another thread, which may be called off before it begins."""

    def __init__(self, main: Main, frame: int, room: int) -> None:
        self._call = main, frame, room
        self._begun = threading.Lock()
        self._done = threading.Event()
        self.status = 0

    def run(self, number: int, size: int) -> None:
        if self._begun.acquire(blocking=False):
            main, frame, room = self._call
            try:
                self.status = main(frame, room, number, size)
            finally:
                self._done.set()

    def finish(self) -> int:
        """Call it off, or wait for it; returns its status flags."""
        if not self._begun.acquire(blocking=False):
            self._done.wait()
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
        """Run a program; returns the status flags of all threads together."""
        jobs = [_Job(main, frame, room) for _ in self._queues]
        for each, job in zip(self._queues, jobs, strict=True):
            each.put(job)
        status = main(frame, room, 0, self.size)
        for job in jobs:
            status |= job.finish()
        return status


@functools.cache
def crew(size: int) -> Crew:
    """The crew of that size; all programs share it."""
    return Crew(size)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=crew.cache_clear)  # a new process has none of the threads
