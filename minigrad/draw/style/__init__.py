"""The look of boxes and arrows: colours, widths, texts, legends.

May import `graph`.
"""

from minigrad.draw.style.labels import common_scale, scale_of
from minigrad.draw.style.legend import heading_markup, legend_rows
from minigrad.draw.style.scale import Pen, Scale, ShareScale, number_text
from minigrad.draw.style.theme import THEMES, Theme, theme_named

__all__ = [
    "Pen",
    "Scale",
    "ShareScale",
    "THEMES",
    "Theme",
    "common_scale",
    "heading_markup",
    "legend_rows",
    "number_text",
    "scale_of",
    "theme_named",
]
