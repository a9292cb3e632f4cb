"""What runs behind one expression: the files and functions that `(x * w).sum().backward()` enters.

    python -m tools.trace_expression

Its leaves stand already, and it runs once before it is traced, so that what is made at the first
call does not count. For each file of the engine: the functions that ran, and the lines of the whole
file; the goal is that someone can read all of it in one sitting.
"""

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import minigrad as mg
from tools.house import ROOT, code_lines

x = mg.Tensor(np.ones(3), requires_grad=True)
w = mg.Tensor(np.ones(3), requires_grad=True)


def expression() -> None:
    """What is traced."""
    (x * w).sum().backward()


def entered() -> dict[Path, set[str]]:
    """The functions of the package that the expression enters, by file."""
    found: dict[Path, set[str]] = {}

    def note(frame: FrameType, event: str, argument: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(ROOT) and path != Path(__file__).resolve():
            found.setdefault(path, set()).add(frame.f_code.co_qualname)

    sys.setprofile(note)
    try:
        expression()
    finally:
        sys.setprofile(None)
    return found


def main() -> None:
    """Print the table."""
    expression()
    files = entered()
    total = code = 0
    print(f"{'lines':>6} {'code':>6}  file: functions")
    for path, functions in sorted(files.items()):
        text = path.read_text(encoding="utf-8")
        count, own = text.count("\n"), code_lines(text)
        total, code = total + count, code + own
        print(f"{count:>6} {own:>6}  {path.relative_to(ROOT)}: {', '.join(sorted(functions))}")
    print(f"{total:>6} {code:>6}  {len(files)} files")


if __name__ == "__main__":
    main()
