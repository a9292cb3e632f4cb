"""No loop within a block goes back where the end of the block has no say.

Python acts on signals where a loop goes back. Where it does so under a condition, as `while` does,
Python 3.13 forgets that the jump is within a `with` or `try` statement (python/cpython#130279):
Ctrl-C there ends neither, and a lock stays taken for ever.
"""

import dis
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest

import layers
import minigrad

FOLDERS = [Path(package.__path__[0]) for package in (minigrad, layers)]


def codes(code: CodeType) -> Iterator[CodeType]:
    """A code object and those in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


class Handlers:
    """Where control goes from an instruction when Ctrl-C comes at it."""

    def __init__(self, code: CodeType) -> None:
        read = dis.Bytecode(code)
        self.entries = read.exception_entries
        self.instructions = list(read)
        self.numbers = {at.offset: n for n, at in enumerate(self.instructions)}

    def of(self, offset: int) -> set[int]:
        """The handlers that are run one after the other, but those of errors by name."""
        found, waiting = set(), [offset]
        while waiting:
            at = waiting.pop()
            for entry in self.entries:
                if entry.start <= at < entry.end and entry.target not in found:
                    found.add(entry.target)
                    waiting.append(entry.target)
        return {target for target in found if self.ends_a_block(target)}

    def ends_a_block(self, target: int) -> bool:
        """Whether a handler runs when Ctrl-C comes: `finally`, or the end of `with`."""
        first = self.numbers[target]
        names = [i.opname for i in self.instructions[first : first + 8]]
        if names[0] != "PUSH_EXC_INFO":  # of a generator or a comprehension: it raises again
            return False
        if "CHECK_EXC_MATCH" not in names:
            return True
        caught = self.instructions[first + names.index("CHECK_EXC_MATCH") - 1].argval
        return caught in ("BaseException", "KeyboardInterrupt")

    def passed_by(self) -> list[int]:
        """The lines from which a loop goes back past a handler around it."""
        lines = []
        last = self.instructions[0]  # that does something
        for at in self.instructions:
            if "JUMP" not in at.opname and at.opname not in ("EXTENDED_ARG", "NOT_TAKEN"):
                last = at
            elif "JUMP_BACKWARD" in at.opname and "NO_INTERRUPT" not in at.opname:
                around = self.of(last.offset) & self.of(at.argval)
                if around - self.of(self.acts(at)):
                    lines.append(last.positions.lineno)
        return lines

    def acts(self, jump: dis.Instruction) -> int:
        """The place whose handlers count when a signal comes at a jump."""
        before = self.instructions[self.numbers[jump.argval] - 1]
        if sys.version_info >= (3, 13) or "RETURN" in before.opname:  # the latter is of no loop
            return jump.offset
        return jump.argval - 2  # they look for signals once they have jumped


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_jump_back_is_within_the_blocks_around_it(folder):
    passed_by = [
        f"{file}:{line}"
        for file in sorted(folder.rglob("*.py"))
        for code in codes(compile(file.read_text("utf-8"), str(file), "exec"))
        if code.co_exceptiontable
        for line in Handlers(code).passed_by()
    ]
    assert not passed_by, (
        "Ctrl-C at these loops passes the end of a block by. Make such a loop a function of its "
        f"own, or its last condition one with `continue`: {passed_by}"
    )


def test_a_jump_that_no_handler_covers_is_found():
    def blocked(block, steps):
        with block:
            for step in steps:
                step()

    def caught(steps):
        for step in steps:
            try:
                step()
            except ValueError:
                continue

    handlers = Handlers(blocked.__code__)
    assert not handlers.passed_by()
    (jump,) = (i for i in handlers.instructions if "JUMP_BACKWARD" in i.opname)
    gap = handlers.acts(jump)
    handlers.entries = [
        part
        for e in handlers.entries
        for part in (e._replace(end=min(gap, e.end)), e._replace(start=max(gap + 2, e.start)))
    ]
    assert handlers.passed_by()
    assert not Handlers(caught.__code__).passed_by()
