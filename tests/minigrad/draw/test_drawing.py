"""Drawings: formats, files, time limits, and what happens without Graphviz."""

import io
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from minigrad.draw import (
    DrawError,
    LayoutError,
    LayoutTimeoutError,
    MissingGlyphWarning,
    MissingGraphvizError,
    Picture,
    PictureNode,
    draw_graph,
)
from minigrad.draw.render import layout


@pytest.mark.parametrize(
    ("suffix", "start"),
    [
        (".svg", b"<?xml"),
        (".png", b"\x89PNG"),
        (".PDF", b"%PDF"),
        (".json", b'{\n"schema"'),
        (".dot", b"digraph minigrad"),
        (".gv", b"digraph minigrad"),
        (".txt", b"A small network"),
    ],
)
def test_the_suffix_chooses_the_format(ops_graph, tmp_path, suffix, start):
    path = tmp_path / f"picture{suffix}"
    assert draw_graph(ops_graph).save(path) == path
    assert path.read_bytes().startswith(start)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_pdf_does_not_say_when_it_was_made(ops_graph):
    content = draw_graph(ops_graph).pdf()
    assert b"Date" not in content
    table = int(content.rsplit(b"startxref", 1)[1].split()[0])
    assert content[table:].startswith(b"xref")  # what the file says of its parts is still true


def test_an_unknown_suffix_lists_the_known_ones(ops_graph, tmp_path):
    with pytest.raises(ValueError, match=r"suffix '\.jpg'.*\.svg, \.png, \.pdf, \.json"):
        draw_graph(ops_graph).save(tmp_path / "picture.jpg")
    assert not list(tmp_path.iterdir())


def test_a_failed_save_leaves_the_old_file(ops_graph, tmp_path, monkeypatch):
    path = tmp_path / "graph.json"
    path.write_text("old")

    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        draw_graph(ops_graph).save(path)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["graph.json"]


def test_a_missing_folder_is_named_with_the_file(ops_graph, tmp_path):
    path = tmp_path / "nowhere" / "picture.svg"
    with pytest.raises(FileNotFoundError, match=r"nowhere/picture.svg' cannot .*no folder"):
        draw_graph(ops_graph).save(path)
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(IsADirectoryError, match=r"folder.svg' cannot .*name a file in it"):
        draw_graph(ops_graph).save(tmp_path / "folder.svg")


def test_a_folder_that_is_a_file_is_named(ops_graph, tmp_path):
    (tmp_path / "my.txt").write_text("text")
    with pytest.raises(NotADirectoryError, match=r"my.txt' is a file, not a folder"):
        draw_graph(ops_graph).save(tmp_path / "my.txt" / "a.svg")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8", "cp437"])
def test_text_prints_in_every_encoding(make_recurrent, monkeypatch, tmp_path, encoding):
    drawing = draw_graph(make_recurrent(steps=8))
    whole = drawing.text()
    assert not whole.isascii()
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    print(drawing)
    stream.flush()
    shown = stream.buffer.getvalue().decode(encoding)
    drawing.save(tmp_path / "a.txt")
    monkeypatch.undo()
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == f"{whole}\n"
    assert len(shown.splitlines()) == len(whole.splitlines())
    if encoding == "utf-8":
        assert shown == f"{whole}\n"
    else:
        assert "`- " in shown
        assert "\\u" not in shown
        assert "last  8" in shown or "last  1" in shown


def test_names_that_an_encoding_lacks_print_as_escapes(monkeypatch):
    graph = Picture(
        title="\u03bb \u2588", nodes=(PictureNode(0, "op", name="\u00e9"),), level="ops"
    )
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    shown = str(draw_graph(graph))
    monkeypatch.undo()
    assert shown.isascii()
    assert shown.startswith("\\u03bb 8\n")
    assert "\\xe9" in shown


def test_changes_to_dot_reach_the_picture(ops_graph):
    drawing = draw_graph(ops_graph)
    drawing.dot.node("mine", label="my own node")
    assert "my own node" in drawing.svg()


def test_resolution_of_a_png(ops_graph):
    drawing = draw_graph(ops_graph)

    def width(picture):
        return int.from_bytes(picture[16:20], "big")

    assert width(drawing.png(dpi=144)) == pytest.approx(2 * width(drawing.png(dpi=72)), abs=3)
    with pytest.raises(ValueError, match="dpi must be from 10"):
        drawing.png(dpi=0)


def test_a_layout_that_takes_too_long_is_stopped(ops_graph):
    drawing = draw_graph(ops_graph, time_limit=0.001)
    with pytest.raises(LayoutTimeoutError, match=r"time_limit=0\.001 seconds"):
        drawing.svg()


def test_broken_dot_is_an_error_with_graphviz_own_words():
    with pytest.raises(LayoutError, match="Graphviz failed"):
        layout.render_dot("digraph {", "svg")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"picture_format": "bmp"}, "format must be one of svg, png, pdf"),
        ({"picture_format": "svg", "time_limit": 0}, "time_limit must be a positive"),
    ],
)
def test_arguments_of_render_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        layout.render_dot("digraph {}", **arguments)


@pytest.fixture
def without_graphviz(monkeypatch):
    monkeypatch.setattr(layout, "has_bundled_graphviz", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: None)


@pytest.mark.usefixtures("without_graphviz")
def test_without_graphviz_the_error_names_the_fix_and_dot_still_works(ops_graph):
    drawing = draw_graph(ops_graph)
    assert drawing.dot.source.startswith("digraph")
    with pytest.raises(MissingGraphvizError, match="pip install pygraphviz") as caught:
        drawing.svg()
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value, DrawError)
    bundle = drawing._repr_mimebundle_()
    assert list(bundle) == ["text/plain"]
    assert "pip install" in bundle["text/plain"]


def test_dot_on_path_is_used_when_pygraphviz_is_missing(monkeypatch):
    monkeypatch.setattr(layout, "has_bundled_graphviz", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert layout.graphviz_command("nop2", "pdf") == ["/usr/bin/dot", "-Knop2", "-Tpdf"]


def test_old_pygraphviz_has_no_graphviz_of_its_own(monkeypatch):
    monkeypatch.setattr(layout.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(layout.importlib.metadata, "version", lambda name: "1.14")
    assert not layout.has_bundled_graphviz()
    monkeypatch.setattr(layout.importlib.metadata, "version", lambda name: "2.0.4")
    assert layout.has_bundled_graphviz()


def test_notebooks_get_svg_and_text(ops_graph):
    bundle = draw_graph(ops_graph)._repr_mimebundle_()
    assert bundle["image/svg+xml"].startswith("<?xml")
    # Wider than the page, a picture shrinks instead of being cut off.
    for kind in ("image/svg+xml", "text/html"):
        assert 'style="max-width: 100%; height: auto"' in bundle[kind]
        ElementTree.fromstring(bundle[kind])
    assert "A small network" in bundle["text/plain"]


def test_show_opens_an_svg_file(ops_graph, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    draw_graph(ops_graph).show()
    assert opened[0].startswith("file://")
    assert opened[0].endswith("graph.svg")


def test_characters_without_a_font_are_reported_once(monkeypatch, ops_graph):
    monkeypatch.setattr(layout, "_warned_scripts", set())
    real = subprocess.run

    def run(command, **options):
        if "fc-list" in command[0]:
            return subprocess.CompletedProcess(command, 0, b"", b"")
        return real(command, **options)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    drawing = draw_graph(Picture((PictureNode(0, "op", op="한국어"),)))
    drawing.svg()
    with pytest.warns(MissingGlyphWarning, match="Hangul"):
        drawing.png()
    drawing.png()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"theme": "pink"}, "theme must be one of light, dark"),
        ({"domain": (1.0, 0.1)}, "domain must be two norms"),
        ({"domain": (0.0, 1.0)}, "domain must be two norms"),
        ({"steps": "most"}, "steps must be"),
    ],
)
def test_arguments_of_draw_graph_are_checked(ops_graph, options, message):
    with pytest.raises(ValueError, match=message):
        draw_graph(ops_graph, **options)


def test_drawing_imports_nothing_heavy_until_it_is_used():
    program = (
        "import sys, minigrad.draw;"
        "print([name for name in ('graphviz', 'pygraphviz', 'matplotlib') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.stdout.strip() == "[]", found.stderr


def test_the_child_process_imports_neither_numpy_nor_minigrad():
    text = layout._CHILD.read_text()
    imports = [line.split()[1] for line in text.splitlines() if line.strip().startswith("import ")]
    assert sorted(imports) == ["pygraphviz", "sys"]
