"""What happens besides recording while anomaly mode is on."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.errors import AnomalyError, describe
from minigrad.mode import Mode, place
from minigrad.nodes import Node, extras_of
from minigrad.tape import is_finite

__all__ = ["user_line", "watch"]

OWN_PACKAGES = ("minigrad", "layers")


def user_line() -> str:
    """The file and line outside minigrad and layers from which the running call came."""
    frame = sys._getframe(1)
    while frame.f_back is not None and (
        frame.f_globals.get("__name__", "").partition(".")[0] in OWN_PACKAGES
        or frame.f_code.co_filename.startswith("<minigrad ")
    ):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def watch(
    op: Any,
    mode: Mode,
    inputs: Sequence[Any],
    params: dict[str, Any],
    tensors: Sequence[Any],
    node: Node | None,
) -> None:
    """Check the results of an operation, and note on its node what was seen.

    Raises:
        AnomalyError: at the first operation that turns finite inputs into NaN or infinity.
    """
    if not mode.anomaly:
        return
    line = user_line()
    finite = all(is_finite(t) for t in tensors)
    if node is not None:
        extras = extras_of(node)
        extras.line, extras.value_finite = line, finite
    if not finite and all(is_finite(value) for value in inputs):
        raise AnomalyError(
            f"{place(op.name, mode.scope)}: finite inputs gave a result that is not finite: "
            f"{', '.join(describe(v) for v in inputs)} -> "
            f"{', '.join(describe(t) for t in tensors)} ({count_bad(tensors)}). Called at {line}."
        )


def count_bad(values: Sequence[Any]) -> str:
    """How many of the values are NaN and how many infinite."""
    arrays = [np.asarray(getattr(v, "_array", v)) for v in values]
    nans = sum(int(np.isnan(a).sum()) for a in arrays)
    infinities = sum(int(np.isinf(a).sum()) for a in arrays)
    return f"{nans} NaN, {infinities} infinite of {sum(a.size for a in arrays)}"
