"""What was made of the calls of a compiled function."""

import weakref
from typing import Any, Final, NamedTuple

from minigrad.compiled.guarding.guards import Guards
from minigrad.compiled.guarding.keys import Held
from minigrad.compiled.guarding.readers import Reader, write_reader
from minigrad.compiled.tracing.memory import give_back, give_back_code
from minigrad.core.modes import Mode

__all__ = ["TOO_MANY", "Entry", "Methods", "Refusal"]

MOST_ALIKE: Final = 3  # refusals for one reason, until what was read does not matter
TOO_MANY = (
    "it has {} programs for other shapes, flags and values already; numbers that change may be "
    "tensors among the arguments"
)


class Refusal(NamedTuple):
    """Why calls of one kind are not compiled.

    Attributes:
        reason: in words.
        line: where that was seen, as "file:line"; may be empty.
        guards: what the function read; None when that is not known.
    """

    reason: str
    line: str = ""
    guards: Guards | None = None

    def after(self, entries: "list[Entry]") -> "Refusal":
        """The same; for any values that are read, where the same reason came again and again.

        A function that counts its calls reads something else at each: it is not to be traced at
        each, and nobody is to compare what it read.

        Args:
            entries: of calls with its key; those with the same reason then leave the list.
        """
        same = [e for e in entries if getattr(e.program, "reason", None) == self.reason]
        if len(same) < MOST_ALIKE - 1:
            return self
        entries[:] = [entry for entry in entries if entry not in same]
        return self._replace(guards=None)


class Entry:
    """What was made of one call.

    Attributes:
        program: what runs in the place of calls like it; or why nothing does.
        held: the objects of the call.
        read: finds what a `Reader` finds in arguments like those that it served; None if there is
            no such function.
    """

    __slots__ = ("_kind", "_mode", "held", "program", "read")

    def __init__(self, program: Any, held: Held) -> None:
        self.program, self.held = program, held
        self._kind: tuple[Any, ...] | None = None  # what counts of the mode; None: none served yet
        self._mode: Mode | None = None
        self.read: Reader | None = None

    def serves(self) -> bool:
        """Whether it answers a call with its key now."""
        program = self.program
        if isinstance(program, Refusal):
            return program.guards is None or program.guards.hold()
        return self.held.alive and program.held() is not None

    def served(self, tree: Any, mode: Mode) -> None:
        """It runs for these arguments: calls like this one may come again."""
        if self._kind is None:
            give_back()  # once more: what the result of the first call held may be free by now
            give_back_code()
            self._kind, self.read = (mode.recording, mode.dtype), write_reader(tree)
            if mode.scope is None and self.fits(mode):
                self._mode = mode

    def fits(self, mode: Mode) -> bool:
        """Whether `read` may look at the arguments of a call in this mode."""
        if mode is self._mode:  # as it mostly is
            return True
        if mode.observers or not mode.fused or mode.deriving:
            return False
        return (mode.recording, mode.dtype) == self._kind


class Methods(dict[Any, Any]):
    """The compiled methods of one instance; of its copies, others are made.

    Attributes:
        owner: a weak reference to the instance.
    """

    def __init__(self, owner: Any = None) -> None:
        super().__init__()
        self.owner = (lambda: None) if owner is None else weakref.ref(owner)

    def __reduce__(self) -> Any:
        return Methods, ()
