"""The Learn page: its numbers are results, its commands run, its pictures are there."""

import argparse
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from layers.cli.entry import build_parser
from layers.examples.showcase import NAMES
from layers.systems import SYSTEMS
from tools import learn_pictures
from tools.site import results

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LEARN = (DOCS / "learn.md").read_text("utf-8")
PAGES = [
    ROOT / "README.md",
    *(path for path in DOCS.rglob("*.md") if "locales" not in path.parts),
]
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


COMMANDS = sorted({command for page in PAGES for command in commands(page.read_text("utf-8"))})


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_on_a_page_is_one_that_the_parser_takes(command):
    options = build_parser().parse_args(shlex.split(command), argparse.Namespace(arguments=[]))
    if command.startswith("run ") and options.name is not None:
        assert options.name in {system.name for system in SYSTEMS}
    if command.startswith("draw ") and command in commands(LEARN):
        assert options.model in NAMES


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
    pytest.importorskip("docutils")
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
    image = pytest.importorskip("PIL.Image")
    plot = np.array([[[255, 255, 255], [0, 0, 0], [68, 1, 84], [253, 231, 37]]], np.uint8)
    white, black, purple, yellow = np.asarray(learn_pictures.darkened(image.fromarray(plot)))[0]
    assert white.max() < 30
    assert black.min() > 240
    assert np.abs(purple.astype(int) - plot[0, 2]).max() < 20
    assert np.abs(yellow.astype(int) - plot[0, 3]).max() < 60


def outline(path):
    """The elements of a picture and its words; numbers may differ in their last digits."""
    text = path.read_text("utf-8")
    words = re.findall(r"<text[^>]*>([^<]*)</text>", text)
    return re.findall(r"<(\w+)", text), [re.sub(r"[-\d.e+]+", "#", word) for word in words]
