"""How an operation is applied: arrays are taken out of tensors, and a node is put on the tape."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from minigrad.core.checks import rerun_nodes
from minigrad.core.contributions import output_node
from minigrad.core.conversion import any_complex, refuse_dtype, to_array
from minigrad.core.errors import DtypeError, ShapeError, describe
from minigrad.core.modes import current_mode
from minigrad.core.nodes import Node, next_number
from minigrad.core.observer import Applied
from minigrad.core.tensors import Tensor, new, wrap

__all__ = ["AS_IS", "make_apply", "operand"]

AS_IS = frozenset({ndarray, float, int, bool})  # operands that NumPy promotes as we want
NO_PARAMS: dict[str, Any] = {}


def make_apply(op: Any) -> Any:
    """The function that runs an operation on arrays and puts its node on the tape."""
    forward, plans, opened = op.forward, op.plans, op.opened
    listed, part, constant = op.list_input, op.part, op.constant
    count, outputs = len(op.inputs), len(op.outputs)
    bare = not op.params and not listed
    one = outputs == 1 and not op.aux
    # A number alone gets the default dtype; beside another operand NumPy promotes it as we want.
    as_is = AS_IS if count > 1 else frozenset()

    @functools.wraps(forward)
    def apply(*args: Any, **kwargs: Any) -> Any:
        params = NO_PARAMS
        if not bare or kwargs or len(args) != count:
            args, params = op.bind(*args, **kwargs)
            if listed:
                args = take_list(op, args[0])
        arrays, nodes, mask, bit = [], [], 0, 1
        for value in args:
            if isinstance(value, Tensor):
                node = value._node
                arrays.append(value._array)
                nodes.append(node)
                if node is not None:
                    mask |= bit
            else:
                nodes.append(None)
                if value.__class__ not in as_is:
                    value = operand(value, op.name, op.inputs[0 if listed else len(arrays)], args)
                arrays.append(value)
            bit += bit
        mode = current_mode()
        watchers = mode.watchers
        if opened is not None and (not mode.fused or any_complex(arrays)):
            return opened(*args, **params)
        given: Any = (arrays,) if listed else arrays
        try:
            y = forward(*given, **params) if not watchers else run_seen(op, args, given, params)
        except Exception as error:
            raise op.explain(error, given, params) from error
        if watchers:
            arrays, params = to_keep(watchers, args, arrays, params)
            given = (arrays,) if listed else arrays
        rest: Any = ()
        if not one:
            if not isinstance(y, tuple):
                names = ", ".join((*op.outputs, *op.aux))
                raise op.explain(TypeError(f"must return a tuple of {names}"), given, params)
            y, *rest = y
            rest[: outputs - 1] = [finish(out, args) for out in rest[: outputs - 1]]
        if y.__class__ is not ndarray:
            y = finish(y, args)
        tensor = new(Tensor)
        tensor._array = y
        tensor._node = made = None
        if part:
            tensor._part = op
        if mask and mode.recording and not constant:
            tensor._node = made = new(Node)
            made.plan = plan = plans[1 if listed else mask]
            made.inputs = tuple(nodes)
            made.saved = plan.save(*given, y, *rest)
            made.params = params
            made.shape = y.shape
            made.dtype = y.dtype
            made.scope = mode.scope
            made.extras = None
            made.number = next_number()
            if not one:
                finish_node(made, op, (y, *rest))
            elif made.dtype.kind != "f":
                refuse_dtype(op.name, y)
        if one and not watchers:
            return tensor
        tensors = [tensor, *(wrap(out, None) for out in rest[: outputs - 1])]
        if outputs > 1 and made is not None:
            for i, output in enumerate(tensors):
                output._node = output_node(made, i)
        for observer in watchers:
            observer.call(Applied(op, args, arrays, params, (y, *rest), tensors, made))
        return tensor if outputs == 1 else tuple(tensors)

    return apply


def run_seen(op: Any, args: Sequence[Any], given: Sequence[Any], params: dict[str, Any]) -> Any:
    """What an observer takes for the result of an operation, or else its result."""
    for observer in current_mode().watchers:
        result = observer.instead(op, args, params)
        if result is not None:
            return result
    return op.forward(*given, **params)


def finish_node(node: Node, op: Any, results: Sequence[Any]) -> None:
    """Finish the node of an operation with several outputs, or with aux values."""
    outs = results[: len(op.outputs)]
    if len(outs) > 1:
        node.shape = tuple(out.shape for out in outs)
        node.dtype = tuple(out.dtype for out in outs)
    for out in outs:
        if out.dtype.kind != "f":
            refuse_dtype(op.name, out)
    if op.rerun is not None and results[op.rerun] is not None:
        rerun_nodes.add(node)


def to_keep(
    observers: Any, args: Sequence[Any], arrays: list[Any], params: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """The arrays and parameters to keep, after observers have seen the constants among them."""
    for observer in observers:
        arrays = [
            observer.constant(value, array) if getattr(value, "_node", None) is None else array
            for value, array in zip(args, arrays, strict=True)
        ]
        params = {name: observer.constant(value, value) for name, value in params.items()}
    return arrays, params


def take_list(op: Any, values: Any) -> tuple[Any, ...]:
    """An operation's list of inputs."""
    if not isinstance(values, (list, tuple, Tensor, ndarray)):
        raise DtypeError(
            f"{op.name}: {op.inputs[0]} must be a list or tuple of tensors, got "
            f"{type(values).__name__} {describe(values)}"
        )
    inputs = tuple(values)
    if not inputs:
        raise ShapeError(f"{op.name}: {op.inputs[0]} must hold at least one array, got none")
    return inputs


def operand(value: Any, name: str, argument: str, others: Sequence[Any] = ()) -> Any:
    """An input that is not a tensor, as an array; numbers in lists take the others' dtype."""
    if isinstance(value, np.generic):
        return np.asarray(value)
    if value is None or isinstance(value, (str, bytes, dict, set)) or callable(value):
        raise DtypeError(
            f"{name}: {argument} must be a tensor, an array or a number, got "
            f"{type(value).__name__} {describe(value)}"
        )
    array = to_array(value, argument=f"{name}: {argument}")
    if not isinstance(value, ndarray) and array.dtype.kind == "f":
        arrays = [o for o in others if isinstance(o, (Tensor, ndarray)) and o.dtype.kind == "f"]
        if arrays:
            return to_array(value, np.result_type(*(o.dtype for o in arrays)))
    return array


def finish(out: Any, inputs: Sequence[Any]) -> "ndarray[Any, Any]":
    """A forward's result as an array; of mere Python numbers, in the default dtype."""
    if isinstance(out, (tuple, list)):
        raise DtypeError(
            f"a primitive returned a {type(out).__name__} of {len(out)}; declare several outputs "
            'by name: @primitive(outputs=("first", "second"))'
        )
    array: ndarray[Any, Any] = np.asarray(out)
    if array.dtype.type is np.float64 and all(i.__class__ in (float, int, bool) for i in inputs):
        array = array.astype(current_mode().dtype)
    return array
