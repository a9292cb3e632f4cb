"""Formulas as MathML, which browsers show by themselves: no script, no font, no network.

A renderer for Sphinx, `html_math_renderer = "mathml"`, on the package `latex2mathml`.
"""

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["as_mathml", "setup"]

_SAME: Final = {"aligned": "split", "gathered": "matrix"}  # the package has only the second
_ENVIRONMENT: Final = re.compile(r"(\\(?:begin|end)\{)(aligned|gathered)\}")


def as_mathml(formula: str, display: bool = False) -> str:
    """A formula in LaTeX as an element ``math``.

    Args:
        formula: without dollar signs.
        display: whether it stands on lines of its own. Lines that end with two backslashes, and
            places marked by an ampersand, are aligned.

    Raises:
        ValueError: for a command that it does not know.
        Exception: what `latex2mathml` raises when it cannot read the formula.
    """
    from latex2mathml.converter import convert

    if display and r"\\" in formula and r"\begin" not in formula:
        formula = rf"\begin{{split}}{formula}\end{{split}}"
    formula = _ENVIRONMENT.sub(lambda found: f"{found[1]}{_SAME[found[2]]}}}", formula)
    found = str(convert(formula.strip(), display="block" if display else "inline"))
    unknown = re.findall(r"\\[A-Za-z]+|>&<", found)
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)}")
    return found


def _write(visitor: Any, node: Any, display: bool) -> None:
    from docutils.nodes import SkipNode
    from sphinx.util import logging

    try:
        text = as_mathml(node.astext(), display)
    except Exception as error:
        reason = f"{type(error).__name__} {error}".strip()
        logging.getLogger(__name__).warning(
            "no MathML for %r: %s", node.astext(), reason, location=node
        )
        text = f"<code>{visitor.encode(node.astext())}</code>"
    if display:
        number = f'<span class="eqno">({node["number"]})</span>' if node.get("number") else ""
        text = visitor.starttag(node, "div", CLASS="math display") + number + text + "</div>\n"
    visitor.body.append(text)
    raise SkipNode


def setup(app: "Sphinx") -> dict[str, bool]:
    """Called by Sphinx, which names this module in its list of extensions."""
    app.add_html_math_renderer(
        "mathml",
        inline_renderers=(lambda visitor, node: _write(visitor, node, False), None),
        block_renderers=(lambda visitor, node: _write(visitor, node, True), None),
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
