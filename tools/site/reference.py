"""The pages of the reference: every public name, under the heading where it belongs.

A page is a list of sections; a section is a package or module and names of it. `pages` lists the
pages, `write` writes them as reStructuredText with one directive of `sphinx.ext.autodoc` for each
name. A thing that several packages make public is described once, where it comes first.
"""

import functools
import importlib
import inspect
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import minigrad
from tools.site.docstrings import as_rst

__all__ = ["PACKAGES", "Page", "Section", "documented", "find", "pages", "public_names", "write"]

PACKAGES: Final = (
    "minigrad",
    "minigrad.linalg",
    "minigrad.operators",
    "minigrad.optim",
    "minigrad.draw",
    "minigrad.testing",
    "layers",
    "layers.init",
    "layers.cells",
    "layers.recurrent",
    "layers.transformer",
    "layers.kernels",
    "layers.models",
    "layers.training",
    "layers.datasets",
    "layers.systems",
    "layers.cli",
)
"""Where public names are: a test finds each of them in the reference."""

SHELVES: Final = {
    "elementwise": "Operations: elementwise",
    "manipulation": "Operations: shapes, joining, indexing",
    "reduction": "Operations: reductions",
    "linalg": "Operations: linear algebra",
    "signal": "Operations: convolutions and signals",
    "nn": "Operations: networks and losses",
}

MINIGRAD: Final = {
    "Tensors": ("Tensor", "tensor"),
    "What is recorded": (
        *("no_grad", "enable_grad", "is_recording", "recording", "default_dtype"),
        *("set_default_dtype", "seed"),
    ),
    "Names and looks into the graph": (
        *("scope", "step", "label_state", "graph", "paused_gc", "anomaly_mode", "profile"),
    ),
    "Derivatives": (
        *("gradients", "grad", "value_and_grad", "vjp", "jvp", "jacobian", "hessian", "hvp"),
        *("stop_gradient", "checkpoint", "checkpoint_sequence"),
    ),
    "Programs": ("compile",),
    "Operations of your own": ("primitive", "custom_vjp", "fused"),
    "Files": ("save", "load", "save_checkpoint", "load_checkpoint"),
    "Errors": (
        *("ShapeError", "DtypeError", "AxisError", "DetachError", "GradientError"),
        *("ReadOnlyError", "AnomalyError", "MissingPackageError", "CompileError", "CompileWarning"),
    ),
}

TITLES: Final = {
    "minigrad.linalg": "minigrad.linalg: the names of numpy.linalg",
    "minigrad.operators": "minigrad.operators: what the operators call",
    "minigrad.optim": "minigrad.optim: optimisers and schedules",
    "minigrad.draw": "minigrad.draw: pictures and measurements",
    "minigrad.testing": "minigrad.testing: checks of derivatives",
    "layers.init": "layers.init: initialisers",
    "layers.cells": "layers.cells: one step of a recurrence",
    "layers.recurrent": "layers.recurrent: sequences",
    "layers.transformer": "layers.transformer: attention and Transformers",
    "layers.kernels": "layers.kernels: sequences as fused operations",
    "layers.models": "layers.models: models to use",
    "layers.training": "layers.training: the training loop",
    "layers.datasets": "layers.datasets: data",
    "layers.systems": "layers.systems: what is measured",
    "layers.cli": "layers.cli: the command line in Python",
}

LAYERS: Final = {
    "layers.base": "layers: modules, parameters, containers",
    "layers.basic": "layers: layers without time, and losses",
    "layers.cells": "layers: recurrent cells",
    "layers.recurrent": "layers: recurrent layers and scans",
    "layers.transformer": "layers: attention and Transformers",
}


@dataclass(frozen=True)
class Section:
    """Names of one package or module under one heading; `also` are described elsewhere."""

    heading: str
    module: str
    names: tuple[str, ...]
    text: str = ""
    also: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Page:
    """A page of the reference, `docs/reference/api/<name>.rst`."""

    name: str
    title: str
    sections: tuple[Section, ...]


def public_names(module: str) -> list[str]:
    """What a package makes public, as its `__all__` says."""
    return list(dict.fromkeys(module_at(module).__all__))


def module_at(path: str) -> Any:
    """The module of a dotted path, which may lead through attributes, as `layers.init` does."""
    first, *rest = path.split(".")
    found: Any = importlib.import_module(first)
    for length, name in enumerate(rest, start=1):
        if not isinstance(getattr(found, name, None), ModuleType):
            importlib.import_module(".".join([first, *rest[:length]]))
        found = getattr(found, name)
    return found


@functools.cache
def pages() -> tuple[Page, ...]:
    """All pages, in their order; every public name of `PACKAGES` is on one of them."""
    seen: dict[int, str] = {}
    found = [
        _page("minigrad", "minigrad: tensors and derivatives", _minigrad_sections(), seen),
        *(
            _page(f"minigrad.ops.{shelf}", title, _shelf_sections(shelf), seen)
            for shelf, title in SHELVES.items()
        ),
    ]
    for module in ("linalg", "operators", "optim", "draw", "testing"):
        found.append(_module_page(f"minigrad.{module}", seen))
    for part, title in LAYERS.items():
        found.append(_page(f"layers-{part.partition('.')[2]}", title, _layers_sections(part), seen))
    for module in PACKAGES:
        if module.startswith("layers."):
            found.append(_module_page(module, seen))
    found.append(_page("minigrad.core", "Inside: minigrad.core", _core_sections(), seen))
    return tuple(found)


def _page(name: str, title: str, sections: list[Section], seen: dict[int, str]) -> Page:
    """A page without the names whose things stand in `seen`, which it fills."""
    kept = []
    for section in sections:
        module = module_at(section.module)
        names, also = [], []
        for public in section.names:
            thing = getattr(module, public)
            if isinstance(thing, ModuleType):
                also.append((public, ""))
            elif callable(thing) and id(thing) in seen:
                also.append((public, seen[id(thing)]))
            else:
                names.append(public)
                if callable(thing):
                    seen[id(thing)] = f"{section.module}.{public}"
        kept.append(
            Section(section.heading, section.module, tuple(names), section.text, tuple(also))
        )
    return Page(name, title, tuple(kept))


def _module_page(module: str, seen: dict[int, str]) -> Page:
    text = inspect.getdoc(module_at(module)) or ""
    section = Section("", module, tuple(public_names(module)), text)
    return _page(module, TITLES[module], [section], seen)


def _minigrad_sections() -> list[Section]:
    sections = [Section(heading, "minigrad", names) for heading, names in MINIGRAD.items()]
    return [*sections, Section("Modules", "minigrad", ("linalg", "operators", "ops", "MODULES"))]


def _shelf_sections(shelf: str) -> list[Section]:
    start = f"minigrad.ops.{shelf}."
    found = []
    for module in minigrad.ops.MODULES:
        if module.__name__.startswith(start):
            heading = module.__name__.removeprefix(start).replace("_", " ").capitalize()
            text = inspect.getdoc(module) or ""
            found.append(Section(heading, "minigrad", tuple(module.__all__), text))
    return found


def _layers_sections(part: str) -> list[Section]:
    """The names of `layers` from one of its folders, by the module that they come from."""
    package = module_at("layers")
    by_module: dict[str, list[str]] = {}
    for name in public_names("layers"):
        thing = getattr(package, name)
        home = thing.__name__ if isinstance(thing, ModuleType) else thing.__module__
        if home.startswith(f"{part}."):
            by_module.setdefault(home, []).append(name)
    found = []
    for home, names in by_module.items():
        text = inspect.getdoc(module_at(home)) or ""
        heading = home.rpartition(".")[2].replace("_", " ").capitalize()
        found.append(Section(heading, "layers", tuple(names), text))
    return found


def _core_sections() -> list[Section]:
    folder = Path(minigrad.__file__).parent / "core"
    found = []
    for path in sorted(folder.glob("[a-z]*.py")):
        module = module_at(f"minigrad.core.{path.stem}")
        names = [
            name
            for name, thing in vars(module).items()
            if not name.startswith("_")
            and (inspect.isclass(thing) or inspect.isfunction(thing))
            and thing.__module__ == module.__name__
        ]
        text = inspect.getdoc(module) or ""
        found.append(Section(f"{path.stem}.py", module.__name__, tuple(names), text))
    return found


@functools.cache
def documented() -> dict[str, list[str]]:
    """The full names that the reference documents, by their last part."""
    found: dict[str, list[str]] = {}
    for page in pages():
        for section in page.sections:
            for name in section.names:
                found.setdefault(name, []).append(f"{section.module}.{name}")
    return found


def find(name: str) -> str | None:
    """The full name of what the reference documents under a name in a docstring, or None.

    Short words in small letters are taken for parameters, unless they are dotted.

    >>> find("LSTM"), find("minigrad.tanh"), find("axis")
    ('layers.LSTM', 'minigrad.tanh', None)
    """
    last = name.rpartition(".")[2]
    full = [one for one in documented().get(last, ()) if one.endswith(f".{name}") or one == name]
    plain = name.islower() and "_" not in name and "." not in name
    return full[0] if full and not plain else None


def write(folder: Path) -> None:
    """Write the pages into a folder, and the list of them, `index.rst`; what is new alone."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {f"{page.name}.rst": page_text(page) for page in pages()}
    entries = "".join(f"   {page.name}\n" for page in pages())
    heading = "Python"
    texts["index.rst"] = f"{_title(heading)}\n.. toctree::\n   :maxdepth: 1\n\n{entries}"
    for old in set(folder.glob("*.rst")) - {folder / name for name in texts}:
        old.unlink()
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, encoding="utf-8")


def page_text(page: Page) -> str:
    """A page as reStructuredText."""
    return "\n".join([_title(page.title), *(_section_text(one) for one in page.sections)])


def _title(text: str, line: str = "=") -> str:
    return f"{text}\n{line * len(text)}\n"


def _section_text(section: Section) -> str:
    parts = [_title(section.heading, "-")] if section.heading else []
    parts += [as_rst(section.text, find), "", f".. currentmodule:: {section.module}", ""]
    module = module_at(section.module)
    parts += [_directive(section.module, name, getattr(module, name)) for name in section.names]
    if section.also:
        parts.append(", ".join(_also(section.module, *pair) for pair in section.also) + "\n")
    return "\n".join(parts)


def _also(module: str, name: str, full: str) -> str:
    if full:
        return f"``{name}`` is :py:obj:`{full}`"
    page = f"{module}.{name}" if f"{module}.{name}" in PACKAGES else ""
    return f":doc:`{name} <{page}>`" if page else f"``{module}.{name}``"


def _directive(module: str, name: str, thing: Any) -> str:
    if inspect.isclass(thing):
        return f".. autoclass:: {module}.{name}\n   :members:\n"
    if callable(thing):
        return f".. autofunction:: {module}.{name}\n"
    return f".. autodata:: {module}.{name}\n   :no-value:\n"
