"""A note on standard error about work that takes longer than two seconds."""

from __future__ import annotations

import _thread
import queue
import sys
import time
from typing import Final

from minigrad.restoring import Restoring

__all__ = ["ProgressNote"]

AFTER: Final = 2.0
"""Seconds until the note is written."""
EVERY: Final = 1.0


class ProgressNote(Restoring):
    """Writes what is being done, once a block of code has run for two seconds.

    In a terminal the line counts the seconds, and is erased at the end; elsewhere it is written
    once. A thread writes it, since the work may be one long call. It is begun and ended by calls
    of C alone: events and threads of `threading` keep locks that Ctrl-C may leave taken.

    Args:
        what: what is being done, such as "laying out 3,000 boxes".
        after: seconds until the note is written.
    """

    def __init__(self, what: str, after: float = AFTER) -> None:
        super().__init__()
        self.what, self.after = what, after
        self._done: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._writing = _thread.allocate_lock()

    def begin(self) -> ProgressNote:
        """Start the thread."""
        self.undone_by(self._end)
        _thread.start_new_thread(self._write_after_delay, ())
        return self

    def _end(self) -> None:
        self._done.put(None)
        with self._writing:  # until the line is erased; a thread that begins later writes nothing
            pass

    def _write_after_delay(self) -> None:
        with self._writing:
            self._write()

    def _is_done(self, within: float) -> bool:
        try:
            self._done.get(timeout=within)
        except queue.Empty:
            return False
        return True

    def _write(self) -> None:
        begun = time.monotonic()
        if self._is_done(self.after):
            return
        stream = sys.stderr
        if stream is None or stream.closed:
            return
        if not stream.isatty():
            print(f"{self.what} ...", file=stream, flush=True)
            return
        width = 0
        while True:
            line = f"{self.what} ... {time.monotonic() - begun:.0f} s"
            width = max(width, len(line))
            print(f"\r{line}", end="", file=stream, flush=True)
            if self._is_done(EVERY):
                break
        print(f"\r{' ' * width}\r", end="", file=stream, flush=True)
