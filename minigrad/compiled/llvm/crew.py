"""Threads that run the shares of one program."""

import functools
import queue
import threading
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Crew", "crew"]

Main: TypeAlias = Callable[[int, int, int, int], int]
Job: TypeAlias = tuple[Main, int, int]


class Crew:
    """The caller's thread and some more, which wait until there is something to do.

    One program at a time: its shares wait for each other, so none may be held up by another's.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._lock = threading.Lock()
        self._jobs: list[queue.SimpleQueue[Job]] = []
        self._done: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(1, size):
            jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
            self._jobs.append(jobs)
            threading.Thread(target=self._work, args=(number, jobs), daemon=True).start()

    def _work(self, number: int, jobs: "queue.SimpleQueue[Job]") -> None:
        while True:
            main, frame, room = jobs.get()
            self._done.put(main(frame, room, number, self.size))

    def run(self, main: Main, frame: int, room: int) -> int:
        """Run all shares; returns their status flags together."""
        with self._lock:
            for jobs in self._jobs:
                jobs.put((main, frame, room))
            status = main(frame, room, 0, self.size)
            for _ in self._jobs:
                status |= self._done.get()
        return status


@functools.cache
def crew(size: int) -> Crew:
    """The crew of that size; all programs share it."""
    return Crew(size)
