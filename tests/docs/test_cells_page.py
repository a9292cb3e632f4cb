"""The page about cells is true: its examples give what it says."""

import doctest
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "cells.md"


def test_the_examples_of_the_page_give_what_it_says():
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    results = doctest.testfile(str(PAGE), module_relative=False, optionflags=flags)
    assert results.attempted >= 25
    assert results.failed == 0


def test_the_first_cell_is_as_short_as_the_page_says():
    block = PAGE.read_text("utf-8").split("class MGUCell")[1].split("\n\n")[0]
    assert len(block.splitlines()) <= 20
