"""Let every call of the system fail while something is saved, and look at what is left.

    python -m benchmarks.reliability.faults

For arrays, checkpoints, model folders and drawings: each call that opens, writes, syncs or renames
a file fails in turn; the disk is full after every few bytes; a small disk is full (where a tmpfs
can be mounted); the folder cannot be written to, or vanishes. Afterwards the old version or the
new one must be there, wholly, with no other file, and the error must be an OSError that names what
was to be saved.
"""

import builtins
import contextlib
import errno
import io
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.reliability.kills import child
from benchmarks.reliability.subjects import SUBJECTS, Subject, files_in

try:
    import resource
except ImportError:  # Windows, which has no processes that fork, either
    resource = None  # type: ignore[assignment]

__all__ = ["failing_calls", "full_disks", "main", "places"]

CALLS = ((os, "open"), (io, "open"), (os, "fsync"), (os, "replace"), (os, "chmod"), (os, "mkdir"))
NOBODY = 65534  # the user who has no rights


def save(subject: Subject, place: Path, number: int) -> BaseException | None:
    """Save a version; the error, if there was one."""
    try:
        subject.save(place, number)
    except Exception as error:
        return error
    return None


def judge(
    subject: Subject, place: Path, old: int | None, files: set[str], error: BaseException | None
) -> str:
    """What came of saving version `old + 1`, in a word.

    Raises:
        AssertionError: when it is neither the old nor the new version, or there are other files, or
            the error says nothing.
    """
    left = files_in(place.parent) - files
    if left and old is not None:
        raise AssertionError(f"strays: {left}")
    if error is not None:
        if not isinstance(error, OSError):
            raise AssertionError(f"{type(error).__name__}: {error}") from error
        if place.name not in str(error):
            raise AssertionError(f"it does not name {place.name}: {error}") from error
    version = subject.load(place) if place.exists() else None
    if version not in (old, (old or 0) + 1) or (error is None and version == old):
        raise AssertionError(f"version {version} after {old}, with {error}")
    return "no error" if error is None else "old" if version == old else "new"


@contextlib.contextmanager
def failing(place: int, number: int) -> Iterator[Callable[[], bool]]:
    """Let call `place` of `CALLS` fail, counted from 0; tells whether there were so many."""
    seen, before = 0, [(owner, name, getattr(owner, name)) for owner, name in CALLS]

    def watched(call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def called(*given: Any, **options: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == place + 1:
                raise OSError(number, os.strerror(number), given[0] if name != "fsync" else None)
            return call(*given, **options)

        return called

    for owner, name, call in before:
        setattr(owner, name, watched(call, name))
    opened, builtins.open = builtins.open, io.open
    try:
        yield lambda: seen > place
    finally:
        builtins.open = opened
        for owner, name, call in before:
            setattr(owner, name, call)


def failing_calls(subject: Subject, number: int = errno.EIO) -> Counter[str]:
    """Let each call fail in turn; how often there was which version with an error."""
    found: Counter[str] = Counter()
    for place in range(10_000):
        with tempfile.TemporaryDirectory() as name:
            target = Path(name, subject.name)
            subject.save(target, 1)
            files = files_in(target.parent)
            with failing(place, number) as failed:
                error = save(subject, target, 2)
            if not failed():
                return found
            found[judge(subject, target, 1, files, error)] += 1
    raise AssertionError("a save without an end")


def full_disks(subject: Subject, count: int) -> Counter[str]:
    """Let writing fail after so many bytes, from none to all of them in `count` steps."""
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        target = Path(name, subject.name)
        subject.save(target, 1)
        files = files_in(target.parent)
        most = max((target.parent / file).stat().st_size for file in files)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        for step in range(count):
            resource.setrlimit(resource.RLIMIT_FSIZE, (most * step // count, hard))
            try:
                error = save(subject, target, 2)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            found[judge(subject, target, 1, files, error)] += 1
            subject.save(target, 1)
    return found


def small_disk(subject: Subject) -> Counter[str] | None:
    """Save on a disk of 256 KiB with ever less room; None where none can be mounted."""
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", name]
        if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
            return None
        try:
            target = Path(name, subject.name)
            subject.save(target, 1)
            filler = Path(name, "filler")
            filler.touch()
            files = files_in(target.parent)
            for size in range(0, 256 * 1024, 4096):
                with contextlib.suppress(OSError):
                    filler.write_bytes(bytes(size))
                error = save(subject, target, 2)
                found[judge(subject, target, 1, files, error)] += 1
                filler.write_bytes(b"")
                subject.save(target, 1)
        finally:
            subprocess.run(["umount", name], check=True)
    return found


def places(subject: Subject) -> Counter[str]:
    """Save into a folder without rights, and into one that vanishes before each call."""
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        target = folder / "own" / subject.name
        target.parent.mkdir()
        subject.save(target, 1)
        files = files_in(target.parent)

        def without_rights() -> None:
            if os.geteuid() == 0:
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            error = save(subject, target, 2)
            if judge(subject, target, 1, files, error) != "old":
                raise AssertionError("it was saved")

        for path in (target.parent, *target.parent.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        if os.waitpid(child(without_rights), 0)[1]:
            raise AssertionError("a folder without rights")
        target.parent.chmod(0o755)
        found["without rights"] += 1
    for owner, name in CALLS:
        found["vanished"] += _vanishing(subject, owner, name)
    return found


def _vanishing(subject: Subject, owner: Any, name: str) -> int:
    """Remove the folder before the first call of a function; whether it was called."""
    with tempfile.TemporaryDirectory() as above:
        target = Path(above, "own", subject.name)
        target.parent.mkdir()
        call, seen = getattr(owner, name), list[str]()

        def called(*given: Any, **options: Any) -> Any:
            if not seen:
                seen.append(name)
                shutil.rmtree(target.parent)
            return call(*given, **options)

        setattr(owner, name, called)
        try:
            error = save(subject, target, 1)
        finally:
            setattr(owner, name, call)
        # A model makes its folder, with those above it, when there is none.
        judge(subject, target, None, set(), error)
        return len(seen)


def main() -> None:
    """Print a line of figures for each thing that is saved."""
    for name, subject in SUBJECTS.items():
        for number in (errno.EIO, errno.ENOSPC):
            print(
                f"{name}: calls fail, {os.strerror(number)}: {told(failing_calls(subject, number))}"
            )
        print(f"{name}: full after some bytes: {told(full_disks(subject, 100))}")
        disk = small_disk(subject)
        print(f"{name}: a full disk: {'cannot be mounted here' if disk is None else told(disk)}")
        print(f"{name}: folders: {told(places(subject))}", flush=True)


def told(found: Counter[str]) -> str:
    """Figures as text."""
    return ", ".join(f"{what} {number}" for what, number in sorted(found.items()))


if __name__ == "__main__":
    main()
