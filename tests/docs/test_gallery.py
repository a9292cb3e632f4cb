"""The gallery: the committed pictures are those that its snippets make, each run by itself.

`make.py` runs every snippet in a fresh namespace, and its pictures are compared with those above.
"""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.looking import outline
from tools.snippets import snippets

FOLDER = Path(__file__).parents[2] / "docs" / "gallery"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery")
    runpy.run_path(str(FOLDER / "make.py"))["main"](folder)
    return folder


def words(path):
    """The words of a picture as Graphviz writes them, with plain spaces."""
    found = re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text("utf-8"))
    return " ".join(found).replace("&#160;", " ").replace("\u00a0", " ")


def page():
    return (FOLDER / "index.md").read_text("utf-8")


def test_the_committed_pictures_are_those_that_the_command_makes(made):
    names = sorted(path.name for path in FOLDER.glob("*.svg"))
    assert names == sorted(path.name for path in made.glob("*.svg"))
    different = [name for name in names if outline(FOLDER / name) != outline(made / name)]
    assert different == []


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
