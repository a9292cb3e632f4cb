"""A picture of the house, from the imports that are really there.

    python -m tools.architecture docs/explanation
    python -m tools.architecture docs/explanation --files minigrad/core

The first writes `architecture.svg` and `architecture-dark.svg` into a folder: a box for
each folder of `minigrad` and `layers`, an arrow to each that it imports. The second draws the files
of one folder, as `architecture-minigrad-core.svg`. Arrows against the order of `tools/house.py`, or
in a circle, are red. The picture is made of records of `minigrad.draw`, by its own renderer.
"""

import argparse
import html
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from minigrad.draw import Drawing, Edge, Picture, PictureNode, PictureScope, draw_graph
from minigrad.draw.style.theme import theme_named
from tools.house import FILES, ORDER, ROOT, Import, connected, imports, is_upward

__all__ = [
    "Architecture",
    "described",
    "file_architecture",
    "folder_architecture",
    "reduced",
    "svg",
]

_ENDINGS: Final = {"light": "", "dark": "-dark"}
"""What the name of a picture ends with, by theme."""

_HOW_TO_READ: Final = (
    "An arrow leads to what is imported; those that follow from others are left out.",
    "All should lead down. Red ones do not, or lead in a circle.",
)


class Architecture:
    """Boxes and the arrows between them: who imports whom.

    Attributes:
        boxes: the paths of files or folders.
        arrows: importer and imported; those that follow from others are left out.
        faults: the arrows among them that should not be there.
        frames: paths of the folders that are drawn around the boxes in them.
    """

    def __init__(
        self,
        title: str,
        edges: Iterable[Import],
        box: Callable[[str], str],
        frames: Iterable[str],
    ) -> None:
        self.title = title
        self.frames = sorted(frames)
        edges = list(edges)
        down = [edge for edge in edges if not is_upward(edge)]
        circle = {path: n for n, paths in enumerate(connected(down)) for path in paths}
        lawful: set[tuple[str, str]] = set()
        self.faults: set[tuple[str, str]] = set()
        for edge in edges:
            ends = box(edge.source), box(edge.target)
            circular = circle.get(edge.source, -1) == circle.get(edge.target, -2)
            if ends[0] != ends[1]:
                (self.faults if circular or is_upward(edge) else lawful).add(ends)
        self.arrows = sorted(reduced(lawful - self.faults) | self.faults)
        self.boxes = sorted({box(path) for edge in edges for path in (edge.source, edge.target)})

    def graph(self) -> Picture:
        """The records that are drawn; on a box with a fault it is said what it imports."""
        numbers = {box: number for number, box in enumerate(self.boxes)}
        nodes = []
        for box, number in numbers.items():
            folder, _, name = box.rpartition("/")
            wrong = [end for start, end in sorted(self.faults) if start == box]
            title = "public names" if name == "__init__.py" else name
            fault = f"imports {', '.join(wrong)}" if wrong else ""
            nodes.append(PictureNode(number, "group", op=title, scope=folder, fault=fault))
        edges = [Edge(numbers[start], numbers[end]) for start, end in self.arrows]
        scopes = [PictureScope(frame, parent=self._around(frame)) for frame in self.frames]
        return Picture(
            tuple(nodes),
            tuple(edges),
            tuple(scopes),
            level="layers",
            title=self.title,
            diagnosis=_HOW_TO_READ,
        )

    def _around(self, frame: str) -> str:
        """The innermost frame around a frame."""
        return max((other for other in self.frames if frame.startswith(f"{other}/")), default="")

    def text(self) -> str:
        """The arrows in words, one a line, and then the faults among them."""
        lines = [f"{start} -> {end}" for start, end in self.arrows]
        return "\n".join([*lines, *(f"fault: {a} -> {b}" for a, b in sorted(self.faults))])

    def drawing(self, theme: str) -> Drawing:
        """The picture, with the faults in red; they do not move the boxes."""
        graph, colors = self.graph(), theme_named(theme)
        drawing = draw_graph(graph, theme=theme)
        body = "".join(drawing.dot.body)
        # The renderer's words and lines are those of values beside gradients; here are only arrows.
        body = body.replace("values, forward", "imports").replace(", slot 0", "")
        body = body.replace(colors.forward, colors.faint_text)
        for number, edge in enumerate(graph.edges):
            if (self.boxes[edge.source], self.boxes[edge.target]) in self.faults:
                line = rf'color="[^"]*" (id=f{number} .*)penwidth=0.8'
                red = rf'constraint=false color="{colors.alarm}" \1penwidth=2'
                body = re.sub(line, red, body)
        drawing.dot.body = [body]
        return drawing


def reduced(arrows: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """The arrows that do not follow from others: a -> c is left out beside a -> b -> c.

    The arrows must not lead in a circle.

    >>> sorted(reduced([("a", "b"), ("b", "c"), ("a", "c")]))
    [('a', 'b'), ('b', 'c')]
    """
    below: dict[str, set[str]] = {}
    for start, end in arrows:
        below.setdefault(start, set()).add(end)
    reached: dict[str, set[str]] = {}

    def all_below(box: str) -> set[str]:
        if box not in reached:
            ends = below.get(box, set())
            reached[box] = ends.union(*(all_below(end) for end in ends))
        return reached[box]

    return {
        (start, end)
        for start, ends in below.items()
        for end in ends
        if not any(end in all_below(other) for other in ends - {end})
    }


def _folder_box(path: str) -> str:
    """The box of a file: its folder, or its place among the files of a folder that has an order."""
    parts = path.split("/")
    depth = next(n for n in range(len(parts) - 1, -1, -1) if "/".join(parts[:n]) in ORDER)
    folder, entry = "/".join(parts[:depth]), parts[depth]
    if depth == len(parts) - 1 and entry != "__init__.py":
        entry = FILES
    return f"{folder}/{entry}"


def folder_architecture(root: Path = ROOT) -> Architecture:
    """The folders of both packages."""
    frames = [folder for folder in ORDER if folder]
    return Architecture("Who imports whom", imports(root), _folder_box, frames)


def file_architecture(folder: str, root: Path = ROOT) -> Architecture:
    """The files of one folder, such as "minigrad/core".

    Raises ValueError if none of its files imports another.
    """
    inside = f"{folder.strip('/')}/"
    edges = [
        one
        for one in imports(root)
        if one.source.startswith(inside) and one.target.startswith(inside)
    ]
    if not edges:
        raise ValueError(f"folder={folder!r} holds no files that import each other")
    frames = {path.rpartition("/")[0] for edge in edges for path in (edge.source, edge.target)}
    return Architecture(f"Who imports whom in {folder}", edges, str, frames)


def svg(architecture: Architecture, theme: str = "light") -> str:
    """The picture, which holds its arrows in words as its description, for `described`."""
    picture = architecture.drawing(theme).svg()
    words = html.escape(architecture.text(), quote=False)
    return re.sub(
        r"(<svg[^>]*>)", lambda match: f"{match[1]}\n<desc>{words}</desc>", picture, count=1
    )


def described(picture: str) -> str:
    """The arrows that a picture by `svg` shows, in words."""
    found = re.search(r"<desc>(.*?)</desc>", picture, re.DOTALL)
    return html.unescape(found[1]) if found else ""


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, help="folder to write into")
    parser.add_argument("--files", metavar="FOLDER", help="draw the files of this folder instead")
    arguments = parser.parse_args()
    architecture = folder_architecture()
    name = "architecture"
    if arguments.files:
        architecture = file_architecture(arguments.files)
        name += f"-{arguments.files.strip('/').replace('/', '-')}"
    for theme, ending in _ENDINGS.items():
        path = arguments.out / f"{name}{ending}.svg"
        path.write_text(svg(architecture, theme), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
