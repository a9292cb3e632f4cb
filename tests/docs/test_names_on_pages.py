"""The names that guides mention exist, and what is said of PyTorch is what PyTorch says."""

import json
import re
from pathlib import Path

import pytest

from tests.docs.looking import leads_somewhere

ROOT = Path(__file__).parents[2]
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
FROM_PYTORCH = ROOT / "docs" / "guides" / "from-pytorch.md"
SHORT = {"mg": "minigrad", "optim": "minigrad.optim", "draw": "minigrad.draw", "np": "numpy"}
NAME = re.compile(r"`((?:minigrad|layers|mg|optim|draw|np)(?:\.\w+)+)[(`]")


def exists(name):
    """Whether a name as guides write it leads somewhere."""
    first, _, rest = name.partition(".")
    return leads_somewhere(f"{SHORT.get(first, first)}.{rest}")


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_every_name_in_the_text_of_a_guide_exists(page):
    text = re.sub(r"^(`{3,}).*?^\1", "", page.read_text("utf-8"), flags=re.S | re.M)
    assert [name for name in NAME.findall(text) if not exists(name)] == []


def test_every_name_of_pytorch_is_one_that_pytorch_has():
    known = json.loads((ROOT / "tests" / "fixtures" / "from_pytorch.json").read_text("utf-8"))
    names = set(re.findall(r"`(torch(?:\.\w+)+)`", FROM_PYTORCH.read_text("utf-8")))
    assert len(names) > 100
    assert names <= set(known["names"])


def test_the_numbers_on_the_page_are_those_of_pytorch():
    known = json.loads((ROOT / "tests" / "fixtures" / "from_pytorch.json").read_text("utf-8"))
    numbers = [f"{number:.5f}" for number in known["example"].values()]
    assert f"({', '.join(numbers)})" in FROM_PYTORCH.read_text("utf-8")  # as the example prints
    assert "{}, {} and {} there".format(*numbers) in FROM_PYTORCH.read_text("utf-8")


def test_classes_have_the_names_that_they_have_in_pytorch():
    for line in FROM_PYTORCH.read_text("utf-8").splitlines():
        cells = [re.findall(r"`([\w.]+)`", cell) for cell in line.split("|")[1:3]]
        if len(cells) == 2 and cells[1] and all(n.startswith("torch.nn.") for n in cells[0]):
            theirs, ours = ({name.split(".")[-1] for name in cell} for cell in cells)
            if all(name.startswith("layers.") for name in cells[1]):
                assert theirs == ours
