"""minigrad: reverse-mode automatic differentiation for NumPy arrays.

The public API is what `minigrad.public` lists. It is imported when the first of its names is used,
so that `import minigrad` itself costs next to nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minigrad.public import *  # noqa: F403 - see there
else:
    from importlib import import_module
    from importlib.util import find_spec

    def __getattr__(name):
        """A module of the package, or a public name; all of those are entered at the first."""
        if name != "__all__" and name.startswith("__"):
            raise AttributeError(f"module 'minigrad' has no attribute {name!r}")
        if name != "__all__" and find_spec(f"minigrad.{name}") is not None:
            return import_module(f"minigrad.{name}")
        public = import_module("minigrad.public")
        globals().update((entry, getattr(public, entry)) for entry in public.__all__)
        globals()["__all__"] = public.__all__
        if name not in globals():
            raise AttributeError(f"module 'minigrad' has no attribute {name!r}")
        return globals()[name]

    def __dir__():
        __getattr__("__all__")
        return sorted(globals())
