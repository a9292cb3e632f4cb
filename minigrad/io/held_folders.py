"""Folders that one run at a time may write to."""

import contextlib
import os
from pathlib import Path

from minigrad.forks import after_forks
from minigrad.restoring import Restoring

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["held"]

_handles: set[int] = set()  # those of this process, which forked ones must not keep open


class held(Restoring):
    """A block in which no other process, nor another thread, may hold the same folder.

    The system lets go of it when the process ends, however that is; no file is made. Where folders
    cannot be locked, as on Windows, on some network file systems, and without the right to read
    them, nothing is held.

    Args:
        folder: which exists.
        name: of the folder, for messages.

    Raises:
        BlockingIOError: when somebody else holds it.
    """

    def __init__(self, folder: Path, name: Path) -> None:
        super().__init__()
        self.folder, self.name = folder, name

    def begin(self) -> None:
        """Take the lock of the folder itself."""
        handle = _opened(self.folder)
        self.undone_by(_let_go, handle)
        if handle is None:
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(
                f"another run is writing to {self.name} just now; wait until it ends, or end it, "
                "or choose another folder"
            ) from error
        except OSError:  # a file system without locks
            return


def _opened(folder: Path) -> int | None:
    """A handle of a folder; None where it cannot be locked."""
    if fcntl is None:
        return None
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # it may be written to all the same
        return None
    _handles.add(handle)
    return handle


def _let_go(handle: int | None) -> None:
    if handle is not None and handle in _handles:
        # Closing it is not enough: a process that was just forked may have it open, too.
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_UN)
        _handles.discard(handle)
        os.close(handle)


def _let_go_of_all() -> None:
    """In a forked process: the lock is the parent's, and must not outlive it."""
    while _handles:
        with contextlib.suppress(OSError):  # it was closed as the process was forked
            os.close(_handles.pop())


after_forks(_let_go_of_all)
