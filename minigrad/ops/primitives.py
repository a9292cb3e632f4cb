"""How an operation is declared: a function on arrays, and one derivative rule for every input.

    @primitive
    def tanh(x):
        return np.tanh(x)

    tanh.vjp(x=lambda g, y: g * (1 - y * y))

Parameters before a `/` are array inputs; without one, those that have no default. The rest are
parameters of the call. A rule's parameter names say what it reads: `g`, the gradient of the output;
`y`, the output; an input, or its shape alone as `x_shape`; a parameter of the call; an `aux` value
or, with several outputs, an output by its name, and `used`, which of them the gradient comes from
(the others' are zeros). Only what the rules of the inputs on tape name is saved.
"""

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, overload

from minigrad.core.applying import make_apply
from minigrad.core.errors import describe
from minigrad.core.plans import PlanTable, Rule, RulePlan, compile_source, read_by
from minigrad.core.tensors import Tensor, method
from minigrad.forks import cached_property

__all__ = ["Operation", "Primitive", "declare", "operations", "primitive"]

operations: dict[str, "Operation"] = {}
"""Every declared operation by its qualified name: its module and the name of its function."""

RESERVED = {
    "g": "incoming gradient",
    "y": "output",
    "used": "facts which outputs the gradient comes from",
}


class Operation:
    """What is known of one operation.

    Attributes:
        name: the name of the function.
        forward: the function on arrays.
        inputs: the names of the array inputs: the parameters before a `/`, or else those without
            a default.
        params: the names of the other parameters of the call.
        defaults: the defaults of those that have one.
        bind: from the arguments of a call, the inputs and a dict of the parameters.
        list_input: whether the only input is a sequence of arrays.
        outputs: the names of the outputs; ("y",) for one.
        aux: the names of the constants that the forward returns after the outputs.
        constant: whether the derivative is zero wherever it exists, so that nothing is recorded.
        view: whether the output may share memory with the first input.
        part: whether users take the result for a part of the first input and may try to write
            through it, as NumPy lets them; such results refuse item assignment. As `view` unless
            given.
        rerun: the place of an aux value among the results; it is given by its name. When that is
            not None, the gradients by the inputs depend on how the gradients of the outputs depend
            on the outputs, and a backward pass that meets the node is recorded.
        hint: what to do about a call that fails, added to the error.
        reference: of a fused operation, the same computed by other operations on tensors.
        opened: of a fused operation, what runs where kernels are opened up.
    """

    reference: Callable[..., Any] | None = None
    opened: Callable[..., Any] | None = None

    def __init__(
        self,
        forward: Callable[..., Any],
        outputs: tuple[str, ...] = ("y",),
        aux: tuple[str, ...] = (),
        list_input: bool = False,
        constant: bool = False,
        view: bool = False,
        hint: str = "",
        part: bool | None = None,
        rerun: str | None = None,
    ) -> None:
        self.forward, self.name = forward, forward.__name__
        self.outputs, self.aux = outputs, aux
        self.list_input, self.constant, self.view, self.hint = list_input, constant, view, hint
        self.part = view if part is None else part
        self.rerun = None if rerun is None else len(outputs) + aux.index(rerun)
        signature = inspect.signature(forward)
        variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        declared = [p for p in signature.parameters.values() if p.kind not in variable]
        signature = signature.replace(parameters=declared)
        self.inputs = tuple(p.name for p in declared if p.kind is p.POSITIONAL_ONLY) or tuple(
            p.name for p in declared if p.default is p.empty and p.kind is not p.KEYWORD_ONLY
        )
        self.params = tuple(p.name for p in declared if p.name not in self.inputs)
        self.defaults = {p.name: p.default for p in declared if p.default is not p.empty}
        self.rules: dict[str, Rule] = {}  # by the input
        self.joint: dict[str, tuple[str, ...]] = {}  # of an input whose rule is for several: all
        self.plans = PlanTable(self)
        self._check_names()
        self.signature = signature

    def _check_names(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(
                f"primitive: needs a function with a name, made by `def`; got {self.name}"
            )
        names = (*self.inputs, *self.params, *self.aux)
        for name in names:
            if name in RESERVED:
                raise ValueError(
                    f"primitive {self.name}: {name!r} is reserved for the {RESERVED[name]}; "
                    "name the argument otherwise."
                )
        for name in (*names, *self.outputs):
            if name.startswith("_"):
                raise ValueError(
                    f"primitive {self.name}: names must not begin with an underscore, got {name!r}"
                )
        if not self.inputs:
            raise ValueError(f"primitive {self.name}: it has no array input (see `/`).")

    @cached_property
    def bind(self) -> Callable[..., Any]:
        """A function of the same signature, so that Python itself sorts the arguments."""
        signature = self.signature
        plain = [
            p.replace(annotation=p.empty)
            if p.default is p.empty
            else p.replace(annotation=p.empty, default=_Default(p.name))
            for p in signature.parameters.values()
        ]
        header = signature.replace(parameters=plain, return_annotation=signature.empty)
        inputs, params = (
            "".join(f"{form.format(name)}, " for name in names)
            for form, names in (("{0}", self.inputs), ("'{0}': {0}", self.params))
        )
        source = f"def {self.name}{header}: return ({inputs}), {{{params}}}"
        bind: Callable[..., Any] = compile_source(source, self.name, {"default": self.defaults})[
            self.name
        ]
        return accepting_old_names(bind) if self.inputs == ("x1", "x2") else bind

    @property
    def differentiable(self) -> bool:
        """Whether any input has a derivative rule."""
        return bool(self.rules)

    def vjp(self, *unnamed: Rule, **rules: Rule) -> None:
        """Declare derivative rules, one per input by its name.

        Raises:
            ValueError: when a rule is given without the name of an input, when an input does not
                exist or has a rule, or when a rule asks for a name that the operation has not.
        """
        if unnamed:
            raise ValueError(
                f"primitive {self.name}: name the input that a rule is for: "
                f"{self.name}.vjp({self.inputs[0]}=...)"
            )
        for name, rule in rules.items():
            self._declare((name,), rule)

    def joint_vjp(self, *inputs: str) -> Callable[[Rule], Rule]:
        """Declare one rule for several inputs, which returns a tuple of their gradients."""

        def declare(rule: Rule) -> Rule:
            self._declare(inputs, rule)
            self.joint |= dict.fromkeys(inputs, inputs)
            return rule

        return declare

    def _declare(self, inputs: tuple[str, ...], rule: Rule) -> None:
        for name in inputs:
            if name not in self.inputs:
                raise ValueError(
                    f"primitive {self.name}: a rule for {name!r}, but its inputs are "
                    f"{', '.join(self.inputs)}"
                )
            if name in self.rules:
                raise ValueError(f"primitive {self.name}: the input {name!r} has a rule already")
        known = {"g", *self.inputs, *self.params, *self.aux, *self.outputs}
        known |= {f"{name}_shape" for name in self.inputs}
        known |= {"used"} if len(self.outputs) > 1 else set()
        for name in read_by(rule):
            if name not in known:
                raise ValueError(
                    f"primitive {self.name}: the rule for {', '.join(inputs)} asks for {name!r}; "
                    f"a rule may read {', '.join(sorted(known))}"
                )
        self.rules |= dict.fromkeys(inputs, rule)
        self.plans.clear()

    def make_plan(self, mask: int) -> Any:
        """The plan for a set of inputs on tape (bit i for input i)."""
        return RulePlan(self, mask)

    def explain(self, error: Exception, arrays: Any, params: dict[str, Any]) -> Exception:
        """The error to raise for a forward that failed; `minigrad.ops.explaining` says more."""
        return error

    def __repr__(self) -> str:
        return f"Operation({self.name}({', '.join((*self.inputs, *self.params))}))"


def accepting_old_names(bind: Callable[..., Any]) -> Callable[..., Any]:
    """`bind` for an operation of two inputs, which were called `x` and `z` in earlier versions."""

    @functools.wraps(bind)
    def renaming(*args: Any, **kwargs: Any) -> Any:
        for old, new in (("x", "x1"), ("z", "x2")):
            if old in kwargs and new not in kwargs:
                kwargs[new] = kwargs.pop(old)
                warnings.warn(
                    f"{bind.__name__}: the argument {old}= is called {new}= now, as in NumPy; the "
                    "old name goes with the next version",
                    DeprecationWarning,
                    stacklevel=3,
                )
        return bind(*args, **kwargs)

    return renaming


class _Default:
    """Stands in a generated signature for the default of a parameter."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"default[{self.name!r}]"


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
            `minigrad.ops.primitives.Operation`: `outputs`, `aux`, `list_input`, `constant`, `view`,
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
    apply = declare(operation)
    apply.vjp, apply.joint_vjp = operation.vjp, operation.joint_vjp
    return method(apply) if is_method else apply


def declare(operation: Operation) -> Any:
    """The function that applies an operation, which is now known by its name."""
    operations[f"{operation.forward.__module__}.{operation.name}"] = operation
    apply = make_apply(operation)
    apply.__name__ = operation.name
    apply.operation, apply.generic = operation, make_generic(operation, apply)
    return apply


def make_generic(op: Operation, apply: Callable[..., Any]) -> Callable[..., Any]:
    """The operation as derivative rules call it: on arrays it is just the forward.

    A tensor among the parameters, such as integers to read by, is a constant, and none on the tape.
    """
    count = len(op.inputs)

    def generic(*args: Any, **kwargs: Any) -> Any:
        inputs = args[0] if op.list_input else args[:count]
        if any(isinstance(value, Tensor) for value in inputs):
            return apply(*args, **kwargs)
        out = op.forward(*args, **kwargs)
        return out[: len(op.outputs)] if len(op.outputs) > 1 else out[0] if op.aux else out

    return generic
