"""No loop within a block goes back where the end of the block has no say.

Python acts on signals where a loop goes back. Python 3.12 and 3.13 write a jump back under a
condition as two instructions, and forget that the second one is within a `with` or `try` statement
(python/cpython#130279): Ctrl-C there ends neither, and a lock stays taken for ever.
"""

import dis
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
        for before, jump in zip(self.instructions, self.instructions[1:], strict=False):
            if "JUMP_BACKWARD" in jump.opname and "NO_INTERRUPT" not in jump.opname:
                around = self.of(before.offset) & self.of(jump.argval)
                if around - self.of(jump.offset):
                    lines.append(jump.positions.lineno or before.positions.lineno)
        return lines


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
        "Ctrl-C at these loops passes the end of a block by: make the loop a function of its own, "
        f"or its last condition one with `continue`: {passed_by}"
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
    (jump,) = (i.offset for i in handlers.instructions if "JUMP_BACKWARD" in i.opname)
    handlers.entries = [
        e._replace(end=jump) if e.start <= jump < e.end else e for e in handlers.entries
    ]
    assert handlers.passed_by()
    assert not Handlers(caught.__code__).passed_by()
