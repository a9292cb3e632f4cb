"""Pages with examples at a prompt are true: the examples give what they say."""

import doctest
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = {  # and how many examples, at least
    "docs/explanation/engine.md": 5,
    "minigrad/core/README.md": 8,
    "docs/explanation/numbers.md": 12,
    "docs/explanation/rules-run-twice.md": 6,
    "docs/explanation/values.md": 20,
    "docs/guides/cells.md": 25,
    "docs/guides/from-numpy.md": 35,
    "docs/guides/from-pytorch.md": 40,
    "docs/guides/models.md": 45,
    "docs/guides/notebooks.md": 35,
    "docs/guides/saving.md": 55,
}


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_give_what_it_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # pages write files
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    results = doctest.testfile(str(ROOT / page), module_relative=False, optionflags=flags)
    assert results.attempted >= PAGES[page]
    assert results.failed == 0


def test_the_first_cell_is_as_short_as_the_page_says():
    page = (ROOT / "docs" / "guides" / "cells.md").read_text("utf-8")
    block = page.split("class MGUCell")[1].split("\n\n")[0]
    assert len(block.splitlines()) <= 20


def test_the_tour_names_every_file_of_the_heart():
    core = ROOT / "minigrad" / "core"
    tour = (core / "README.md").read_text("utf-8")
    files = {path.name for path in core.glob("*.py")} - {"__init__.py"}
    assert files == {name for name in files if f"`{name}`" in tour}
