"""The walk-throughs of CONTRIBUTING work: their code runs, and their tests pass."""

import re
import textwrap
from pathlib import Path

import layers
import minigrad as mg

PAGE = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text("utf-8")


def blocks():
    """The Python of the page, block by block."""
    found = re.findall(r"^ *```python\n(.*?)^ *```", PAGE, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for block in found]


def run(block):
    names = {"__name__": "CONTRIBUTING"}
    exec(compile(block, "CONTRIBUTING.md", "exec"), names)
    return names


def test_the_walk_throughs_can_be_followed(monkeypatch):
    operation, its_test, layer, its_parity = blocks()
    monkeypatch.setattr(mg, "squareplus", run(operation)["squareplus"], raising=False)
    run(its_test)["test_squareplus"]()
    made = run(layer)["LayerScale"]
    assert made(2, initial=0.5)([[1.0, 3.0]]).tolist() == [[0.5, 1.5]]
    monkeypatch.setattr(layers, "LayerScale", made, raising=False)
    run(its_parity)["test_layer_scale_is_the_product_with_a_diagonal_matrix"]()


def test_the_lines_of_the_operation_and_the_layer_are_formatted_as_ours_are():
    assert max(len(line) for block in blocks() for line in block.splitlines()) <= 100
