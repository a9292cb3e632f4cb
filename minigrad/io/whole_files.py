"""The one way in which files are written: whole or not at all."""

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["file_name", "write_atomically"]

PREFIX: Final = ".minigrad-"
PARTIAL: Final = ".partial"
STRAY_SECONDS: Final = 600.0
"""Where files have no locks, a temporary file that nobody wrote to for so long was left behind."""

_KINDS: Final = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def file_name(path: str | os.PathLike[str]) -> str:
    """The name of a file as text.

    Raises:
        TypeError: when it is no text, such as bytes.
        IsADirectoryError: when it ends in a slash, so that it names a folder that is to come.
    """
    name = os.fspath(path)
    if not isinstance(name, str):
        raise TypeError(
            f"the path must be text or a path, got {name!r}; os.fsdecode makes text of bytes"
        )
    if name.endswith((os.sep, os.altsep or os.sep)) and not os.path.isdir(name):
        raise IsADirectoryError(
            f"{name!r} cannot be saved: it ends in {name[-1]!r}, and so names a folder; name a "
            "file in it, or leave that out"
        )
    return name


def write_atomically(path: str | os.PathLike[str], write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, sync it, and rename it to `path`.

    A reader, or a run after a crash, finds either the old file or the new one, never a part. A
    symbolic link stays, and the file that it leads to is replaced. A file that was there gives its
    mode and, where the system allows it, its owner and group to the new one; a new file has the
    usual mode, by the umask. The temporary file is removed when writing fails; those that processes
    which no longer live left in the folder are removed by the next call for any file in it.

    Raises:
        FileNotFoundError: when the folder does not exist.
        NotADirectoryError: when what should be a folder is a file.
        IsADirectoryError: when `path` is a folder, or ends in a slash.
        TypeError: when it is bytes.
        FileExistsError: when it is neither a file nor a folder, such as a pipe or a device.
        OSError: when the file cannot be written; names it as it was given.
    """
    target = Path(os.path.realpath(file_name(path)))  # through links to what they stand for
    folder = target.parent
    # Short and without the target's name, so that the longest names can be saved, too.
    temporary = folder / f"{PREFIX}{os.urandom(6).hex()}{PARTIAL}"
    try:
        before = _replaceable(path, target)
        _remove_strays(folder)
        _fill_and_rename(temporary, target, before, write)
        _sync_folder(folder)
    except OSError as error:
        ours = {os.fspath(place) for place in (temporary, folder, target)}
        if error.errno is None or (error.filename and os.fspath(error.filename) not in ours):
            raise  # in words already, or about a file that `write` read
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def _replaceable(path: str | os.PathLike[str], target: Path) -> os.stat_result | None:
    """What is to be replaced, None where there is nothing; raises where nothing can be saved."""
    name = os.fspath(path)
    try:
        status = os.stat(path)  # not of `target`: links below /proc lead to what has no path
    except (FileNotFoundError, NotADirectoryError):
        status = None
    if status is not None and stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(f"{name!r} cannot be saved: it is a folder; name a file in it")
    if status is not None and not stat.S_ISREG(status.st_mode):
        kind = next((kind for test, kind in _KINDS if test(status.st_mode)), "no regular file")
        raise FileExistsError(
            f"{name!r} cannot be saved: it is {kind}, not a file; name another place"
        )
    if target.parent.is_dir():
        return status
    place, leads = Path(path), ""
    nearest = next((p for p in (place, *place.parents) if os.path.lexists(p)), None)
    if nearest is not None and not nearest.exists():  # a link to what is not there
        place, leads = target, f"the link {os.fspath(nearest)!r} leads to nothing, and "
    folder = os.fspath(place.parent)
    if nearest is not None and nearest.exists() and not nearest.is_dir():
        raise NotADirectoryError(
            f"{name!r} cannot be saved: {os.fspath(nearest)!r} is a file, not a folder; name "
            "another place"
        )
    raise FileNotFoundError(
        f"{name!r} cannot be saved: {leads}there is no folder {folder!r}; make it first with "
        f"os.makedirs({folder!r})"
    )


def _fill_and_rename(
    temporary: Path,
    target: Path,
    before: os.stat_result | None,
    write: Callable[[Path], object],
) -> None:
    lock = None
    try:
        # Nobody may read meanwhile what nobody could read before.
        lock = _create(temporary, 0o666 if before is None else 0o600 | before.st_mode & 0o666)
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if before is not None:
            _keep_rights(temporary, before)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    finally:
        if lock is not None:
            os.close(lock)


def _create(temporary: Path, mode: int) -> int | None:
    """Make an empty file and hold a lock on it, which tells other processes that we live.

    Returns the handle that holds it; None where there are no locks.
    """
    while True:
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode)
        if fcntl is None:
            os.close(handle)  # or Windows would not rename it
            return None
        try:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(handle, fcntl.LOCK_EX)
            # Another process may have taken it for a stray, before it was locked.
            if temporary.exists():
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _keep_rights(temporary: Path, before: os.stat_result) -> None:
    """Give a new file the mode of the old one, and its owner and group where that is allowed."""
    mode, now = before.st_mode & 0o777, temporary.stat()
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        for owner in (before.st_uid, -1):
            with contextlib.suppress(OSError):
                os.chown(temporary, owner, before.st_gid)
                break
        else:
            mode &= ~0o070  # which were rights of another group
    if now.st_mode & 0o777 != mode:
        temporary.chmod(mode)


def _remove_strays(folder: Path) -> None:
    """Remove the temporary files of processes that died."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if not (name.startswith(PREFIX) and name.endswith(PARTIAL)):
                continue
            # Another process may be faster, or it is not ours to remove.
            with contextlib.suppress(OSError):
                if entry.is_file(follow_symlinks=False):
                    _remove_if_left(entry.path)


def _remove_if_left(path: str) -> None:
    """Remove a temporary file unless its writer lives."""
    handle = os.open(path, os.O_RDWR)
    try:
        if fcntl is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            except OSError:  # a file system without locks
                pass
            else:
                os.unlink(path)  # while it is locked: `_create` looks for it when it has the lock
                return
    finally:
        os.close(handle)
    if os.stat(path).st_mtime < time.time() - STRAY_SECONDS:
        os.unlink(path)


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where the system lets folders be synced."""
    handle = None
    try:
        handle = os.open(folder, os.O_RDONLY)
        os.fsync(handle)
    except OSError as error:
        # Windows and some file systems do not know it; a failing disk is told.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM):
            raise
    finally:
        if handle is not None:
            os.close(handle)
