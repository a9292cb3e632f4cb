"""The operations: each a function on arrays with its derivative rules next to it.

A module lists in `__all__` what is public as `minigrad.<name>`, in `METHODS` which of its
operations are methods of `Tensor` too, and in `NUMPY` which NumPy functions of another name (such
as `np.linalg.norm`) they stand for; those of the same name in `numpy` are found by themselves. A
new module needs one line here.
"""

from types import ModuleType
from typing import TYPE_CHECKING

from minigrad.ops.accumulating import *  # noqa: F403
from minigrad.ops.activations import *  # noqa: F403
from minigrad.ops.assembling import *  # noqa: F403
from minigrad.ops.attention import *  # noqa: F403
from minigrad.ops.contractions import *  # noqa: F403
from minigrad.ops.convolution import *  # noqa: F403
from minigrad.ops.cross_entropies import *  # noqa: F403
from minigrad.ops.cumulative import *  # noqa: F403
from minigrad.ops.distances import *  # noqa: F403
from minigrad.ops.elementwise import *  # noqa: F403
from minigrad.ops.exponential import *  # noqa: F403
from minigrad.ops.gamma import *  # noqa: F403
from minigrad.ops.gated import *  # noqa: F403
from minigrad.ops.indexing import *  # noqa: F403
from minigrad.ops.inverse_special import *  # noqa: F403
from minigrad.ops.joining import *  # noqa: F403
from minigrad.ops.likelihoods import *  # noqa: F403
from minigrad.ops.linalg import *  # noqa: F403
from minigrad.ops.log_products import *  # noqa: F403
from minigrad.ops.losses import *  # noqa: F403
from minigrad.ops.margins import *  # noqa: F403
from minigrad.ops.matrix_norms import *  # noqa: F403
from minigrad.ops.nans import *  # noqa: F403
from minigrad.ops.neural import *  # noqa: F403
from minigrad.ops.normalization import *  # noqa: F403
from minigrad.ops.norms import *  # noqa: F403
from minigrad.ops.padding import *  # noqa: F403
from minigrad.ops.piecewise import *  # noqa: F403
from minigrad.ops.pooling import *  # noqa: F403
from minigrad.ops.predicates import *  # noqa: F403
from minigrad.ops.products import *  # noqa: F403
from minigrad.ops.quantiles import *  # noqa: F403
from minigrad.ops.reduction import *  # noqa: F403
from minigrad.ops.repeating import *  # noqa: F403
from minigrad.ops.samples import *  # noqa: F403
from minigrad.ops.scattering import *  # noqa: F403
from minigrad.ops.selecting import *  # noqa: F403
from minigrad.ops.shape import *  # noqa: F403
from minigrad.ops.sorting import *  # noqa: F403
from minigrad.ops.special import *  # noqa: F403
from minigrad.ops.statistics import *  # noqa: F403
from minigrad.ops.triangles import *  # noqa: F403
from minigrad.ops.trigonometric import *  # noqa: F403

MODULES = tuple(
    module
    for module in list(globals().values())
    if isinstance(module, ModuleType) and hasattr(module, "METHODS")
)
"""The modules of operations: they declare METHODS, and those that only help them do not."""

if not TYPE_CHECKING:  # type checkers follow the imports; a list that they cannot read hides them
    __all__ = ["MODULES", *(name for module in MODULES for name in module.__all__)]
