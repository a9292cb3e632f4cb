"""Object code on disk, and notes on programs: found again by a key, written whole or not at all.

The folder is `MINIGRAD_CACHE`, or `minigrad` in the user's folder for caches; `MINIGRAD_CACHE=0`
turns it off. A file is a line that names the format, the key, the checksum of the code, and the
code. Whatever is not that, or cannot be read, is as if it were not there; whatever cannot be
written is left out. Code is run as it is read: a folder that others may write to is not used.
"""

import contextlib
import functools
import hashlib
import os
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

__all__ = ["LIMIT", "folder", "key_of", "read", "write"]

LIMIT: Final = 256 * 2**20
"""Bytes: past that, the files that were used least recently are deleted, down to half of it.

A process looks when it writes its first file, and now and then.
"""

_HEAD: Final = b"minigrad object code 1\n"
_SUFFIX: Final = ".code"
_ABANDONED: Final = 3600.0
"""Seconds after which a file that some process began to write is taken for abandoned."""

_since_tidied: Final[dict[Path, int]] = {}
"""Bytes that this process wrote into each folder since it tidied it."""


def key_of(*parts: str) -> str:
    """A name of 64 letters for everything that the code depends on.

    >>> key_of("define void @f()", "znver4") == key_of("define void @f()z", "nver4")
    False
    """
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


def folder() -> Path | None:
    """Where the code is kept, whether or not it exists; None when the cache is off."""
    chosen = os.environ.get("MINIGRAD_CACHE")
    try:
        if chosen is not None:
            return None if chosen in ("", "0") else _fixed(chosen)
        if sys.platform == "win32":
            base = os.environ.get("LOCALAPPDATA")
            return _fixed(base or Path.home() / "AppData" / "Local") / "minigrad" / "Cache"
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "minigrad"
        return _fixed(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minigrad"
    except (RuntimeError, OSError):  # there is no home, or no working folder any more
        return None


@functools.cache
def _fixed(path: str | Path) -> Path:
    """A path that stays the same folder when the process changes its working folder."""
    return Path(path).absolute()


def _is_ours(path: Path) -> bool:
    """Whether this user alone may write into a folder; taken for granted where nobody can tell."""
    if not hasattr(os, "getuid"):
        return True
    status = path.stat()
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def read(key: str) -> bytes | None:
    """The code under a key, or None."""
    place = folder()
    if place is None:
        return None
    try:
        if not _is_ours(place):
            return None
        path = place / (key + _SUFFIX)
        data = path.read_bytes()
    except (OSError, ValueError):
        return None
    head = _HEAD + key.encode()
    code = data[len(head) + 32 :]
    if data[: len(head)] != head or hashlib.sha256(code).digest() != data[len(head) :][:32]:
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # used now, so deleted late
    return code


def write(key: str, code: bytes) -> bool:
    """Keep code under a key; whether that went well.

    It is written beside its place and then renamed, which replaces a file as a whole: readers see
    all of the old one or all of the new one, and a process that is killed leaves neither damaged.
    """
    place = folder()
    if place is None:
        return False
    beside = ""
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_ours(place):
            return False
        handle, beside = tempfile.mkstemp(suffix=".part", dir=place)
        with os.fdopen(handle, "wb") as file:
            file.write(_HEAD + key.encode() + hashlib.sha256(code).digest() + code)
        os.replace(beside, place / (key + _SUFFIX))
        written = _since_tidied.get(place, LIMIT) + len(code)
        if written > LIMIT // 16:  # to look at thousands of files takes long
            _tidy(place)
            written = 0
        _since_tidied[place] = written
    except OSError:  # no room, no rights, or Windows while another process reads the old file
        with contextlib.suppress(OSError):
            if beside:
                os.unlink(beside)
        return False
    return True


def _tidy(place: Path) -> None:
    """Delete what was abandoned, and the oldest files when there are too many bytes."""
    kept: list[tuple[float, int, str]] = []
    now = time.time()
    with os.scandir(place) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                status = entry.stat()
                if entry.name.endswith(_SUFFIX):
                    kept.append((status.st_mtime, status.st_size, entry.path))
                elif entry.name.endswith(".part") and now - status.st_mtime > _ABANDONED:
                    os.unlink(entry.path)
    total = sum(size for _, size, _ in kept)
    if total <= LIMIT:
        return
    for _, size, path in sorted(kept):
        with contextlib.suppress(OSError):
            os.unlink(path)
        total -= size
        if total <= LIMIT // 2:
            return
