"""Plans: how gradients flow back through an operation, compiled for a set of inputs on tape.

The parameter names of a derivative rule say what it reads, so a plan knows what a node has to save,
and calls the rules with just that.
"""

import linecache
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.core.contributions import output_node
from minigrad.core.errors import DtypeError
from minigrad.core.nodes import Node
from minigrad.core.tensors import wrap

__all__ = ["PlanTable", "Rule", "RulePlan", "compile_source", "read_by"]

Rule = Callable[..., Any]


class PlanTable(dict[int, Any]):
    """The plans of an operation by the inputs on tape (bit i for input i), made on demand."""

    def __init__(self, operation: Any) -> None:
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

    def __init__(self, operation: Any, mask: int) -> None:
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
        groups = ((operation.joint.get(name, (name,)), operation.rules[name]) for name in wanted)
        rules = list(dict.fromkeys(groups))  # each with the inputs that it is for
        read = dict.fromkeys(name for _, rule in rules for name in read_by(rule))
        saved = [name for name in read if name not in ("g", "used", *operation.params)]
        outputs = {name: -1 - i for i, name in enumerate(operation.outputs)}
        self.sources: tuple[int | None, ...] = tuple((slots | outputs).get(name) for name in saved)
        self.saved_slots = tuple(s for s in self.sources if s is not None and s >= 0)
        source = write_plan(operation, wanted, rules, saved)
        scope = {f"rule{i}": rule for i, (_, rule) in enumerate(rules)} | {"shape": np.shape}
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


def write_plan(op: Any, wanted: list[str], rules: list[Any], saved: list[str]) -> str:
    """The source of two functions, `vjp` and `save`.

    These are the ones for `multiply` with both inputs on tape:

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
    for i, (names, rule) in enumerate(rules):
        given = (arguments.get(name, f"node.params[{name!r}]") for name in read_by(rule))
        lines.append(f"    r{i} = rule{i}({', '.join(given)})")
        several_inputs = names[0] in op.joint
        result |= {n: f"r{i}[{k}]" if several_inputs else f"r{i}" for k, n in enumerate(names)}
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
