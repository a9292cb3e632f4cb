"""What an operation is: a function on arrays, and one derivative rule for every input.

A rule's parameter names say what it reads: `g`, the gradient of the output; `y`, the output; an
input, or its shape alone as `x_shape`; a parameter of the call; an `aux` value or, with several
outputs, an output by its name, and `used`, which of them the gradient comes from (the others' are
zeros). Only what the rules of the inputs on tape name is saved. A plan holds the compiled rules for
one set of inputs on tape.
"""

import inspect
import linecache
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.core.contributions import output_node
from minigrad.core.errors import DtypeError
from minigrad.core.nodes import Node
from minigrad.core.tensors import wrap

__all__ = ["Operation", "operations"]

Rule = Callable[..., Any]

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
        rerun: the name of an aux value. When that is not None, the gradients by the inputs depend
            on how the gradients of the outputs depend on the outputs, and a backward pass that
            meets the node is recorded.
        hint: what to do about a call that fails, added to the error.
        reference: of a fused operation, the same computed by other operations on tensors.
    """

    reference: Callable[..., Any] | None = None

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
        declared = list(signature.parameters.values())
        self.inputs = tuple(p.name for p in declared if p.kind is p.POSITIONAL_ONLY) or tuple(
            p.name for p in declared if p.default is p.empty and p.kind is not p.KEYWORD_ONLY
        )
        self.params = tuple(p.name for p in declared if p.name not in self.inputs)
        self.defaults = {p.name: p.default for p in declared if p.default is not p.empty}
        self.rules: dict[str, Rule] = {}  # by the input
        self.joint: dict[Rule, tuple[str, ...]] = {}  # the inputs of rules for several
        self.plans = PlanTable(self)
        self._check_names()
        self.bind = self._make_bind(signature)

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

    def _make_bind(self, signature: inspect.Signature) -> Callable[..., Any]:
        """A function of the same signature, so that Python itself sorts the arguments."""
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
        return bind

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
            self.joint[rule] = inputs
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


class _Default:
    """Stands in a generated signature for the default of a parameter."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"default[{self.name!r}]"


class PlanTable(dict[int, Any]):
    """The plans of an operation by the inputs on tape (bit i for input i), made on demand."""

    def __init__(self, operation: Operation) -> None:
        super().__init__()
        self.operation = operation

    def __missing__(self, mask: int) -> Any:
        plan = self[mask] = self.operation.make_plan(mask)
        return plan


class RulePlan:
    """How gradients flow back through an operation with a given set of inputs on tape.

    Attributes:
        save: from inputs, outputs and aux values, the tuple of those that the rules read.
        vjp: from a node and the gradient of its output, the contributions to its inputs.
        sources: of each saved value, the input slot, or -1 - i for output i, or None.
    """

    def __init__(self, operation: Operation, mask: int) -> None:
        self.operation, self.name, self.view = operation, operation.name, operation.view
        self.saves_list = operation.list_input  # then slot 0 stands for every array of the list
        slots = {name: i for i, name in enumerate(operation.inputs)}
        wanted = [name for name in slots if mask >> slots[name] & 1]
        for name in wanted:
            if name not in operation.rules:
                raise DtypeError(
                    f"{operation.name}: there is no derivative with respect to {name!r}; pass "
                    f"{name}.detach() to use it as a constant."
                )
        rules = list(dict.fromkeys(operation.rules[name] for name in wanted))
        read = dict.fromkeys(name for rule in rules for name in read_by(rule))
        saved = [name for name in read if name not in ("g", "used", *operation.params)]
        outputs = {name: -1 - i for i, name in enumerate(operation.outputs)}
        self.sources: tuple[int | None, ...] = tuple((slots | outputs).get(name) for name in saved)
        self.saved_slots = tuple(s for s in self.sources if s is not None and s >= 0)
        source = write_plan(operation, wanted, rules, saved)
        scope = {f"rule{i}": rule for i, rule in enumerate(rules)} | {"shape": np.shape}
        built = compile_source(source, f"{operation.name} plan {mask}", scope)
        self.vjp: Callable[..., Sequence[Any]] = built["vjp"]
        self.save: Callable[..., tuple[Any, ...]] = built["save"]

    def vjp_recorded(self, node: Node, g: Any) -> Sequence[Any]:
        """`vjp` on tensors: saved values are given their places in the graph again."""
        assert node.saved is not None
        pairs = zip(node.saved, self.sources, strict=True)
        return self.vjp(node, g, tuple(self._placed(node, v, source) for v, source in pairs))

    def _placed(self, node: Node, value: Any, source: int | None) -> Any:
        if source is None:
            return value
        if source < 0:
            several = len(self.operation.outputs) > 1
            return wrap(value, output_node(node, -1 - source) if several else node)
        if self.saves_list:
            at = zip(value, node.inputs, strict=True)
            return [v if place is None else wrap(v, place) for v, place in at]
        place = node.inputs[source]
        return value if place is None else wrap(value, place)


def write_plan(op: Operation, wanted: list[str], rules: list[Rule], saved: list[str]) -> str:
    """The source of two functions, such as these for `multiply` with both inputs on tape:

    def vjp(node, g, s=None):
        if s is None: s = node.saved
        r0 = rule0(g, s[0])
        r1 = rule1(g, s[1])
        return (r0, r1,)
    def save(x1, x2, y): return (x2, x1, )
    """
    several = len(op.outputs) > 1
    arguments = {name: f"s[{i}]" for i, name in enumerate(saved)} | {"g": "g", "used": "used"}
    lines = ["def vjp(node, g, s=None):"]
    lines += ["    if s is None: s = node.saved"] * bool(saved)
    if several:
        lines += [f"    used = tuple(i in g.slots for i in range({len(op.outputs)}))"]
        lines += ["    g = g.dense()"]
    result: dict[str, str] = {}
    for i, rule in enumerate(rules):
        given = (arguments.get(name, f"node.params[{name!r}]") for name in read_by(rule))
        lines.append(f"    r{i} = rule{i}({', '.join(given)})")
        result |= {name: f"r{i}" for name in wanted if op.rules[name] is rule}
        result |= {name: f"r{i}[{k}]" for k, name in enumerate(op.joint.get(rule, ()))}
    parts = "".join(f"{result[n] if n in wanted else None}, " for n in op.inputs)
    lines.append(f"    return {result[op.inputs[0]] if op.list_input else f'({parts})'}")
    kept = (
        f"shape({n[:-6]})" if n.removesuffix("_shape") in op.inputs and n not in op.inputs else n
        for n in saved
    )
    values = ", ".join((*op.inputs, *op.outputs, *op.aux))
    lines.append(f"def save({values}): return ({''.join(f'{n}, ' for n in kept)})")
    return "\n".join(lines)


def read_by(rule: Rule) -> tuple[str, ...]:
    """The names of a rule's parameters."""
    code = rule.__code__
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount]
    return names


def compile_source(source: str, name: str, scope: dict[str, Any]) -> dict[str, Any]:
    """Run generated source, kept where tracebacks find its lines."""
    filename = f"<minigrad {name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    exec(compile(source, filename, "exec"), scope)
    return scope
