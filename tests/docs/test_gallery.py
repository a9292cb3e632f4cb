"""The gallery: the committed pictures are those that its snippets make, each run by itself.

`make.py` runs every snippet in a fresh namespace, and its light pictures are compared with those
above; the dark ones have to be the same in other colours, which takes no second run.
"""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.looking import outline
from tools.snippets import execute, snippets

FOLDER = Path(__file__).parents[2] / "docs" / "gallery"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery")
    runpy.run_path(str(FOLDER / "make.py"))["main"](folder, ["light"])
    return folder


def words(path):
    """The words of a picture as Graphviz writes them, with plain spaces."""
    found = re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text("utf-8"))
    return " ".join(found).replace("&#160;", " ").replace("\u00a0", " ")


def colours(path):
    return set(re.findall(r"#[0-9a-fA-F]{6}\b", path.read_text("utf-8")))


def page():
    return (FOLDER / "index.md").read_text("utf-8")


def test_the_committed_pictures_are_those_that_the_command_makes(made):
    names = sorted(path.name for path in FOLDER.glob("*-light.svg"))
    assert names == sorted(path.name for path in made.glob("*.svg"))
    different = [name for name in names if outline(FOLDER / name) != outline(made / name)]
    assert different == []


def test_every_dark_picture_is_the_light_one_in_other_colours():
    light = sorted(FOLDER.glob("*-light.svg"))
    dark = [path.with_name(path.name.replace("-light", "-dark")) for path in light]
    assert sorted([*light, *dark]) == sorted(FOLDER.glob("*.svg"))
    assert [a.name for a, b in zip(light, dark, strict=True) if outline(a) != outline(b)] == []
    assert [a.name for a, b in zip(light, dark, strict=True) if colours(a) == colours(b)] == []


def test_the_same_snippet_makes_the_dark_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    block = next(s for s in snippets(FOLDER / "index.md") if "operations-light" in s.code)
    execute(block.replacing("light", "dark"), FOLDER / "index.md", {"__name__": "__page__"})
    for look in (outline, colours):
        assert look(tmp_path / "operations-dark.svg") == look(FOLDER / "operations-dark.svg")


def test_every_snippet_makes_the_one_picture_above_it():
    text = page()
    blocks = [snippet for snippet in snippets(FOLDER / "index.md") if snippet.kind == "python"]
    assert len(blocks) == len(set(re.findall(r"\(([\w-]+-light\.svg)\)", text)))
    for block in blocks:
        above = text.splitlines()[: block.line]
        shown = next(line for line in reversed(above) if line.startswith("[!["))
        assert re.findall(r'"([\w-]+\.svg)"', block.code) == [shown.split("(")[-1].rstrip(")")]


def test_a_snippet_copied_into_a_file_of_its_own_makes_its_picture(tmp_path):
    """As a reader would: another process, an empty folder, the packages alone."""
    block = next(s for s in snippets(FOLDER / "index.md") if "operations-light" in s.code)
    (tmp_path / "copied.py").write_text(block.code, "utf-8")
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parents[1]), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-W", "error", "copied.py"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    assert outline(tmp_path / "operations-light.svg") == outline(FOLDER / "operations-light.svg")


def test_they_are_small_and_all_of_them_are_shown():
    pictures = list(FOLDER.glob("*.svg"))
    assert sum(path.stat().st_size for path in pictures) < 3_000_000
    assert {path.name for path in pictures} == set(re.findall(r"\(([\w-]+\.svg)\)", page()))


def test_arrows_that_lead_on_say_so():
    assert words(FOLDER / "lstm-rolled-light.svg").count("next, x49:") == 2  # h and c
    assert words(FOLDER / "transformer-light.svg").count("next, x2:") == 2  # encoder, decoder
