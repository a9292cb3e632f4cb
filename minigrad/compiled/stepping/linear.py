"""What is zero where the gradients that arrive are zero.

Derivatives are linear in them, but for rules of the user's. So it is shown for the graph, value by
value; what is not known may be anything.
"""

from collections.abc import Iterable, Sequence

from minigrad.compiled.graph import Value, View

__all__ = ["is_zero", "zeros_among"]

_WITH_ANY = frozenset(("negative", "copy", "convert", "multiply", "matmul"))
_WITH_ALL = frozenset(("add", "subtract", "row_sum", "lead_sum", "total", "assemble"))


def is_zero(value: Value, zeros: Sequence[bool]) -> bool:
    """Whether a value is zero where some of what it reads is, and the rest is finite.

    Args:
        value: is asked for.
        zeros: of each view that it reads, whether that is zero.
    """
    known = iter(zeros)
    operands = [next(known) if isinstance(o, View) else o == 0 for o in value.operands]
    if value.op in _WITH_ANY:
        return any(operands)
    if value.op in _WITH_ALL:
        return all(operands)
    if value.op == "divide":
        return operands[0]
    return value.op == "where" and all(operands[1:])


def zeros_among(values: Iterable[Value], inputs: Iterable[Value]) -> set[Value]:
    """The values that are zero where some inputs are, and these inputs.

    Args:
        values: in order.
        inputs: those that are zero.
    """
    found = set(inputs)

    def known(value: Value) -> bool:
        return value in found or (value.array is not None and not value.array.any())

    for value in values:
        if value.operands and is_zero(value, [known(view.value) for view in value.views]):
            found.add(value)
    return found
