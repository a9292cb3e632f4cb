"""From elementwise operations to values of a graph."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.compiled.graph import BINARY, BITWISE, COMPARISONS, LOGICAL, UNARY, Operand, View
from minigrad.compiled.tracing.builder import Builder, as_number
from minigrad.compiled.tracing.conversions.registry import FLOATS, Recorded, conversion

__all__: list[str] = []

_OF_TRUTHS = {
    "add": "logical_or",
    "bitwise_and": "logical_and",
    "bitwise_or": "logical_or",
    "bitwise_xor": "logical_xor",
    "maximum": "logical_or",
    "minimum": "logical_and",
    "multiply": "logical_and",
}
"""What arithmetic of booleans is."""


_TESTS = COMPARISONS | LOGICAL


@conversion(*(UNARY | BINARY | BITWISE | _TESTS) - {"copy", "sigmoid"})
def _elementwise(builder: Builder, call: Recorded) -> View | None:
    if call.params:
        return None
    dtype = call.result.dtype
    if dtype.kind == "b" and call.name in _OF_TRUTHS:
        return builder.elementwise(_OF_TRUTHS[call.name], *call.operands)
    if call.name not in _TESTS and dtype.kind not in "fiu":
        return None
    if call.name in COMPARISONS and _is_mixed(call.operands):
        return None
    if call.name == "power" and dtype in FLOATS:
        return _power(builder, call, as_number(call.operands[1]))
    return builder.elementwise(call.name, *call.operands, dtype=dtype)


def _is_mixed(operands: Sequence[Operand]) -> bool:
    """Whether no integers hold all of those that are compared, which NumPy does exactly."""
    dtypes = [operand.dtype for operand in operands if isinstance(operand, View)]
    return all(dtype.kind in "iu" for dtype in dtypes) and np.result_type(*dtypes).kind == "f"


def _power(builder: Builder, call: Recorded, exponent: Any) -> View:
    """Powers that are simpler than they look, as NumPy computes them."""
    base = call.operands[0]
    if isinstance(base, View) and base.dtype == call.result.dtype:
        if exponent == 1:
            return base.broadcast(call.result.shape)
        if exponent == 2:
            return builder.elementwise("square", base).broadcast(call.result.shape)
        if exponent == 0.5:
            return builder.elementwise("sqrt", base).broadcast(call.result.shape)
    return builder.elementwise("power", *call.operands, dtype=call.result.dtype)


@conversion("invert", "bitwise_not")
def _invert(builder: Builder, call: Recorded) -> View | None:
    (x,) = call.operands
    if call.result.dtype.kind == "b":
        return builder.elementwise("logical_not", x)
    return builder.elementwise("bitwise_xor", x, -1) if call.result.dtype.kind == "i" else None


@conversion("sigmoid", quiet=True)
def _floating(builder: Builder, call: Recorded) -> View | None:
    (x,) = call.operands
    return builder.elementwise(call.name, x) if call.result.dtype in FLOATS else None


@conversion("positive", "dropout_off", "real", "conj")
def _same(builder: Builder, call: Recorded) -> View | None:
    (x,) = call.operands
    changed = call.name == "conj" and call.result.dtype.kind == "c"
    return x if isinstance(x, View) and not changed else None


@conversion("fabs")
def _absolute(builder: Builder, call: Recorded) -> View | None:
    return builder.elementwise("absolute", *call.operands)


@conversion("reciprocal")
def _reciprocal(builder: Builder, call: Recorded) -> View | None:
    return builder.elementwise("divide", 1.0, *call.operands)


@conversion("relu")
def _relu(builder: Builder, call: Recorded) -> View | None:
    return builder.elementwise("maximum", call.operands[0], 0.0)


@conversion("clip_fixed")
def _clip(builder: Builder, call: Recorded) -> View | None:
    (x,) = call.operands
    low, high = call.params["low"], call.params["high"]
    for op, bound in (("maximum", low), ("minimum", high)):
        if isinstance(bound, np.ndarray):
            return None
        if bound is not None:  # of equal zeros the second one is taken: x, if NumPy compares twice
            pair = (x, bound) if low is None or high is None else (bound, x)
            x = builder.elementwise(op, *pair, dtype=call.result.dtype)
    return x if isinstance(x, View) else None


@conversion("logaddexp")
def _logaddexp(builder: Builder, call: Recorded) -> View | None:
    a, b = call.operands
    if call.result.dtype not in FLOATS:
        return None
    same = builder.elementwise("equal", a, b)  # as infinite ones may be
    apart = (builder.elementwise("where", same, 0.0, x, dtype=call.result.dtype) for x in (a, b))
    distance = builder.elementwise("absolute", builder.elementwise("subtract", *apart))
    rest = builder.elementwise("exp", builder.elementwise("negative", distance))
    top = builder.elementwise("maximum", a, b, dtype=call.result.dtype)
    return builder.elementwise("add", top, builder.elementwise("log1p", rest))


@conversion("replace_not_finite")
def _replace_not_finite(builder: Builder, call: Recorded) -> View | None:
    (x,), dtype = call.operands, call.result.dtype
    if not isinstance(x, View) or dtype not in FLOATS:
        return None
    limits, y = np.finfo(dtype), x
    numbers = [call.params[name] for name in ("nan", "posinf", "neginf")]
    if not all(number is None or isinstance(number, (int, float)) for number in numbers):
        return None
    tests = [
        builder.elementwise("isnan", x),
        builder.elementwise("equal", x, np.inf),
        builder.elementwise("equal", x, -np.inf),
    ]
    usual = (0.0, float(limits.max), float(limits.min))
    for test, number, other in zip(tests, numbers, usual, strict=True):
        y = builder.elementwise("where", test, other if number is None else number, y, dtype=dtype)
    return y


@conversion("round")
def _round(builder: Builder, call: Recorded) -> View | None:
    whole = call.params["decimals"] == 0 and call.result.dtype in FLOATS
    return builder.elementwise("rint", *call.operands) if whole else None


@conversion("where")
def _where(builder: Builder, call: Recorded) -> View | None:
    condition, x, y = call.operands
    if not isinstance(condition, View) or call.result.dtype.kind not in "fiub":
        return None
    if condition.dtype != bool:
        condition = builder.elementwise("not_equal", condition, 0)
    return builder.elementwise("where", condition, x, y, dtype=call.result.dtype)


@conversion("astype")
def _astype(builder: Builder, call: Recorded) -> View | None:
    (x,) = call.operands
    wanted = call.result.dtype
    return builder.convert(x, wanted) if isinstance(x, View) and wanted.kind in "fiub" else None


@conversion("dropout", quiet=True)
def _dropout(builder: Builder, call: Recorded) -> View | None:
    x, keep = call.operands
    kept = builder.elementwise("multiply", x, keep)
    return builder.elementwise("multiply", kept, call.params["scale"])


@conversion("silu", quiet=True)
def _silu(builder: Builder, call: Recorded) -> View | None:
    (x,) = call.operands
    return builder.elementwise("multiply", x, builder.elementwise("sigmoid", x))


@conversion("gelu", quiet=True)
def _gelu(builder: Builder, call: Recorded) -> View | None:
    (x,) = call.operands
    if call.params["approximate"] != "none" or call.result.dtype != np.float32:
        return None  # of float64, the exact form needs erfc
    below = builder.elementwise("erf", builder.elementwise("multiply", x, 0.5**0.5))
    half = builder.elementwise("multiply", below, 0.5)
    return builder.elementwise("multiply", x, builder.elementwise("add", half, 0.5))
