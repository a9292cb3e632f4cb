"""Elementwise operations.

May import `core` and the helpers of `ops`.
"""

from typing import TYPE_CHECKING

from minigrad.moved import names_from
from minigrad.ops.elementwise.arithmetic import *  # noqa: F403
from minigrad.ops.elementwise.casting import *  # noqa: F403
from minigrad.ops.elementwise.comparisons import *  # noqa: F403
from minigrad.ops.elementwise.exponential import *  # noqa: F403
from minigrad.ops.elementwise.gamma import *  # noqa: F403
from minigrad.ops.elementwise.inverse_special import *  # noqa: F403
from minigrad.ops.elementwise.piecewise import *  # noqa: F403
from minigrad.ops.elementwise.powers import *  # noqa: F403
from minigrad.ops.elementwise.predicates import *  # noqa: F403
from minigrad.ops.elementwise.special import *  # noqa: F403
from minigrad.ops.elementwise.trigonometric import *  # noqa: F403

if not TYPE_CHECKING:  # it would hide misspelt names
    __getattr__ = names_from(__name__, "minigrad.ops.elementwise.arithmetic")
