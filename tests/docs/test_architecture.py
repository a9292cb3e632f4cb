"""The picture of the house shows the imports that are there, and shows faults in red."""

import re
from pathlib import Path

import pytest

from minigrad.draw.style.theme import theme_named
from tools.architecture import described, file_architecture, folder_architecture, reduced, svg

DOCS = Path(__file__).parents[2] / "docs" / "explanation"


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.fixture
def tree(tmp_path):
    """Three folders, one above the other; the highest imports both others."""
    write(
        tmp_path,
        {
            "minigrad/core/nodes.py": "x = 1",
            "minigrad/ops/nn/sums.py": "from minigrad.core import nodes",
            "minigrad/debug/replay.py": "import minigrad.core.nodes, minigrad.ops.nn.sums",
            "layers/base/module.py": "import minigrad.debug.replay",
        },
    )
    return tmp_path


def lines(picture):
    """The colours of the arrows, by the words of their tooltips."""
    found = re.findall(r'<g id="f\d+" class="edge forward">(.*?)</g>\n</g>', picture, re.DOTALL)
    ends = (re.search(r'xlink:title="([^"]*)"', arrow)[1] for arrow in found)
    colors = (re.search(r'stroke="([^"]*)"', arrow)[1] for arrow in found)
    return dict(zip((text.replace("&#45;&gt;", "->") for text in ends), colors, strict=True))


@pytest.mark.parametrize("name", ["architecture.svg", "architecture-dark.svg"])
def test_the_committed_picture_shows_the_real_imports(name):
    committed = described((DOCS / name).read_text("utf-8"))
    assert committed == folder_architecture().text(), (
        "run: python -m tools.architecture docs/explanation"
    )


def test_an_arrow_that_follows_from_others_is_left_out(tree):
    assert folder_architecture(tree).arrows == [
        ("layers/base", "minigrad/debug"),
        ("minigrad/debug", "minigrad/ops/nn"),
        ("minigrad/ops/nn", "minigrad/core"),
    ]


def test_reducing_keeps_what_can_be_reached():
    arrows = {("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("a", "d"), ("d", "e"), ("a", "e")}
    assert reduced(arrows) == arrows - {("a", "d"), ("a", "e")}
    assert reduced(set()) == set()


def test_files_and_public_names_of_a_folder_with_an_order_have_boxes(tree):
    write(tree, {"minigrad/__init__.py": "import minigrad.core.nodes"})
    write(tree, {"minigrad/core/nodes.py": "import minigrad.moved", "minigrad/moved.py": ""})
    arrows = folder_architecture(tree).arrows
    assert ("minigrad/__init__.py", "minigrad/core") in arrows
    assert ("minigrad/core", "minigrad/*.py") in arrows


def test_a_fault_is_red_and_named_in_its_box(tree):
    write(tree, {"minigrad/core/nodes.py": "import minigrad.debug.replay"})
    architecture = folder_architecture(tree)
    assert architecture.faults == {("minigrad/core", "minigrad/debug")}
    picture = svg(architecture)
    colors, theme = lines(picture), theme_named("light")
    assert colors.pop("core -> debug") == theme.alarm
    assert set(colors.values()) == {theme.faint_text}
    assert "imports minigrad/debug" in re.sub("&#160;", " ", picture)
    assert "fault: minigrad/core -> minigrad/debug" in described(picture).splitlines()


def test_lower_folders_are_drawn_below(tree):
    picture = svg(folder_architecture(tree))
    found = re.findall(r'<text[^>]* y="([-\d.]+)"[^>]*>([^<]+)</text>', picture)
    heights = {name: float(y) for y, name in found}
    order = ["core", "nn", "debug", "base"]
    assert sorted(order, key=heights.get, reverse=True) == order


def test_no_word_of_computation_graphs_is_left(tree):
    picture = svg(folder_architecture(tree), "dark")
    assert "imports" in picture
    assert not re.search("forward<|slot", picture)


def test_files_of_a_folder_with_a_circle(tree):
    write(tree, {"minigrad/core/nodes.py": "import minigrad.core.tape"})
    write(tree, {"minigrad/core/tape.py": "import minigrad.core.nodes, minigrad.core.modes"})
    write(tree, {"minigrad/core/modes.py": ""})
    architecture = file_architecture("minigrad/core/", tree)
    nodes, tape, modes = (f"minigrad/core/{name}.py" for name in ("nodes", "tape", "modes"))
    assert architecture.faults == {(nodes, tape), (tape, nodes)}
    assert architecture.arrows == [(nodes, tape), (tape, modes), (tape, nodes)]


def test_a_folder_without_imports_is_refused(tree):
    with pytest.raises(ValueError, match="folder='minigrad/optim' holds no files that import"):
        file_architecture("minigrad/optim", tree)
