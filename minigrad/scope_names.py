"""Names for the scopes of one picture: two modules may have the same name, two boxes may not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minigrad.mode import Scope

__all__ = ["ScopeNames"]


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
