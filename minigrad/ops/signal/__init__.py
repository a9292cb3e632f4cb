"""Convolutions, padding, and functions of samples.

May import `core` and the shelves of `ops` up to `linalg`.
"""

from minigrad.ops.signal.convolution import *  # noqa: F403
from minigrad.ops.signal.padding import *  # noqa: F403
from minigrad.ops.signal.samples import *  # noqa: F403
