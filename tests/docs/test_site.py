"""The site's own tools: the reference names everything, docstrings and formulas come out right.

Building the site takes a minute, and `.ci/run` does it; nothing here needs Sphinx.
"""

import argparse
import base64
import io
import re
import zlib
from pathlib import Path

import numpy as np
import pytest

from layers.cli.entry import build_parser
from tools.site import checks, command_line, heat_maps, reference
from tools.site.docstrings import as_rst

ROOT = Path(__file__).parents[2]


def test_every_public_name_is_in_the_reference():
    described = {full for names in reference.documented().values() for full in names}
    assert checks.missing_names(described) == []


def test_a_missing_name_is_found():
    described = {full for names in reference.documented().values() for full in names}
    described -= {"layers.LSTM", "minigrad.optim.Adam", "minigrad.tanh"}
    found = checks.missing_names(described)
    assert {"layers.LSTM", "layers.recurrent.LSTM", "minigrad.optim.Adam", "minigrad.tanh"} == set(
        found
    )


def test_nothing_is_described_twice():
    names = [
        f"{s.module}.{n}" for page in reference.pages() for s in page.sections for n in s.names
    ]
    assert len(names) == len(set(names))


def test_every_package_with_public_names_is_listed():
    """Packages of `layers` beside those that only hold files, and what `minigrad` makes public."""
    listed = set(reference.PACKAGES)
    for path in (ROOT / "layers").glob("*/__init__.py"):
        if "\n__all__ = " in path.read_text("utf-8"):
            assert f"layers.{path.parent.name}" in listed


def test_generated_pages_are_written_once(tmp_path):
    reference.write(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    (tmp_path / "gone.rst").write_text("of an earlier version")
    reference.write(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_the_command_line_page_has_every_command_and_every_option():
    page = command_line.command_page()
    for name, parser in command_line.commands(build_parser()).items():
        assert f"\nminigrad {name}\n---" in page
        for action in parser._actions:
            if action.help != argparse.SUPPRESS and action.dest != "help":
                assert all(f"``{option}" in page for option in action.option_strings)
    assert "%(" not in page


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a * b, |x| and x_ are text", r"a \* b, \|x\| and x\_ are text"),
        ("`x * y` is code", "``x * y`` is code"),
        ("``two`` marks stay", "``two`` marks stay"),
        ("`Tensor`s", r":py:obj:`Tensor <minigrad.Tensor>`\ s"),
        ("`axis` is no link", "``axis`` is no link"),
        ("M. Giles wrote it", r"\M. Giles wrote it"),
        ("1. first\n2. second", "1. first\n2. second"),
        ("Such as:\n\n    a * b\n\nand so on", "Such as:\n\n::\n\n    a * b\n\nand so on"),
        (">>> f(*x)\n3\n\nAfter *it*", ">>> f(*x)\n3\n\nAfter \\*it\\*"),
        ("Args:\n    *x: numbers\n", "Args:\n    \\*x: numbers"),
    ],
)
def test_docstrings_become_restructured_text(text, wanted):
    assert as_rst(text, reference.find) == wanted


def test_names_in_docstrings_are_found():
    assert reference.find("LSTM") == "layers.LSTM"
    assert reference.find("minigrad.draw.draw") == "minigrad.draw.draw"
    assert reference.find("grad") is None  # as a rule a parameter
    assert reference.find("no_such_thing") is None


@pytest.fixture
def site(tmp_path):
    """A small site with one fault of each kind."""
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "a.css").write_text("a { background: url(//fonts.invalid/b.png) }")
    (tmp_path / "index.html").write_text(
        '<link rel="stylesheet" href="https://cdn.invalid/a.css"><script src="a.js"></script>'
        '<a href="https://example.org">out</a><a href="other.html#here">there</a>'
        '<a href="other.html#nowhere">no place</a><a href="gone.html">no file</a>'
        '<a href="#me">no such place here</a>'
    )
    (tmp_path / "other.html").write_text('<p id="here"><img src="b.svg">')
    return tmp_path


def test_what_is_loaded_from_elsewhere_is_found(site):
    assert checks.loaded_from_elsewhere(site) == [
        "index.html loads https://cdn.invalid/a.css",
        "_static/a.css loads //fonts.invalid/b.png",
    ]


@pytest.mark.parametrize(
    "markup",
    [
        '<iframe srcdoc="&lt;img src=&quot;https://x.invalid/a&quot;&gt;"></iframe>',
        '<img src="a.png" srcset="b.png 1x, https://x.invalid/a 2x">',
        '<object data="https://x.invalid/a"></object>',
        "<style>@import 'https://x.invalid/a';</style>",
        '<script>import("https://x.invalid/a")</script>',
        "<script>import a from 'https://x.invalid/a'</script>",
    ],
)
def test_every_way_of_loading_is_seen(tmp_path, markup):
    (tmp_path / "a.html").write_text(markup)
    assert checks.loaded_from_elsewhere(tmp_path) == ["a.html loads https://x.invalid/a"]


def test_links_into_a_language_that_was_not_built_are_no_fault(site):
    (site / "other.html").write_text('<p id="here"><a href="ko/index.html">한국어</a>')
    assert "other.html links to ko/index.html" in checks.broken_links(site)
    assert "other.html links to ko/index.html" not in checks.broken_links(site, "ko")


def test_every_part_of_the_extension_is_set_up():
    folder = ROOT / "tools" / "site"
    whole = (folder / "extension.py").read_text("utf-8")
    parts = [path for path in folder.rglob("*.py") if "\ndef setup(app" in path.read_text("utf-8")]
    assert len(parts) > 4
    for path in parts:
        assert path.stem == "extension" or f"    {path.stem}.setup(app)" in whole, path


def test_broken_links_are_found(site):
    assert checks.broken_links(site) == [
        "index.html links to other.html#nowhere",
        "index.html links to gone.html",
        "index.html links to #me",
    ]


def test_the_inventory_is_read(tmp_path):
    lines = b"minigrad.tanh py:function 1 a.html#$ -\nstart std:label 1 a.html Start\n"
    head = b"# Sphinx inventory version 2\n# Project: x\n# Version: \n# compressed\n"
    (tmp_path / "objects.inv").write_bytes(head + zlib.compress(lines))
    assert checks.inventory(tmp_path / "objects.inv") == {"minigrad.tanh"}


def test_formulas_become_mathml():
    mathml = pytest.importorskip("tools.site.mathml", reason="needs the docs extra")
    pytest.importorskip("latex2mathml", reason="needs the docs extra")
    assert "<mfrac>" in mathml.as_mathml(r"\frac{a}{b}")
    assert mathml.as_mathml(r"a &= b \\ c &= d", display=True).count("<mtr>") == 2
    assert 'display="block"' in mathml.as_mathml("x", display=True)
    with pytest.raises(ValueError, match=r"unknown: \\nosuchcommand"):
        mathml.as_mathml(r"\nosuchcommand{x}")


def figure(*colours):
    """An SVG with a picture of so many pixels in it."""
    image = pytest.importorskip("PIL.Image", reason="comes with matplotlib")
    pixels = image.fromarray(np.array([colours], np.uint8))
    file = io.BytesIO()
    pixels.save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    return f'<svg width="9"><image xlink:href="data:image/png;base64,{data}"/></svg>'


def test_heat_maps_keep_their_colours_on_dark_pages_and_grey_pictures_do_not():
    heat_map = figure((68, 1, 84), (253, 231, 37))
    kept = heat_maps.keeping_colours(heat_map)
    assert kept.startswith('<svg width="9"><style>@media (prefers-color-scheme: dark)')
    assert heat_maps.keeping_colours(kept) == kept
    for other in (figure((0, 0, 0), (200, 200, 200)), "<svg><path/></svg>"):
        assert heat_maps.keeping_colours(other) == other


def test_every_source_that_a_page_names_is_there():
    for page in (ROOT / "docs").rglob("*.md"):
        for path, _, name in re.findall(r"\{src\}`([\w/.]+)(:(\w+))?`", page.read_text("utf-8")):
            text = (ROOT / path).read_text("utf-8")
            assert not name or re.search(rf"^(def|class) {name}\b", text, re.MULTILINE), (
                path,
                name,
            )
