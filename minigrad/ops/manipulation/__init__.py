"""Operations that move elements: shapes, indices, joining, sorting.

May import `core`, the helpers of `ops` and the elementwise operations.
"""

from minigrad.ops.manipulation.assembling import *  # noqa: F403
from minigrad.ops.manipulation.indexing import *  # noqa: F403
from minigrad.ops.manipulation.joining import *  # noqa: F403
from minigrad.ops.manipulation.repeating import *  # noqa: F403
from minigrad.ops.manipulation.reshaping import *  # noqa: F403
from minigrad.ops.manipulation.selecting import *  # noqa: F403
from minigrad.ops.manipulation.sorting import *  # noqa: F403
from minigrad.ops.manipulation.triangles import *  # noqa: F403
