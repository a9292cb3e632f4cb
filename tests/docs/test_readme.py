"""The Python of README and pages, run from top to bottom as a reader would type it."""

import re
from pathlib import Path

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


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    names = run_all("README.md", tmp_path, monkeypatch)
    assert (tmp_path / "graph.svg").read_bytes().startswith(b"<?xml")
    assert "LSTMCell" in capsys.readouterr().out
    names["test_cube"]()


def test_the_python_of_the_training_page_runs(tmp_path, monkeypatch):
    names = run_all("docs/guides/training.md", tmp_path, monkeypatch)
    assert names["history"].resumed == 60
    assert abs(names["line"].linear.weight.item() - 3) < 0.05
    assert load(tmp_path / "my-model").config.cell == "gru"
