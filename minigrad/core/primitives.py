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
from typing import Any, ParamSpec, Protocol, cast, overload

import numpy as np
from numpy import ndarray

from minigrad.core.conversion import to_array
from minigrad.core.errors import DtypeError, ShapeError, describe
from minigrad.core.modes import Mode, current_mode
from minigrad.core.nodes import Node, extras_of, make_node, next_number, output_node
from minigrad.core.rerun import rerun_nodes
from minigrad.core.rules import Operation, Rule, operations
from minigrad.core.tensors import Tensor, wrap
from minigrad.debug.anomaly import watch
from minigrad.debug.calls import begin_call
from minigrad.ops.explaining import explain

__all__ = ["Primitive", "primitive"]

P = ParamSpec("P")

OPTIONS = ("outputs", "aux", "list_input", "constant", "view", "hint", "part", "rerun")
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
        options: see `minigrad.core.rules.Operation`: `outputs`, `aux`, `list_input`, `constant`,
            `view`, `hint`, `part`, `rerun`.

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
    operation = Operation(forward, **options)
    apply = make_apply(operation)
    apply.vjp, apply.joint_vjp = operation.vjp, operation.joint_vjp
    return apply


def make_generic(op: Operation, apply: Callable[..., Any]) -> Callable[..., Any]:
    """The operation as derivative rules call it: on arrays it is just the forward."""

    def generic(*args: Any, **kwargs: Any) -> Any:
        inputs = args[0] if op.list_input else args
        if any(isinstance(value, Tensor) for value in inputs):
            return apply(*args, **kwargs)
        out = op.forward(*args, **kwargs)
        return out[: len(op.outputs)] if len(op.outputs) > 1 else out[0] if op.aux else out

    return generic


def operand(value: Any, name: str, argument: str, others: tuple[Any, ...] = ()) -> Any:
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
        known = [
            o.dtype for o in others if isinstance(o, (Tensor, ndarray)) and o.dtype.kind == "f"
        ]
        if known:
            array = to_array(value, np.result_type(*known))
    return array


def finish(out: Any, inputs: Sequence[Any]) -> "ndarray[Any, Any]":
    """A forward's result as an array; of mere Python numbers, in the default dtype."""
    if isinstance(out, (tuple, list)):
        raise DtypeError(
            f"a primitive returned a {type(out).__name__} of {len(out)}; declare several outputs "
            'by name: @primitive(outputs=("first", "second"))'
        )
    out = np.asarray(out)
    if out.dtype.type is np.float64 and all(i.__class__ in (float, int, bool) for i in inputs):
        out = out.astype(current_mode().dtype)
    return cast("ndarray[Any, Any]", out)


def any_complex(arrays: Sequence[Any]) -> bool:
    """Whether an array is complex: kernels are written for real numbers, references are not."""
    return any(isinstance(array, ndarray) and array.dtype.kind == "c" for array in arrays)


def record(
    op: Operation,
    mode: Mode,
    args: Sequence[Any],
    arrays: Sequence[Any],
    nodes: tuple[Node | None, ...],
    params: dict[str, Any],
    results: Sequence[Any],
) -> Any:
    """The general way to make tensors of a forward's results and put their node on the tape.

    Serves operations with several outputs or a list of inputs, and every operation while anomaly
    checks or replay are on; the quick way in `make_apply` does the same for all others.
    """
    count = len(op.outputs)
    call = None
    inputs = tuple(args[0]) if op.list_input else args
    outs = [finish(out, inputs) for out in results[:count]]
    if mode.replay:
        call, arrays, params = begin_call(op, mode, inputs, arrays, params)
        call.enter((*outs, *results[count:]))
    node: Node | None = None
    if mode.recording and not op.constant and any(n is not None for n in nodes):
        mask = 1 if op.list_input else sum((n is not None) << i for i, n in enumerate(nodes))
        plan = op.plans[mask]
        shapes, dtypes = tuple(o.shape for o in outs), tuple(o.dtype for o in outs)
        node = make_node(
            plan, nodes, shapes if count > 1 else shapes[0], dtypes if count > 1 else dtypes[0]
        )
        node.saved, node.params = plan.save(*arrays, *outs, *results[count:]), params
        if op.rerun is not None and results[op.rerun] is not None:
            rerun_nodes.add(node)
        if call is not None:
            extras_of(node).call = call
        for out in outs:
            if out.dtype.kind != "f":
                refuse_dtype(op.name, out)
    if count == 1:
        tensors = [wrap(outs[0], node)]
    else:
        tensors = [
            wrap(out, None if node is None else output_node(node, i)) for i, out in enumerate(outs)
        ]
    if op.part:
        tensors[0]._part = op
    if mode.anomaly:
        watch(op, mode, inputs, params, tensors, node)
    return tensors[0] if count == 1 else tuple(tensors)


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


def take_list(values: Any, op: Operation) -> tuple[list[Any], list[Any], tuple[Node | None, ...]]:
    """The tensors, arrays and nodes of an operation's list of inputs."""
    if isinstance(values, Tensor) or not isinstance(values, (list, tuple)):
        values = list(values) if isinstance(values, (Tensor, ndarray)) else values
        if not isinstance(values, list):
            raise DtypeError(
                f"{op.name}: {op.inputs[0]} must be a list or tuple of tensors, got "
                f"{type(values).__name__} {describe(values)}"
            )
    if not values:
        raise ShapeError(f"{op.name}: {op.inputs[0]} must hold at least one array, got none")
    arrays, nodes = [], []
    for value in values:
        is_tensor = isinstance(value, Tensor)
        arrays.append(
            value._array if is_tensor else operand(value, op.name, op.inputs[0], tuple(values))
        )
        nodes.append(value._node if is_tensor else None)
    return list(values), arrays, tuple(nodes)


def make_apply(op: Operation) -> Any:
    """The function that runs an operation on arrays and puts its node on the tape."""
    forward, plans, name, names = op.forward, op.plans, op.name, op.inputs
    count, constant, part, reference = len(names), op.constant, op.part, op.reference
    single = len(op.outputs) == 1 and not op.list_input
    # A number alone gets the default dtype; beside another operand NumPy promotes it as we want.
    as_is = AS_IS if count > 1 else frozenset()
    bare = not op.params

    @functools.wraps(forward)
    def apply(*args: Any, **kwargs: Any) -> Any:
        if bare and len(args) == count and not kwargs:
            params: dict[str, Any] = NO_PARAMS
        else:
            args, params = op.bind(args, kwargs)
        arrays: Any = []
        nodes: Any = []
        mask, bit = 0, 1
        if op.list_input:
            values, listed, nodes = take_list(args[0], op)
            args, arrays, mask = (values,), (listed,), 1
        else:
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
                        value = operand(value, name, names[len(arrays)], args)
                    arrays.append(value)
                bit += bit
        mode = current_mode()
        if reference is not None and (not mode.fused or any_complex(arrays)):
            return reference(*args, **params)
        try:
            y = forward(*arrays, **params)
        except Exception as error:
            raise explain(op, error, tuple(arrays), params) from error
        if not single or mode.watching:
            results = y if isinstance(y, tuple) and (op.aux or len(op.outputs) > 1) else (y,)
            return record(op, current_mode(), args, arrays, tuple(nodes), params, results)
        if op.aux:
            y, *aux = y
        if y.__class__ is not ndarray:
            y = finish(y, args)
        tensor = new(Tensor)
        tensor._array = y
        if part:
            tensor._part = op
        if not mask or constant or not mode.recording:
            tensor._node = None
            return tensor
        tensor._node = made = new(Node)
        made.plan = plan = plans[mask]
        made.inputs = tuple(nodes)
        made.saved = plan.save(*arrays, y, *aux) if op.aux else plan.save(*arrays, y)
        made.params = params
        made.shape = y.shape
        made.dtype = dtype = y.dtype
        made.scope = mode.scope
        made.extras = None
        made.number = next_number()
        if dtype.kind != "f":
            refuse_dtype(name, y)
        return tensor

    made: Any = apply
    made.__name__ = name
    made.operation, made.generic = op, make_generic(op, apply)
    operations[f"{forward.__module__}.{name}"] = op
    return made


def make_operator(
    apply: Callable[..., Any], defers: Callable[[Any], bool], reflected: bool = False
) -> Any:
    """An operation of two inputs as the method of an operator.

    Args:
        apply: the operation.
        defers: whether to leave an operand that is not a tensor to its own class, by returning
            NotImplemented, as Python's protocol of operators has it.
        reflected: whether `self` is the right operand.
    """

    def operator(self: Tensor, other: Any) -> Any:
        if other.__class__ not in AS_IS and not isinstance(other, Tensor) and defers(other):
            return NotImplemented
        return apply(other, self) if reflected else apply(self, other)

    return operator


NO_PARAMS: dict[str, Any] = {}
new = object.__new__
