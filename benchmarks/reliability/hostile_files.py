"""Read files that were changed at random, format by format.

    python -m benchmarks.reliability.hostile_files --count 20000

Each must give what a sound file of the format gives, or one of the errors that the reader
documents, within a second of processor time and with half a gigabyte of memory at most. Formats
with checksums must not give anything but what was saved. While a file is read, nothing may be
written, run, evaluated or unpickled; an audit hook listens.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.reliability.formats import FORMATS, Format, Made
from benchmarks.reliability.kills import child
from benchmarks.reliability.mutants import mutate_bytes

try:
    import resource
except ImportError:  # Windows, which has no processes that fork, either
    resource = None  # type: ignore[assignment]

__all__ = ["fuzz", "in_child", "main"]

SECONDS = 1.0
MEMORY = 2**29
REFUSED = "refused"
HARMFUL = (
    "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "os.fork", "socket.connect",
    "pickle.find_class", "marshal.loads", "os.remove", "os.rename", "os.mkdir", "os.rmdir",
    "os.link", "os.symlink", "os.truncate", "os.chmod", "shutil.rmtree", "ctypes.dlopen",
)  # fmt: skip


class _TooLongError(Exception):
    """A file takes more than its second."""


@dataclass(frozen=True)
class _Value:
    """What was read."""

    value: Any


class Guard:
    """Notes what Python does while a file is read that reading has no need of."""

    def __init__(self) -> None:
        self.listening = False
        self.heard: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, given: tuple[Any, ...]) -> None:
        if not self.listening:
            return
        if event in HARMFUL or (event == "open" and _writes(*given)):
            self.heard.append(f"{event} {given!r:.200}")
        elif event in ("exec", "compile"):
            code = given[0] if event == "exec" else given[1]
            name = getattr(code, "co_filename", code)
            if not (isinstance(name, str) and os.path.isfile(name)):  # an import is of a file
                self.heard.append(f"{event} {given!r:.200}")


def _writes(path: Any, mode: Any, flags: Any) -> bool:
    written = isinstance(mode, str) and set(mode) & set("wax+")
    return bool(written) or bool(isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR))


def fuzz(kind: Format, count: int, seed: int = 0) -> dict[str, Any]:
    """Read so many changed files of a format.

    Call it in a process of its own, whose memory it limits: `in_child`.

    Returns:
        How many were read and refused, the longest time in seconds, and what must not happen, in
        words.
    """
    rng, outcomes, faults = random.Random(seed), Counter[str](), list[str]()
    guard, longest = Guard(), 0.0
    signal.signal(signal.SIGPROF, _too_long)
    with tempfile.TemporaryDirectory() as name:
        made, sound = kind.make(Path(name)), []
        for content in made.seeds:
            made.path.write_bytes(content)
            sound.append(made.read())
        before = _listing(Path(name))
        _limit_memory()
        for number in range(count):
            told = rng.random() < 0.5
            content = (kind.mutate if told else mutate_bytes)(rng.choice(made.seeds), rng)
            made.path.write_bytes(content)
            began = time.process_time()
            for _ in range(2):  # an import that it needs is done but once
                outcome = _read(kind, made, guard)
                if outcome == REFUSED or isinstance(outcome, _Value):
                    break
            longest = max(longest, time.process_time() - began)
            if isinstance(outcome, _Value):
                whole = outcome.value in sound
                if kind.checked and not told and not whole:
                    faults.append(f"file {number}: a change is not noticed")
                outcomes["read as it was" if whole else "read"] += 1
            else:
                outcomes[outcome.partition(":")[0]] += 1
                if outcome != REFUSED:
                    faults.append(f"file {number}: {outcome}")
        if _listing(Path(name)) != before:
            faults.append(f"files were made: {_listing(Path(name)) - before}")
    return {"outcomes": dict(outcomes), "longest": round(longest, 3), "faults": faults[:20]}


def _listing(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


def _too_long(*_: object) -> None:
    raise _TooLongError


def _limit_memory() -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))


def _read(kind: Format, made: Made, guard: Guard) -> "_Value | str":
    """What a file holds; a word when it is refused, a sentence when something must not be."""
    guard.heard.clear()
    found: _Value | str
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        guard.listening = True
        found = _Value(made.read())
    except kind.errors as error:
        found = REFUSED if str(error) else f"no words: {type(error).__name__}"
    except _TooLongError as error:
        found = f"too long: {_where(error)}"
    except Exception as error:
        found = f"undocumented: {type(error).__name__}: {error!s:.200} {_where(error)}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        guard.listening = False
    return f"harmful: {guard.heard[0]}" if guard.heard else found


def _where(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-3:]
    return " < ".join(f"{Path(at.filename).name}:{at.lineno}" for at in reversed(last))


def in_child(name: str, count: int, seed: int = 0) -> dict[str, Any]:
    """Do what `fuzz` does in a child process, of which nothing is left."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result.json")

        def work() -> None:
            result.write_text(json.dumps(fuzz(FORMATS[name], count, seed)), encoding="utf-8")

        _, status = os.waitpid(child(work), 0)
        if status:
            raise AssertionError(f"{name}: the process that read the files ended with {status}")
        figures: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return figures


def main(given: Sequence[str] | None = None) -> int:
    """Print a line of figures for each format, and what must not happen; whether anything did."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reliability.hostile_files",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--count", type=int, default=20_000, help="files of each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(FORMATS), nargs="+", default=list(FORMATS))
    options = parser.parse_args(given)
    bad = 0
    for name in options.only:
        figures = in_child(name, options.count, options.seed)
        told = ", ".join(f"{what} {n}" for what, n in sorted(figures["outcomes"].items()))
        print(f"{name}: {options.count} files: {told}; {figures['longest']} s at most", flush=True)
        for fault in figures["faults"]:
            print(f"  {fault}", flush=True)
        bad += len(figures["faults"])
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
