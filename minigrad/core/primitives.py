"""How an operation is declared, and how it is applied.

    @primitive
    def tanh(x):
        return np.tanh(x)

    tanh.vjp(x=lambda g, y: g * (1 - y * y))

Parameters before a `/` are array inputs; without one, those that have no default. The rest are
parameters of the call. What rules may read is told in `minigrad.core.rules`.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, overload

from minigrad.core.applying import make_apply
from minigrad.core.errors import describe
from minigrad.core.rules import Operation, Rule
from minigrad.core.tensors import Tensor, method

__all__ = ["Primitive", "primitive"]

P = ParamSpec("P")

OPTIONS = ("outputs", "aux", "list_input", "constant", "view", "hint", "part", "rerun", "method")


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
