"""The Python of README and pages, run from top to bottom as a reader would type it."""

import re
from pathlib import Path

import pytest

from layers.models import load

ROOT = Path(__file__).parents[2]


def run_all(page, folder, monkeypatch):
    """The names that the page's blocks of Python leave behind."""
    monkeypatch.chdir(folder)  # they write files
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.S)
    names = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    return names


def outline(path):
    """The elements of a picture and its words; numbers may differ in their last digits."""
    text = path.read_text("utf-8")
    words = re.findall(r"<text[^>]*>([^<]*)</text>", text)
    return re.findall(r"<(\w+)", text), [re.sub(r"[-\d.e+]+", "#", word) for word in words]


def test_the_python_of_the_readme_runs_and_makes_its_pictures(tmp_path, monkeypatch, capsys):
    names = run_all("README.md", tmp_path, monkeypatch)
    assert "LSTMCell" in capsys.readouterr().out
    names["test_cube"]()
    made = sorted(path.name for path in tmp_path.glob("*.svg"))
    assert made == sorted(path.name for path in (ROOT / "docs" / "pictures").iterdir())
    for name in made:
        committed = outline(ROOT / "docs" / "pictures" / name)
        assert outline(tmp_path / name) == committed, "run the README's code in docs/pictures"


def test_the_ten_lines_are_ten():
    block = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)[0]
    code = [line for line in block.splitlines() if line.strip()]
    assert len(code) == 10


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_link_leads_to_a_file(page):
    text = (ROOT / page).read_text("utf-8")
    links = re.findall(r"\]\(([^)#:]+)\)|(?:src|srcset)=\"([^\"]+)\"", text)
    assert [link for pair in links for link in pair if link and not (ROOT / link).exists()] == []


def test_the_python_of_the_training_page_runs(tmp_path, monkeypatch):
    names = run_all("docs/guides/training.md", tmp_path, monkeypatch)
    assert names["history"].resumed == 60
    assert abs(names["line"].linear.weight.item() - 3) < 0.05
    assert load(tmp_path / "my-model").config.cell == "gru"
