"""Find the operation of the user's code that is running, from its bytecode, for error messages.

Only code objects and variables are read, never source files, which may have changed since. What
cannot be told for sure is left open: a message that names the wrong call is worse than none.
"""

import builtins
import dis
import os
import sys
from dataclasses import dataclass
from types import FrameType, ModuleType
from typing import Any

import numpy as np

__all__ = ["OWN_DIRECTORIES", "Site", "calling_function", "running_site"]

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OWN_DIRECTORIES = tuple(os.path.join(_ROOT, package, "") for package in ("minigrad", "layers"))
"""Where the code of the engine and of its layers lies."""
_OF_OBJECTS = ("LOAD_ATTR", "LOAD_METHOD")
_INSTALLED = ("site-packages", "dist-packages")
_LIBRARIES = ("numpy", "scipy")
_PUBLIC = {"numpy": ("numpy", "numpy.linalg", "numpy.fft", "numpy.testing", "numpy.random")}


@dataclass
class Site:
    """What is running at a place in a user's code.

    Attributes:
        kind: "call", "store" (an assignment to an index) or "operator".
        name: of a call, how it is written or its public name, "np.mean"; of a store, the name of
            what is assigned into, or ""; of an operator its symbol.
        function: what is called, or None when it is not known for sure.
        receiver: of a method, the object that it belongs to, or None; of a store into an attribute
            of an array, such as `a.T[0] = t`, that array.
    """

    kind: str
    name: str = ""
    function: Any = None
    receiver: Any = None


def running_site(depth: int) -> Site | None:
    """What the code that called into a tensor is doing; None when that cannot be told.

    Args:
        depth: how many frames above the caller of this function the tensor was called.
    """
    frame: FrameType | None = sys._getframe(depth + 1)
    library: FrameType | None = None
    while frame is not None and _package(frame) in _LIBRARIES:
        library, frame = frame, frame.f_back
    if frame is None or _is_installed(frame.f_code.co_filename):
        return None
    if library is not None:
        return _library_call(library)
    return _site_in(frame)


def calling_function() -> str | None:
    """The public name of the function of NumPy or SciPy, written in Python, that called this one.

    None when a user's code called it, or the function has no public name.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _package(frame) == "minigrad":
        frame = frame.f_back
    library: FrameType | None = None
    while frame is not None and _package(frame) in _LIBRARIES:
        library, frame = frame, frame.f_back
    site = None if library is None else _library_call(library)
    return None if site is None else site.name


def _is_installed(path: str) -> bool:
    """Whether code belongs to this package, to Python or to another library, not to the user."""
    if path.startswith((*OWN_DIRECTORIES, "<minigrad ", "<frozen ")):
        return True
    return any(f"{os.sep}{folder}{os.sep}" in path for folder in _INSTALLED) or (
        os.path.dirname(path).startswith(os.path.dirname(os.__file__))
    )


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _library_call(frame: FrameType) -> Site | None:
    """A function of NumPy or SciPy that is written in Python, by its public name."""
    name, package = frame.f_code.co_name, _package(frame)
    owner = frame.f_locals.get("self")
    if name == "__new__":  # which makes an object of the class that is its first argument
        name = getattr(frame.f_locals.get(frame.f_code.co_varnames[0]), "__name__", name)
    if owner is np.r_ or owner is np.c_:
        return Site("call", "np.r_[...]" if owner is np.r_ else "np.c_[...]", owner)
    parts = str(frame.f_globals["__name__"]).split(".")
    modules = _PUBLIC.get(package) or [".".join(parts[:k]) for k in range(2, len(parts) + 1)]
    for module in modules:
        function = getattr(sys.modules.get(module), name, None)
        if callable(function) and owner is None:
            return Site("call", f"{module}.{name}".replace("numpy", "np", 1), function)
    made = type(owner)
    if name == "__init__" and getattr(np, made.__name__, None) is made:
        return Site("call", f"np.{made.__name__}", made)
    if owner is not None and hasattr(type(owner), name):
        return Site("call", f"{'.'.join(parts[:2])}: {type(owner).__name__}.{name}")
    return None


def _site_in(frame: FrameType) -> Site | None:
    """The instruction that a frame is at, taken apart."""
    places = list(frame.f_code.co_positions())
    if not 0 <= frame.f_lasti // 2 < len(places) or None in places[frame.f_lasti // 2]:
        return None  # compiled without columns
    where = places[frame.f_lasti // 2]
    before = [i for i in dis.get_instructions(frame.f_code) if i.offset <= frame.f_lasti]
    name = before[-1].opname
    if name == "BINARY_OP" and not before[-1].argrepr.startswith("["):
        return Site("operator", before[-1].argrepr)
    if not name.startswith(("CALL", "PRECALL", "STORE_SUBSCR", "STORE_SLICE")):
        return None
    start = (where[0], where[2])
    given = before[:-2] if name == "CALL_KW" else before[:-1]  # the names of its options come last
    parts = [
        i
        for i in given
        if i.positions is not None
        and (i.positions.lineno, i.positions.col_offset) == start
        and _end(i) < (where[1], where[3])
        and i.opname not in ("PUSH_NULL", "KW_NAMES")
    ]
    parts.sort(key=_end)  # of `d["x"].dot` d, d["x"] and the whole
    names: list[str] = []
    if name.startswith("STORE") and (not parts or parts[0].opname.startswith(_OF_OBJECTS)):
        names = _loaded_with_the_value(given, where)
    rooted = True
    for part in parts:
        if part.opname.startswith("LOAD") and isinstance(part.argval, str):
            rooted = rooted and (bool(names) or not part.opname.startswith(_OF_OBJECTS))
            names.append(part.argval)
        else:
            names, rooted = [], False
    if name.startswith("STORE"):
        return _store(frame, names) if rooted else Site("store")
    return _call(frame, names, rooted) if names else None


def _loaded_with_the_value(given: list[dis.Instruction], target: Any) -> list[str]:
    """The variable that `name[...] = value` writes into, when one instruction loads both."""
    loaded = [
        i.argval[1]
        for i in given
        if isinstance(i.argval, tuple)
        and i.opname.startswith("LOAD_FAST")
        and i.positions is not None
        and (i.positions.lineno, i.positions.col_offset) >= (target[1], target[3])
    ]
    return loaded[-1:]


def _end(instruction: dis.Instruction) -> tuple[Any, Any]:
    places = instruction.positions
    assert places is not None
    return places.end_lineno, places.end_col_offset


def _store(frame: FrameType, names: list[str]) -> Site:
    """An assignment to an index of ``names[0].names[1]...``."""
    owner = frame.f_locals.get(names[0], frame.f_globals.get(names[0])) if names else None
    for name in names[1:-1]:
        owner = getattr(owner, "__dict__", {}).get(name)
    of_array = len(names) > 1 and isinstance(owner, np.ndarray)
    return Site("store", ".".join(names), receiver=owner if of_array else None)


def _call(frame: FrameType, names: list[str], rooted: bool) -> Site:
    """A call of ``names[0].names[1]...(...)``; without its root when that is an expression."""
    written = ".".join(names) if rooted else f"(...).{names[-1]}"
    value: Any = None
    known = False
    if rooted:
        for scope in (frame.f_locals, frame.f_globals, vars(builtins)):
            if names[0] in scope:
                value, known = scope[names[0]], True
                break
    receiver = None
    for name in names[1:] if known else ():
        receiver = value
        held = getattr(value, "__dict__", {}) if not isinstance(value, type) else {}
        if isinstance(value, ModuleType):
            value = getattr(value, name, None)
        elif name in held:
            value = held[name]
        elif name == names[-1] and name in dir(type(value)):
            value = None  # a method
        else:
            return Site("call", written)
    if isinstance(receiver, ModuleType):
        receiver = None
    if not known:
        return Site("call", written)
    return Site("call", written, value, receiver)
