"""Models' folders as they were before model.safetensors had the description of the model."""

import json
from pathlib import Path
from typing import Any

from safetensors.numpy import save_file

import minigrad as mg


def as_before(folder: Path, **changes: Any) -> None:
    """Leave the description of a saved model in config.json alone, and the weights unchecked.

    Args:
        folder: what `save` wrote.
        changes: of the description, by name; None takes one away.
    """
    content = json.loads((folder / "config.json").read_text())
    content = {n: v for n, v in {**content, **changes}.items() if v is not None}
    (folder / "config.json").write_text(json.dumps(content))
    weights = folder / "model.safetensors"
    save_file(mg.load(weights), weights, {"kind": content["kind"]})
