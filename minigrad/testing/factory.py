"""One factory that property-tests an operation: shapes, layouts, dtypes, orders 1 and 2."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigrad.errors import require
from minigrad.tensors import Tensor
from minigrad.testing import strategies
from minigrad.testing.checking import check_gradients

require("hypothesis", "testing", "minigrad.testing.property_test")

from hypothesis import given  # noqa: E402 - after the check that it is installed
from hypothesis import strategies as st  # noqa: E402

__all__ = ["Input", "property_test"]


@dataclass(frozen=True)
class Input:
    """What an operation accepts for one array input.

    Attributes:
        low, high: the range of the numbers.
        avoid: places without a derivative, which are kept at a distance.
        distinct: no two numbers are equal, for operations with ties.
        shape: a shape or a strategy for one; None for any shape (with several inputs: any shapes
            that broadcast together).
    """

    low: float = -2.0
    high: float = 2.0
    avoid: tuple[float, ...] = ()
    distinct: bool = False
    shape: Any = None


@dataclass(frozen=True)
class _Case:
    arrays: list[Any]
    params: dict[str, Any] = field(default_factory=dict)


def property_test(
    op: Callable[..., Any],
    *inputs: Input,
    params: Mapping[str, Any] | Callable[[list[Any]], Any] | None = None,
    reference: Callable[..., Any] | None = None,
    shapes: Any = None,
    list_input: bool = False,
    dtypes: tuple[Any, ...] = (np.float16, np.float32, np.float64),
    order: int = 2,
    analytic: bool | None = None,
    rtol: float = 1e-6,
) -> Callable[[], None]:
    """A hypothesis test of an operation, from one line.

    It checks, on drawn shapes (0-d and empty ones included), memory layouts and dtypes: values
    against a reference; the dtype of values and gradients; gradients of order 1 and 2 against
    complex steps or extrapolated differences; that inputs of which only some require grad give
    the same gradients.

    Args:
        op: the operation, a function of tensors.
        inputs: one description per array input.
        params: parameters of the call: fixed ones as a dict (values may be strategies), or a
            function from the list of arrays to a strategy for such a dict.
        reference: the same function on NumPy arrays.
        shapes: a strategy for a tuple of shapes, one per input; by default each input's own, or
            shapes that broadcast together.
        list_input: call ``op([a, b, ...])`` instead of ``op(a, b, ...)``.
        dtypes: the floating dtypes that must come back as themselves.
        order: 1, or 2 to check second derivatives too.
        analytic: see `check_gradients`.
        rtol: see `check_gradients`.

    >>> test_tanh = property_test(np.tanh, Input(), reference=np.tanh)
    >>> test_tanh()
    """

    def call(*tensors: Any, **chosen: Any) -> Any:
        return op(list(tensors), **chosen) if list_input else op(*tensors, **chosen)

    @given(_cases(inputs, params, shapes), st.sampled_from(dtypes), st.data())
    def test(case: _Case, dtype: Any, data: Any) -> None:
        _check_values(call, case, dtype, reference, list_input)
        _check_dtypes(call, case, dtype)
        check_gradients(
            lambda *a: call(*a, **case.params),
            *case.arrays,
            order=order,
            analytic=analytic,
            rtol=rtol,
        )
        if len(case.arrays) > 1:
            _check_part(call, case, data.draw(st.integers(0, len(case.arrays) - 1)))

    return test


@st.composite
def _cases(draw: Any, inputs: tuple[Input, ...], params: Any, shapes: Any) -> _Case:
    if shapes is not None:
        chosen = list(draw(shapes))
    elif all(spec.shape is None for spec in inputs) and len(inputs) > 1:
        chosen = list(draw(strategies.broadcastable_shapes(len(inputs))))
    else:
        chosen = [strategies.shapes() if spec.shape is None else spec.shape for spec in inputs]
    arrays = [
        draw(
            strategies.arrays(shape, spec.low, spec.high, avoid=spec.avoid, distinct=spec.distinct)
        )
        for spec, shape in zip(inputs, chosen, strict=True)
    ]
    if params is None:
        return _Case(arrays)
    if callable(params):
        return _Case(arrays, draw(params(arrays)))
    fixed = {k: draw(v) if isinstance(v, st.SearchStrategy) else v for k, v in params.items()}
    return _Case(arrays, fixed)


def _outputs(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (list, tuple)) else [result]


def _check_values(
    call: Any, case: _Case, dtype: Any, reference: Callable[..., Any] | None, list_input: bool
) -> None:
    if reference is None:
        return
    arrays = [a.astype(dtype) for a in case.arrays]
    expected = reference(arrays, **case.params) if list_input else reference(*arrays, **case.params)
    got = call(*[Tensor(a) for a in arrays], **case.params)
    tolerance = 20 * np.finfo(dtype).eps
    for mine, theirs in zip(_outputs(got), _outputs(expected), strict=True):
        assert mine.shape == np.shape(theirs), (mine.shape, np.shape(theirs))
        assert mine.dtype == np.asarray(theirs).dtype, (mine.dtype, np.asarray(theirs).dtype)
        np.testing.assert_allclose(mine.numpy(), theirs, rtol=tolerance, atol=tolerance)


def _check_dtypes(call: Any, case: _Case, dtype: Any) -> None:
    tensors = [Tensor(a.astype(dtype), requires_grad=True) for a in case.arrays]
    with np.errstate(all="ignore"):
        outs = _outputs(call(*tensors, **case.params))
        floating = [out for out in outs if out.dtype.kind == "f"]
        assert all(out.dtype == dtype for out in floating), [out.dtype for out in floating]
        for out in floating:
            if out.requires_grad:
                out.backward(np.ones(out.shape, dtype), retain_graph=True)
    for tensor in tensors:
        assert tensor.grad is not None
        assert tensor.grad.dtype == dtype
        assert tensor.grad.shape == tensor.shape


def _check_part(call: Any, case: _Case, chosen: int) -> None:
    """The gradient of one input must not depend on whether the others require grad."""

    def gradient(flags: list[bool]) -> Any:
        pairs = zip(case.arrays, flags, strict=True)
        tensors = [Tensor(a, requires_grad=flag) for a, flag in pairs]
        for out in _outputs(call(*tensors, **case.params)):
            if out.requires_grad:
                out.backward(np.ones(out.shape), retain_graph=True)
        grad = tensors[chosen].grad
        assert grad is not None
        return grad.numpy()

    alone = gradient([i == chosen for i in range(len(case.arrays))])
    np.testing.assert_array_equal(alone, gradient([True] * len(case.arrays)))
