"""Which functions of the user's a call enters, and what they ask of the world outside.

Python's profiler hook tells of every call. What is ours, NumPy's or Python's own is passed over.
"""

import functools
import random
import sys
import sysconfig
from collections.abc import Callable, Container, Iterable, Sequence
from types import CodeType, FrameType
from typing import Any, TypeVar

from minigrad.core.contributions import OutputPlan
from minigrad.core.nodes import AliasPlan, LeafPlan
from minigrad.core.plans import RulePlan
from minigrad.core.tensors import Tensor
from minigrad.restoring import Restoring
from minigrad.transforms.custom_rules import CustomPlan
from minigrad.transforms.passes import DerivativeObserver
from minigrad.transforms.rematerialize import CheckpointPlan

__all__ = ["UnwatchedPasses", "Watch", "is_ours", "is_users", "is_users_line", "runs_code_of_users"]
__all__ += ["user_line"]

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
_WITHOUT_RULES = (AliasPlan, LeafPlan, OutputPlan)
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
    def unwatched(function: Function) -> Function:
        """A function of ours that calls nothing of the user's, run while nobody watches."""

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

        return unwatched  # type: ignore[return-value]

    @staticmethod
    def pausing(function: Function) -> Function:
        """Decorate such a function that is called for each operation.

        From Python 3.12 on, which changes its own code for a hook, pausing would cost more there.
        """
        return Watch.unwatched(function) if sys.version_info < (3, 12) else function

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
        if kind == "user" and _is_importing(frame):
            return  # as no later call does
        self._seen[id(code)] = code
        if kind in ("user", "layers"):
            self.entered.add(code)
        if kind == "user":
            self._users.add(id(code))
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
        within = str(frame.f_globals.get("__name__", ""))
        if module == "_thread" and within == "functools":
            return  # the lock of a cached property, in Python 3.11
        if module in _OUTSIDE and name != "fspath" and self._is_asked(frame):
            self.refuse(f"it calls {name} in {within}")

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
    """Whether a module is being looked for, or run for the first time."""
    while frame is not None and _kind_of(frame) != "minigrad":
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _is_numpy(module: str) -> bool:
    return module.partition(".")[0] == "numpy"


def runs_code_of_users(roots: Iterable[Any], targets: Container[Any]) -> bool:
    """Whether a pass from some nodes back to others runs rules or functions of the user's."""
    return any(
        not _has_our_rules(plan)
        if isinstance(plan, RulePlan)
        else isinstance(plan, (CustomPlan, CheckpointPlan))
        for plan in {node.plan for node in _met(roots, targets)}
    )


class UnwatchedPasses(DerivativeObserver):
    """Has nobody watch a backward pass that runs nothing of the user's: each of its calls costs."""

    def run_pass(self, roots: Sequence[Any], needed: Any, run: Callable[[], Any]) -> Any:
        """Run it."""
        return Watch.unwatched(run)() if _is_ours(roots, needed) else run()


@Watch.pausing
def _is_ours(roots: Iterable[Any], needed: Container[Any] | None) -> bool:
    """Whether a pass back from some nodes, with their hooks, runs rules of ours and nothing else.

    References of kernels, too, may be anybody's.
    """
    nodes = [node for node in _met(roots, ()) if needed is None or node in needed]
    return all(node.extras is None for node in nodes) and all(
        _has_our_rules(plan) if isinstance(plan, RulePlan) else isinstance(plan, _WITHOUT_RULES)
        for plan in {node.plan for node in nodes}
    )


def _has_our_rules(plan: RulePlan) -> bool:
    return all(is_ours(rule.__module__) for rule in plan.operation.rules.values())


def _met(roots: Iterable[Any], targets: Container[Any]) -> set[Any]:
    """The nodes on the way back from some nodes, no further than to others."""
    met: set[Any] = set()
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        if node not in met:
            met.add(node)
            if node not in targets:
                waiting += [source for source in node.inputs if source is not None]
    return met
