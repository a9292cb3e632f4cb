"""Operations on rows of numbers in extended precision: sums, extrema, norms, softmax, losses."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import mpmath
from mpmath import mp, mpf

from benchmarks.reliability.exact import BAD, Exact, Number, Numbers, Slope, Term, real
from minigrad import ops

__all__ = ["ROWS"]

Row = Callable[[Numbers], Any]


def reduction(
    name: str, value: Row, slopes: Row, function: Callable[..., Any] | None = None, **more: Any
) -> Exact:
    """An operation that makes one number of a row."""

    def values(inputs: Sequence[Numbers]) -> list[Number]:
        return [real(value, inputs[0])]

    def terms(inputs: Sequence[Numbers]) -> Iterator[Term]:
        for i, slope in enumerate(slopes(inputs[0])):
            yield 0, i, 0, slope if isinstance(slope, Slope) else Slope(slope)

    made = function or (lambda x: getattr(ops, name)(x, keepdims=True))
    return Exact(name, made, 1, values, terms, **more)


def over_row(name: str, value: Row, slopes: Row, **more: Any) -> Exact:
    """An operation that makes a row of a row, with a matrix of slopes: `[output][input]`."""

    def values(inputs: Sequence[Numbers]) -> list[Number]:
        return list(value(inputs[0]))

    def terms(inputs: Sequence[Numbers]) -> Iterator[Term]:
        for k, line in enumerate(slopes(inputs[0])):
            for i, slope in enumerate(line):
                yield 0, i, k, slope if isinstance(slope, Slope) else Slope(slope)

    made = more.pop("function", None) or getattr(ops, name)
    return Exact(name, made, 1, values, terms, **more)


def _total(row: Numbers) -> Number:
    return sum(abs(x) for x in row)


def _squares(row: Numbers) -> Number:
    return 4 * sum(x * x for x in row)


def _largest_product(row: Numbers) -> Number:
    """Of any of the numbers, in whatever order they are multiplied."""
    return mp.fprod(max(abs(x), mpf(1)) for x in row)


def _usual(row: Numbers) -> bool:
    return all(mpmath.isfinite(x) for x in row)


def _product(row: Numbers) -> Number:
    return mp.fprod(row) if _usual(row) else BAD


def _others(row: Numbers) -> list[Any]:
    """The products of all others; of others that are not finite nothing is promised."""
    rest = [mp.fprod([*row[:i], *row[i + 1 :]]) for i in range(len(row))]
    if not _usual(row):
        return [Slope(r, free=True) for r in rest]
    least = mp.fprod(min(abs(x) or mpf(1), mpf(1)) for x in row)  # of any order, where none is 0
    return [Slope(r, lost=abs(r) / least) for r in rest]


def _extremum(sign: int) -> Row:
    def slopes(row: Numbers) -> list[Number]:
        if any(mpmath.isnan(x) for x in row):
            return [BAD] * len(row)
        top = max(sign * x for x in row)
        share = mpf(1) / sum(sign * x == top for x in row)
        return [share if sign * x == top else mpf(0) for x in row]

    return slopes


def _shares(row: Numbers) -> list[Number]:
    """The softmax, by the policy at infinities."""
    if any(mpmath.isnan(x) for x in row):
        return [BAD] * len(row)
    top = max(row)
    if top == mpmath.inf:
        count = sum(x == top for x in row)
        return [mpf(int(x == top)) / count for x in row]
    if top == -mpmath.inf:
        return [mpf(0)] * len(row)
    parts = [mp.exp(x - top) if mpmath.isfinite(x) else mpf(0) for x in row]
    whole = sum(parts)
    return [part / whole for part in parts]


def _log_total(row: Numbers) -> Number:
    if any(mpmath.isnan(x) for x in row):
        return BAD
    top = max(row)
    return top + mp.log(sum(mp.exp(x - top) for x in row if x > -mpmath.inf)) if _usual(
        [top]
    ) else top  # fmt: skip


def _log_total_slopes(row: Numbers) -> list[Slope]:
    found = []
    for x, share in zip(row, _shares(row), strict=True):
        exponent = abs(x - max(row)) if _usual(row) else 0  # which is rounded
        found.append(Slope(share, share * exponent))
    return found


def _softmax_slopes(row: Numbers) -> list[list[Any]]:
    y = _shares(row)
    return [
        [Slope(a * (1 - a) if i == k else -a * b, a) for i, b in enumerate(y)]
        for k, a in enumerate(y)
    ]


def _log_softmax_slopes(row: Numbers) -> list[list[Any]]:
    y = _shares(row)
    if all(a == 0 for a in y):  # all are -inf
        return [[Slope(mpf(int(i == k)), free=True) for i in range(len(y))] for k in range(len(y))]
    return [[Slope(mpf(int(i == k)) - b, 1) for i, b in enumerate(y)] for k in range(len(y))]


def _deviations(row: Numbers) -> list[Number]:
    mean = sum(row) / len(row)
    return [x - mean for x in row]


def _size(row: Numbers) -> Number:
    return max(abs(x) for x in row)


def _variance(row: Numbers) -> Number:
    return sum(d * d for d in _deviations(row)) / len(row) if _usual(row) else BAD


def _variance_slopes(row: Numbers) -> list[Any]:
    if not _usual(row):
        return [BAD] * len(row)
    return [Slope(2 * d / len(row), _size(row)) for d in _deviations(row)]


def _spread_slopes(row: Numbers) -> list[Any]:
    """Of the standard deviation; 0 where that is 0, and open where it is rounding alone."""
    if not _usual(row):
        return [BAD] * len(row)
    spread = mp.sqrt(_variance(row))
    if len(set(row)) == 1:
        # The mean of equal numbers may be off by a rounding, in which case no slope is known.
        return [Slope(mpf(0), free=row[0] != 0)] * len(row)
    return [
        Slope(
            d / (len(row) * spread),
            _size(row) / spread,
            abs(d) / spread**3,  # its square may be subnormal
            free=spread < _size(row) * 1e-2,
        )
        for d in _deviations(row)
    ]


def _norm(p: float) -> tuple[Row, Row]:
    def value(row: Numbers) -> Number:
        return sum(abs(x) ** p for x in row) ** (mpf(1) / p) if _usual(row) else BAD

    def slopes(row: Numbers) -> list[Any]:
        if p == 1:
            return [mp.sign(x) if not mpmath.isnan(x) else BAD for x in row]
        if any(mpmath.isnan(x) for x in row):  # at 0 it is 0, whatever the others are
            return [Slope(BAD, free=x == 0) for x in row]
        if not _usual(row):
            return [Slope(BAD, free=True)] * len(row)
        y = value(row)
        if y == 0:
            return [mpf(0)] * len(row)
        found = [mp.sign(x) * (abs(x) / y) ** (p - 1) for x in row]
        return [Slope(s, p * abs(s * mp.log(y)), abs(s) / y) for s in found]  # by a root of y ** p

    return value, slopes


def _root_mean(row: Numbers, eps: float) -> Number:
    return mp.sqrt(sum(x * x for x in row) / len(row) + mpf(eps))


def _rms_slopes(row: Numbers) -> list[list[Any]]:
    if not _usual(row):
        return [[BAD] * len(row)] * len(row)
    s, n = _root_mean(row, 1e-5), len(row)
    return [
        [Slope(int(i == k) / s - x * z / (n * s**3), 1 / s) for i, z in enumerate(row)]
        for k, x in enumerate(row)
    ]


def _layer_norm_slopes(row: Numbers) -> list[list[Any]]:
    if not _usual(row):
        return [[BAD] * len(row)] * len(row)
    d, n = _deviations(row), len(row)
    s = _root_mean(d, 1e-5)
    off = _size(row) / s  # what the mean may be off, in units of the deviation
    return [
        [
            Slope(
                (int(i == k) - mpf(1) / n - a * b / (n * s * s)) / s,
                (1 + off) / s,
                free=off > 100,
            )
            for i, b in enumerate(d)
        ]
        for k, a in enumerate(d)
    ]


def _cumulative_slopes(row: Numbers) -> list[list[Any]]:
    n = len(row)
    lines: list[list[Any]] = []
    for k in range(n):
        others = [
            # By sums of products, divided by x, or products with gradients from the end.
            replace(slope, floor=k / abs(x) if x else 0, way=_largest_product(row))
            for slope, x in zip(_others(row[: k + 1]), row, strict=False)
        ]
        lines.append([*others, *[mpf(0)] * (n - k - 1)])
    return lines


def _cross_entropy_slopes(row: Numbers) -> list[Any]:
    shares = _shares(row)
    if row[0] == -mpmath.inf or row[0] == mpmath.inf:  # the loss is infinite, or a difference
        return [Slope(BAD, free=True)] * len(row)  # of infinities
    return [Slope(y - int(i == 0), 1) for i, y in enumerate(shares)]


def _cross_entropy(x: Any) -> Any:
    return ops.cross_entropy(x, [0] * x.shape[0] if x.ndim > 1 else 0, reduction="sum").reshape(1)


ROWS: tuple[Exact, ...] = (
    reduction("sum", lambda row: sum(row), lambda row: [mpf(1)] * len(row), way=_total),
    reduction(
        "mean",
        lambda row: sum(row) / len(row),
        lambda row: [mpf(1) / len(row)] * len(row),
        way=_total,
    ),
    reduction("prod", _product, _others, way=_largest_product),
    reduction("max", max, _extremum(1)),
    reduction("min", min, _extremum(-1)),
    reduction("logsumexp", _log_total, _log_total_slopes),
    reduction("var", _variance, _variance_slopes, way=_squares),
    reduction("std", lambda row: mp.sqrt(_variance(row)), _spread_slopes, way=_squares),
    reduction("norm", *_norm(2.0)),
    reduction(
        "norm_of_order_1",
        *_norm(1.0),
        function=lambda x: ops.norm(x, ord=1, axis=-1, keepdims=True),
        way=_total,
    ),
    reduction(
        "norm_of_order_3",
        *_norm(3.0),
        function=lambda x: ops.norm(x, ord=3, axis=-1, keepdims=True),
    ),
    reduction(
        "cross_entropy",
        lambda row: _log_total(row) - row[0] if _usual(row) else BAD,
        _cross_entropy_slopes,
        function=_cross_entropy,
    ),
    over_row(
        "cumsum",
        lambda row: [sum(row[: k + 1]) for k in range(len(row))],
        lambda row: [[mpf(int(i <= k)) for i in range(len(row))] for k in range(len(row))],
        way=_total,
    ),
    over_row(
        "cumprod",
        lambda row: [_product(row[: k + 1]) for k in range(len(row))],
        _cumulative_slopes,
        way=_largest_product,
    ),
    over_row("softmax", _shares, _softmax_slopes, value_ulps=1000),
    over_row(
        "log_softmax",
        lambda row: [x - _log_total(row) if _usual([x]) else BAD for x in row],
        _log_softmax_slopes,
    ),
    over_row(
        "rms_norm",
        lambda row: [x / _root_mean(row, 1e-5) for x in row] if _usual(row) else [BAD] * len(row),
        _rms_slopes,
        function=lambda x: ops.rms_norm(x, eps=1e-5),
        way=_squares,
    ),
    over_row(
        "layer_norm",
        lambda row: (
            [d / _root_mean(_deviations(row), 1e-5) for d in _deviations(row)]
            if _usual(row)
            else [BAD] * len(row)
        ),
        _layer_norm_slopes,
        function=lambda x: ops.layer_norm(x, eps=1e-5),
        way=_squares,
    ),
)
