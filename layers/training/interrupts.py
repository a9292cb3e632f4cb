"""Ctrl-C and requests to end during a run: the step is finished, and nothing is lost."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, Self

__all__ = ["Interrupts", "Terminated", "raising_terminated"]

ENDING: Final = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""What asks a process to end: `kill`, a scheduler, a container that stops; a closed terminal."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end by a signal.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number = number


def _raise_terminated(number: int, frame: FrameType | None) -> None:
    raise Terminated(number)


@contextmanager
def raising_terminated() -> Iterator[None]:
    """A block in which SIGTERM and SIGHUP raise `Terminated` where they would end the process.

    Child processes can then be ended, and files put in order. Signals that are ignored, or handled
    by somebody else, stay so; outside of the main thread nothing changes.
    """
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in ENDING:
            if signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, _raise_terminated)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Interrupts:
    """A block in which the first Ctrl-C, or request to end, is only noted; another one acts.

    Where a signal is ignored, or handled by somebody else, or outside of the main thread, this
    changes nothing.

    Attributes:
        noted: the signal that came; 0 for none.
    """

    def __init__(self) -> None:
        self.noted = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            usual = {signal.SIGINT: (signal.default_int_handler,)}
            usual |= dict.fromkeys(ENDING, (signal.SIG_DFL, _raise_terminated))
            for number, handlers in usual.items():
                if signal.getsignal(number) in handlers:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def act(self) -> None:
        """Do what a request to end asks for, after the block; Ctrl-C is done with."""
        if self.noted in ENDING:
            signal.raise_signal(self.noted)

    def _note(self, number: int, frame: FrameType | None) -> None:
        first, ends = not self.noted, number in ENDING
        if first or ends:
            self.noted = number
        if not first:
            raise Terminated(number) if ends else KeyboardInterrupt
