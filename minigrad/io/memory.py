"""How much memory a process can still have, asked before much is taken.

Systems that promise more memory than there is, as Linux does, end a process when it uses what it
was promised; an error has to come before.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

__all__ = ["ASKED_FROM", "available_memory", "require_memory"]

ASKED_FROM = 2**22
"""Bytes from which on it pays to ask: drawing so many takes over ten times as long as asking."""


def require_memory(what: str, size: int, meanwhile: str, advice: str) -> None:
    """Refuse what needs more memory than there is: a size, and as much again for a time.

    Args:
        what: what needs it, the beginning of a sentence.
        size: bytes.
        meanwhile: when they are needed twice, such as "while it is read".
        advice: what one can do about it, a sentence.

    Raises:
        MemoryError: with the bytes needed, and those that there are. Not where the system does not
            tell; there the allocation itself fails.
    """
    needed = 2 * size
    if needed < ASKED_FROM:
        return
    there = available_memory()
    if there is not None and needed > there:
        raise MemoryError(
            f"{what} takes {size / 1e9:,.2f} GB, and as much again {meanwhile}; this process can "
            f"have {there / 1e9:,.2f} GB more. {advice}"
        )


def available_memory(root: Path = Path("/")) -> int | None:
    """Bytes that this process can still have; None where the system does not tell.

    On Linux the least of: what is free, or would be without caches, with swap; what the control
    groups (containers) leave; what `RLIMIT_AS` leaves. Elsewhere, where it is known, all memory of
    the machine.

    Args:
        root: where the files of the system begin.
    """
    leaves = [*_free(root), *_of_groups(root), *_of_limit(root)]
    if not leaves:
        with contextlib.suppress(AttributeError, ValueError, OSError):  # not on Windows
            leaves.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(leaves, default=None)


def _free(root: Path) -> Iterator[int]:
    text = _read(root / "proc/meminfo")
    sizes = {line.split(":")[0]: line.split()[1] for line in text.splitlines() if line.split()[1:]}
    if "MemAvailable" in sizes:
        yield (int(sizes["MemAvailable"]) + int(sizes.get("SwapFree", 0))) * 1024


def _of_groups(root: Path) -> Iterator[int]:
    """What each control group around (version 2) leaves; caches in it can be given up."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, group = line.split(":", 2)
        if number != "0":
            continue
        base = root / "sys/fs/cgroup"
        own = base / group.lstrip("/")
        for folder in (own, *own.parents):
            most, used = _read(folder / "memory.max"), _read(folder / "memory.current")
            if most.strip().isdigit() and used:
                counts = _read(folder / "memory.stat").split()
                cached = dict(zip(counts[::2], counts[1::2], strict=True)).get("inactive_file", "0")
                yield max(0, int(most) - int(used) + int(cached))
            if folder == base:
                break


def _of_limit(root: Path) -> Iterator[int]:
    if resource is None:
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    pages = _read(root / "proc/self/statm")
    if limit != resource.RLIM_INFINITY and pages:
        yield max(0, limit - int(pages.split()[0]) * resource.getpagesize())


def _read(file: Path) -> str:
    """The text of a file of the system; empty where there is none."""
    try:
        return file.read_text(encoding="ascii")
    except OSError:
        return ""
