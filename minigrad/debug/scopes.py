"""Scopes: where an operation ran, and what the places are called in pictures and summaries."""

from collections.abc import Iterable
from typing import Any

__all__ = ["ModuleToken", "Scope", "ScopeNames"]


class ModuleToken:
    """Who somebody is: equal to itself alone. A copy of a module gets one of its own."""

    __slots__ = ()


class Scope:
    """Where an operation was recorded: a chain of names, each with an optional time step.

    Names are for people, and two modules may share one. Who was called is told by `identity`.

    Attributes:
        parent: the enclosing scope, or None.
        name: the attribute or class name of the module that was called; "" for a mere step.
        kind: the class name of the module; "" for a mere step.
        call: how many calls of the same module or name came before it within the parent.
        token: the identity of the module that was called; None for a block that has a name alone.
        state: the name of the carried state that the operation produced ("h", "c"), or None.
        before: the nodes of the state that this one was made from; empty where a sequence begins
            with plain numbers, None where that was not told.
        origin: of the scope of a state, the scope of the call that made it; else itself.
        routes: what the module declares about the ways its states take through it, or None.
    """

    __slots__ = (
        "_origin",
        "_step",
        "before",
        "call",
        "calls",
        "kind",
        "name",
        "parent",
        "routes",
        "state",
        "token",
    )

    def __init__(
        self,
        parent: "Scope | None",
        name: str = "",
        kind: str = "",
        step: int | None = None,
        routes: Any = None,
        token: ModuleToken | None = None,
    ) -> None:
        self.parent = parent
        self.name = name
        self.kind = kind
        self.token = token
        self.state: str | None = None
        self.before: tuple[Any, ...] | None = None
        self.routes = routes
        self._step = step
        self._origin: Scope | None = None
        self.calls: dict[ModuleToken | str, int] | None = None
        self.call = 0
        if parent is not None and name:
            if parent.calls is None:
                parent.calls = {}
            self.call = parent.calls.get(token or name, 0)
            parent.calls[token or name] = self.call + 1

    @property
    def step(self) -> int | None:
        """The time step: the one given, or the number of the call if the parent made several."""
        if self._step is not None or self.parent is None or not self.name:
            return self._step
        calls = self.parent.calls
        several = calls is not None and calls.get(self.token or self.name, 0) > 1
        return self.call if several else None

    @property
    def given_step(self) -> int | None:
        """The time step that `with step(t)` gave to this very scope."""
        return self._step

    @property
    def origin(self) -> "Scope":
        """The scope of the call itself, where this one is marked as that of a state."""
        return self if self._origin is None else self._origin

    @property
    def identity(self) -> Any:
        """Who was called: the module's token, or the name of the block within its parent."""
        if self.token is not None:
            return self.token
        outside = None if self.parent is None else self.parent.identity
        return (outside, self.name) if self.name else outside

    def chain(self) -> list["Scope"]:
        """This scope and those around it, the outermost first."""
        chain: list[Scope] = []
        scope: Scope | None = self
        while scope is not None:
            chain.append(scope)
            scope = scope.parent
        return chain[::-1]

    @property
    def path(self) -> str:
        """The module path, such as "model.lstm.cell"."""
        return ".".join(scope.name for scope in self.chain() if scope.name)

    @property
    def timed(self) -> "Scope | None":
        """The innermost scope with a time step that was given; else with one that was counted."""
        counted: Scope | None = None
        scope: Scope | None = self
        while scope is not None:
            if scope._step is not None:
                return scope
            if counted is None and scope.step is not None:
                counted = scope
            scope = scope.parent
        return counted

    @property
    def time_step(self) -> int | None:
        """The time step of what ran here: the one given, else counted, nearest to it."""
        timed = self.timed
        return None if timed is None else timed.step

    @property
    def place(self) -> str:
        """The module path and the time step, as messages put them after an operation's name."""
        path, time_step = self.path, self.time_step
        where = f" in {path}" if path else ""
        return where if time_step is None else f"{where}, step {time_step}"

    def with_state(self, state: str, before: tuple[Any, ...] | None = None) -> "Scope":
        """This scope, marked as the producer of a carried state."""
        marked = object.__new__(Scope)
        for field in ("_step", "call", "calls", "kind", "name", "parent", "routes", "token"):
            setattr(marked, field, getattr(self, field))
        marked.state, marked.before = state, before
        marked._origin = self.origin
        return marked

    def __repr__(self) -> str:
        step = "" if self.time_step is None else f" step {self.time_step}"
        return f"Scope({self.path or '(none)'}{step})"


class ScopeNames:
    """The path of each scope, unlike that of any other module's.

    Who was called is told by the scopes' identity, which means nothing to people. They get the
    names that the modules have, and where those are the same, the rank in which they first ran:
    "LSTM" and "LSTM (2)".

    Args:
        scopes: those of the picture, in the order in which they ran.
    """

    def __init__(self, scopes: Iterable[Scope | None]) -> None:
        self.kinds: dict[str, str] = {}  # of each path, the class name
        self.parents: dict[str, str] = {}
        self._paths: dict[Scope | None, str] = {None: ""}
        self._names: dict[tuple[str, Any], str] = {}
        for scope in scopes:
            self(scope)

    def __call__(self, scope: Scope | None) -> str:
        """The path of a scope; that of a mere time step is the path around it."""
        scope = None if scope is None else scope.origin
        if scope not in self._paths:
            for part in scope.chain() if scope is not None else ():
                if part not in self._paths:
                    self._paths[part] = self._path(part)
        return self._paths[scope]

    def module_path(self, scope: Scope) -> str:
        """The path of a scope without the named parts of modules that are no modules."""
        names = []
        for part in scope.chain():
            if part.name and part.kind:
                parent, path = self(part.parent), self(part)
                names.append(path.removeprefix(f"{parent}.") if parent else path)
        return ".".join(names)

    def _path(self, scope: Scope) -> str:
        parent = self._paths[scope.parent]
        if not scope.name:
            return parent
        key = parent, scope.identity
        if key not in self._names:
            plain = ".".join(part for part in (parent, scope.name) if part)
            path, rank = plain, 1
            while path in self.parents:
                rank += 1
                path = f"{plain} ({rank})"
            self._names[key] = path
            self.parents[path] = parent
            self.kinds[path] = scope.kind
        path = self._names[key]
        self.kinds[path] = self.kinds[path] or scope.kind
        return path
