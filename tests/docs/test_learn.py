"""The Learn page: its numbers are results, its commands run, its pictures are there."""

import re
from pathlib import Path

import numpy as np
import pytest

from layers.examples.showcase import NAMES
from layers.systems import SYSTEMS
from tests.docs.looking import outline
from tools import learn_pictures
from tools.site import results

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LEARN = (DOCS / "learn.md").read_text("utf-8")
TOPICS = 17


def commands(text):
    """The lines of blocks of `console` that begin with `minigrad`, parted at `&&`."""
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [part.strip() for block in blocks for line in block.splitlines()
             for part in line.split("#")[0].split("&&")]  # fmt: skip
    return [line.removeprefix("minigrad ") for line in lines if line.startswith("minigrad ")]


def sections(text):
    """The parts of a page by their headings."""
    return dict(
        (part.split("\n", 1)) for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    )  # fmt: skip


def test_what_is_drawn_are_built_in_models():
    models = [command.split()[1] for command in commands(LEARN) if command.startswith("draw ")]
    assert models
    assert set(models) <= set(NAMES)


def test_every_part_has_equation_command_number_picture_and_lesson():
    found = sections(LEARN)
    assert len(found) == TOPICS
    for heading, text in found.items():
        assert "$$" in text, heading
        assert commands(text), heading
        assert "{result}`" in text, heading
        assert re.search(r"(\(|\} )gallery/[\w/-]+\.(svg|png)", text), heading
        assert "One sees:" in text, heading
        assert re.search(r"\]\(lessons/\d\d-[\w-]+\.md", text), heading


def test_every_system_has_a_command_on_the_page():
    shown = {command.removeprefix("run ") for command in commands(LEARN)}
    assert {system.name for system in SYSTEMS} <= shown


@pytest.mark.parametrize("text", re.findall(r"\{result\}`([^`]+)`", LEARN))
def test_every_number_of_the_page_is_a_result(text):
    shown, heading = results.number(text)
    assert shown
    assert heading


def test_a_missing_number_is_an_error_that_says_what_there_is():
    known = results.tables("## 4. RNN\n\n| figure | measured |\n| --- | --- |\n| text | 1.8 |\n")
    assert results.number("4::text", known) == ("1.8", "4. RNN")
    with pytest.raises(ValueError, match=r"no row 'texts' under '4. RNN' .*\['text'\]"):
        results.number("4::texts", known)
    with pytest.raises(ValueError, match="no column 'bar'"):
        results.number("4::text::bar", known)
    with pytest.raises(ValueError, match="'5' names 0 headings"):
        results.number("5::text", known)


def test_the_role_reports_what_is_missing():
    pytest.importorskip("docutils", reason="needs the docs extra")
    from docutils.core import publish_doctree
    from docutils.parsers.rst import roles

    roles.register_local_role("result", results.result_role)
    with pytest.raises(Exception, match="no row 'nothing'"):
        publish_doctree(":result:`5::nothing`", settings_overrides={"halt_level": 3})


def test_pictures_are_all_shown_and_small():
    held = {path.name for path in learn_pictures.FOLDER.iterdir()}
    made = {f"{name}-{theme}.svg" for name in learn_pictures.DRAWN for theme in ("light", "dark")}
    taken = {path.replace("/", "-") for path in learn_pictures.TAKEN}
    made |= taken | {n.replace(".png", "-dark.png") for n in taken if n.endswith(".png")}
    shown = set(re.findall(r"gallery/learn/([\w-]+\.\w+)", LEARN))
    assert held == made
    assert {name for name in held if "-dark." not in name} == shown
    assert sum(path.stat().st_size for path in learn_pictures.FOLDER.iterdir()) < 1_000_000


def test_drawn_pictures_are_those_of_their_commands(tmp_path):
    assert set(learn_pictures.DRAWN.values()) <= set(commands(LEARN))
    learn_pictures.draw(tmp_path)
    for path in sorted(tmp_path.iterdir()):
        assert outline(path) == outline(learn_pictures.FOLDER / path.name), path.name


def test_the_dark_twin_of_a_plot_is_dark_and_keeps_its_colours():
    image = pytest.importorskip("PIL.Image", reason="comes with matplotlib")
    plot = np.array([[[255, 255, 255], [0, 0, 0], [68, 1, 84], [253, 231, 37]]], np.uint8)
    white, black, purple, yellow = np.asarray(learn_pictures.darkened(image.fromarray(plot)))[0]
    assert white.max() < 30
    assert black.min() > 240
    assert np.abs(purple.astype(int) - plot[0, 2]).max() < 20
    assert np.abs(yellow.astype(int) - plot[0, 3]).max() < 60
