"""The packages without their sources, as some images and installers ship them: .pyc files alone."""

import compileall
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

SCRIPT = """
import sys
import numpy as np
import minigrad as mg
from layers.systems.run_all import CHILD
from minigrad.draw import draw
assert mg.__file__ == sys.argv[1] + "/minigrad/__init__.pyc"
x = mg.Tensor(np.ones(3), requires_grad=True)
draw((x * x).sum()).save(sys.argv[1] + "/drawing.svg")
print(CHILD)
"""


def test_pictures_are_drawn_and_systems_found(tmp_path):
    """The programs of child processes were looked for under names that end in .py."""
    for package in ("minigrad", "layers"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    assert compileall.compile_dir(tmp_path, quiet=1, legacy=True)
    for source in tmp_path.rglob("*.py"):
        source.unlink()
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], cwd=tmp_path, text=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "MINIGRAD_CACHE": "0"},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert (tmp_path / "drawing.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert found.stdout == f"{tmp_path}/layers/cli/__main__.pyc\n"
    assert (tmp_path / "layers" / "cli" / "__main__.pyc").is_file()
