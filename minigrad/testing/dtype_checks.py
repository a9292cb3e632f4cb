"""Check that results and gradients have the dtype of the inputs."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.core.errors import describe
from minigrad.core.tensors import Tensor
from minigrad.restoring import errstate

__all__ = ["check_dtypes", "outputs_in"]


def outputs_in(
    op: Callable[..., Any], run: Callable[[Any], Any], dtype: Any, dtypes: Sequence[Any]
) -> list[Any]:
    """What an operation returns for inputs of a dtype, as a list.

    Args:
        op: the operation, for its name.
        run: calls it on inputs of the dtype that it is given.
        dtype: of the inputs.
        dtypes: all that are tested.

    Raises:
        AssertionError: when it fails; says how to narrow the test if it takes another dtype.
    """
    try:
        result = run(dtype)
    except TypeError as error:
        if not any(_takes(run, other) for other in (np.float32, np.float64) if other != dtype):
            raise AssertionError(f"{_name(op)} fails, whatever the dtype: {error}") from error
        raise AssertionError(
            f"{_name(op)} fails for {np.dtype(dtype)} inputs: {error}. {_narrow(dtype, dtypes)}"
        ) from error
    return list(result) if isinstance(result, (list, tuple)) else [result]


def check_dtypes(
    op: Callable[..., Any],
    call: Callable[..., Any],
    arrays: Sequence[Any],
    params: dict[str, Any],
    dtype: Any,
    dtypes: Sequence[Any],
) -> None:
    """Check that floating results and gradients have the dtype of the inputs.

    Args:
        op: the operation, for its name.
        call: calls it on tensors.
        arrays: one per input.
        params: of the call.
        dtype: of the inputs.
        dtypes: all that are tested.

    Raises:
        AssertionError: says what was expected, what came, and how to narrow the test.
    """
    tensors = _leaves(arrays, dtype)

    def run(kind: Any) -> Any:
        return call(*(tensors if kind == dtype else _leaves(arrays, kind)), **params)

    with errstate(all="ignore"):
        outs = outputs_in(op, run, dtype, dtypes)
        for number, out in enumerate(outs):
            if not hasattr(out, "dtype"):
                raise AssertionError(
                    f"{_name(op)} must return tensors, and its output {number} is {describe(out)}."
                )
            if out.dtype.kind == "f" and out.dtype != dtype:
                raise AssertionError(
                    f"{_name(op)}: inputs of {np.dtype(dtype)} must give results of "
                    f"{np.dtype(dtype)}, and output {number} is {describe(out)}. Keep the dtype in "
                    f"the operation (y.astype(x.dtype)). {_narrow(dtype, dtypes)}"
                )
            if out.dtype.kind != "f" or not out.requires_grad:
                continue
            out.backward(np.ones(out.shape, dtype), retain_graph=True)
    for number, tensor in enumerate(tensors):
        grad = tensor.grad
        if grad is None:
            raise AssertionError(
                f"{_name(op)}: no gradient arrived at input {number}, {describe(tensor)}. Every "
                "input must have a derivative rule and reach an output; fix the others in a lambda."
            )
        if grad.dtype != tensor.dtype or grad.shape != tensor.shape:
            raise AssertionError(
                f"{_name(op)}: the gradient of input {number} must be {describe(tensor)} as the "
                f"input is, and is {describe(grad)}. {_narrow(dtype, dtypes)}"
            )


def _leaves(arrays: Sequence[Any], dtype: Any) -> list[Tensor]:
    return [Tensor(a.astype(dtype), requires_grad=True) for a in arrays]


def _takes(run: Callable[[Any], Any], dtype: Any) -> bool:
    """Whether an operation takes inputs of a dtype."""
    try:
        run(dtype)
    except TypeError:
        return False
    return True


def _name(op: Callable[..., Any]) -> str:
    return f"property_test of {getattr(op, '__name__', type(op).__name__)}"


def _narrow(dtype: Any, dtypes: Sequence[Any]) -> str:
    """How to leave a dtype out."""
    kept = [np.dtype(d).name for d in dtypes if np.dtype(d) != np.dtype(dtype)]
    names = "".join(f"np.{name}, " for name in kept or ["float64"])
    return (
        "An operation that does not have this dtype is tested without it: "
        f"property_test(..., dtypes=({names.rstrip() if len(kept) < 2 else names[:-2]}))."
    )
