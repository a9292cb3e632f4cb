"""Hypothesis strategies for shapes and arrays."""

from typing import Any

import numpy as np

from minigrad.core.tensors import Tensor
from minigrad.io.packages import require

require("hypothesis", "testing", "minigrad.testing.strategies")

from hypothesis import strategies as st  # noqa: E402 - after the check that it is installed
from hypothesis.extra import numpy as hnp  # noqa: E402

__all__ = ["arrays", "broadcastable_shapes", "layouts", "shapes", "tensors"]


def shapes(min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 3) -> Any:
    """Shapes, among them () and shapes with a 0."""
    return hnp.array_shapes(
        min_dims=max(min_dims, 1), max_dims=max_dims, min_side=min_side, max_side=max_side
    ) | (st.just(()) if min_dims == 0 else st.nothing())


def broadcastable_shapes(count: int, max_dims: int = 3, max_side: int = 3) -> Any:
    """Tuples of shapes that broadcast together, some with a 0."""
    return hnp.mutually_broadcastable_shapes(
        num_shapes=count, max_dims=max_dims, max_side=max_side, min_side=0
    ).map(lambda result: result.input_shapes)


@st.composite
def arrays(
    draw: Any,
    shape: Any,
    low: float = -2.0,
    high: float = 2.0,
    dtype: Any = np.float64,
    avoid: tuple[float, ...] = (),
    margin: float = 0.05,
    distinct: bool = False,
) -> Any:
    """Arrays of well-spread numbers in [low, high], drawn through a seed.

    The numbers themselves come from NumPy's generator: derivatives fail on shapes and places, not
    on particular digits, and a drawn seed keeps examples small and fast.

    Args:
        shape: a shape, or a strategy for one.
        avoid: places where the function has no derivative; numbers keep `margin` from them.
        distinct: all numbers differ from each other by a margin, so that there are no ties.
    """
    if not isinstance(shape, tuple):
        shape = draw(shape)
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = int(np.prod(shape))
    if distinct:
        numbers = low + (high - low) * (generator.permutation(size) + 0.5) / max(size, 1)
    else:
        numbers = generator.uniform(low, high, size)
    for place in avoid:
        close = np.abs(numbers - place) < margin
        numbers = np.where(
            close, np.where(numbers < place, place - margin, place + margin), numbers
        )
    return draw(layouts(numbers.reshape(shape).astype(dtype)))


def layouts(array: Any) -> Any:
    """The same values in different memory: contiguous, transposed order, strided, reversed."""

    def strided(a: Any) -> Any:
        wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
        wide[..., ::2] = a
        return wide[..., ::2]

    choices = [array]
    if array.ndim:  # np.asfortranarray would give a 0-d array an axis
        choices += [np.asfortranarray(array), strided(array)]
        choices.append(np.ascontiguousarray(array[::-1])[::-1])
    return st.sampled_from(choices)


@st.composite
def tensors(
    draw: Any, /, shape: Any = None, *, requires_grad: bool = True, **options: Any
) -> Tensor:
    """Tensors of well-spread numbers, as leaves that require grad unless told otherwise.

    Args:
        shape: a shape, or a strategy for one; None for any.
        requires_grad: whether they require grad.
        options: as in `arrays`.
    """
    array = draw(arrays(shapes() if shape is None else shape, **options))
    return Tensor(array, requires_grad=requires_grad)
