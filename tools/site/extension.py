"""What our pages need of Sphinx beyond its own extensions.

- The reference is written before the pages are read (`tools.site.reference`).
- Docstrings are plain text (`tools.site.docstrings`), and signatures leave out `Any`.
- A picture `name-light.svg` or `name.svg` that has a twin `name-dark.svg` is shown in the colours
  of the page; a PNG likewise. A click on a picture that is a link to itself opens it.
- Code in the text of a page that is a public name, such as `mg.tanh`, `optim.Adam(...)` or
  `fit_text`, leads to the reference.
- The role `src` leads to a line of the code, on the pages that `sphinx.ext.viewcode` makes. A page
  that says `links_code_of: minigrad/core` in its front matter needs no role for names from there.
- The role `result` puts a number from the page of results into the text (`tools.site.results`).
"""

import ast
import functools
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tools.site import command_line, heat_maps, lesson_links, mathml, reference, results
from tools.site.build import ROOT
from tools.site.docstrings import as_rst
from tools.site.translations import edition

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["setup"]


def write_reference(app: "Sphinx") -> None:
    """Write the generated pages of the reference into the folder of the pages."""
    if "reference" in app.config.exclude_patterns:
        return
    reference.write(Path(app.srcdir) / "reference" / "api")
    command_line.write(Path(app.srcdir) / "reference" / "api" / "command-line.rst")


def docstring_to_rst(
    app: Any, kind: str, name: str, thing: object, options: Any, lines: list[str]
) -> None:
    """Write a docstring in the language that Sphinx reads, in-place."""
    lines[:] = [*as_rst("\n".join(lines), reference.find).split("\n"), ""]
    if kind in ("attribute", "data", "property"):
        lines.insert(0, "")  # else napoleon takes what stands before a colon for a type


def shorten_signature(
    app: Any, kind: str, name: str, thing: object, options: Any, text: str, result: str
) -> tuple[str, str] | None:
    """Leave out what says nothing: `Any`, and the slash behind the inputs of an operation."""
    if not text:
        return None
    text = re.sub(r": ~?(typing\.)?Any(?=[,)=]| =)", "", text)
    result = "" if result in ("~typing.Any", "typing.Any", "Any") else result
    return text.replace(" = None", "=None"), result


def add_dark_pictures(app: "Sphinx", doctree: Any) -> None:
    """Beside each light picture, put its dark twin; the theme shows one of them."""
    from docutils import nodes

    folder = Path(app.env.doc2path(app.env.docname)).parent
    for image in list(doctree.findall(nodes.image)):
        path = PurePosixPath(image["uri"])
        dark = str(path.with_name(f"{path.stem.removesuffix('-light')}-dark{path.suffix}"))
        if path.suffix not in (".svg", ".png") or not (folder / dark).is_file():
            continue
        whole = image.parent if isinstance(image.parent, nodes.reference) else image
        whole = image.parent if image.parent.tagname == "download_reference" else whole
        twin = whole.deepcopy()
        for picture in [*twin.findall(nodes.image)]:
            picture["uri"] = dark
            picture["classes"].append("only-dark")
        if twin is not whole and "reftarget" in twin:
            twin["reftarget"] = dark
        if "refuri" in twin:
            twin["refuri"] = dark
        image["classes"].append("only-light")
        whole.parent.insert(whole.parent.index(whole) + 1, twin)


def open_pictures(app: "Sphinx", doctree: Any, docname: str) -> None:
    """Let the link of a picture to itself open that picture, where Sphinx would download it."""
    from docutils import nodes
    from sphinx.addnodes import download_reference
    from sphinx.util.osutil import relative_uri

    if app.builder.format != "html":
        return
    folder = relative_uri(app.builder.get_target_uri(docname), "_images")
    for link in list(doctree.findall(download_reference)):
        shown = []
        for image in link.findall(nodes.image):
            _, file = app.env.images[image["uri"]]
            shown.append(nodes.reference("", "", image.deepcopy(), refuri=f"{folder}/{file}"))
        if shown:
            link.replace_self(shown)


def trim_code(app: "Sphinx", doctree: Any) -> None:
    """Leave out the empty line that ends a block of examples; doctest needs it, readers do not."""
    from docutils import nodes

    for block in doctree.findall(nodes.literal_block):
        text = block.astext()
        if block.rawsource == text and text != text.rstrip():
            block.rawsource = text.rstrip()
            block.children = [nodes.Text(block.rawsource)]


def source_role(
    name: str, raw: str, text: str, line: int, inliner: Any, options: Any = None, content: Any = ()
) -> tuple[list[Any], list[Any]]:
    """`minigrad/core/backward.py:send_back`: a link to the code of a function, or of a file."""
    from docutils import nodes

    path, _, thing = text.partition(":")
    if not (ROOT / path).is_file():
        message = inliner.reporter.error(f"there is no file {path}", line=line)
        return [inliner.problematic(raw, raw, message)], [message]
    shown = f"{thing}" if thing else path
    node = nodes.reference(raw, "", nodes.literal(shown, shown), classes=["source"])
    node["source_file"], node["source_thing"] = path, thing
    return [node], []


def link_names(app: "Sphinx", doctree: Any) -> None:
    """Make links of literals that name a file, a function or a class of `links_code_of`."""
    from docutils import nodes

    folder = app.env.metadata[app.env.docname].get("links_code_of", "")
    if not folder:
        return
    known = names_of(folder)
    for literal in list(doctree.findall(nodes.literal)):
        text = literal.astext()
        found = known.get(text) or ((text, "") if (ROOT / text).is_file() else None)
        if found and found[0].endswith(".py") and not isinstance(literal.parent, nodes.reference):
            link = nodes.reference("", "", literal.deepcopy(), classes=["source"])
            link["source_file"], link["source_thing"] = found
            literal.replace_self(link)


def link_public_names(app: "Sphinx", doctree: Any) -> None:
    """Make links of literals that are public names; not in headings, and not in the reference."""
    from docutils import nodes
    from sphinx.addnodes import pending_xref

    if app.env.docname.startswith("reference/"):
        return
    for literal in list(doctree.findall(nodes.literal)):
        target = public_name(literal.astext())
        within = (nodes.reference, nodes.title, nodes.term, pending_xref)
        if target is None or isinstance(literal.parent, within):
            continue
        link = pending_xref(
            "",
            literal.deepcopy(),
            refdomain="py",
            reftype="obj",
            reftarget=target,
            refexplicit=True,
            refwarn=False,  # other editions have no reference
            refdoc=app.env.docname,
        )
        literal.replace_self(link)


@functools.cache
def public_name(code: str) -> str | None:
    """The full name of what the reference documents under what pages call it, or None.

    >>> public_name("mg.anomaly_mode()"), public_name("optim.Adam"), public_name("fit_text")
    ('minigrad.anomaly_mode', 'minigrad.optim.Adam', 'layers.training.fit_text')
    >>> public_name("draw(loss)"), public_name("np.tanh"), public_name("mg.no_such_name")
    (None, None, None)
    """
    called = re.fullmatch(r"([A-Za-z_]\w*(?:\.\w+)*)(\(.*\))?", code)
    if called is None:
        return None
    first, _, rest = called[1].partition(".")
    short = {"mg": "minigrad", "optim": "minigrad.optim", "draw": "minigrad.draw"}
    if not rest:
        return reference.find(first)
    if first in short or first in ("minigrad", "layers"):
        return reference.find(f"{short.get(first, first)}.{rest}")
    return None


@functools.cache
def names_of(folder: str) -> dict[str, tuple[str, str]]:
    """The files of a folder, and what they define at their top, with file and name.

    >>> names_of("minigrad/core")["send_back"], names_of("minigrad/core")["plans.py"]
    (('minigrad/core/backward.py', 'send_back'), ('minigrad/core/plans.py', ''))
    """
    found: dict[str, tuple[str, str]] = {}
    for path in sorted((ROOT / folder).glob("*.py")):
        file = path.relative_to(ROOT).as_posix()
        found[path.name] = (file, "")
        for thing in ast.parse(path.read_text("utf-8")).body:
            if isinstance(thing, ast.FunctionDef | ast.ClassDef):
                found[thing.name] = (file, thing.name)
    return found


def link_sources(app: "Sphinx", doctree: Any, docname: str) -> None:
    """Give the links of `source_role` their address, relative to the page."""
    from docutils import nodes

    shown = getattr(app.env, "_viewcode_modules", {})
    for node in list(doctree.findall(nodes.reference)):
        if "source_file" in node:
            module = node["source_file"].removesuffix(".py").removesuffix("/__init__")
            if module.replace("/", ".") not in shown:
                node.replace_self(node.children)  # the code of what no page describes is not shown
                continue
            page = app.builder.get_relative_uri(docname, f"_modules/{module}")
            node["refuri"] = page + (f"#{node['source_thing']}" if node["source_thing"] else "")


def setup(app: "Sphinx") -> dict[str, bool]:
    """Called by Sphinx, which names this module in its list of extensions."""
    mathml.setup(app)
    edition.setup(app)
    results.setup(app)
    heat_maps.setup(app)
    lesson_links.setup(app)
    app.add_role("src", source_role)
    app.connect("builder-inited", write_reference)
    app.connect("autodoc-process-docstring", docstring_to_rst, priority=400)
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("doctree-read", add_dark_pictures, priority=400)
    app.connect("doctree-read", trim_code)
    app.connect("doctree-read", link_names)
    app.connect("doctree-read", link_public_names)
    app.connect("doctree-resolved", link_sources)
    app.connect("doctree-resolved", open_pictures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
