"""The operations: each a function on arrays with its derivative rules next to it.

A module lists in `__all__` what is public as `minigrad.<name>`, in `METHODS` which of its
operations are methods of `Tensor` too, and in `NUMPY` which NumPy functions of another name (such
as `np.linalg.norm`) they stand for; those of the same name in `numpy` are found by themselves.
"""

from minigrad.ops import (
    activations,
    attention,
    contractions,
    convolution,
    cross_entropies,
    cumulative,
    elementwise,
    exponential,
    indexing,
    joining,
    linalg,
    losses,
    matrix_norms,
    nans,
    neural,
    normalization,
    norms,
    piecewise,
    pooling,
    predicates,
    products,
    reduction,
    repeating,
    selecting,
    shape,
    sorting,
    special,
    statistics,
    triangles,
    trigonometric,
)
from minigrad.ops.activations import *  # noqa: F403
from minigrad.ops.attention import *  # noqa: F403
from minigrad.ops.contractions import *  # noqa: F403
from minigrad.ops.convolution import *  # noqa: F403
from minigrad.ops.cross_entropies import *  # noqa: F403
from minigrad.ops.cumulative import *  # noqa: F403
from minigrad.ops.elementwise import *  # noqa: F403
from minigrad.ops.exponential import *  # noqa: F403
from minigrad.ops.indexing import *  # noqa: F403
from minigrad.ops.joining import *  # noqa: F403
from minigrad.ops.linalg import *  # noqa: F403
from minigrad.ops.losses import *  # noqa: F403
from minigrad.ops.matrix_norms import *  # noqa: F403
from minigrad.ops.nans import *  # noqa: F403
from minigrad.ops.neural import *  # noqa: F403
from minigrad.ops.normalization import *  # noqa: F403
from minigrad.ops.norms import *  # noqa: F403
from minigrad.ops.piecewise import *  # noqa: F403
from minigrad.ops.pooling import *  # noqa: F403
from minigrad.ops.predicates import *  # noqa: F403
from minigrad.ops.products import *  # noqa: F403
from minigrad.ops.reduction import *  # noqa: F403
from minigrad.ops.repeating import *  # noqa: F403
from minigrad.ops.selecting import *  # noqa: F403
from minigrad.ops.shape import *  # noqa: F403
from minigrad.ops.sorting import *  # noqa: F403
from minigrad.ops.special import *  # noqa: F403
from minigrad.ops.statistics import *  # noqa: F403
from minigrad.ops.triangles import *  # noqa: F403
from minigrad.ops.trigonometric import *  # noqa: F403

MODULES = (
    elementwise,
    reduction,
    shape,
    indexing,
    linalg,
    neural,
    joining,
    repeating,
    selecting,
    sorting,
    triangles,
    contractions,
    matrix_norms,
    products,
    activations,
    attention,
    convolution,
    cross_entropies,
    losses,
    normalization,
    pooling,
    cumulative,
    exponential,
    nans,
    norms,
    piecewise,
    predicates,
    special,
    statistics,
    trigonometric,
)

__all__ = ["MODULES"]
__all__ += elementwise.__all__
__all__ += reduction.__all__
__all__ += shape.__all__
__all__ += indexing.__all__
__all__ += linalg.__all__
__all__ += neural.__all__
__all__ += joining.__all__
__all__ += repeating.__all__
__all__ += selecting.__all__
__all__ += sorting.__all__
__all__ += triangles.__all__
__all__ += contractions.__all__
__all__ += matrix_norms.__all__
__all__ += products.__all__
__all__ += activations.__all__
__all__ += attention.__all__
__all__ += convolution.__all__
__all__ += cross_entropies.__all__
__all__ += losses.__all__
__all__ += normalization.__all__
__all__ += pooling.__all__
__all__ += cumulative.__all__
__all__ += exponential.__all__
__all__ += nans.__all__
__all__ += norms.__all__
__all__ += piecewise.__all__
__all__ += predicates.__all__
__all__ += special.__all__
__all__ += statistics.__all__
__all__ += trigonometric.__all__
