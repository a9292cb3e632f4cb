"""The house: the order of the folders, and what breaks it.

    python -m tools.house

prints every fault of the checkout. `ORDER` is the one place that says which folder may import
which; `tests/test_house.py` holds the code to it, and `tools/architecture.py` draws it. Everything
is read from the source with `ast`; nothing is imported.
"""

import ast
import io
import sys
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

__all__ = [
    "CHECKS",
    "CORE_BUDGET",
    "MOST_FILES",
    "MOST_LINES",
    "ORDER",
    "Import",
    "circles",
    "code_lines",
    "connected",
    "core_over_budget",
    "crowded_folders",
    "imports",
    "is_upward",
    "long_files",
    "name_clashes",
    "sources",
    "upward_imports",
]

ROOT: Final = Path(__file__).parents[1]

FILES: Final = "*.py"
"""In `ORDER`: the files of the folder itself, apart from its `__init__`, which stands on top."""

ORDER: Final = {
    "": ("minigrad", "layers"),
    "minigrad": (
        FILES,
        "core",
        "ops",
        "numpy_api",
        "debug",
        "transforms",
        "io",
        "profiling",
        "compiled",
        "optim",
        "testing",
        "draw",
    ),
    "minigrad/ops": (FILES, "elementwise", "manipulation", "reduction", "linalg", "signal", "nn"),
    "minigrad/draw": (
        "graph",
        "style",
        "reading",
        "analysis",
        "render",
        "pages",
        "views",
        "plots",
        FILES,
    ),
    "layers": (
        "base",
        "basic",
        "cells",
        "kernels",
        "recurrent",
        "transformer",
        "datasets",
        "models",
        "training",
        "examples",
        "systems",
        "cli",
    ),
}
"""By folder: what lies in it, from the ground up. Each imports itself and those before it."""

MOST_LINES: Final = 400
MOST_FILES: Final = 15
CORE: Final = "minigrad/core"
CORE_BUDGET: Final = 1000
"""Lines of code in `CORE`, as `code_lines` counts them: what one can read in one sitting."""


@dataclass(frozen=True, order=True)
class Import:
    """One file imports another: their paths below the root, and the line where it does."""

    source: str
    target: str
    line: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line} imports {self.target}"


def sources(root: Path) -> dict[str, str]:
    """The text of every Python file of the two packages, by its path below `root`."""
    paths = (path for package in ORDER[""] for path in (root / package).rglob("*.py"))
    return {path.relative_to(root).as_posix(): path.read_text("utf-8") for path in sorted(paths)}


@cache
def _tree(text: str) -> ast.Module:
    return ast.parse(text)


def _module(path: str) -> str:
    """The dotted name of a file."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test).endswith("TYPE_CHECKING")


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below `node` that run: all but what only a type checker sees."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _is_type_checking(child.test):
            hidden = child.orelse if ast.unparse(child.test).startswith("not ") else child.body
            shown = child.body if hidden is child.orelse else child.orelse
            for statement in shown:
                yield statement
                yield from _running(statement)
        else:
            yield child
            yield from _running(child)


def _imported(path: str, node: ast.AST) -> Iterator[tuple[str, str]]:
    """What a statement of the file `path` imports: a module, and a name in it or nothing."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, "") for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        folder = path.split("/")[:-1]
        above = folder[: len(folder) - node.level + 1] if node.level else []
        module = ".".join([*above, *([node.module] if node.module else [])])
        yield from ((module, alias.name) for alias in node.names)
    elif (
        isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith(("import_module", "__import__"))
        and node.args
        and all(isinstance(argument, ast.Constant) for argument in node.args)
    ):
        name, *around = (str(ast.literal_eval(argument)) for argument in node.args)
        yield (around[0] if around and name.startswith(".") else "") + name, ""


def imports(root: Path) -> list[Import]:
    """Every import of one of our files by another, also inside of functions.

    `from package import name` is an import of the module `package.name` if there is one, else of
    the package's `__init__`. What stands under `TYPE_CHECKING` does not run, so it does not count.
    """
    texts = sources(root)
    files = {_module(path): path for path in texts}
    found = set()
    for path, text in texts.items():
        for node in _running(_tree(text)):
            for module, name in _imported(path, node):
                target = files.get(f"{module}.{name}") or files.get(module)
                if target is not None and target != path:
                    found.add(Import(path, target, getattr(node, "lineno", 0)))
    return sorted(found)


def _rank(folder: str, entry: str) -> int:
    """The place of a file or folder in the order of the folder that it lies in."""
    order = ORDER[folder]
    if entry == "__init__.py":
        return len(order)
    name = FILES if entry.endswith(".py") else entry
    if name not in order:
        raise ValueError(
            f"{folder or 'the root'} holds {entry}, which has no place in its order; "
            "give it one in ORDER of tools/house.py"
        )
    return order.index(name)


def is_upward(one: Import) -> bool:
    """Whether an import goes against the order of the folder that both files lie in.

    Raises ValueError if that folder has an order in which one of the two is not named.
    """
    source, target = one.source.split("/"), one.target.split("/")
    shared = 0
    while source[shared] == target[shared]:
        shared += 1
    folder = "/".join(source[:shared])
    return folder in ORDER and _rank(folder, source[shared]) < _rank(folder, target[shared])


def upward_imports(root: Path) -> list[str]:
    """Imports of what stands higher."""
    return [str(one) for one in imports(root) if is_upward(one)]


def circles(root: Path) -> list[str]:
    """Sets of files that import each other in a circle, each as one line."""
    return [" <-> ".join(circle) for circle in connected(imports(root))]


def connected(edges: list[Import]) -> list[list[str]]:
    """The strongly connected components of more than one file (Tarjan 1972)."""
    after: dict[str, list[str]] = {}
    for edge in edges:
        after.setdefault(edge.source, []).append(edge.target)
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    open_files: list[str] = []
    found = []

    def visit(file: str) -> None:
        number[file] = low[file] = len(number)
        open_files.append(file)
        for target in after.get(file, ()):
            if target not in number:
                visit(target)
                low[file] = min(low[file], low[target])
            elif target in open_files:
                low[file] = min(low[file], number[target])
        if low[file] == number[file]:
            start = open_files.index(file)
            circle = open_files[start:]
            del open_files[start:]
            if len(circle) > 1:
                found.append(sorted(circle))

    for file in sorted(after):
        if file not in number:
            visit(file)
    return sorted(found)


def long_files(root: Path) -> list[str]:
    """Files of more than `MOST_LINES` lines."""
    counts = {path: len(text.splitlines()) for path, text in sources(root).items()}
    return [f"{path} has {n} lines" for path, n in counts.items() if n > MOST_LINES]


def crowded_folders(root: Path) -> list[str]:
    """Folders of more than `MOST_FILES` Python files, `__init__` among them."""
    counts = Counter(path.rpartition("/")[0] for path in sources(root))
    return [f"{folder} has {n} files" for folder, n in counts.items() if n > MOST_FILES]


def code_lines(text: str) -> int:
    """The lines of a file that are code: without docstrings, comments and blank lines."""
    documented: set[int] = set()
    for node in ast.walk(_tree(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            documented.update(range(node.lineno, (node.end_lineno or 0) + 1))
    layout = {
        *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
        tokenize.ENDMARKER,
    }
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in layout:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - documented)


def core_over_budget(root: Path) -> list[str]:
    """The lines of code of `CORE`, if they are more than `CORE_BUDGET`."""
    texts = sources(root)
    total = sum(code_lines(text) for path, text in texts.items() if path.startswith(f"{CORE}/"))
    return [f"{CORE} has {total} lines of code"] if total > CORE_BUDGET else []


def _public_names(module: str, files: dict[str, str], texts: dict[str, str]) -> dict[str, str]:
    """The public names of a module: of each, the module that it stands for, or nothing."""
    path = files[module]
    listed: list[str] = []
    bound: dict[str, str] = {}
    for node in _running(_tree(texts[path])):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if node.value and any(ast.unparse(target) == "__all__" for target in targets):
                constants = (n for n in ast.walk(node.value) if isinstance(n, ast.Constant))
                listed += [n.value for n in constants if isinstance(n.value, str)]
        elif isinstance(node, ast.ImportFrom):
            for alias, (origin, name) in zip(node.names, _imported(path, node), strict=True):
                if name == "*" and origin in files:
                    star = _public_names(origin, files, texts)
                    bound |= star
                    listed += star
                else:
                    full = f"{origin}.{name}"
                    bound[alias.asname or name] = full if full in files else ""
    return {name: bound.get(name, "") for name in listed}


def name_clashes(root: Path) -> list[str]:
    """Modules and folders named like something else that their package makes public.

    `import package.name as m` would give the module or the public thing, depending on the order
    of the imports. A public name that is the module itself is none.
    """
    texts = sources(root)
    files = {_module(path): path for path in texts}
    packages = [module for module, path in files.items() if path.endswith("/__init__.py")]
    public = {package: _public_names(package, files, texts) for package in packages}
    found = []
    for module, path in files.items():
        package, _, name = module.rpartition(".")
        if public.get(package, {}).get(name, module) != module:
            found.append(f"{path} is named like the public name {name} of {package}")
    return found


CHECKS: Final[dict[str, Callable[[Path], list[str]]]] = {
    "imports go down": upward_imports,
    "no circles": circles,
    f"at most {MOST_LINES} lines in a file": long_files,
    f"at most {MOST_FILES} files in a folder": crowded_folders,
    f"at most {CORE_BUDGET} lines of code in {CORE}": core_over_budget,
    "no module is named like a public name": name_clashes,
}
"""What is checked, in words, and the function that lists the faults below a root."""


def _found(root: Path) -> Iterator[tuple[str, str]]:
    for rule, check in CHECKS.items():
        try:
            yield from ((rule, fault) for fault in check(root))
        except (SyntaxError, ValueError) as error:  # a file that is no Python, a folder unknown
            yield rule, str(error)


def main() -> int:
    """Print the faults of this checkout; their number, 0 if there are none."""
    faults = list(_found(ROOT))
    for rule, fault in faults:
        print(f"{rule}: {fault}")
    return len(faults)


if __name__ == "__main__":
    sys.exit(bool(main()))
