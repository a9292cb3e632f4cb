"""Ctrl-C and requests to end during a run: the step is finished, and nothing is lost."""

import signal
import threading
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any, Final

from minigrad.restoring import Restoring

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


class _Handlers(Restoring):
    """A block with other signal handlers; outside of the main thread nothing changes."""

    @abstractmethod
    def handlers(self) -> dict[int, Any]:
        """By signal, what handles it within the block; SIGINT first."""

    def begin(self) -> Any:
        """Handle signals, those of the dictionary in its order."""
        main = threading.current_thread() is threading.main_thread()
        changed = self.handlers() if main else {}
        # SIGINT comes last then: until everything is restored, it cannot interrupt.
        before = [(number, signal.getsignal(number)) for number in reversed(changed)]
        self.undone_by(_handle, before)
        _handle(changed.items())
        return self


def _handle(handlers: Iterable[tuple[int, Any]]) -> None:
    for number, handler in handlers:
        signal.signal(number, handler)


class raising_terminated(_Handlers):
    """A block in which SIGTERM and SIGHUP raise `Terminated` where they would end the process.

    Child processes can then be ended, and files put in order. Signals that are ignored, or handled
    by somebody else, stay so; outside of the main thread nothing changes.
    """

    def handlers(self) -> dict[int, Any]:
        """Of those that would end the process."""
        ending = (number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL)
        return dict.fromkeys(ending, _raise_terminated)


class Interrupts(_Handlers):
    """A block in which the first Ctrl-C, or request to end, is only noted; another one acts.

    Where a signal is ignored, or handled by somebody else, or outside of the main thread, this
    changes nothing.

    Attributes:
        noted: the signal that came; 0 for none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.noted = 0

    def handlers(self) -> dict[int, Any]:
        """Of those that are handled as usual."""
        usual = {signal.SIGINT: (signal.default_int_handler,)}
        usual |= dict.fromkeys(ENDING, (signal.SIG_DFL, _raise_terminated))
        found = [number for number, known in usual.items() if signal.getsignal(number) in known]
        return dict.fromkeys(found, self._note)

    def until_noted(self) -> Iterator[None]:
        """Go on until a signal is noted.

        In Python 3.13, Ctrl-C as a `while` statement goes back passes the `finally` around it by;
        that of a loop over this generator is run.
        """
        while not self.noted:
            yield

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
