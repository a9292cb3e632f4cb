"""Interactive pages: one HTML file that needs no network.

May import the folders of `minigrad.draw` up to `render`.
"""

from minigrad.draw.pages.film_data import norms_for_each
from minigrad.draw.pages.film_strip import few_places, strip
from minigrad.draw.pages.frames import PageFrame
from minigrad.draw.pages.html import PagePicture, page
from minigrad.draw.pages.page_measures import interaction_of

__all__ = [
    "PageFrame",
    "PagePicture",
    "few_places",
    "interaction_of",
    "norms_for_each",
    "page",
    "strip",
]
