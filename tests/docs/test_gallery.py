"""The gallery: the committed pictures are those that its command makes."""

import re
import runpy
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "gallery"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery")
    runpy.run_path(str(FOLDER / "make.py"))["main"](folder)
    return folder


def outline(path):
    """The elements of a picture and its words; numbers may differ in their last digits."""
    text = path.read_text("utf-8")
    words = re.findall(r"<text[^>]*>([^<]*)</text>", text)
    return re.findall(r"<(\w+)", text), [re.sub(r"[-\d.e+]+", "#", word) for word in words]


def test_the_committed_pictures_are_those_that_the_command_makes(made):
    names = sorted(path.name for path in FOLDER.glob("*.svg"))
    assert names == sorted(path.name for path in made.glob("*.svg"))
    different = [name for name in names if outline(FOLDER / name) != outline(made / name)]
    assert different == []


def test_they_are_small_and_all_of_them_are_shown():
    pictures = list(FOLDER.glob("*.svg"))
    assert sum(path.stat().st_size for path in pictures) < 3_000_000
    page = (FOLDER / "index.md").read_text("utf-8")
    assert {path.name for path in pictures} == set(re.findall(r"\(([\w-]+\.svg)\)", page))
