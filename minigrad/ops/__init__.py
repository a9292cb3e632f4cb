"""The operations: each a function on arrays with its derivative rules next to it.

A module lists in `__all__` what is public as `minigrad.<name>`, in `METHODS` which of its
operations are methods of `Tensor` too, and in `NUMPY` which NumPy functions of another name (such
as `np.linalg.norm`) they stand for; those of the same name in `numpy` are found by themselves.
"""

from minigrad.ops import elementwise, indexing, linalg, neural, reduction, shape
from minigrad.ops.elementwise import *  # noqa: F403
from minigrad.ops.indexing import *  # noqa: F403
from minigrad.ops.linalg import *  # noqa: F403
from minigrad.ops.neural import *  # noqa: F403
from minigrad.ops.reduction import *  # noqa: F403
from minigrad.ops.shape import *  # noqa: F403

MODULES = (elementwise, reduction, shape, indexing, linalg, neural)

__all__ = ["MODULES"]
__all__ += elementwise.__all__
__all__ += reduction.__all__
__all__ += shape.__all__
__all__ += indexing.__all__
__all__ += linalg.__all__
__all__ += neural.__all__
