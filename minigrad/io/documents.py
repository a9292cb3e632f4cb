"""JSON that every reader takes: of files that may come from strangers, and for others to read."""

import math
from typing import Any, Final

__all__ = ["LONGEST", "check_length", "parse", "spell"]

LONGEST: Final = 2**23
"""The most JSON that a file of arrays may have, in bytes; parsed, it takes up to 30 times as much.

It is that of the names, sizes, texts and checksums of some 50,000 tensors.
"""


def check_length(what: str, length: int) -> None:
    """Refuse JSON that would take memory out of proportion, before it is read.

    Raises:
        ValueError: when it has more than `LONGEST` bytes; begins with `what`.
    """
    if length > LONGEST:
        raise ValueError(f"{what} has {length:,} bytes, and {LONGEST:,} are the most that is read")


def parse(text: str | bytes, source: str) -> Any:
    """What a JSON text says.

    Stricter than `json.loads`: no name may stand twice in an object, since readers would differ in
    which they take, and numbers must be numbers.

    Args:
        text: as text, or in UTF-8.
        source: where it comes from, for messages.

    Raises:
        ValueError: when it is no such text, or nested too deeply.
    """
    import json  # here, because it would slow the import of the package

    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError(f"{source} is damaged: it is nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"{source} is damaged: {error}") from error


def spell(value: Any, **layout: Any) -> str:
    """A JSON text of plain values; infinities and NaN, which JSON does not have, are null there.

    >>> spell({"validation": float("inf"), "step": 3})
    '{"validation": null, "step": 3}'
    """
    import json

    return json.dumps(_numbers_of(value), allow_nan=False, **layout)


def _numbers_of(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _numbers_of(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_numbers_of(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"it has {name!r:.80} twice")
        found[name] = value
    return found


def _no_number(name: str) -> Any:
    raise ValueError(f"it has {name}, which is no number")
