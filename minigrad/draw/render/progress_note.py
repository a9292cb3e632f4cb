"""A note on standard error about work that takes longer than two seconds."""

from __future__ import annotations

import sys
import threading
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
    once. A thread writes it, since the work may be one long call.

    Args:
        what: what is being done, such as "laying out 3,000 boxes".
        after: seconds until the note is written.
    """

    def __init__(self, what: str, after: float = AFTER) -> None:
        super().__init__()
        self.what, self.after = what, after
        self._done = threading.Event()

    def begin(self) -> ProgressNote:
        """Start the thread."""
        thread = threading.Thread(target=self._write_after_delay, daemon=True)
        self.undone_by(self._end, thread)
        thread.start()
        return self

    def _end(self, thread: threading.Thread) -> None:
        self._done.set()
        if thread.ident is not None:
            thread.join()

    def _write_after_delay(self) -> None:
        begun = time.monotonic()
        if self._done.wait(self.after):
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
            if self._done.wait(EVERY):
                break
        print(f"\r{' ' * width}\r", end="", file=stream, flush=True)
