"""The architecture guard: what `tools/house.py` says of the folders is true of the code.

Every check is also run on a small tree with a fault planted in it, so that none of them can pass by
not looking.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from minigrad.moved import MOVED
from tests.docs.looking import leads_somewhere
from tools import house

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    *(page.relative_to(ROOT).as_posix() for page in sorted((ROOT / "docs").rglob("*.md"))),
)

# What the smallest lawful house holds; the tests write faults into it.
LAWFUL = {
    "minigrad/__init__.py": "from minigrad.ops import *\n__all__ = ['add']",
    "minigrad/moved.py": "",
    "minigrad/core/__init__.py": "",
    "minigrad/core/nodes.py": "import minigrad.moved",
    "minigrad/core/tensors.py": "from minigrad.core import nodes",
    "minigrad/ops/__init__.py": "from minigrad.ops.nn import *\nfrom minigrad.ops import nn",
    "minigrad/ops/arguments.py": "from minigrad.core.tensors import Tensor",
    "minigrad/ops/nn/__init__.py": "from minigrad.ops.nn.sums import *",
    "minigrad/ops/nn/sums.py": "from minigrad.ops.arguments import x\n__all__ = ['add']",
    "minigrad/draw/__init__.py": "from minigrad.draw.pictures import draw\n__all__ = ['draw']",
    "minigrad/draw/pictures.py": "from minigrad.draw.graph.records import Picture",
    "minigrad/draw/graph/__init__.py": "",
    "minigrad/draw/graph/records.py": "from minigrad.ops import add",
    "layers/__init__.py": "from layers.base import init\n__all__ = ['init']",
    "layers/base/__init__.py": "",
    "layers/base/init.py": "import minigrad as mg",
}


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.fixture
def tree(tmp_path):
    write(tmp_path, LAWFUL)
    return tmp_path


def faults(root):
    return {rule: found for rule, check in house.CHECKS.items() if (found := check(root))}


@pytest.mark.parametrize("rule", house.CHECKS)
def test_the_house_stands(rule):
    assert house.CHECKS[rule](ROOT) == []


def test_every_folder_says_what_it_is_for():
    packages = {path: text for path, text in house.sources(ROOT).items() if "__init__" in path}
    assert [path for path, text in packages.items() if not text.startswith('"""')] == []
    folders = {path.rpartition("/")[0] for path in house.sources(ROOT)}
    assert folders == {path.rpartition("/")[0] for path in packages}


def test_a_lawful_tree_has_no_faults(tree):
    assert faults(tree) == {}


@pytest.mark.parametrize(
    ("path", "text", "higher"),
    [
        ("minigrad/core/nodes", "from minigrad.ops.nn import sums", "minigrad/ops/nn/sums"),
        ("minigrad/core/nodes", "def f():\n import minigrad.ops", "minigrad/ops/__init__"),
        ("minigrad/core/nodes", "import minigrad", "minigrad/__init__"),
        ("minigrad/core/nodes", "import_module('minigrad.draw')", "minigrad/draw/__init__"),
        ("minigrad/core/nodes", "import_module('.draw', 'minigrad')", "minigrad/draw/__init__"),
        ("minigrad/core/nodes", "__import__('minigrad.draw')", "minigrad/draw/__init__"),
        ("minigrad/core/nodes", "from ..draw import pictures", "minigrad/draw/pictures"),
        ("minigrad/core/nodes", "if not TYPE_CHECKING:\n import layers", "layers/__init__"),
        ("minigrad/core/nodes", "if TYPE_CHECKING:\n 0\nelse:\n import layers", "layers/__init__"),
        ("minigrad/moved", "import minigrad.core.nodes", "minigrad/core/nodes"),
        ("minigrad/ops/arguments", "from minigrad.ops.nn.sums import x", "minigrad/ops/nn/sums"),
        ("minigrad/ops/nn/sums", "from minigrad.ops import add", "minigrad/ops/__init__"),
        ("minigrad/draw/graph/records", "import minigrad.draw.pictures", "minigrad/draw/pictures"),
        ("minigrad/draw/pictures", "import layers.base.init", "layers/base/init"),
        ("layers/base/init", "from layers import x", "layers/__init__"),
    ],
)
def test_an_import_of_something_higher_is_found(tree, path, text, higher):
    write(tree, {f"{path}.py": text})
    (line,) = house.upward_imports(tree)
    assert re.fullmatch(rf"{path}\.py:\d+ imports {higher}\.py", line)


@pytest.mark.parametrize(
    "text",
    [
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import layers",
        "import typing\nif typing.TYPE_CHECKING:\n    from minigrad.draw import pictures",
        "if not TYPE_CHECKING:\n    pass\nelse:\n    import layers",
        "'import layers'",
    ],
)
def test_what_only_a_type_checker_sees_may_look_up(tree, text):
    write(tree, {"minigrad/core/nodes.py": text})
    assert faults(tree) == {}


def test_a_circle_is_found_also_through_functions(tree):
    write(tree, {"minigrad/core/nodes.py": "def f():\n    from minigrad.core.tensors import T"})
    assert faults(tree) == {
        "no circles": ["minigrad/core/nodes.py <-> minigrad/core/tensors.py"],
    }


def test_a_long_circle_and_two_circles_are_told_apart(tree):
    after = {"a": "b", "b": "c", "c": "a", "d": "a", "x": "y", "y": "x"}
    write(tree, {f"layers/base/{n}.py": f"import layers.base.{m}" for n, m in after.items()})
    assert house.circles(tree) == [
        "layers/base/a.py <-> layers/base/b.py <-> layers/base/c.py",
        "layers/base/x.py <-> layers/base/y.py",
    ]


def test_a_folder_without_a_place_is_named(tree):
    write(tree, {"minigrad/attic/__init__.py": "import minigrad.core"})
    with pytest.raises(ValueError, match="minigrad holds attic, which has no place in its order"):
        house.upward_imports(tree)


def test_the_401st_line_is_found(tree):
    write(tree, {"layers/base/init.py": "\n" * 400})
    assert faults(tree) == {}
    write(tree, {"layers/base/init.py": "\n" * 401})
    assert house.long_files(tree) == ["layers/base/init.py has 401 lines"]


def test_the_16th_file_is_found(tree):
    write(tree, {f"layers/base/part{number}.py": "" for number in range(13)})
    assert faults(tree) == {}
    write(tree, {"layers/base/one_more.py": ""})
    assert house.crowded_folders(tree) == ["layers/base has 16 files"]


def test_the_budget_of_the_core_counts_code_alone(tree):
    idle = '"""What it is\nfor."""\n\n# why\n' * 50
    write(tree, {"minigrad/core/nodes.py": idle + "x = 1  # why\n" * 400})
    write(tree, {"minigrad/core/tensors.py": idle + "f(\n    x,\n)\n" * 100 + "x = 1\n" * 300})
    assert faults(tree).keys() <= {"at most 400 lines in a file"}
    write(tree, {"minigrad/core/modes.py": "x = 1"})
    assert house.core_over_budget(tree) == ["minigrad/core has 1001 lines of code"]


@pytest.mark.parametrize(
    ("path", "listed", "name"),
    [
        ("layers/init.py", "__all__ = ['init']", "init"),
        ("layers/scan/__init__.py", "__all__ = ('scan',)", "scan"),
        ("layers/scan.py", "__all__ = []\n__all__ += ['scan']", "scan"),
        ("layers/scan.py", "from layers.steps import *", "scan"),
        ("layers/scan.py", "from layers.steps import scan\n__all__ = ['scan']", "scan"),
    ],
)
def test_a_module_named_like_a_public_name_is_found(tree, path, listed, name):
    write(tree, {"layers/steps.py": "__all__ = ['scan']", "layers/__init__.py": listed, path: ""})
    assert house.name_clashes(tree) == [f"{path} is named like the public name {name} of layers"]


def test_a_module_may_be_a_public_name_itself(tree):
    write(tree, {"layers/base/__init__.py": "from layers.base import init\n__all__ = ['init']"})
    assert house.name_clashes(tree) == []


def test_the_command_prints_the_faults_and_counts_them(tree, monkeypatch, capsys):
    monkeypatch.setattr(house, "ROOT", tree)
    assert house.main() == 0
    write(tree, {"minigrad/core/nodes.py": "import layers.base"})
    assert house.main() == 1
    line = "imports go down: minigrad/core/nodes.py:1 imports layers/base/__init__.py\n"
    assert capsys.readouterr().out == line


MADE = ("squareplus", "layer_scale", "LayerScale")
"""What who follows the walk-throughs of CONTRIBUTING makes."""


def named(page, pattern):
    """What a page names that looks like the pattern, apart from what its reader makes."""
    found = set(re.findall(pattern, (ROOT / page).read_text("utf-8")))
    return {path for path in found if not any(made in path for made in MADE)}


@pytest.mark.parametrize("page", PAGES)
def test_every_dotted_path_on_a_page_leads_somewhere(page):
    paths = named(page, r"(?<![\w./-])((?:minigrad|layers)(?:\.[A-Za-z_]\w*)+)(?![\w/-])")
    assert [path for path in sorted(paths) if not leads_somewhere(path)] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_file_on_a_page_exists(page):
    paths = named(
        page, r"(?<![\w./-])((?:minigrad|layers|tests|tools|docs)/[\w./-]*\w/?)(?![\w<*{])"
    )
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_old_dotted_paths_give_the_very_module_with_a_warning():
    program = """
import importlib, json, sys, warnings
from minigrad.moved import MOVED
import minigrad, layers
wrong = []
for old, new in MOVED.items():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module = importlib.import_module(old)
    words = [str(one.message) for one in caught if one.category is DeprecationWarning]
    here = importlib.import_module(new)
    if module is not here and any(getattr(module, n) is not getattr(here, n) for n in here.__all__):
        wrong.append(f"{old} is not {new}")
    if not any(text.startswith(f"{old} is {new} now") for text in words):
        wrong.append(f"{old} is imported without a warning")
print(json.dumps(wrong))
"""
    run = [sys.executable, "-c", program]
    result = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == []
    assert len(MOVED) > 150


def test_names_of_modules_that_were_split_are_found_under_the_old_path():
    program = """
import warnings
warnings.simplefilter("ignore")
from minigrad.errors import MissingPackageError
from minigrad.mode import anomaly_mode, current_mode, no_grad, recording, scope, step
from minigrad.nodes import HookHandle, Node
from minigrad.ops.activations import relu, softmax
from layers.plots import plot_curves, plot_losses
import minigrad
assert no_grad is minigrad.no_grad and softmax is minigrad.softmax
print("all there")
"""
    run = [sys.executable, "-c", program]
    result = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "all there\n"
