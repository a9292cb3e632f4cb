"""The errors of drawing: all of them are `DrawError`, so that one `except` is enough."""

from minigrad.io.packages import MissingPackageError


class DrawError(Exception):
    """Base class of what can go wrong while a graph is turned into a picture."""


class GraphFormatError(DrawError, ValueError):
    """A graph record, or the JSON text of one, breaks the schema."""


class MissingGraphvizError(DrawError, MissingPackageError):
    """No Graphviz was found: neither the pygraphviz wheel, which bundles it, nor `dot` on PATH."""


class LayoutError(DrawError, RuntimeError):
    """Graphviz ran and failed; the message ends with what it printed."""


class LayoutTimeoutError(DrawError, TimeoutError):
    """Graphviz needed longer than the time limit and was stopped."""


class MissingGlyphWarning(UserWarning):
    """The fonts of this machine lack characters of a PNG or PDF; an SVG is not affected."""
