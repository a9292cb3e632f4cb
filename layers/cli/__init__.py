"""The command line: `minigrad demo`, `train`, `sample`, `systems`, `run`, `draw`, `flow`.

On top of everything else in `layers`.
"""

from typing import TYPE_CHECKING

from layers.cli.entry import main

__all__ = ["main"]

from minigrad.moved import names_from

if not TYPE_CHECKING:  # it would hide misspelt names
    __getattr__ = names_from(__name__, "layers.cli.entry")
