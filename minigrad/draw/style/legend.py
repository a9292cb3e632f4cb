"""Legend and heading, as an HTML-like label: the same one fits a node, a cluster or a whole graph.

This is the one place that uses HTML-like labels. What users wrote (title, diagnosis) goes through
`escape.markup`, so it can only be text.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from minigrad.draw.style.escape import markup
from minigrad.draw.style.scale import Scale, hexadecimal
from minigrad.draw.style.theme import Theme

_CELL = 'BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0"'
_SAMPLE_WIDTH = 30
_GAP = '<TD FIXEDSIZE="TRUE" WIDTH="10" HEIGHT="1"></TD>'


def _bar(height: float, color: str) -> str:
    size = f'FIXEDSIZE="TRUE" WIDTH="{_SAMPLE_WIDTH}" HEIGHT="{max(1, round(height))}"'
    return f'<TD><TABLE {_CELL} {size}><TR><TD {size} BGCOLOR="{color}"></TD></TR></TABLE></TD>'


def _line(style: str, color: str) -> str:
    size = f'FIXEDSIZE="TRUE" WIDTH="{_SAMPLE_WIDTH}" HEIGHT="6"'
    return (
        f'<TD><TABLE {_CELL} {size}><TR><TD {size} BORDER="1" SIDES="B" '
        f'STYLE="{style}" COLOR="{color}"></TD></TR></TABLE></TD>'
    )


def _double(color: str) -> str:
    size = f'FIXEDSIZE="TRUE" WIDTH="{_SAMPLE_WIDTH}" HEIGHT="4"'
    return (
        f'<TD><TABLE {_CELL} {size}><TR><TD {size} BORDER="1" SIDES="TB" '
        f'COLOR="{color}"></TD></TR></TABLE></TD>'
    )


def _text(text: str, color: str) -> str:
    return f'<TD><FONT COLOR="{color}">&#160;{text}</FONT></TD>'


def _swatch(fill: str, line: str, style: str = "rounded") -> str:
    size = 'FIXEDSIZE="TRUE" WIDTH="18" HEIGHT="11"'
    border = f'STYLE="{style}" BORDER="1" COLOR="{line}" BGCOLOR="{fill}"'
    return f'<TD><TABLE {border} CELLBORDER="0" {size}><TR><TD></TD></TR></TABLE></TD>'


def legend_rows(
    theme: Theme,
    scale: Scale | None,
    pen_kinds: Collection[str],
    node_kinds: Collection[str],
    *,
    width: float = 0.0,
    times: Scale | None = None,
) -> list[str]:
    """Return the labels `<...>` that explain what occurs in a picture, one to three of them.

    Labels, not one of several rows: Graphviz would stretch the shorter row to the longer one.

    `scale` is None in a picture without gradients. `pen_kinds` are the kinds of pens in use and
    `node_kinds` the kinds of nodes whose colour needs a word. `width` in points makes the table so
    wide, with its content at the left. `times` is that of the boxes' colours, if they show times.
    """
    first: list[str] = []
    clock: list[str] = []
    if times is not None:
        clock.append(_text(times.quantity, theme.text))
        for sample in times.samples():
            color = hexadecimal(times.color(sample))
            clock += [
                _GAP,
                _swatch(color, color),
                _text(times.sample_text(sample), theme.faint_text),
            ]
    second = [_bar(1, theme.forward), _text("values, forward", theme.faint_text)]
    if scale is not None:
        # Where all is zero or not finite there is no colour or width to explain.
        known = not pen_kinds or not set(pen_kinds) <= {"zero", "nonfinite", "unknown"}
        first += [_text(scale.quantity, theme.text)] if known else []
        for norm in scale.samples() if known else []:
            pen = scale.pen(norm)
            first += [_GAP, _bar(pen.width, pen.color)]
            first.append(_text(scale.sample_text(norm), theme.faint_text))
        if "low" in pen_kinds or "high" in pen_kinds:
            second += [_GAP, _line("dashed", theme.text)]
            second.append(_text("beyond the scale", theme.faint_text))
        if "negative" in pen_kinds:
            second += [_GAP, _line("dashed", theme.text)]
            second.append(_text("negative: against the sum", theme.faint_text))
        if "zero" in pen_kinds:
            second += [_GAP, _line("dotted", theme.zero), _text("exactly 0", theme.faint_text)]
        if "nonfinite" in pen_kinds:
            second += [_GAP, _double(theme.alarm), _text("NaN or Inf", theme.faint_text)]
    swatches = {
        "parameter": _swatch(theme.parameter, theme.parameter_line),
        "input": _swatch(theme.input, theme.input_line),
        "constant": _swatch(theme.constant, theme.box_line, "dashed"),
        "elided": _swatch(theme.background, theme.box_line, "rounded,dashed"),
    }
    words = {"elided": "steps left out"}
    for kind, swatch in swatches.items():
        if kind in node_kinds:
            second += [_GAP, swatch, _text(words.get(kind, kind), theme.faint_text)]
    rows = [cells for cells in (clock, first, second) if cells]
    return [f"<{_outer(_row(_table(cells)), width)}>" for cells in rows]


def heading_markup(
    theme: Theme, title: str, lines: Sequence[str], title_size: int, size: int, width: float = 0.0
) -> str:
    """Return the label `<...>` with the title and the sentences below it, escaped, at the left."""
    rows = []
    if title:
        text = f"<B>{markup(title)}</B>"
        rows.append(_row(f'<FONT POINT-SIZE="{title_size}" COLOR="{theme.text}">{text}</FONT>'))
    rows += [
        _row(f'<FONT POINT-SIZE="{size}" COLOR="{theme.faint_text}">{markup(line, 400)}</FONT>')
        for line in lines
    ]
    return f"<{_outer(''.join(rows), width)}>"


def _row(content: str) -> str:
    return f'<TR><TD ALIGN="LEFT">{content}</TD></TR>'


def _table(cells: Sequence[str]) -> str:
    return (
        '<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="2" CELLPADDING="0">'
        f"<TR>{''.join(cells)}</TR></TABLE>"
    )


def _outer(rows: str, width: float) -> str:
    wide = f' WIDTH="{round(width)}"' if width else ""
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1"{wide}>{rows}</TABLE>'
