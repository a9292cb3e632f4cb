"""Targets of a cross-entropy: which of them count."""

from typing import Any, Final

import numpy as np

__all__ = ["IGNORED", "count_targets"]

IGNORED: Final = -100
"""A target that does not count, such as padding: the default `ignore_index` of cross_entropy."""


def count_targets(targets: Any) -> int:
    """How many targets count: the weight of a batch whose mean loss is over them.

    >>> count_targets([[3, 1, 2], [4, -100, -100]])
    4
    """
    return int((np.asarray(targets) != IGNORED).sum())
