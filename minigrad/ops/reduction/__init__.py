"""Operations that reduce an axis or run along it.

May import `core` and the shelves of `ops` up to `manipulation`.
"""

from typing import TYPE_CHECKING

from minigrad.moved import names_from
from minigrad.ops.reduction.accumulating import *  # noqa: F403
from minigrad.ops.reduction.cumulative import *  # noqa: F403
from minigrad.ops.reduction.log_products import *  # noqa: F403
from minigrad.ops.reduction.nans import *  # noqa: F403
from minigrad.ops.reduction.quantiles import *  # noqa: F403
from minigrad.ops.reduction.reductions import *  # noqa: F403
from minigrad.ops.reduction.scattering import *  # noqa: F403
from minigrad.ops.reduction.softmaxes import *  # noqa: F403
from minigrad.ops.reduction.statistics import *  # noqa: F403
from minigrad.ops.reduction.sums import *  # noqa: F403

if not TYPE_CHECKING:  # it would hide misspelt names
    __getattr__ = names_from(__name__, "minigrad.ops.reduction.reductions")
