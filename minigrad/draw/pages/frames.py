"""Interactive pages inside of other pages: the frame that a notebook shows."""

from __future__ import annotations

from html import escape
from typing import Final

__all__ = ["PageFrame"]

ALLOWED: Final = "allow-scripts allow-downloads"
"""What a page may do in its frame: run its own script, and export a picture."""


class PageFrame:
    """An interactive page as the value of a notebook's cell.

    The frame holds the whole page, so the notebook stays one file that works offline. The page
    cannot reach the notebook around it.

    Attributes:
        page: the HTML of the page.
        height: of the frame, in pixels.

    >>> PageFrame("<p>1 < 2</p>", 100)
    PageFrame(12 characters, 100 pixels)
    """

    def __init__(self, page: str, height: int) -> None:
        if height < 1:
            raise ValueError(f"height must be at least 1 pixel, got {height}")
        self.page, self.height = page, height

    def _repr_html_(self) -> str:
        return (
            f'<iframe title="interactive picture" sandbox="{ALLOWED}" loading="lazy" '
            f'style="width: 100%; height: {self.height}px; border: 0" '
            f'srcdoc="{escape(self.page)}"></iframe>'
        )

    def __repr__(self) -> str:
        return f"PageFrame({len(self.page)} characters, {self.height} pixels)"
