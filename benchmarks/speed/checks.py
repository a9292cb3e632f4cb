"""Whether contestants computed the same."""

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["difference"]


def difference(found: Mapping[str, Any], expected: Mapping[str, Any]) -> float:
    """The largest difference of two sets of arrays, relative to the largest magnitude of each.

    It is infinite for other names or shapes, and for values that are not finite.
    """
    if found.keys() != expected.keys():
        return float("inf")
    worst = 0.0
    for name, array in expected.items():
        a, b = (np.asarray(x, np.float64) for x in (found[name], array))
        if a.shape != b.shape or not np.isfinite(a).all() or not np.isfinite(b).all():
            return float("inf")
        if not b.size:
            continue
        scale = max(float(np.abs(b).max()), float(np.finfo(np.float32).tiny))
        worst = max(worst, float(np.abs(a - b).max()) / scale)
    return worst
