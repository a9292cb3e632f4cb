"""The gallery: the committed pictures are those that its command and its page make."""

import re
import runpy
from pathlib import Path

import pytest

from layers.training import one_blas_thread

FOLDER = Path(__file__).parents[2] / "docs" / "gallery"


@pytest.fixture(scope="module")
def make():
    return runpy.run_path(str(FOLDER / "make.py"))


@pytest.fixture(scope="module")
def made(make, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery")
    make["main"](folder)
    return folder


def outline(path):
    """The elements of a picture and its words; numbers may differ in their last digits."""
    # Matplotlib notes the date there, unless told not to.
    text = re.sub(r"<metadata>.*?</metadata>", "", path.read_text("utf-8"), flags=re.DOTALL)
    words = re.findall(r"<text[^>]*>([^<]*)</text>", text)
    return re.findall(r"<(\w+)", text), [re.sub(r"[-\d.e+]+", "#", word) for word in words]


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


def test_the_code_on_the_page_makes_the_picture_above_it(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", page(), re.DOTALL)
    names = dict(make)
    with one_blas_thread():
        for block in blocks:
            exec(compile(block, "index.md", "exec"), names)
    saved = sorted(path.name for path in tmp_path.iterdir())
    assert saved == sorted(path.name for path in FOLDER.glob("*-light.svg"))
    different = [name for name in saved if outline(FOLDER / name) != outline(tmp_path / name)]
    assert different == []


def test_they_are_small_and_all_of_them_are_shown():
    pictures = list(FOLDER.glob("*.svg"))
    assert sum(path.stat().st_size for path in pictures) < 3_000_000
    assert {path.name for path in pictures} == set(re.findall(r"\(([\w-]+\.svg)\)", page()))


def test_arrows_that_lead_on_say_so():
    assert words(FOLDER / "lstm-rolled-light.svg").count("next, x49:") == 2  # h and c
    assert words(FOLDER / "transformer-light.svg").count("next, x2:") == 2  # encoder, decoder
