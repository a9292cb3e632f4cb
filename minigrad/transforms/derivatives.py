"""Derivatives as functions of functions, and of graphs already recorded.

A transform runs the function on fresh handles of the arguments to differentiate by. So the same
tensor may be an input here, closed over there and an input of a transform further out, and each
derivative counts only its own. What comes out stays on the tape whenever something beyond the named
inputs requires grad, and is a plain tensor otherwise. No transform touches `.grad`.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, overload

from minigrad.core.backward import seed_gradient
from minigrad.core.blocks import is_recording
from minigrad.core.errors import DtypeError, GradientError, describe
from minigrad.core.modes import current_mode
from minigrad.core.nodes import Node
from minigrad.core.tensors import Tensor
from minigrad.ops.pruning import needed_nodes
from minigrad.ops.pytree import labelled_leaves, map_leaves
from minigrad.transforms.passes import DerivativeObserver, observed_pull_back
from minigrad.transforms.traces import (
    ArgNums,
    Pushforward,
    Trace,
    as_arguments,
    as_tensor,
    check_function,
    chosen,
    fitting,
    name_of,
    on_tape,
    replace_outputs,
)

__all__ = ["grad", "gradients", "hvp", "jvp", "value_and_grad", "vjp"]


@overload
def gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor,
    create_graph: bool | None = None,
    *,
    gradient: Any = None,
) -> Tensor: ...
@overload
def gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Sequence[Tensor],
    create_graph: bool | None = None,
    *,
    gradient: Any = None,
) -> list[Tensor]: ...
def gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    create_graph: bool | None = None,
    *,
    gradient: Any = None,
) -> Tensor | list[Tensor]:
    """The gradients of outputs with respect to tensors of a recorded graph.

    The graph stays usable, and `.grad` of no tensor is touched.

    Args:
        outputs: a tensor, or several whose gradients are added.
        inputs: the tensors to differentiate by; leaves or computed ones.
        create_graph: record the derivative, so that it can be differentiated again. None records
            it when the outputs depend on anything that requires grad besides the named inputs,
            unless under `no_grad`.
        gradient: where the outputs are not scalars, the gradient to start from (for several
            outputs a sequence of them).

    Returns:
        One gradient for each input, in the form in which `inputs` was given.

    Raises:
        GradientError: when an input does not require grad or no output depends on it.

    >>> x = Tensor(3.0, requires_grad=True)
    >>> slope = gradients(x * x * x, x, create_graph=True)
    >>> slope.item(), gradients(slope, x).item()
    (27.0, 18.0)
    """
    for name, given in (("outputs", outputs), ("inputs", inputs)):
        if not hasattr(given, "__iter__"):
            raise DtypeError(
                f"gradients: {name} must be a tensor or a list of tensors, got {describe(given)}"
            )
    single = isinstance(inputs, Tensor)
    wanted: Sequence[Tensor] = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    several: Sequence[Tensor] = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    if isinstance(outputs, Tensor):
        seeds = [gradient]
    else:
        seeds = [None] * len(several) if gradient is None else list(gradient)
    if len(seeds) != len(several):
        raise GradientError(
            f"gradients: gradient must hold one start for each of the {len(several)} outputs, got "
            f"{len(seeds)}"
        )
    for i, tensor in enumerate(wanted):
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"gradients: inputs[{i}] must be a tensor that the outputs were computed from, got "
                f"{describe(tensor)}; minigrad.grad differentiates functions by arrays."
            )
        if tensor._node is None:
            raise GradientError(
                f"gradients: inputs[{i}] {describe(tensor)} does not require grad; make it with "
                "requires_grad=True before the outputs are computed from it."
            )
    targets = [t._node for t in wanted if t._node is not None]
    found, _ = gradients_at(several, seeds, targets, create_graph)
    missing = [i for i, node in enumerate(targets) if node not in found]
    if missing:
        raise GradientError(
            f"gradients: no output depends on inputs[{missing[0]}] {describe(wanted[missing[0]])}. "
            "Was it used in computing them, and was nothing detached, rounded, compared or counted "
            "on the way?"
        )
    results = [as_tensor(found[node]) for node in targets]
    return results[0] if single else results


def gradients_at(
    outputs: Sequence[Tensor],
    seeds: Sequence[Any],
    targets: Sequence[Node],
    create_graph: bool | None,
) -> tuple[dict[Node, Any], bool]:
    """The gradients that arrive at the targets, and whether they were recorded."""
    pairs = [
        (out._node, out, seed)
        for out, seed in zip(outputs, seeds, strict=True)
        if out._node is not None
    ]
    needed, beyond = needed_nodes([node for node, _, _ in pairs], targets)
    recorded = create_graph
    if recorded is None:
        recorded = is_recording() and (bool(beyond) or on_tape(seeds))
    roots = [(node, seed_gradient(out, seed)) for node, out, seed in pairs]
    found = observed_pull_back(roots, targets, needed, recorded=recorded)
    if len(pairs) == len(seeds) == 1 and seeds[0] is None and needed is None:
        for observer in current_mode().observers:
            if isinstance(observer, DerivativeObserver):
                observer.derivative(pairs[0][0], found)
    return found, recorded


def grad(f: Callable[..., Any], argnums: ArgNums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The gradient of a scalar function, as a function of the same arguments.

    Args:
        f: takes tensors (nested lists, tuples, dicts and dataclasses of them too) and returns a
            tensor of one element.
        argnums: the position of the argument to differentiate by, or several positions.
        has_aux: `f` returns ``(value, aux)``, and `aux` is handed through.

    Returns:
        A function that returns the gradient: Tensors in the containers of the argument (a tuple of
        them for several positions); with `has_aux`, ``(gradient, aux)``. It takes tensors, arrays
        and floats. Where `f` does not depend on an argument, its gradient is zero.

    Raises:
        GradientError: when `f` returns something else than one element.
        DtypeError: for an argument to differentiate by that is not floating.

    >>> import numpy as np
    >>> import minigrad as mg
    >>> mg.grad(lambda x: x**3)(2.0).item()
    12.0
    >>> mg.grad(mg.grad(np.sin))(np.float64(0.5)).item()
    -0.479425538604203
    >>> mg.grad(lambda p: (p["w"] * p["b"]).sum())({"w": np.ones(2), "b": np.float64(3.0)})
    {'w': Tensor([3., 3.], f64[2]), 'b': Tensor(2., f64[])}
    """
    check_function("grad", f)

    @functools.wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        _, aux, result = differentiate("grad", f, argnums, has_aux, args, kwargs)
        return (result, aux) if has_aux else result

    return gradient


def value_and_grad(
    f: Callable[..., Any], argnums: ArgNums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """The value of a scalar function together with its gradient; otherwise like `grad`.

    Returns:
        A function that returns ``(value, gradient)``; with `has_aux`,
        ``((value, aux), gradient)``.

    >>> value, slope = value_and_grad(lambda x: x * x)(3.0)
    >>> value.item(), slope.item()
    (9.0, 6.0)
    """
    check_function("value_and_grad", f)

    @functools.wraps(f)
    def evaluated(*args: Any, **kwargs: Any) -> Any:
        value, aux, result = differentiate("value_and_grad", f, argnums, has_aux, args, kwargs)
        return ((value, aux), result) if has_aux else (value, result)

    return evaluated


def differentiate(
    what: str,
    f: Callable[..., Any],
    argnums: ArgNums,
    has_aux: bool,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[Tensor, Any, Any]:
    """The value, the auxiliary result and the gradient of a scalar function."""
    positions = chosen(what, argnums, args)
    aux: Any = None

    def scalar(*args: Any, **kwargs: Any) -> Any:
        nonlocal aux
        result = f(*args, **kwargs)
        if not has_aux:
            return result
        if not isinstance(result, tuple) or len(result) != 2:
            raise GradientError(
                f"{what}: with has_aux=True {name_of(f)} must return (value, aux), got "
                f"{type(result).__name__} {describe(result)}"
            )
        value, aux = result
        # Tensors in aux are looked at together with the value: are they connected to others?
        return [value, *(leaf for _, leaf in labelled_leaves(aux) if isinstance(leaf, Tensor))]

    trace = Trace(what, scalar, args, positions, kwargs)
    value = trace.result[0] if has_aux else trace.result
    if value is None or isinstance(value, (list, tuple, dict)) or trace.outputs[0].size != 1:
        kind = describe(value) if isinstance(value, Tensor) else type(value).__name__
        raise GradientError(
            f"{what}: {name_of(f)} must return a tensor of one element, got {kind}. "
            + (
                "Is a return missing?"
                if value is None
                else "For (value, aux) pass has_aux=True; for several outputs use minigrad.vjp or "
                "minigrad.jacobian."
                if not isinstance(value, Tensor)
                else "Reduce it (t.sum(), t.mean()), or use minigrad.jacobian for the derivative "
                "of every element, minigrad.vjp for a weighted sum of them."
            )
        )
    gradients = trace.vjp(trace.outputs[:1], [None], last=True)
    result = trace.arrange(gradients, isinstance(argnums, int))
    return trace.settle(trace.outputs[0]), map_leaves(trace.settle, aux), result


def vjp(f: Callable[..., Any], *args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """The value of a function, and the pullback of gradients from its outputs to its arguments.

    Args:
        f: takes tensors or containers of them, and returns a tensor or a container of them.
        args: all are differentiated by; close over anything else.

    Returns:
        ``(outputs, pullback)``. ``pullback(g)`` takes gradients shaped and nested like the outputs
        and returns a tuple with one gradient per argument, nested like it: the product of `g` with
        the Jacobian from the left. It may be called often.

    >>> import numpy as np
    >>> outputs, pullback = vjp(lambda x, w: x * w, np.ones(2), np.array([3.0, 4.0]))
    >>> pullback(np.array([1.0, 10.0]))
    (Tensor([ 3., 40.], f64[2]), Tensor([ 1., 10.], f64[2]))
    """
    check_function("vjp", f)
    trace = Trace("vjp", f, args, range(len(args)), {})

    def pullback(g: Any) -> tuple[Any, ...]:
        seeds = fitting("pullback: the gradient", g, trace.result, trace.outputs)
        result: tuple[Any, ...] = trace.arrange(trace.vjp(trace.outputs, seeds), single=False)
        return result

    return replace_outputs(trace, [trace.settle(out) for out in trace.outputs]), pullback


def jvp(f: Callable[..., Any], args: Any, tangents: Any) -> tuple[Any, Any]:
    """The value of a function and its derivative along a direction.

    It is computed by differentiating the pullback, which is linear in the gradient that it pulls
    back, once more by that gradient (Townsend, "A new trick for calculating Jacobian vector
    products", 2017). So it works through every operation, fused ones included.

    Args:
        f: takes tensors or containers of them, and returns a tensor or a container of them.
        args: a tuple of arguments; anything but a tuple is the only argument.
        tangents: the direction, nested and shaped like `args`.

    Returns:
        ``(outputs, output_tangents)``: the second is the product of the Jacobian with `tangents`.

    Raises:
        ShapeError: when `tangents` does not match `args`.

    >>> import numpy as np
    >>> outputs, slope = jvp(np.sin, np.float64(0.0), 2.0)
    >>> outputs.item(), slope.item()
    (0.0, 2.0)
    """
    check_function("jvp", f)
    args, tangents = as_arguments("jvp", args, tangents)
    trace = Trace("jvp", f, args, range(len(args)), {})
    inputs = [handle for handle in trace.handles if handle is not None]
    vectors = fitting("jvp: tangents", tangents, args, inputs)
    pushed = Pushforward(trace)(vectors)
    outputs = [trace.settle(out) for out in trace.outputs]
    return replace_outputs(trace, outputs), replace_outputs(trace, pushed)


def hvp(f: Callable[..., Any], args: Any, tangents: Any) -> Any:
    """The product of the Hessian of a scalar function with a vector, without the Hessian.

    Args:
        f: takes tensors or containers of them and returns a tensor of one element.
        args: a tuple of arguments; anything but a tuple is the only argument.
        tangents: the vector, nested and shaped like `args`.

    Returns:
        The product, nested like `args`.

    >>> import numpy as np
    >>> hvp(lambda x: (x**3).sum(), np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    Tensor([ 6., 12.], f64[2])
    """
    check_function("hvp", f)
    single = type(args) is not tuple
    args, tangents = as_arguments("hvp", args, tangents)
    everything = tuple(range(len(args)))

    def gradient(*inputs: Any) -> Any:
        return differentiate("hvp", f, everything, False, inputs, {})[2]

    # The Hessian is symmetric, so pulling the vector back through the gradient multiplies by it.
    _, pullback = vjp(gradient, *args)
    products = pullback(tangents)
    return products[0] if single else products
