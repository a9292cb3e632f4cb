"""The names that code asks for, read from its bytes."""

import ast
import dataclasses
import dis

import numpy as np
import pytest

from minigrad.compiled.guarding import codes

OPERATIONS = ("MATCH_CLASS", "LOAD_GLOBAL", "LOAD_NAME", "IMPORT_NAME", "STORE_ATTR")


@pytest.fixture(autouse=True)
def nothing_known():
    functions = (codes.matches_classes, codes.set_by, codes.globals_in, codes.modules_in)
    for function in functions:
        function.cache_clear()


@pytest.mark.parametrize("module", [ast, dataclasses, dis, np.ma.extras], ids=lambda m: m.__name__)
def test_an_operation_is_seen_where_the_disassembler_sees_it(module):
    with open(module.__file__) as file:
        whole = compile(file.read(), module.__file__, "exec")
    found = set()
    for code in codes.nested(whole):
        there = {instruction.opname for instruction in dis.get_instructions(code)}
        for operation in OPERATIONS:
            assert codes._has(code, operation) == (operation in there)
        found |= there
    assert found.issuperset(OPERATIONS[1:])


def test_patterns_of_classes_are_seen():
    def matches(x):
        match x:
            case complex(real=1):
                return x

    assert codes.matches_classes(matches.__code__)
    assert not codes.matches_classes(test_patterns_of_classes_are_seen.__code__)


def test_code_is_only_disassembled_for_what_is_in_it(monkeypatch):
    def sets(holder):
        holder.value = 1

    read, instructions = [], dis.get_instructions
    monkeypatch.setattr(dis, "get_instructions", lambda c: read.append(c) or instructions(c))
    code = sets.__code__
    assert not codes.matches_classes(code)
    assert (codes.globals_in(code), codes.modules_in(code)) == (frozenset(), ())
    assert read == []
    assert codes.set_by(code) == ("value",)
    assert read == [code]
