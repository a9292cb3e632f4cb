"""What an operation is: a function on arrays, and one derivative rule for every input.

A rule's parameter names say what it reads: `g`, the gradient of the output; `y`, the output; an
input, or its shape alone as `x_shape`; a parameter of the call; an `aux` value or, with several
outputs, an output by its name, and `used`, which of them the gradient comes from (the others' are
zeros). Only what the rules of the inputs on tape name is saved. A plan
holds the compiled rules for one set of inputs on tape.
"""

import linecache
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.core.errors import DtypeError
from minigrad.core.nodes import Node, Wrap, output_node

__all__ = ["Operation", "compile_source", "operations"]

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
        inputs: the names of the array inputs.
        params: the names of the parameters of the call.
        defaults: the defaults of those that have one.
        positional: the names of those that may be given by position.
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
        self.forward = forward
        self.name = forward.__name__
        self.outputs, self.aux = outputs, aux
        self.list_input, self.constant, self.view, self.hint = list_input, constant, view, hint
        self.part = view if part is None else part
        self.rerun = None if rerun is None else len(outputs) + aux.index(rerun)
        declared = forward
        while hasattr(declared, "__wrapped__"):  # a decorator stands around the function
            declared = declared.__wrapped__
        code = declared.__code__
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        positional = names[: code.co_argcount]
        defaults = declared.__defaults__ or ()
        without_default = positional[: len(positional) - len(defaults)]
        self.inputs = positional[: code.co_posonlyargcount] or without_default
        self.params = tuple(name for name in names if name not in self.inputs)
        self.positional = tuple(n for n in positional if n not in self.inputs)
        self.by_name = not code.co_posonlyargcount  # whether inputs may be given by name
        self.declared = declared
        self.defaults: dict[str, Any] = {
            **dict(zip(positional[len(without_default) :], defaults, strict=True)),
            **(declared.__kwdefaults__ or {}),
        }
        self.rules: dict[str, Rule] = {}
        self.joint: dict[str, tuple[tuple[str, ...], Rule]] = {}
        self.reference: Callable[..., Any] | None = None
        self.plans = PlanTable(self)
        if not self.name.isidentifier():
            raise ValueError(
                f"primitive: needs a function with a name, made by `def`; got {self.name}"
            )
        taken = sorted({*self.inputs, *self.params, *aux} & set(RESERVED))
        if taken:
            raise ValueError(
                f"primitive {self.name}: {taken[0]!r} is reserved for the {RESERVED[taken[0]]}; "
                "name the argument otherwise."
            )
        hidden = [n for n in (*self.inputs, *self.params, *aux, *outputs) if n.startswith("_")]
        if hidden:
            raise ValueError(
                f"primitive {self.name}: names must not begin with an underscore, got {hidden[0]!r}"
            )
        if not self.inputs:
            raise ValueError(f"primitive {self.name}: it has no array input (see `/`).")

    def bind(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The inputs and the parameters of a call.

        Raises:
            TypeError: as Python does for a call that does not fit the function.
        """
        count = len(self.inputs)
        params = dict(self.defaults)
        inputs, extra = args[:count], args[count:]
        wrong = len(extra) > len(self.positional)
        params.update(zip(self.positional, extra, strict=False))
        given = self.positional[: len(extra)]
        rest = list(self.inputs[len(inputs) :])
        named: dict[str, Any] = {}
        for name, value in kwargs.items():
            if name in self.params and name not in given:
                params[name] = value
            elif name in rest and self.by_name:
                named[name] = value
            else:
                wrong = True
        inputs += tuple(named[name] for name in rest if name in named)
        if wrong or len(inputs) < count or len(params) < len(self.params):
            self.declared(*args, **kwargs)  # which tells what does not fit
            raise TypeError(f"{self.name}: the arguments do not fit {self!r}")
        return inputs, params

    def make_plan(self, mask: int) -> Any:
        """The plan for a set of inputs on tape (bit i for input i)."""
        return RulePlan(self, mask)

    @property
    def differentiable(self) -> bool:
        """Whether any input has a derivative rule."""
        return bool(self.rules or self.joint)

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
            self._check_rule((name,), rule)
            self.rules[name] = rule
        self.plans.clear()

    def joint_vjp(self, *inputs: str) -> Callable[[Rule], Rule]:
        """Declare one rule for several inputs, which returns a tuple of their gradients."""

        def declare(rule: Rule) -> Rule:
            self._check_rule(inputs, rule)
            for name in inputs:
                self.joint[name] = (inputs, rule)
            self.plans.clear()
            return rule

        return declare

    def _check_rule(self, inputs: tuple[str, ...], rule: Rule) -> None:
        known = {"g", *self.inputs, *self.params, *self.aux, *self.outputs}
        known |= {f"{name}_shape" for name in self.inputs}
        known |= {"used"} if len(self.outputs) > 1 else set()
        for name in inputs:
            if name not in self.inputs:
                raise ValueError(
                    f"primitive {self.name}: a rule for {name!r}, but its inputs are "
                    f"{', '.join(self.inputs)}"
                )
            if name in self.rules or name in self.joint:
                raise ValueError(f"primitive {self.name}: the input {name!r} has a rule already")
        for name in read_by(rule):
            if name not in known:
                raise ValueError(
                    f"primitive {self.name}: the rule for {', '.join(inputs)} asks for {name!r}; "
                    f"a rule may read {', '.join(sorted(known))}"
                )

    def __repr__(self) -> str:
        return f"Operation({self.name}({', '.join((*self.inputs, *self.params))}))"


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
        pull: from a node and the gradient of its output, the contributions to its inputs.
        sources: of each saved value, the input slot, or -1 - i for output i, or None.
    """

    def __init__(self, operation: Operation, mask: int) -> None:
        self.operation = operation
        self.name = operation.name
        self.view = operation.view
        several = len(operation.outputs) > 1
        slots = {name: i for i, name in enumerate(operation.inputs)}
        wanted = [name for name in operation.inputs if mask >> slots[name] & 1]
        if operation.list_input:
            wanted = list(operation.inputs)
        chosen: dict[str, tuple[tuple[str, ...], Rule]] = {}
        for name in wanted:
            if name in operation.rules:
                chosen[name] = ((name,), operation.rules[name])
            elif name in operation.joint:
                chosen[name] = operation.joint[name]
            else:
                raise DtypeError(
                    f"{operation.name}: there is no derivative with respect to {name!r}; pass "
                    f"{name}.detach() to use it as a constant."
                )
        rules = list(dict.fromkeys(chosen.values()))
        read = dict.fromkeys(name for _, rule in rules for name in read_by(rule))
        saved = [name for name in read if name not in ("g", "used", *operation.params)]
        self.sources: tuple[int | None, ...] = tuple(
            slots[name]
            if name in slots
            else -1 - operation.outputs.index(name)
            if name in operation.outputs
            else None
            for name in saved
        )
        self.saved_slots = tuple(s for s in self.sources if s is not None and s >= 0)
        self.saves_list = operation.list_input  # then slot 0 stands for every array of the list

        def argument(name: str) -> str:
            if name in ("g", "used"):
                return name
            return f"s[{saved.index(name)}]" if name in saved else f"p[{name!r}]"

        lines = ["def pull(node, g, s=None):"]
        lines += ["    if s is None: s = node.saved"] * bool(saved)
        lines += ["    p = node.params"] * any(name in operation.params for name in read)
        if several:
            slots_used = f"tuple(i in g.slots for i in range({len(operation.outputs)}))"
            lines += [f"    used = {slots_used}"] * ("used" in read) + ["    g = g.dense()"]
        result: dict[str, str] = {}
        for i, (names, rule) in enumerate(rules):
            call = ", ".join(argument(name) for name in read_by(rule))
            lines.append(f"    r{i} = rule{i}({call})")
            for k, name in enumerate(names):
                result[name] = f"r{i}[{k}]" if operation.joint.get(name) else f"r{i}"
        if operation.list_input:
            lines.append(f"    return {result[operation.inputs[0]]}")
        else:
            parts = [result[n] if n in wanted else "None" for n in operation.inputs]
            lines.append(f"    return ({', '.join(parts)},)")
        values = ", ".join((*operation.inputs, *operation.outputs, *operation.aux))
        kept = (
            f"shape({n[:-6]})" if n.removesuffix("_shape") in slots and n not in slots else n
            for n in saved
        )
        lines.append(f"def save({values}): return ({''.join(n + ', ' for n in kept)})")
        scope: dict[str, Any] = {f"rule{i}": rule for i, (_, rule) in enumerate(rules)}
        scope["shape"] = np.shape
        built = compile_source("\n".join(lines), f"{operation.name} plan {mask}", scope)
        self.pull: Callable[..., Sequence[Any]] = built["pull"]
        self.save: Callable[..., tuple[Any, ...]] = built["save"]

    def pull_recorded(self, node: Node, g: Any, wrap: Wrap) -> Sequence[Any]:
        """`pull` on tensors: saved values are given their places in the graph again."""
        return self.pull(node, g, tuple(self._recorded_values(node, wrap)))

    def _recorded_values(self, node: Node, wrap: Wrap) -> Sequence[Any]:
        assert node.saved is not None
        values: list[Any] = []
        for value, source in zip(node.saved, self.sources, strict=True):
            if source is None:
                values.append(value)
            elif source < 0:
                several = len(self.operation.outputs) > 1
                place = output_node(node, -1 - source) if several else node
                values.append(wrap(value, place))
            elif self.operation.list_input:
                pairs = zip(value, node.inputs, strict=True)
                values.append([v if n is None else wrap(v, n) for v, n in pairs])
            else:
                place_of_input = node.inputs[source]
                values.append(value if place_of_input is None else wrap(value, place_of_input))
        return values


def read_by(rule: Rule) -> tuple[str, ...]:
    """The names of a rule's parameters. From its code: `inspect` would slow the import."""
    code = rule.__code__
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount]
    return names


def compile_source(source: str, name: str, scope: dict[str, Any]) -> dict[str, Any]:
    """Run generated source, kept where tracebacks find its lines."""
    filename = f"<minigrad {name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    exec(compile(source, filename, "exec"), scope)
    return scope
