"""The operations: each a function on arrays with its derivative rules next to it.

On shelves, each of which may import those before it: `elementwise`, `manipulation`, `reduction`,
`linalg`, `signal`, `nn`. What operations share lies beside the shelves. All of it may import
`minigrad.core`.

A module lists in `__all__` what is public as `minigrad.<name>`, and in `NUMPY` which NumPy
functions of another name (such as `np.linalg.norm`) its operations stand for; those of the same
name in `numpy` are found by themselves. Methods of `Tensor` are declared with
`@primitive(method=True)`, or with `@method` where a function is composed of others. A new module
needs one line on its shelf.
"""

from types import ModuleType
from typing import TYPE_CHECKING

from minigrad.ops import elementwise, linalg, manipulation, nn, reduction, signal
from minigrad.ops.elementwise import *  # noqa: F403
from minigrad.ops.linalg import *  # noqa: F403
from minigrad.ops.manipulation import *  # noqa: F403
from minigrad.ops.nn import *  # noqa: F403
from minigrad.ops.reduction import *  # noqa: F403
from minigrad.ops.signal import *  # noqa: F403

MODULES = tuple(
    module
    for shelf in (elementwise, manipulation, reduction, linalg, signal, nn)
    for module in vars(shelf).values()
    if isinstance(module, ModuleType) and vars(shelf).keys() >= set(module.__all__)
)
"""The modules of operations, whose public names their shelf hands on; others only help them."""

if not TYPE_CHECKING:  # type checkers follow the imports; a list that they cannot read hides them
    __all__ = ["MODULES", *(name for module in MODULES for name in module.__all__)]
