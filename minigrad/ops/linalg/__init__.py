"""Products of matrices and linear algebra.

May import `core` and the shelves of `ops` up to `reduction`.
"""

from typing import TYPE_CHECKING

from minigrad.moved import names_from
from minigrad.ops.linalg.contractions import *  # noqa: F403
from minigrad.ops.linalg.distances import *  # noqa: F403
from minigrad.ops.linalg.matrices import *  # noqa: F403
from minigrad.ops.linalg.matrix_norms import *  # noqa: F403
from minigrad.ops.linalg.norms import *  # noqa: F403
from minigrad.ops.linalg.products import *  # noqa: F403

if not TYPE_CHECKING:  # it would hide misspelt names
    __getattr__ = names_from(__name__, "minigrad.ops.linalg.matrices")
