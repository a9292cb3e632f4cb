"""How an operation is declared, and how it is applied.

    @primitive
    def tanh(x):
        return np.tanh(x)

    tanh.vjp(x=lambda g, y: g * (1 - y * y))

Parameters before a `/` are array inputs; without one, those that have no default. The rest are
parameters of the call. What rules may read is told in `minigrad.core.rules`.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, Protocol, overload

import numpy as np
from numpy import ndarray

from minigrad.core.contributions import output_node
from minigrad.core.conversion import to_array
from minigrad.core.errors import DtypeError, ShapeError, describe
from minigrad.core.modes import Applied, current_mode
from minigrad.core.nodes import Node, make_node, next_number
from minigrad.core.pruning import rerun_nodes
from minigrad.core.rules import Operation, Rule, operations
from minigrad.core.tensors import Tensor, method, wrap

__all__ = ["Primitive", "make_apply", "operand", "primitive"]

P = ParamSpec("P")

OPTIONS = ("outputs", "aux", "list_input", "constant", "view", "hint", "part", "rerun", "method")
AS_IS = frozenset({ndarray, float, int, bool})  # operands that NumPy promotes as we want


class Primitive(Protocol[P]):
    """A declared operation: called like the function it was made from, it returns tensors."""

    __name__: str
    operation: Operation

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...

    def generic(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """For use inside derivative rules: arrays in, array out; tensors in, tensor out."""

    def vjp(self, **rules: Rule) -> None:
        """Declare derivative rules, one per input by its name."""

    def joint_vjp(self, *inputs: str) -> Callable[[Rule], Rule]:
        """Declare one rule for several inputs, which returns a tuple of their gradients."""


@overload
def primitive(forward: Callable[P, Any]) -> Primitive[P]: ...
@overload
def primitive(**options: Any) -> Callable[[Callable[P, Any]], Primitive[P]]: ...
def primitive(forward: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Declare an operation: a function on arrays, to be given derivative rules with `.vjp`.

    Args:
        forward: the function; inputs are its parameters before a `/`, or else those without a
            default. It must not change its arguments.
        options: `method=True` makes it a method of `Tensor`, too. For the others see
            `minigrad.core.rules.Operation`: `outputs`, `aux`, `list_input`, `constant`, `view`,
            `hint`, `part`, `rerun`.

    Raises:
        ValueError: when an argument has a reserved name (`g`, `y`), or there is no input.

    >>> @primitive
    ... def cube(x):
    ...     return x * x * x
    >>> cube.vjp(x=lambda g, x: 3 * x * x * g)
    >>> t = Tensor(2.0, requires_grad=True)
    >>> cube(t).backward()
    >>> t.grad.item()
    12.0
    """
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise TypeError(
            f"primitive: there is no option {unknown[0]}=; the options are {', '.join(OPTIONS)}"
        )
    if forward is None:
        return lambda function: primitive(function, **options)
    if not hasattr(forward, "__code__") and not hasattr(forward, "__wrapped__"):
        raise TypeError(
            f"primitive: needs a function made by `def`, whose signature can be read, got "
            f"{describe(forward)}; call it inside of one."
        )
    is_method = options.pop("method", False)
    operation = Operation(forward, **options)
    apply = make_apply(operation)
    apply.vjp, apply.joint_vjp = operation.vjp, operation.joint_vjp
    return method(apply) if is_method else apply


def make_apply(op: Operation) -> Any:
    """The function that runs an operation on arrays and puts its node on the tape."""
    forward, bind, plans, reference = op.forward, op.bind, op.plans, op.reference
    count, constant, part, with_aux = len(op.inputs), op.constant, op.part, bool(op.aux)
    single = len(op.outputs) == 1 and not op.list_input
    # A number alone gets the default dtype; beside another operand NumPy promotes it as we want.
    as_is = AS_IS if count > 1 else frozenset()
    bare = not op.params

    @functools.wraps(forward)
    def apply(*args: Any, **kwargs: Any) -> Any:
        params = NO_PARAMS
        if not bare or kwargs or len(args) != count:
            args, params = bind(*args, **kwargs)
        mode = current_mode()
        if not single or mode.watchers:
            return apply_any(op, args, params)
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
                    value = operand(value, op.name, op.inputs[len(arrays)], args)
                arrays.append(value)
            bit += bit
        if reference is not None and (not mode.fused or any_complex(arrays)):
            return reference(*args, **params)
        try:
            y = forward(*arrays, **params)
        except Exception as error:
            raise op.explain(error, arrays, params) from error
        if with_aux:
            y, *aux = y
        if y.__class__ is not ndarray:
            y = finish(y, args)
        tensor = new(Tensor)
        tensor._array = y
        tensor._node = None
        if part:
            tensor._part = op
        if mask and mode.recording and not constant:
            tensor._node = made = new(Node)
            made.plan = plan = plans[mask]
            made.inputs = tuple(nodes)
            made.saved = plan.save(*arrays, y, *aux) if with_aux else plan.save(*arrays, y)
            made.params = params
            made.shape = y.shape
            made.dtype = dtype = y.dtype
            made.scope = mode.scope
            made.extras = None
            made.number = next_number()
            if dtype.kind != "f":
                refuse_dtype(op.name, y)
        return tensor

    made: Any = apply
    made.__name__ = op.name
    made.operation, made.generic = op, make_generic(op, apply)
    operations[f"{forward.__module__}.{op.name}"] = op
    return made


def apply_any(op: Operation, args: Any, params: dict[str, Any]) -> Any:
    """The general way to run an operation: with several outputs, a list of inputs, or observers.

    The quick way in `make_apply` does the same for all others.
    """
    mode = current_mode()
    inputs = take_list(op, args[0]) if op.list_input else args
    arrays: list[Any] = []
    for i, value in enumerate(inputs):
        if isinstance(value, Tensor):
            arrays.append(value._array)
            continue
        if op.list_input or len(inputs) == 1 or value.__class__ not in AS_IS:
            array = operand(value, op.name, op.inputs[0 if op.list_input else i], inputs)
        else:
            array = value
        arrays.append(array)
    if op.reference is not None and (not mode.fused or any_complex(arrays)):
        return op.reference(*args, **params)
    for observer in mode.watchers:
        arrays = [
            array if isinstance(value, Tensor) else observer.constant(value, array)
            for value, array in zip(inputs, arrays, strict=True)
        ]
        params = {name: observer.constant(value, value) for name, value in params.items()}
    given: Any = (arrays,) if op.list_input else arrays
    try:
        found = op.forward(*given, **params)
    except Exception as error:
        raise op.explain(error, given, params) from error
    count = len(op.outputs)
    several = isinstance(found, tuple) and (op.aux or count > 1)
    results = list(found) if several else [found]
    results[:count] = [finish(out, inputs) for out in results[:count]]
    outs = results[:count]
    nodes = tuple(value._node if isinstance(value, Tensor) else None for value in inputs)
    node = None
    if current_mode().recording and not op.constant and any(n is not None for n in nodes):
        for out in outs:
            if out.dtype.kind != "f":
                refuse_dtype(op.name, out)
        mask = 1 if op.list_input else sum((n is not None) << i for i, n in enumerate(nodes))
        plan = op.plans[mask]
        shapes, dtypes = tuple(o.shape for o in outs), tuple(o.dtype for o in outs)
        single = count == 1
        node = make_node(
            plan, nodes, shapes[0] if single else shapes, dtypes[0] if single else dtypes
        )
        node.saved, node.params = plan.save(*given, *results), params
        if op.rerun is not None and results[op.rerun] is not None:
            rerun_nodes.add(node)
    if node is None or count == 1:
        tensors = [wrap(out, node) for out in outs]
    else:
        tensors = [wrap(out, output_node(node, i)) for i, out in enumerate(outs)]
    if op.part:
        tensors[0]._part = op
    for observer in mode.watchers:
        observer.call(Applied(op, inputs, arrays, params, results, tensors, node))
    return tensors[0] if count == 1 else tuple(tensors)


def take_list(op: Operation, values: Any) -> list[Any]:
    """An operation's list of inputs."""
    if not isinstance(values, (list, tuple, Tensor, ndarray)):
        raise DtypeError(
            f"{op.name}: {op.inputs[0]} must be a list or tuple of tensors, got "
            f"{type(values).__name__} {describe(values)}"
        )
    inputs = list(values)
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


def any_complex(arrays: Sequence[Any]) -> bool:
    """Whether an array is complex: kernels are written for real numbers, references are not."""
    return any(isinstance(array, ndarray) and array.dtype.kind == "c" for array in arrays)


def refuse_dtype(name: str, out: Any) -> None:
    """Refuse to record a result that cannot carry a gradient."""
    raise DtypeError(
        f"{name}: the result {describe(out)} is not floating, so it cannot carry the gradient of "
        "an input that requires grad. "
        + (
            "Complex numbers are supported only while nothing requires grad."
            if out.dtype.kind == "c"
            else "Use t.detach() first if a constant is meant."
        )
    )


def make_generic(op: Operation, apply: Callable[..., Any]) -> Callable[..., Any]:
    """The operation as derivative rules call it: on arrays it is just the forward."""

    def generic(*args: Any, **kwargs: Any) -> Any:
        inputs = args[0] if op.list_input else args
        if any(isinstance(value, Tensor) for value in inputs):
            return apply(*args, **kwargs)
        out = op.forward(*args, **kwargs)
        return out[: len(op.outputs)] if len(op.outputs) > 1 else out[0] if op.aux else out

    return generic


NO_PARAMS: dict[str, Any] = {}
new = object.__new__
