"""Which functions of the user's a call enters, and what they ask of the world outside.

Python's profiler hook tells of every call. What is ours, NumPy's or Python's own is passed over.
"""

import functools
import random
import sys
import sysconfig
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeVar

from minigrad.core.tensors import Tensor
from minigrad.restoring import Restoring

__all__ = ["Watch", "is_ours", "is_users", "is_users_line", "user_line"]

Function = TypeVar("Function", bound=Callable[..., Any])

_STANDARD = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib"))
_OUTSIDE = frozenset(
    [
        "logging",
        "random",
        "subprocess",
        "socket",
        "ssl",
        "http",
        "urllib",
        "shutil",
        "tempfile",
        "pathlib",
        "threading",
        "queue",
        "multiprocessing",
        "asyncio",
        "shelve",
        "sqlite3",
        "csv",
        "time",
        "os",
        "io",
        "posix",
        "nt",
        "_io",
        "_socket",
        "_random",
        "_queue",
        "_contextvars",
        "_thread",
        "importlib",
        "genericpath",
    ]
)
_EFFECTS = frozenset(("print", "open", "input", "exec", "eval", "breakpoint", "next"))
_FRAMES = frozenset(("_getframe", "_current_frames"))
_ENGINE = ("minigrad.compiled", "minigrad.core", "minigrad.numpy_api")
_MAKES_TENSOR = Tensor.__init__.__code__
_BACKWARD = Tensor.backward.__code__
_BY_NAME = frozenset(("getattr", "setattr", "vars", "globals", "locals", "dir", "__dict__"))
_BY_NAME |= {"attrgetter", "__getattribute__"}
_READ_ALL = frozenset(("copy", "dataclasses", "inspect", "pickle", "_pickle", "pprint"))
_OF_MEMORY = frozenset(("memoryview", "frombuffer"))  # they tell no array that it is read
_FILES = frozenset(
    ("load", "save", "savez", "savez_compressed", "loadtxt", "savetxt", "genfromtxt")
)
_FILES |= {"fromregex", "fromfile", "tofile"}  # of NumPy


@functools.lru_cache(maxsize=4096)
def _kind(file: str, module: str) -> str:
    package = module.partition(".")[0]
    if package in ("minigrad", "layers"):
        return package
    if file.startswith("<minigrad "):  # written by us
        return "minigrad"
    if module.startswith("namedtuple_"):  # which makes one, and reads nothing
        return "closed"
    if package in ("numpy", "llvmlite") or file.startswith("<frozen importlib"):
        return "closed"
    if file.startswith((*_STANDARD, "<frozen")) and "site-packages" not in file:
        return "standard"
    return "user"


def _kind_of(frame: FrameType) -> str:
    return _kind(frame.f_code.co_filename, str(frame.f_globals.get("__name__", "")))


def is_ours(module: str) -> bool:
    """Whether a module belongs to `minigrad` or `layers`."""
    return module.partition(".")[0] in ("minigrad", "layers")


def is_users() -> bool:
    """Whether it is the user's code, rather than ours or NumPy's, that runs just now."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        kind = _kind_of(frame)
        if kind == "minigrad" and not module.startswith(_ENGINE):
            return False
        if kind in ("user", "layers"):
            return kind == "user"
        frame = frame.f_back
    return False


def is_users_line() -> bool:
    """Whether it is a line of the user's, rather than of what that calls, that runs just now."""
    return _kind_of(sys._getframe(2)) == "user"


def user_line() -> str:
    """The line of the user's program that runs just now, as "file:line"; empty if there is none."""
    frame: FrameType | None = sys._getframe(1)
    inner = ""
    while frame is not None:
        kind = _kind_of(frame)
        if kind == "user":
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        if kind == "layers" and not inner:
            inner = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return inner


class Watch(Restoring):
    """A block that notes the code that is entered, and tells of calls with effects outside.

    Attributes:
        entered: the code of functions of the user's and of `layers` that were entered.
        asked: of that, what is the user's and no module that was imported just then.
        modules: the names of modules of Python's own whose code ran.
        by_name: whether code of the user's may read attributes by names that are computed.
        refuse: is told why a call cannot be compiled.
    """

    def __init__(self) -> None:
        super().__init__()
        self.entered: set[CodeType] = set()
        self.modules: set[str] = set()
        self.by_name = False
        self.refuse: Callable[[str], None] = lambda reason: None
        self._seen: dict[int, CodeType] = {}  # all code, by identity: to compare it takes long
        self._users: set[int] = set()
        self._standard: set[int] = set()
        self.asked: set[CodeType] = set()

    def begin(self) -> "Watch":
        """Watch; whoever does that has stopped the collector."""
        self.undone_by(self._end, sys.getprofile())
        sys.setprofile(self._hook())
        return self

    def _end(self, before: Any) -> None:
        if before is None or callable(before):
            sys.setprofile(before)
        else:  # a profiler written in C
            before.enable()

    @staticmethod
    def pausing(function: Function) -> Function:
        """Decorate a function of ours that calls nothing of the user's: nobody watches it.

        From Python 3.12 on, which changes its own code for a hook, pausing would cost more.
        """

        @functools.wraps(function)
        def unwatched(*args: Any) -> Any:
            hook = sys.getprofile()
            if not hasattr(hook, "of_watch"):
                return function(*args)
            sys.setprofile(None)
            try:
                return function(*args)
            finally:
                sys.setprofile(hook)

        return unwatched if sys.version_info < (3, 12) else function  # type: ignore[return-value]

    def _hook(self) -> Callable[[FrameType, str, Any], None]:
        """What Python calls for each call; dozens of times for each operation."""
        seen, users, standard = self._seen, self._users, self._standard

        def hook(frame: FrameType, event: str, argument: Any) -> None:
            if event == "call":
                if id(frame.f_code) not in seen:
                    self._enter(frame, frame.f_code)
            elif event == "c_call":
                if id(frame.f_code) in users:
                    self._call(argument)
                elif id(frame.f_code) in standard:
                    self._call_within(frame, argument)

        hook.of_watch = self  # type: ignore[attr-defined]
        return hook

    def _enter(self, frame: FrameType, code: CodeType) -> None:
        if code is _MAKES_TENSOR:
            if isinstance(frame.f_locals["data"], Tensor):
                self.refuse("it makes a tensor of a tensor's numbers; detach() gives one")
            return
        if code is _BACKWARD:
            self.refuse(
                "it calls backward, which adds to gradients; compile value_and_grad of it, or call "
                "backward outside"
            )
            return
        kind = _kind_of(frame)
        module = str(frame.f_globals.get("__name__", ""))
        if kind == "standard":
            self.modules.add(module)
            self._standard.add(id(code))
        package = module.partition(".")[0] if kind == "standard" else ""
        if package in _READ_ALL:
            self.by_name = self.by_name or self._is_asked(frame)
            return
        files = module.startswith("minigrad.io.") and module != "minigrad.io.memory"
        if files or package in _OUTSIDE or (code.co_name in _FILES and _is_numpy(module)):
            if self._is_asked(frame):
                self.refuse(f"it calls {module}.{code.co_name}")
            return
        self._seen[id(code)] = code
        if kind in ("user", "layers"):
            self.entered.add(code)
        if kind == "user":
            self._users.add(id(code))
            if not _is_importing(frame):
                self.asked.add(code)
            for name in _OF_MEMORY.intersection(code.co_names):
                self.refuse(f"it calls {name}")
            self.by_name = self.by_name or not _BY_NAME.isdisjoint(code.co_names)

    def _is_asked(self, frame: FrameType) -> bool:
        """Whether code that was entered called this, perhaps by other code of Python's own."""
        caller = frame.f_back
        while caller is not None and _kind_of(caller) == "standard":
            caller = caller.f_back
        return caller is not None and caller.f_code in self.entered

    def _call_within(self, frame: FrameType, function: Any) -> None:
        """Code of Python's own calls one that is written in C, as `glob` asks for files."""
        name, module = _called(function)
        if module in _OUTSIDE and name != "fspath" and self._is_asked(frame):
            self.refuse(f"it calls {name} in {frame.f_globals.get('__name__', '')}")

    def _call(self, function: Any) -> None:
        name, module = _called(function)
        if module in _READ_ALL or (name in _BY_NAME and module == "builtins"):
            self.by_name = True  # under whatever name it is called
        effect = name in _EFFECTS and module in ("builtins", "io", "_io")
        if effect or module in _OUTSIDE or (name in _FILES and _is_numpy(module)):
            self.refuse(f"it calls {name}")
        elif module == "sys" and name in _FRAMES:
            self.refuse("it looks at the frames of its callers")
        elif module == "_warnings":
            self.refuse("it warns")
        elif module == "datetime" and name in ("now", "today", "utcnow"):
            self.refuse(f"it calls {name}")


def _called(function: Any) -> tuple[str, str]:
    """The name of a function that is written in C, and its module."""
    owner = getattr(function, "__self__", None)
    kind = owner if isinstance(owner, type) else type(owner)
    module = getattr(function, "__module__", None) or kind.__module__
    if isinstance(owner, random.Random):
        module = "random"
    return getattr(function, "__name__", ""), module


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a module is being run for the first time."""
    while frame is not None and _kind_of(frame) != "minigrad":
        if frame.f_code.co_name == "<module>":
            return True
        frame = frame.f_back
    return False


def _is_numpy(module: str) -> bool:
    return module.partition(".")[0] == "numpy"
