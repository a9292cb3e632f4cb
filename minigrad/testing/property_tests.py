"""Property tests of an operation from one line: shapes, layouts, dtypes, orders 1 and 2."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigrad.core.errors import describe
from minigrad.core.tensors import Tensor
from minigrad.debug.calls import recording
from minigrad.io.packages import require
from minigrad.ops.fusing import FusedOperation
from minigrad.testing import strategies
from minigrad.testing.checking import check_gradients
from minigrad.testing.dtype_checks import check_dtypes, outputs_in
from minigrad.testing.profiles import examples
from minigrad.transforms.derivatives import gradients_at

require("hypothesis", "testing", "minigrad.testing.property_test")

from hypothesis import given  # noqa: E402 - after the check that it is installed
from hypothesis import strategies as st  # noqa: E402

__all__ = ["Input", "fused_test", "property_test"]


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
        dtypes: the floating dtypes that must come back as themselves; name fewer for an operation
            that does not have them all.
        order: 1, or 2 to check second derivatives too.
        analytic: see `check_gradients`.
        rtol: see `check_gradients`.

    Raises:
        TypeError: when `op` is no function, an input no `Input`, or a dtype not floating.
        ValueError: when there is no input, or for another order.

    >>> test_tanh = property_test(np.tanh, Input(), reference=np.tanh)
    >>> test_tanh()
    """

    _check_arguments(op, inputs, dtypes, order)

    def call(*tensors: Any, **chosen: Any) -> Any:
        return op(list(tensors), **chosen) if list_input else op(*tensors, **chosen)

    @given(_cases(inputs, params, shapes), st.sampled_from(dtypes), st.data())
    def test(case: _Case, dtype: Any, data: Any) -> None:
        if reference is not None:
            arrays = [a.astype(dtype) for a in case.arrays]

            def run(kind: Any) -> Any:
                return call(*(Tensor(a.astype(kind)) for a in case.arrays), **case.params)

            got = outputs_in(op, run, dtype, dtypes)
            _check_values(got, arrays, case.params, dtype, reference, list_input)
        check_dtypes(op, call, case.arrays, case.params, dtype, dtypes)
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


def _check_arguments(op: Any, inputs: Any, dtypes: Any, order: Any) -> None:
    if not callable(op):
        raise TypeError(f"property_test: op must be a function of tensors, got {describe(op)}")
    if not inputs:
        raise ValueError(
            "property_test: inputs: needs one Input for each array that op takes, as in "
            "property_test(op, Input())"
        )
    for number, spec in enumerate(inputs):
        if not isinstance(spec, Input):
            raise TypeError(
                f"property_test: inputs[{number}] must be an Input, got {describe(spec)}"
            )
    listed = isinstance(dtypes, Sequence) and not isinstance(dtypes, str)
    if not listed or not dtypes or not all(map(_is_floating, dtypes)):
        raise TypeError(
            f"property_test: dtypes must be floating dtypes of NumPy, such as (np.float64,), got "
            f"{describe(dtypes)}"
        )
    if order not in (1, 2):
        raise ValueError(f"property_test: order must be 1 or 2, got {describe(order)}")


def _is_floating(dtype: Any) -> bool:
    try:
        return dtype is not None and np.dtype(dtype).kind == "f"
    except TypeError:
        return False


def fused_test(
    op: Callable[..., Any],
    *inputs: Input,
    params: Mapping[str, Any] | Callable[[list[Any]], Any] | None = None,
    reference: Callable[..., Any] | None = None,
    shapes: Any = None,
    dtypes: tuple[Any, ...] = (np.float16, np.float32, np.float64),
    rtol: float = 1e-6,
    factor: float = 1.0,
) -> Callable[[], None]:
    """A hypothesis test of a fused operation against its own reference.

    It checks what `property_test` does (so the kernel's backward is compared with differences of
    its forward, and second derivatives with differences of the kernel's first), and besides: the
    kernel's values and gradients in every dtype, and its second derivatives, against those of its
    reference; inputs of equal shape that are one tensor, f(x, x), or share a history,
    f(x, tanh x), in first and second order.

    The arguments are those of `property_test`; `op` may be a function that calls the operation.
    `factor` times as many examples are drawn as the profile says, as by `examples`.
    """
    plain: Callable[[], None] = property_test(
        op,
        *inputs,
        params=params,
        reference=reference,
        shapes=shapes,
        dtypes=dtypes,
        rtol=rtol,
    )

    @given(_cases(inputs, params, shapes), st.sampled_from(dtypes))
    def against_reference(case: _Case, dtype: Any) -> None:
        _check_kernel(op, case, dtype, order=1)
        _check_kernel(op, case, np.float64, order=2)

    @given(_cases(inputs, params, shapes), st.data())
    def repeated(case: _Case, data: Any) -> None:
        slots = _slots_of_equal_shape(case, data)
        for second in (lambda x: x, np.tanh):

            def tied(x: Any, others: Callable[[Any], Any] = second) -> Any:
                values: list[Any] = list(case.arrays)
                for slot in slots:
                    values[slot] = x if slot == slots[0] else others(x)
                return op(*values, **case.params)

            check_gradients(tied, case.arrays[slots[0]], rtol=rtol)

    some = examples(factor)
    parts = [some(plain), some(against_reference), *([some(repeated)] if len(inputs) > 1 else [])]

    def test() -> None:
        for part in parts:
            part()

    return test


def _slots_of_equal_shape(case: _Case, data: Any) -> list[int]:
    """Input slots that one tensor could fill; the first alone where there are no two."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for slot, array in enumerate(case.arrays):
        groups.setdefault(array.shape, []).append(slot)
    several = [group for group in groups.values() if len(group) > 1]
    return data.draw(st.sampled_from(several)) if several else [0]


def _check_kernel(op: Callable[..., Any], case: _Case, dtype: Any, order: int) -> None:
    """Compare values and derivatives of the kernel with those of its reference.

    They may differ by rounding, and by a few times what rounding does to the reference itself,
    where digits cancel: the kernel's steps are others.
    """
    arrays = [a.astype(dtype) for a in case.arrays]
    wide = [a.astype(np.float64) for a in arrays]
    kernel, kernels = _derivatives(op, arrays, case.params, fused=True, order=order)
    expected, others = _derivatives(op, arrays, case.params, fused=False, order=order)
    exact, _ = _derivatives(op, wide, case.params, fused=False, order=order)
    assert kernels, "no fused operation was recorded: there is no kernel to test"
    assert not others, f"the reference recorded the kernels {others}"
    tolerance = 20 * np.finfo(dtype).eps
    for mine, theirs, right in zip(kernel, expected, exact, strict=True):
        assert mine.dtype == theirs.dtype, (mine.dtype, theirs.dtype)
        allowed = tolerance * max(1.0, float(np.abs(theirs).max(initial=0)))
        allowed += 4 * float(np.abs(theirs - right).max(initial=0))
        np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=allowed)


def _derivatives(
    op: Callable[..., Any], arrays: list[Any], params: dict[str, Any], fused: bool, order: int
) -> tuple[list[Any], list[str]]:
    """Values, gradients and, for order 2, second derivatives; and the kernels that were used."""
    generator = np.random.default_rng(0)

    def weights(values: list[Any]) -> list[Any]:
        # Of few digits, so that they are the same in every dtype.
        numbers = [np.asarray(generator.integers(-8, 9, v.shape)) / 8 for v in values]
        return [n.astype(v.dtype) for n, v in zip(numbers, values, strict=True)]

    def computed() -> tuple[list[Any], list[str]]:
        leaves = [Tensor(a, requires_grad=True) for a in arrays]
        nodes = [leaf._recorded("fused_test") for leaf in leaves]
        outs = _outputs(op(*leaves, **params))
        kernels = _kernels(outs)
        found, _ = gradients_at(outs, weights(outs), nodes, create_graph=order == 2)
        grads = [found[node] for node in nodes if node in found]
        results = [*outs, *grads]
        roots = [g for g in grads if isinstance(g, Tensor) and g.requires_grad]
        if order == 2 and roots:
            second, _ = gradients_at(roots, weights(roots), nodes, create_graph=False)
            results += [second.get(n, np.zeros(n.shape)) for n in nodes]
        return results, kernels

    with recording(fused=fused):
        results, kernels = computed()
    return [np.asarray(getattr(value, "_array", value)) for value in results], kernels


def _kernels(outs: list[Tensor]) -> list[str]:
    """The names of the fused operations that the outputs were computed by."""
    names: list[str] = []
    seen = set()
    stack = [out._node for out in outs]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if isinstance(getattr(node.plan, "operation", None), FusedOperation):
            names.append(node.plan.name)
        stack.extend(node.inputs)
    return names


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
    got: list[Any],
    arrays: list[Any],
    params: dict[str, Any],
    dtype: Any,
    reference: Callable[..., Any],
    list_input: bool,
) -> None:
    expected = reference(arrays, **params) if list_input else reference(*arrays, **params)
    tolerance = 20 * np.finfo(dtype).eps
    for mine, theirs in zip(got, _outputs(expected), strict=True):
        theirs = np.asarray(theirs)
        if (mine.shape, mine.dtype) != (theirs.shape, theirs.dtype):
            raise AssertionError(
                f"property_test: the reference gives {describe(theirs)} and the operation "
                f"{describe(mine)}, for inputs of {np.dtype(dtype)}"
            )
        np.testing.assert_allclose(mine.numpy(), theirs, rtol=tolerance, atol=tolerance)


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
