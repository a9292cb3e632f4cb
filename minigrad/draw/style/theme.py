"""Colours and fonts of the pictures, for light and for dark pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

ThemeName = Literal["light", "dark"]

# The first two are on most desktops, DejaVu and Noto on most Linux machines. Graphviz lays text
# out with the first font that is there, a browser draws an SVG with the first that it has.
FONT: Final = "Helvetica,Arial,Liberation Sans,DejaVu Sans,Noto Sans,sans-serif"


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of one theme, as `#rrggbb`.

    `ramp` is the part of the cividis scale in use, from the smallest gradient to the largest: the
    largest stands out from the background and the smallest sinks into it, yet stays visible.
    """

    name: ThemeName
    background: str
    text: str
    faint_text: str
    box: str
    box_line: str
    parameter: str
    parameter_line: str
    input: str
    input_line: str
    constant: str
    cluster: str
    cluster_line: str
    forward: str
    zero: str
    alarm: str
    ramp: tuple[float, float]


THEMES: Final[dict[str, Theme]] = {
    "light": Theme(
        name="light",
        background="#ffffff",
        text="#1b1f24",
        faint_text="#59636e",
        box="#f3f5f8",
        box_line="#aab3be",
        parameter="#fdf3d8",
        parameter_line="#c9a64a",
        input="#e3f0fb",
        input_line="#6fa3d0",
        constant="#ffffff",
        cluster="#fafbfc",
        cluster_line="#d5dbe1",
        forward="#b3bac3",
        zero="#8b949e",
        alarm="#d1242f",
        ramp=(0.86, 0.0),
    ),
    "dark": Theme(
        name="dark",
        background="#12161c",
        text="#e9edf2",
        faint_text="#9aa5b1",
        box="#1e252e",
        box_line="#4a5563",
        parameter="#3a3220",
        parameter_line="#a98f4b",
        input="#1b3145",
        input_line="#5486b0",
        constant="#12161c",
        cluster="#171c23",
        cluster_line="#333d49",
        forward="#46505c",
        zero="#7d8792",
        alarm="#ff7b72",
        ramp=(0.55, 1.0),
    ),
}


def theme_named(name: str) -> Theme:
    """Return a theme by name. Raises ValueError for a name that is not known."""
    if name not in THEMES:
        raise ValueError(f"theme must be one of {', '.join(THEMES)}; got {name!r}")
    return THEMES[name]
