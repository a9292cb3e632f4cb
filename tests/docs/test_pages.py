"""Every snippet of every page runs as it stands: `tools.snippets` finds them and runs them.

The lessons are run by test_lessons.py, with their solutions; the gallery by test_gallery.py, each
snippet alone; the walk-throughs of CONTRIBUTING by test_contributing.py.
"""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from layers.models import load
from tests.docs.looking import outline
from tools import snippets

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ELSEWHERE = (DOCS / "lessons", DOCS / "gallery", DOCS / "contributing.md")


def with_snippets():
    """The pages that have any, by their paths from the root."""
    pages = [ROOT / "README.md", ROOT / "minigrad" / "core" / "README.md", *DOCS.rglob("*.md")]
    pages = [page for page in pages if not any(page.is_relative_to(other) for other in ELSEWHERE)]
    return sorted(p.relative_to(ROOT).as_posix() for p in pages if snippets.snippets(p))


@pytest.fixture(autouse=True)
def own_settings():
    """Pages may choose a profile of Hypothesis, and what NumPy warns of."""
    before = settings.get_current_profile_name()
    with np.errstate():
        yield
    settings.load_profile(before)


@pytest.mark.parametrize("page", with_snippets())
def test_every_snippet_of_the_page_runs_as_it_stands(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = snippets.run(ROOT / page)
    if page in AFTERWARDS:
        AFTERWARDS[page](names, tmp_path, capsys.readouterr().out)


def test_no_page_is_left_out():
    assert {f"docs/guides/{page.name}" for page in (DOCS / "guides").glob("*.md")} == {
        *(page for page in with_snippets() if page.startswith("docs/guides/")),
        "docs/guides/index.md",
    }
    assert {"README.md", "docs/index.md", "docs/explanation/engine.md"} < set(with_snippets())


@pytest.mark.parametrize("page", sorted((DOCS / "lessons").glob("*.md")), ids=lambda p: p.stem)
def test_the_commands_of_a_lesson_are_commands(page):
    for snippet in snippets.snippets(page):
        if snippet.kind == "console":
            snippets.check_commands(snippet)


def test_commands_in_the_text_are_commands():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")]
    found = [
        snippets.Snippet("console", text.count("\n", 0, match.start()) + 1, match[1], page)
        for page in pages
        for text in [page.read_text("utf-8")]
        for match in re.finditer(r"`(minigrad [a-z][^`]*)`", text)
    ]
    assert len(found) > 20
    for snippet in found:
        snippets.check_commands(snippet)


# -- what pages leave behind -----------------------------------------------------------------------


def after_the_readme(names, folder, printed):
    assert "LSTMCell" in printed
    names["test_cube"]()
    made = sorted(path.name for path in folder.glob("*.svg"))
    assert made == sorted(path.name for path in (DOCS / "pictures").iterdir())
    for name in made:
        committed = outline(DOCS / "pictures" / name)
        assert outline(folder / name) == committed, "run the README's code in docs/pictures"


def after_the_training_page(names, folder, _):
    assert names["history"].resumed == 60
    assert abs(names["line"].linear.weight.item() - 3) < 0.05
    assert load(folder / "my-model").config.cell == "gru"


AFTERWARDS = {
    "README.md": after_the_readme,
    "docs/guides/training.md": after_the_training_page,
}


def test_the_ten_lines_are_ten():
    block = next(s for s in snippets.snippets(ROOT / "README.md") if s.kind == "python").code
    assert len([line for line in block.splitlines() if line.strip()]) == 10


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_link_leads_to_a_file(page):
    text = (ROOT / page).read_text("utf-8")
    links = re.findall(r"\]\(([^)#:]+)\)|(?:src|srcset)=\"([^\"]+)\"", text)
    assert [link for pair in links for link in pair if link and not (ROOT / link).exists()] == []


def test_the_first_cell_is_as_short_as_the_page_says():
    page = (DOCS / "guides" / "cells.md").read_text("utf-8")
    block = page.split("class MGUCell")[1].split("\n\n")[0]
    assert len(block.splitlines()) <= 20


def test_the_tour_names_every_file_of_the_heart():
    core = ROOT / "minigrad" / "core"
    tour = (core / "README.md").read_text("utf-8")
    files = {path.name for path in core.glob("*.py")} - {"__init__.py"}
    assert files == {name for name in files if f"`{name}`" in tour}
