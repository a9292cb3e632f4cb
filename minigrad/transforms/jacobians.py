"""Whole Jacobians and Hessians."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad import ops
from minigrad.core.tensors import Tensor, wrap
from minigrad.ops.pruning import Handle
from minigrad.transforms.derivatives import differentiate
from minigrad.transforms.traces import (
    ArgNums,
    Pushforward,
    Trace,
    check_function,
    chosen,
    replace_outputs,
)

__all__ = ["hessian", "jacobian"]

PUSH_COST = 3  # one direction forward costs about as much as this many backward passes


def jacobian(
    f: Callable[..., Any], argnums: ArgNums = 0, mode: str | None = None
) -> Callable[..., Any]:
    """The derivative of every element of the output by every element of the input.

    Args:
        f: takes tensors or containers of them, and returns a tensor or a container of them.
        argnums: the position of the argument to differentiate by, or several positions.
        mode: "reverse" runs one backward pass per output element, "forward" one derivative along
            a direction (see `jvp`) per input element; None chooses the cheaper one by the sizes.

    Returns:
        A function that returns, for each output, the derivative in the containers of the argument
        (a tuple of them for several positions). Each has the output's shape followed by the
        input's.

    Raises:
        DtypeError: for an argument to differentiate by that is not floating.
        ValueError: for another mode.

    >>> jacobian(lambda x: x[:2] * x[2])(np.array([1.0, 2.0, 3.0]))
    Tensor([[3., 0., 1.],
            [0., 3., 2.]], f64[2, 3])
    """
    check_function("jacobian", f)
    if mode not in (None, "reverse", "forward"):
        raise ValueError(f'jacobian: mode must be "reverse", "forward" or None, got {mode!r}')

    @functools.wraps(f)
    def derivative(*args: Any, **kwargs: Any) -> Any:
        trace = Trace("jacobian", f, args, chosen("jacobian", argnums, args), kwargs)
        return assemble(trace, mode, isinstance(argnums, int))

    return derivative


def hessian(f: Callable[..., Any], argnums: ArgNums = 0) -> Callable[..., Any]:
    """The second derivatives of a scalar function: the Jacobian of its gradient.

    Args:
        f: takes tensors or containers of them and returns a tensor of one element.
        argnums: the position of the argument to differentiate by, or several positions.

    Returns:
        A function that returns, nested twice in the containers of the argument, arrays of the
        shape of one input followed by that of another.

    Raises:
        GradientError: when `f` returns something else than one element.

    >>> hessian(lambda x: x[0] ** 2 * x[1])(np.array([2.0, 3.0]))
    Tensor([[6., 4.],
            [4., 0.]], f64[2, 2])
    """
    check_function("hessian", f)

    @functools.wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        return differentiate("hessian", f, argnums, False, args, kwargs)[2]

    return jacobian(gradient, argnums, mode="reverse")


def assemble(trace: Trace, mode: str | None, single: bool) -> Any:
    """The Jacobian of a trace, nested by its outputs and then by its inputs."""
    inputs = [handle for handle in trace.handles if handle is not None]
    rows = sum(out.size for out in trace.outputs if out._node is not None)
    columns = sum(int(np.prod(handle.shape)) for handle in inputs)
    forward = PUSH_COST * columns < rows if mode is None else mode == "forward"
    blocks = by_columns(trace, inputs) if forward else by_rows(trace)
    nested = []
    for out_blocks in blocks:
        found = iter(out_blocks)
        leaves = [None if handle is None else next(found) for handle in trace.handles]
        nested.append(trace.arrange(leaves, single))
    return replace_outputs(trace, nested)


def units(value: Tensor | Handle) -> list["np.ndarray[Any, Any]"]:
    """The unit vectors of a value's shape."""
    size = int(np.prod(value.shape))
    vectors = []
    for i in range(size):
        vector = np.zeros(size, value.dtype)
        vector[i] = 1
        vectors.append(vector.reshape(value.shape))
    return vectors


def by_rows(trace: Trace) -> list[list[Tensor]]:
    """For each output and each input, the derivative; by a backward pass per output element."""
    inputs = [handle for handle in trace.handles if handle is not None]
    blocks = []
    for out in trace.outputs:
        rows: list[list[Tensor]] = []
        if out._node is not None:
            for unit in units(out):
                rows.append([g for g in trace.vjp([out], [unit]) if g is not None])
        blocks.append(
            [
                joined([row[k] for row in rows], out.shape + handle.shape, handle.dtype)
                for k, handle in enumerate(inputs)
            ]
        )
    return blocks


def by_columns(trace: Trace, inputs: Sequence[Handle]) -> list[list[Tensor]]:
    """The same by one derivative along a direction per input element."""
    push = Pushforward(trace)
    zeros = [wrap(np.zeros(handle.shape, handle.dtype), None) for handle in inputs]
    blocks: list[list[Tensor]] = [[] for _ in trace.outputs]
    for k, handle in enumerate(inputs):
        columns = [push([*zeros[:k], wrap(unit, None), *zeros[k + 1 :]]) for unit in units(handle)]
        for i, out in enumerate(trace.outputs):
            block = joined(
                [column[i] for column in columns], handle.shape + out.shape, handle.dtype
            )
            order = range(len(handle.shape), block.ndim)
            blocks[i].append(ops.transpose(block, (*order, *range(len(handle.shape)))))
    return blocks


def joined(parts: Sequence[Tensor], full_shape: tuple[int, ...], dtype: Any) -> Tensor:
    """Tensors stacked into one of the full shape."""
    if not parts:
        return wrap(np.zeros(full_shape, dtype), None)
    return ops.reshape(ops.stack(list(parts)), full_shape)
