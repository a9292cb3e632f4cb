"""DOT text to SVG, PNG or PDF, in a child process that is stopped when it takes too long."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Final, Literal

from minigrad.draw.graph.errors import (
    LayoutError,
    LayoutTimeoutError,
    MissingGlyphWarning,
    MissingGraphvizError,
)
from minigrad.draw.render.progress_note import ProgressNote

Engine = Literal["dot", "nop2"]
Format = Literal["svg", "png", "pdf"]

FORMATS: Final = ("svg", "png", "pdf")
DEFAULT_TIME_LIMIT: Final = 60.0

_DATE: Final = re.compile(rb"/CreationDate \(D:[^()]*\)")
# Where packages are installed without sources, it ends in .pyc, which Python runs as well.
_CHILD: Final = Path(__file__).with_stem("render_child")
_warned_scripts: set[str] = set()


def has_bundled_graphviz() -> bool:
    """Return whether a pygraphviz is installed whose wheel bundles Graphviz (2.0 or later)."""
    if importlib.util.find_spec("pygraphviz") is None:
        return False
    try:
        version = importlib.metadata.version("pygraphviz")
    except importlib.metadata.PackageNotFoundError:
        return True
    major = version.partition(".")[0]
    return not major.isdigit() or int(major) >= 2


def graphviz_command(engine: Engine, picture_format: Format) -> list[str]:
    """Return the command that reads DOT and writes a picture.

    Raises MissingGraphvizError when neither pygraphviz nor `dot` on PATH is there.
    """
    if has_bundled_graphviz() and sys.executable:
        # -P keeps this package's directory off sys.path: its modules must not shadow others.
        return [sys.executable, "-P", str(_CHILD), engine, picture_format]
    dot = shutil.which("dot")
    if dot is None:
        raise MissingGraphvizError(
            "Graphviz, which lays the picture out, was found neither as the Python package "
            "pygraphviz nor as `dot` on PATH. Fix: python -m pip install pygraphviz (no "
            "system package needed). Its text is there without: drawing.dot.source"
        )
    return [dot, f"-K{engine}", f"-T{picture_format}"]


def render_dot(
    source: str,
    picture_format: Format,
    *,
    engine: Engine = "dot",
    time_limit: float = DEFAULT_TIME_LIMIT,
    dpi: int = 96,
) -> bytes:
    """Return the picture of DOT text `source` as bytes of an SVG, PNG or PDF file.

    Args:
        source: DOT text, with positions if the engine is `nop2`.
        picture_format: `svg`, `png` or `pdf`.
        engine: `dot` computes a layout, `nop2` draws the positions that the text gives.
        time_limit: seconds that the layout may take.
        dpi: pixels per inch of a PNG.

    Raises:
        ValueError: the format, the time limit or the resolution is not valid.
        MissingGraphvizError: there is no Graphviz.
        LayoutTimeoutError: the layout took longer than `time_limit`.
        LayoutError: Graphviz failed.
    """
    if picture_format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}; got {picture_format!r}")
    if not time_limit > 0:
        raise ValueError(f"time_limit must be a positive number of seconds; got {time_limit!r}")
    if picture_format == "png" and not 10 <= dpi <= 2400:
        raise ValueError(f"dpi must be from 10 to 2400; got {dpi!r}")
    command = graphviz_command(engine, picture_format)
    if picture_format == "png":
        command.append(f"-Gdpi={dpi:d}")
    what = f"minigrad: Graphviz draws {source.count('->'):,} arrows"
    try:
        with ProgressNote(what):
            finished = subprocess.run(
                command, input=source.encode("utf-8"), capture_output=True, timeout=time_limit
            )
    except subprocess.TimeoutExpired:
        raise LayoutTimeoutError(
            f"Graphviz did not finish a picture of {source.count('->'):,} edges within "
            f"time_limit={time_limit:g} seconds. Draw less of it (a coarser level, fewer steps) "
            "or allow more time"
        ) from None
    except OSError as error:
        raise LayoutError(f"Graphviz could not be started: {command[0]}: {error}") from error
    if finished.returncode != 0 or not finished.stdout:
        printed = finished.stderr.decode("utf-8", "replace").strip()[-2000:]
        raise LayoutError(
            f"Graphviz failed with exit status {finished.returncode} on a {picture_format}: "
            f"{printed or 'it printed nothing'}"
        )
    if picture_format != "svg":
        _warn_of_missing_glyphs(source)
    return _undated(finished.stdout) if picture_format == "pdf" else finished.stdout


def _undated(pdf: bytes) -> bytes:
    """A PDF file without the time when it was made, so that equal pictures are equal files.

    Spaces take the place of the entry, because the file has a table of where its parts begin.
    """
    return _DATE.sub(lambda found: b" " * len(found[0]), pdf)


# One character of each writing system that the usual Latin fonts lack.
_SCRIPTS: Final = (
    ("Hangul", 0xAC00, 0xD7A3),
    ("Japanese kana", 0x3040, 0x30FF),
    ("Chinese", 0x4E00, 0x9FFF),
    ("Arabic", 0x0600, 0x06FF),
    ("Hebrew", 0x0590, 0x05FF),
    ("Devanagari", 0x0900, 0x097F),
    ("Thai", 0x0E00, 0x0E7F),
)


def _warn_of_missing_glyphs(source: str) -> None:
    """Warn, once for each writing system, if fontconfig knows no font for it."""
    if source.isascii():
        return
    lister = shutil.which("fc-list")
    if lister is None:
        return
    for name, first, last in _SCRIPTS:
        found = next((char for char in source if first <= ord(char) <= last), None)
        if found is None or name in _warned_scripts:
            continue
        try:
            fonts = subprocess.run(
                [lister, f":charset={ord(found):x}", "family"], capture_output=True, timeout=10
            )
        except (OSError, subprocess.TimeoutExpired):
            return
        if fonts.returncode == 0 and not fonts.stdout.strip():
            _warned_scripts.add(name)
            warnings.warn(
                f"no font on this machine has {name} characters, so the PNG or PDF shows boxes "
                "in their place; save an SVG, or install such a font (Noto has all of them)",
                MissingGlyphWarning,
                stacklevel=2,
            )
