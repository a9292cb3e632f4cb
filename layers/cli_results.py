"""What `minigrad train` and `minigrad sample` tell, and where they write."""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from layers.cli_runs import tell_resuming
from layers.training import History
from minigrad.errors import MissingPackageError

__all__ = ["PICTURES", "digest", "inform", "outcome", "save_picture", "tell"]

PICTURES: Final = (".png", ".svg", ".pdf")
"""Suffixes of pictures that are drawn with matplotlib."""


def outcome(options: argparse.Namespace, history: History, measure: str) -> dict[str, Any]:
    """What is told of a run."""
    if history.interrupted:
        inform(options, "\nInterrupted: keeping the model as it is; --resume goes on.")
        tell_resuming(options)
    elif history.resumed == history.step:
        inform(options, "The run is at its end already: pass more --steps, or more --seconds.")
    best = history.best
    return {
        "steps": history.step,
        "seconds": round(history.seconds, 1),
        "resumed_at": history.resumed or None,
        "stopped": history.stopped,
        measure: best[1] if best else None,
        "best_step": best[0] if best else None,
    }


def digest(data: bytes) -> str:
    """A short name of data, so that a run is not resumed with others."""
    return hashlib.sha256(data).hexdigest()[:16]


def inform(options: argparse.Namespace, text: str) -> None:
    """Tell something on the way, unless the output is JSON."""
    if not options.json:
        print(text, flush=True)


def tell(options: argparse.Namespace, model: Any, **found: Any) -> None:
    """Print a result as JSON."""
    print(json.dumps({"model": model.KIND, "prompt": options.prompt, **found}))


def save_picture(options: argparse.Namespace, out: Path, draw: Callable[[], object]) -> None:
    """Write a picture; where matplotlib is missing, say so and go on."""
    try:
        draw()
    except MissingPackageError as error:
        print(f"{out} was not written: {error}", file=sys.stderr)
        return
    if not options.json:
        print(f"written to {out}")
