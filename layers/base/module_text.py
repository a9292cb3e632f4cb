"""How modules are shown: one line each, with the arguments that they were made with."""

import inspect
import math
from collections.abc import Mapping
from typing import Any

__all__ = ["constructor_arguments", "tree"]


def constructor_arguments(module: Any) -> str:
    """The constructor's arguments that were kept in attributes, but for those left at a default.

    A `bias=True` whose attribute became a parameter counts as left alone, and as False where the
    attribute is None.
    """
    shown: dict[str, str] = {}
    for kind in type(module).__mro__:
        if "__init__" not in kind.__dict__ or kind is object:
            continue
        for argument in list(inspect.signature(kind.__dict__["__init__"]).parameters.values())[1:]:
            name, default = argument.name, argument.default
            if argument.kind in (argument.VAR_KEYWORD, argument.VAR_POSITIONAL) or name in shown:
                continue
            missing = object()
            value = getattr(module, name, missing)
            if isinstance(default, bool) and value is None:
                value = False
            plain = value is None or isinstance(value, (bool, int, float, str, tuple))
            if value is not missing and plain and not _same(value, default):
                shown[name] = f"{name}={value!r}"
    return ", ".join(shown.values())


def _same(value: Any, default: Any) -> bool:
    """Whether a value is the default, or the default repeated, as zoneout is for each state."""
    if isinstance(value, tuple) and not isinstance(default, tuple):
        return bool(value) and all(part == default for part in value)
    if isinstance(value, float) and isinstance(default, float) and math.isnan(value):
        return math.isnan(default)
    return bool(value == default) and (value is None) == (default is None)


def tree(kind: str, arguments: str, parts: Mapping[str, Any]) -> str:
    """A module in one line, and its parts below; neighbours that look the same once.

    >>> print(tree("Stack", "", {"0": "Block(2)", "1": "Block(2)", "end": "Block(3)"}))
    Stack(
      (0-1): 2 x 'Block(2)'
      (end): 'Block(3)'
    )
    """
    if not parts:
        return f"{kind}({arguments})"
    rows: list[list[Any]] = []  # first name, last name, how many, text
    for name, part in parts.items():
        text = repr(part)
        alike = rows and rows[-1][3] == text and name.isdigit() and rows[-1][1].isdigit()
        if alike and int(name) == int(rows[-1][1]) + 1:
            rows[-1][1:3] = name, rows[-1][2] + 1
        else:
            rows.append([name, name, 1, text])
    lines = [f"{kind}({arguments}"]
    for first, last, count, text in rows:
        text = text.replace("\n", "\n  ")
        lines.append(
            f"  ({first}): {text}" if count == 1 else f"  ({first}-{last}): {count} x {text}"
        )
    return "\n".join([*lines, ")"])
