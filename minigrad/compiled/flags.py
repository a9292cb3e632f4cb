"""What the status of a program tells of its last call, as bits."""

from typing import Final

__all__ = ["DIVISION", "INVALID", "OVERFLOW"]

INVALID: Final = 1
DIVISION: Final = 2
OVERFLOW: Final = 4
