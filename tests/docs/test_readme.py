"""The README's Python, run from top to bottom as a reader would type it."""

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # it saves a picture
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.S)
    names = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    assert (tmp_path / "graph.svg").read_bytes().startswith(b"<?xml")
    assert "LSTMCell" in capsys.readouterr().out
    names["test_cube"]()
