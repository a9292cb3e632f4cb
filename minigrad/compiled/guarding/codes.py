"""Which names code asks for: its own, and those of the functions and classes written inside it."""

import dis
import functools
from collections.abc import Iterable, Iterator
from types import CodeType

__all__ = ["globals_in", "matches_classes", "modules_in", "names_in", "nested", "set_by"]


def nested(code: CodeType) -> Iterator[CodeType]:
    """Code, and that of all functions, comprehensions and classes inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from nested(constant)


@functools.lru_cache(maxsize=4096)
def names_in(code: CodeType) -> tuple[str, ...]:
    """The names of attributes and globals in code, also those in its strings."""
    return (*code.co_names, *_texts(code))


@functools.lru_cache(maxsize=4096)
def globals_in(code: CodeType) -> frozenset[str]:
    """The globals that code and what is inside it may read, by name or by a string."""
    every = list(nested(code))
    texts = (text for one in every for text in _texts(one))
    return frozenset((*_given(every, "LOAD_GLOBAL"), *_given(every, "LOAD_NAME"), *texts))


@functools.lru_cache(maxsize=4096)
def modules_in(code: CodeType) -> tuple[str, ...]:
    """The modules that code and what is inside it may import."""
    return tuple(_given(nested(code), "IMPORT_NAME"))


@functools.lru_cache(maxsize=4096)
def set_by(code: CodeType) -> tuple[str, ...]:
    """The attributes that code sets."""
    return tuple(_given([code], "STORE_ATTR"))


@functools.lru_cache(maxsize=4096)
def matches_classes(code: CodeType) -> bool:
    """Whether code has patterns such as `case Point(x, y)`, which ask for names that it has not."""
    return _has(code, "MATCH_CLASS")


def _given(codes: Iterable[CodeType], operation: str) -> Iterator[str]:
    """The names that an operation of Python's virtual machine is given in code."""
    for code in codes:
        if _has(code, operation):
            yield from (i.argval for i in dis.get_instructions(code) if i.opname == operation)


def _has(code: CodeType, operation: str) -> bool:
    """Whether there is an operation in code. Each takes two bytes; to disassemble takes longer."""
    return dis.opmap[operation] in code.co_code[::2]


def _texts(code: CodeType) -> list[str]:
    """The strings in code that may be names."""
    texts = [c for c in code.co_consts if isinstance(c, str) and c.isidentifier()]
    for constant in code.co_consts:
        if isinstance(constant, tuple):
            texts += [c for c in constant if isinstance(c, str) and c.isidentifier()]
    return texts
