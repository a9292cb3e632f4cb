"""What the command line needs of the terminal: every character prints, wherever it is read."""

import os
import sys
from contextlib import suppress
from typing import Any

from minigrad.restoring import Restoring

__all__ = ["any_terminal"]


class any_terminal(Restoring):
    r"""A block in which standard output and error take every character.

    Those that the terminal's encoding lacks, and bytes of file names that are no text, are written
    as escapes such as \u2014. What the reader did not take in the end, such as head when it has
    seen enough, is dropped, so that Python does not complain of it when the process ends.
    """

    def begin(self) -> None:
        """Have escapes written."""
        streams = [
            (stream, stream.errors)
            for stream in (sys.stdout, sys.stderr)
            if hasattr(stream, "reconfigure")  # not None, and no replacement such as a notebook's
        ]
        self.undone_by(_settle_all, streams)
        for stream, _ in streams:
            stream.reconfigure(errors="backslashreplace")


def _settle_all(streams: list[tuple[Any, Any]]) -> None:
    for stream, errors in streams:
        settle(stream)
        with suppress(OSError, ValueError):
            stream.reconfigure(errors=errors)


def settle(stream: Any) -> None:
    """Write what is buffered, or send it nowhere where it cannot be written."""
    try:
        stream.flush()
    except ValueError:  # it is closed
        return
    except OSError:
        with suppress(OSError, ValueError):  # it is no file
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
