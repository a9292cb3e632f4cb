"""Any graph as DOT, one box a node, for Graphviz's `dot` to lay out.

Every edge is drawn twice: thin and grey for the values, and, where the gradient is known, with
width and colour for the gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from minigrad.draw.graph.records import Picture, PictureNode, PictureScope
from minigrad.draw.style import escape, labels
from minigrad.draw.style.legend import heading_markup, legend_rows
from minigrad.draw.style.scale import Scale, TimeScale
from minigrad.draw.style.theme import FONT, Theme, theme_named

if TYPE_CHECKING:
    import graphviz

_DEEPEST_CLUSTER: Final = 6
_TEXT_WIDTH: Final = 88

ClusterKey: TypeAlias = tuple[str, int | None]
"""The path of a scope and a time step, or None for all steps: what one frame is around."""


def graph_to_dot(
    graph: Picture, *, theme: str = "light", scale: Scale | None = None
) -> graphviz.Digraph:
    """Return the graph as a `graphviz.Digraph` without positions.

    Args:
        graph: what to draw.
        theme: `light` or `dark`.
        scale: domain of the gradient norms; None spans those of this graph.

    Raises ValueError for an unknown theme.
    """
    import graphviz

    colors = theme_named(theme)
    scale = labels.scale_of(graph, colors, scale)
    dot = graphviz.Digraph("minigrad")
    lines = [line for text in graph.diagnosis for line in labels.wrap(text, _TEXT_WIDTH)]
    heading = heading_markup(colors, escape.shorten(graph.title, 70), lines, 16, 12)
    dot.attr(
        "graph",
        bgcolor=colors.background,
        fontname=FONT,
        fontcolor=colors.text,
        fontsize="13",
        label=heading if graph.title or lines else "",
        labelloc="t",
        labeljust="l",
        nodesep="0.22",
        ranksep="0.34",
        pad="0.2",
    )
    dot.attr("node", label="\\N", fontname=FONT, fontsize="11", margin="0.11,0.05", height="0.3")
    dot.attr("edge", fontname=FONT, fontsize="9")

    picture = graphviz.Digraph("cluster_picture")
    times = labels.time_scale_of(graph, colors)
    _add_nodes(picture, graph, colors, times)
    pen_kinds = _add_edges(picture, graph, colors, scale)
    rows = legend_rows(
        colors,
        scale,
        pen_kinds,
        {node.kind for node in graph.nodes},
        times=times,
    )
    # One cluster around the other, for one row of the legend each.
    for number, row in enumerate(rows):
        picture.attr(
            label=row, labelloc="b", labeljust="l", fontsize="10", penwidth="0", margin="4"
        )
        picture.attr(style="", bgcolor=colors.background, tooltip="legend", id=f"legend{number}")
        frame = dot if number == len(rows) - 1 else graphviz.Digraph(f"cluster_legend{number}")
        frame.subgraph(picture)
        picture = frame
    return dot


def node_name(number: int) -> str:
    """Return the DOT id of a node; it contains no text of users."""
    return f"n{number}"


def node_style(node: PictureNode, colors: Theme, times: TimeScale | None = None) -> dict[str, str]:
    """Return shape, fill and line of a node by its kind, and by its time if that is shown."""
    style = {"shape": "box", "style": "rounded,filled", "fontcolor": colors.text}
    fill, line = colors.box, colors.box_line
    if node.kind == "parameter":
        style["style"], fill, line = "filled", colors.parameter, colors.parameter_line
    elif node.kind == "input":
        style["shape"], fill, line = "ellipse", colors.input, colors.input_line
        style["style"], style["margin"] = "filled", "0.02,0.02"
    elif node.kind == "constant":
        style["style"], fill = "filled,dashed", colors.constant
    elif node.kind == "elided":
        style["style"], fill = "rounded,filled,dashed", colors.background
    elif node.kind == "group":
        style["penwidth"] = "1.6"
    elif node.kind == "state":
        style["shape"], style["margin"] = "ellipse", "0.04,0.02"
    if times is not None and node.seconds is not None:
        fill, style["fontcolor"] = times.fill(node.seconds)
    if any(part is not None and not part.finite for part in (node.value, node.gradient)):
        style["peripheries"], line = "2", colors.alarm
    if node.fault:
        style["penwidth"], style["peripheries"], line = "2.4", "2", colors.alarm
    return {**style, "fillcolor": fill, "color": line}


def add_frame_node(
    dot: graphviz.Digraph, name: str, label: str, colors: Theme, place: dict[str, str]
) -> None:
    """Add heading or legend to a picture whose boxes have positions.

    Args:
        dot: where.
        name: `heading`, or `legend` with a number.
        label: HTML-like, from `minigrad.draw.style.legend`.
        colors: of the picture.
        place: from `minigrad.draw.render.geometry.placed`.
    """
    dot.node(
        name,
        **{"class": name.rstrip("012")},
        id=name,
        shape="none",
        label=label,
        tooltip=name,
        margin="0",
        fontsize="10",
        fontcolor=colors.text,
        **place,
    )


def node_lines(node: PictureNode) -> list[str]:
    """Return the lines of text in a node's box."""
    lines = [labels.title_of(node)]
    if node.kind == "elided":
        lines = [f"{node.count} x {labels.title_of(node)}", labels.steps_text(node)]
        lines.append(labels.range_text(node.lowest, node.highest))
    elif node.kind == "state" and node.step is not None:
        lines = [f"{labels.title_of(node)}, {labels.steps_text(node)}"]
    if node.kind in ("op", "group") and node.name and node.name != lines[0]:
        lines.append(node.name)
    if node.detail:
        lines.append(node.detail)
    lines += [labels.type_text(node.shape, node.dtype), labels.time_text(node)]
    if any(part is not None and not part.finite for part in (node.value, node.gradient)):
        what = "value" if node.value is not None and not node.value.finite else "gradient"
        lines.append(f"{what} holds NaN or Inf")
    if node.fault:
        lines.append(node.fault)
    return [line for line in lines if line]


def _add_nodes(
    picture: graphviz.Digraph, graph: Picture, colors: Theme, times: TimeScale | None
) -> None:
    """Add the nodes, each inside the clusters of its scope, without recursion over the scopes."""
    import graphviz

    scopes = {scope.path: scope for scope in graph.scopes}
    depths = _scope_depths(graph.scopes)
    steps = steps_within(graph)
    contents: dict[ClusterKey, graphviz.Digraph] = {("", None): picture}
    order: list[ClusterKey] = []

    def cluster(key: ClusterKey) -> graphviz.Digraph:
        """Return the cluster for `key`, creating those around it that are not there yet."""
        missing: list[ClusterKey] = []
        while key not in contents:
            missing.append(key)
            key = enclosing_cluster(key, scopes, steps)
        for index in range(len(missing) - 1, -1, -1):
            key = missing[index]
            order.append(key)
            contents[key] = graphviz.Digraph(f"cluster_{len(order)}")
            contents[key].attr(**_cluster_style(key, scopes, steps, colors))
        return contents[key]

    for node in graph.nodes:
        path = node.frame if node.frame in scopes else ""
        while path and depths[path] > _DEEPEST_CLUSTER:
            path = scopes[path].parent
        step = node.step if path and steps else None
        cluster((path, step)).node(
            node_name(node.id),
            label=escape.label_lines(node_lines(node)),
            tooltip=escape.tooltip(labels.node_tooltip(node)),
            id=node_name(node.id),
            **{"class": node.kind},
            **node_style(node, colors, times),
        )
    # The innermost clusters were made last; each goes into the one around it once it is full.
    for key in reversed(order):
        contents[enclosing_cluster(key, scopes, steps)].subgraph(contents[key])


def steps_within(graph: Picture) -> dict[str, set[int]]:
    """The time steps of the nodes directly in each scope; empty if there is only one step."""
    steps: dict[str, set[int]] = {}
    for node in graph.nodes:
        if node.step is not None:
            steps.setdefault(node.frame, set()).add(node.step)
    return steps if len(set().union(*steps.values())) > 1 else {}


def enclosing_cluster(
    key: ClusterKey, scopes: dict[str, PictureScope], steps: dict[str, set[int]]
) -> ClusterKey:
    """The cluster around a cluster: a gate at a step is inside its cell at that step."""
    path, step = key
    parent = scopes[path].parent
    if step is None:
        return (parent, None)
    return (parent, step) if parent and step in steps.get(parent, ()) else (path, None)


def _scope_depths(scopes: tuple[PictureScope, ...]) -> dict[str, int]:
    parents = {scope.path: scope.parent for scope in scopes}
    depths = {"": 0}
    for start in parents:
        trail = []
        path = start
        while path not in depths:
            trail.append(path)
            path = parents[path]
        for below in reversed(trail):
            depths[below] = depths[parents[below]] + 1
    return depths


def _cluster_style(
    key: ClusterKey, scopes: dict[str, PictureScope], steps: dict[str, set[int]], colors: Theme
) -> dict[str, str]:
    path, step = key
    by_step = step is not None and enclosing_cluster(key, scopes, steps) == (path, None)
    parent = scopes[path].parent
    own = path.removeprefix(f"{parent}.") if parent else path
    text = f"t = {step}" if by_step else labels.scope_title(own, scopes[path].name)
    return {
        # As much blank as text, so that arrows into the middle of the cluster pass beside it.
        "label": escape.label(text, 60) + "\u00a0" * round(1.7 * min(len(text), 30)),
        "tooltip": escape.tooltip([text]),
        "labelloc": "t",
        "labeljust": "l",
        "fontsize": "10",
        "fontcolor": colors.faint_text,
        "style": "rounded,filled",
        "fillcolor": colors.cluster,
        "color": colors.cluster_line,
        "penwidth": "1",
    }


def _add_edges(
    picture: graphviz.Digraph, graph: Picture, colors: Theme, scale: Scale | None
) -> set[str]:
    """Add forward and gradient edges; return the kinds of pens in use."""
    nodes = {node.id: node for node in graph.nodes}
    pen_kinds: set[str] = set()
    for number, edge in enumerate(graph.edges):
        tip = escape.tooltip(labels.edge_tooltip(edge, nodes))
        ends = node_name(edge.source), node_name(edge.target)
        shared = {"tooltip": tip, "labeltooltip": tip}
        onward = {}
        if edge.kind == "rolled":
            # Else the layout would reverse it, and merge it with the edges within a step.
            shared["constraint"] = "false"
            if scale is None or edge.contribution is None:
                # Without a gradient beside it, the arrow itself says where it leads.
                onward = {"label": labels.onward_text(edge), "fontcolor": colors.faint_text}
        picture.edge(
            *ends,
            id=f"f{number}",
            **{"class": "forward"},
            color=colors.forward,
            penwidth="0.8",
            arrowsize="0.5",
            style="dashed" if edge.kind == "elided" else "solid",
            **shared,
            **onward,
        )
        if scale is None or edge.contribution is None:
            continue
        pen = scale.pen(labels.edge_measure(edge, scale))
        pen_kinds.add(pen.kind)
        # Labels start at the line's centre, so a thick line needs room in front of them.
        room = "\u00a0" * (1 + round(pen.width / 2))
        texts = [room + text for text in labels.gradient_text(edge, pen.text).split("\n")]
        picture.edge(
            *ends,
            id=f"g{number}",
            **{"class": f"gradient {pen.kind}"},
            # Drawn from source to target with the head at the source, so that the order of the
            # boxes stays that of the forward pass.
            dir="back",
            color=pen.color,
            penwidth=f"{pen.width:g}",
            style=pen.style,
            arrowsize="0.7",
            label=texts[0] if len(texts) == 1 else escape.label_lines(texts, justify="l"),
            fontcolor=colors.alarm if pen.kind == "nonfinite" else colors.text,
            **shared,
        )
    return pen_kinds
