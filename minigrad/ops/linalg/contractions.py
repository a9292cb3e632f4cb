"""`einsum`: sums of products by labelled axes (Einstein's summation convention).

A call is brought to one form, "ab,bc->ac" without ellipsis, and split into contractions of two
operands, each a node of its own, so that the derivative is made of the same three operations.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from string import ascii_letters
from typing import Any, NamedTuple

import numpy as np

from minigrad.core.errors import DtypeError, ShapeError, describe
from minigrad.core.nodes import Array
from minigrad.ops.parts import as_part
from minigrad.ops.primitives import primitive

__all__ = ["einsum"]


def _split(subscripts: str) -> tuple[list[str], str]:
    """The labels of the operands and of the result."""
    left, _, out = subscripts.partition("->")
    return left.split(","), out


def _unique(labels: str) -> str:
    return "".join(dict.fromkeys(labels))


class Reduction(NamedTuple):
    """How an array loses labels: diagonals, then sums, then a transposition."""

    diagonal: str
    summed: tuple[int, ...]
    order: tuple[int, ...] | None

    def apply(self, x: Array) -> Array:
        """The reduced array, a view where nothing is summed."""
        if self.diagonal:
            x = np.einsum(self.diagonal, x)
        if self.summed:
            x = x.sum(axis=self.summed, dtype=x.dtype)
        return x if self.order is None else x.transpose(self.order)


@lru_cache(maxsize=4096)
def _reduction(labels: str, kept: str) -> Reduction:
    """The diagonal of repeated labels, the sum over labels not kept, in the order of `kept`."""
    once = _unique(labels)
    summed = tuple(i for i, label in enumerate(once) if label not in kept)
    left = "".join(label for label in once if label in kept)
    return Reduction(
        f"{labels}->{once}" if once != labels else "",
        summed,
        None if left == kept else tuple(left.index(label) for label in kept),
    )


@primitive(view=True, part=False)
def einsum_single(x: Array, /, subscripts: str) -> Array:
    """Transposition, diagonals and sums of one operand, such as "iij->j"."""
    (labels,), out = _split(subscripts)
    return _reduction(labels, out).apply(np.asarray(x))


@primitive(view=True, part=False)
def einsum_spread(x: Array, /, subscripts: str, shape: tuple[int, ...]) -> Array:
    """The reverse of `einsum_single`: "j->iij" writes to the diagonal and repeats over new labels.

    Labels of `x` must stand in the order of their first appearance in the result.
    """
    (labels,), out = _split(subscripts)
    once = _unique(out)
    index = tuple(slice(None) if label in labels else None for label in once)
    if once == out:
        return np.broadcast_to(np.asarray(x)[index], shape)
    result = np.zeros(shape, np.asarray(x).dtype)
    np.einsum(f"{out}->{once}", result)[...] = np.asarray(x)[index]  # a view that writes through
    return result


def _ordered(out: str, labels: str) -> str:
    """The labels of `out` in the order of their first appearance in `labels`."""
    return "".join(label for label in _unique(labels) if label in out)


def _single_rule(g: Array, x_shape: Any, subscripts: str) -> Array:
    (labels,), out = _split(subscripts)
    kept = _ordered(out, labels)
    if kept != out:
        g = einsum_single.generic(g, f"{out}->{kept}")
    return einsum_spread.generic(g, f"{kept}->{labels}", x_shape)


def _spread_rule(g: Array, subscripts: str) -> Array:
    (labels,), out = _split(subscripts)
    return einsum_single.generic(g, f"{out}->{labels}")


einsum_single.vjp(x=_single_rule)
einsum_spread.vjp(x=_spread_rule)


class Recipe(NamedTuple):
    """How a contraction of two operands becomes one product."""

    left: Reduction
    left_shape: tuple[int, ...]
    right: Reduction
    right_shape: tuple[int, ...]
    product_shape: tuple[int, ...] | None  # None: the product is elementwise, not of matrices
    last: Reduction


@lru_cache(maxsize=4096)
def _recipe(subscripts: str, x1_shape: tuple[int, ...], x2_shape: tuple[int, ...]) -> Recipe:
    (x1_labels, x2_labels), out = _split(subscripts)
    x1_sizes = dict(zip(x1_labels, x1_shape, strict=True))
    x2_sizes = dict(zip(x2_labels, x2_shape, strict=True))
    # Labels of one operand alone are summed there. An axis of length 1 broadcasts, so that only
    # the other operand need have it; its label then belongs to that one alone.
    left = [a for a in x1_sizes if a in out or a in x2_sizes]
    left = [a for a in left if not (x1_sizes[a] == 1 and a in x2_sizes)]
    right = [a for a in x2_sizes if a in out or a in left]
    right = [a for a in right if not (x2_sizes[a] == 1 and a in left)]
    left = [a for a in left if a in out or a in right]
    sizes = {a: (x1_sizes if a in left else x2_sizes)[a] for a in left + right}
    summed = "".join(a for a in left if a in right and a not in out)

    def lengths(labels: str) -> tuple[int, ...]:
        return tuple(sizes[label] for label in labels)

    if not summed:
        left_order = "".join(a for a in out if a in left)
        right_order = "".join(a for a in out if a in right)
        return Recipe(
            _reduction(x1_labels, left_order),
            tuple(sizes[a] if a in left else 1 for a in out),
            _reduction(x2_labels, right_order),
            tuple(sizes[a] if a in right else 1 for a in out),
            None,
            _reduction(out, out),
        )
    stacked = "".join(a for a in left if a in right and a in out)
    rows = "".join(a for a in left if a not in right)
    columns = "".join(a for a in right if a not in left)
    inner = math.prod(lengths(summed))
    return Recipe(
        _reduction(x1_labels, stacked + rows + summed),
        (*lengths(stacked), math.prod(lengths(rows)), inner),
        _reduction(x2_labels, stacked + summed + columns),
        (*lengths(stacked), inner, math.prod(lengths(columns))),
        lengths(stacked + rows + columns),
        _reduction(stacked + rows + columns, out),
    )


@primitive
def einsum_pair(x1: Array, x2: Array, /, subscripts: str) -> Array:
    """A contraction of two operands, such as "ij,jk->ik": one matrix product where it is one."""
    x1, x2 = np.asanyarray(x1), np.asanyarray(x2)
    recipe = _recipe(subscripts, x1.shape, x2.shape)
    left = recipe.left.apply(x1).reshape(recipe.left_shape)
    right = recipe.right.apply(x2).reshape(recipe.right_shape)
    if recipe.product_shape is None:
        return np.multiply(left, right)
    return recipe.last.apply(np.matmul(left, right).reshape(recipe.product_shape))


def _pair_rule(g: Array, other: Array, shape: Any, own: str, others: str, out: str) -> Array:
    """The contraction of the output's gradient with the other operand.

    Labels that neither of them has, and axes of length 1, are spread over afterwards.
    """
    long = {a for a, n in zip(own, shape, strict=True) if n != 1}
    kept = "".join(a for a in _unique(own) if a in long and (a in out or a in others))
    part = einsum_pair.generic(g, other, f"{out},{others}->{kept}")
    if kept == own and part.shape == shape:
        return part
    return einsum_spread.generic(part, f"{kept}->{own}", shape)


def _pair_x1(g: Array, x2: Array, x1_shape: Any, subscripts: str) -> Array:
    (own, others), out = _split(subscripts)
    return _pair_rule(g, x2, x1_shape, own, others, out)


def _pair_x2(g: Array, x1: Array, x2_shape: Any, subscripts: str) -> Array:
    (others, own), out = _split(subscripts)
    return _pair_rule(g, x1, x2_shape, own, others, out)


einsum_pair.vjp(x1=_pair_x1, x2=_pair_x2)


def _letters(operands: Sequence[Any]) -> tuple[str, list[Any]]:
    """The interleaved form ``(a, [0, 1], b, [1, 2], [0, 2])`` as a string and its operands."""
    arrays = list(operands[0 : len(operands) - 1 : 2])
    lists = list(operands[1::2])
    out = operands[-1] if len(operands) % 2 else None
    numbers: set[Any] = set()
    for labels in lists if out is None else [*lists, out]:
        if not isinstance(labels, (list, tuple)):
            raise DtypeError(
                "einsum: without a string of subscripts, arrays and lists of labels alternate, as "
                f"in einsum(a, [0, 1], b, [1, 2]); got {describe(labels)} for a list of labels"
            )
        numbers |= {label for label in labels if label is not Ellipsis}
    letter = dict(zip(sorted(numbers), sorted(ascii_letters), strict=False))
    if len(letter) < len(numbers):
        raise ShapeError(f"einsum: at most {len(ascii_letters)} labels, got {len(numbers)}")

    def text(labels: Sequence[Any]) -> str:
        return "".join("..." if label is Ellipsis else letter[label] for label in labels)

    subscripts = ",".join(map(text, lists))
    return subscripts if out is None else f"{subscripts}->{text(out)}", arrays


@lru_cache(maxsize=1024)
def _parse(subscripts: str, ranks: tuple[int, ...]) -> tuple[tuple[str, ...], str]:
    """The labels of each operand and of the result, ellipses written out.

    Raises:
        ShapeError: saying what is wrong with the subscripts.
    """

    def fail(what: str) -> ShapeError:
        return ShapeError(f"einsum: {what} (subscripts {subscripts!r}, operands of {ranks} axes)")

    left, arrow, out = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    wrong = sorted(set((left + out).replace("...", "").replace(",", "")) - set(ascii_letters))
    if wrong:
        raise fail(f"{wrong[0]!r} is not a letter; subscripts are letters, commas, '...' and '->'")
    if len(terms) != len(ranks):
        raise fail(f"there are {len(terms)} groups of subscripts for {len(ranks)} operands")
    hidden = []
    for i, (term, rank) in enumerate(zip(terms, ranks, strict=True)):
        named = len(term.replace("...", "", 1))
        if "..." in term.replace("...", "", 1) or (
            named > rank if "..." in term else named != rank
        ):
            raise fail(f"operand {i} has {rank} axes, but its subscripts are {term!r}")
        hidden.append(rank - named)
    free = [a for a in ascii_letters if a not in subscripts]
    if max(hidden) > len(free):
        raise fail(f"at most {len(ascii_letters)} labels, those of '...' included")
    rest = "".join(free[: max(hidden)])
    labels = tuple(
        term.replace("...", rest[len(rest) - count :])
        for term, count in zip(terms, hidden, strict=True)
    )
    if not arrow:
        named_labels = left.replace("...", "").replace(",", "")
        result = rest + "".join(sorted(a for a in named_labels if named_labels.count(a) == 1))
        return labels, result
    if rest and "..." not in out:
        raise fail(f"the result {out!r} needs '...' for the axes that '...' stands for")
    result = out.replace("...", rest, 1)
    for a in result:
        if a == "." or a == ",":
            raise fail(f"the result {out!r} must be letters and at most one '...'")
        if result.count(a) > 1:
            raise fail(f"the result names {a!r} more than once")
        if a not in "".join(labels):
            raise fail(f"the result has {a!r}, which no operand has")
    return labels, result


@lru_cache(maxsize=1024)
def _check_lengths(labels: tuple[str, ...], shapes: tuple[tuple[int, ...], ...]) -> None:
    """Axes of one label must be equally long, or of length 1 in another operand."""
    known: dict[str, int] = {}
    for i, (term, shape) in enumerate(zip(labels, shapes, strict=True)):
        here: dict[str, int] = {}
        for label, length in zip(term, shape, strict=True):
            if here.setdefault(label, length) != length or (
                length != 1 and known.setdefault(label, length) != length
            ):
                other = here[label] if here[label] != length else known[label]
                raise ShapeError(
                    f"einsum: {label!r} has length {length} in operand {i} but {other} before "
                    f"(subscripts {','.join(labels)!r}, shapes {', '.join(map(str, shapes))})"
                )


@lru_cache(maxsize=1024)
def _path(subscripts: str, shapes: tuple[tuple[int, ...], ...], optimize: Any) -> list[Any]:
    """The operands of each contraction, in NumPy's notation: they go, the result comes last."""
    arrays = [np.broadcast_to(np.zeros(()), shape) for shape in shapes]
    plan = optimize if isinstance(optimize, (bool, str)) else list(optimize)
    return list(np.einsum_path(subscripts, *arrays, optimize=plan)[0][1:])


def einsum(*operands: Any, optimize: Any = True) -> Any:
    """The sum of products over labelled axes, such as ``einsum("bij,bjk->bik", x, w)``.

    Labels that the result does not have are summed over; a label twice in one operand takes its
    diagonal; ``...`` stands for axes that broadcast; without ``->`` the result has the labels
    that appear once, in alphabetical order. Axes of length 1 broadcast.

    Args:
        operands: subscripts and arrays, or arrays and lists of labels in turn:
            ``einsum(a, [0, 1], b, [1, 2], [0, 2])``.
        optimize: how to order the contractions of three or more operands, as in NumPy: True or
            "greedy", "optimal", a path of `numpy.einsum_path`, or False for left to right.

    Raises:
        ShapeError: when subscripts and shapes do not fit, naming the label or the operand.
        DtypeError: when lists of labels are missing.

    >>> from minigrad import Tensor
    >>> w = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> einsum("ii", w).item()
    5.0
    """
    if not operands:
        raise DtypeError("einsum: needs subscripts and at least one array")
    if isinstance(operands[0], str):
        subscripts, arrays = operands[0], list(operands[1:])
    else:
        subscripts, arrays = _letters(operands)
    if not arrays:
        raise DtypeError(f"einsum: there is no array for the subscripts {subscripts!r}")
    shapes = tuple(a.shape if hasattr(a, "shape") else np.shape(a) for a in arrays)
    labels, out = _parse(subscripts, tuple(map(len, shapes)))
    _check_lengths(labels, shapes)
    if len(arrays) == 1:
        single = einsum_single(arrays[0], f"{labels[0]}->{out}")
        return single if set(labels[0]) - set(out) else as_part(single, "einsum")
    if len(arrays) == 2:
        return einsum_pair(arrays[0], arrays[1], f"{labels[0]},{labels[1]}->{out}")
    if not optimize:
        path = [(0, 1)] + [(0, len(arrays) - 1 - i) for i in range(1, len(arrays) - 1)]
    else:
        key = optimize if isinstance(optimize, (bool, str)) else tuple(optimize)
        path = _path(f"{','.join(labels)}->{out}", shapes, key)
    remaining = list(zip(labels, arrays, strict=True))
    for chosen in path:
        group = [remaining.pop(i) for i in sorted(chosen, reverse=True)][::-1]
        while len(group) > 1:
            (a, x), (b, z) = group[:2]
            later = [term for term, _ in group[2:] + remaining]
            needed = "".join(later) + out
            kept = "".join(label for label in _unique(a + b) if label in needed)
            if not later:
                kept = out
            group[:2] = [(kept, einsum_pair(x, z, f"{a},{b}->{kept}"))]
        remaining.append(group[0])
    return remaining[0][1]


def _einsum_path(*operands: Any, optimize: Any = "greedy") -> Any:
    """`numpy.einsum_path` for tensors: it looks at shapes alone."""
    if isinstance(operands[0], str):
        subscripts, arrays = operands[0], list(operands[1:])
    else:
        subscripts, arrays = _letters(operands)
    empty = [np.broadcast_to(np.zeros((), np.float64), np.shape(a)) for a in arrays]
    return np.einsum_path(subscripts, *empty, optimize=optimize)


NUMPY = {np.einsum_path: _einsum_path}
