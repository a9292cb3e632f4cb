"""Reductions by NumPy itself, of arrays that are followed."""

from typing import Any

import numpy as np

from minigrad.compiled.graph import View, size_of
from minigrad.compiled.tracing.builder import Builder
from minigrad.ops.axis_utils import normalize_axes

__all__ = ["ufunc_reduction"]


def ufunc_reduction(
    builder: Builder, name: str, x: Any, options: dict[str, Any], dtype: Any
) -> View | None:
    """What sums give, and of floats and places the largest; if nothing unusual is asked of them."""
    if not isinstance(x, View) or x.dtype != dtype:
        return None
    floats = x.dtype in (np.float32, np.float64)
    usual = {"axis", "keepdims"} | {
        key
        for key, value in options.items()
        if value is None or value is True or value is np._NoValue
    }
    if not (floats or x.dtype == np.int64) or not usual.issuperset(options) or not size_of(x.shape):
        return None
    axes = normalize_axes(options.get("axis", 0), len(x.shape))
    keepdims = bool(options.get("keepdims", False))
    if name == "maximum.reduce":
        return builder.reduce("max", x, axes, keepdims)
    if name == "minimum.reduce" and not floats:
        largest = builder.reduce("max", builder.elementwise("negative", x), axes, keepdims)
        return builder.elementwise("negative", largest)
    return builder.reduce("sum", x, axes, keepdims) if name == "add.reduce" and floats else None
