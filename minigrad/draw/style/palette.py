"""Colours and dashes of curves, by number."""

from __future__ import annotations

from typing import Final

__all__ = ["DASHES", "curve_colors"]

# Okabe and Ito's palette, distinct with any colour vision; yellow is too pale on white, and blue
# and green are lifted where they would sink into a dark page.
_COLORS: Final[dict[str, tuple[str, ...]]] = {
    "light": ("#0072b2", "#d55e00", "#009e73", "#b5538f", "#56b4e9", "#c98300"),
    "dark": ("#56b4e9", "#f08533", "#2fc79a", "#dd92bd", "#8fc7f0", "#e69f00"),
}

DASHES: Final = ("none", "7 3", "2 3", "9 3 2 3")


def curve_colors(theme: str) -> tuple[str, ...]:
    """The colours of curves in a theme."""
    return _COLORS[theme]
