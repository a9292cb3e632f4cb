"""Building the site with Sphinx, in a process of its own."""

import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

__all__ = ["ROOT", "build", "cache_folder"]

ROOT: Final = Path(__file__).resolve().parents[2]


def cache_folder() -> Path:
    """Where the results of notebooks are kept, for exactly the code that they ran on.

    The cache itself knows a notebook by its text alone; a result from before a change of the
    packages, of their data or scripts, of Python or NumPy would be shown as if it still came out.
    """
    seen = hashlib.sha256(f"{sys.version} {importlib.metadata.version('numpy')}".encode())
    for package in ("minigrad", "layers"):
        for path in sorted((ROOT / package).rglob("*")):
            if not path.is_file() or path.suffix == ".pyc":
                continue
            seen.update(path.relative_to(ROOT).as_posix().encode())
            seen.update(path.read_bytes())
    return ROOT / "site" / "cache" / seen.hexdigest()[:16]


def ipython_folder() -> Path:
    """Settings of the kernels that run notebooks, in the place of those of whoever builds."""
    folder = ROOT / "site" / "ipython"
    settings = {"IPKernelApp": {"log_level": "ERROR"}}
    path = folder / "profile_default" / "ipython_kernel_config.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings), encoding="utf-8")
    return folder


def build(out: Path, *, execute: bool = True, fresh: bool = False, language: str = "en") -> int:
    """Build the pages into a folder; every warning is an error, unless notebooks do not run.

    All languages share the results of notebooks: a lesson runs once.

    Args:
        out: the folder. Pages in another language than English go into a folder of it, `ko`.
        execute: whether notebooks run; without, they show no results.
        fresh: whether to read all pages again, also those that did not change.
        language: of the pages.

    Returns:
        Sphinx's exit code.
    """
    english = language == "en"
    # Beside the pages the results of cells are written, which are no part of the site.
    folder = out if english else ROOT / "site" / "editions" / language
    environment = {
        **os.environ,
        "MINIGRAD_DOCS_EXECUTION": "cache" if execute else "off",
        "MINIGRAD_DOCS_LANGUAGE": language,
        "IPYTHONDIR": str(ipython_folder()),
        # One thread: what a cell prints then depends less on the machine.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    # A notebook that did not run does not say in which language it is written.
    strict = ["-W", "--keep-going"] if execute else []
    command = [sys.executable, "-m", "sphinx", *strict, "-q", "-b", "html"]
    doctrees = ROOT / "site" / ("doctrees" if english else f"doctrees-{language}")
    command += ["-d", str(doctrees), *(["-E", "-a"] if fresh else [])]
    code = subprocess.run([*command, "docs", str(folder)], cwd=ROOT, env=environment).returncode
    if not english and code == 0:
        shutil.rmtree(out / language, ignore_errors=True)
        shutil.copytree(folder, out / language)
    return code
