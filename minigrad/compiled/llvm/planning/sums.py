"""Products that are only added to each other, as one sum of products.

The gradient by what several weights read, such as the input of attention's projections, is a sum
of products. Each adds to what the one before has written, so no product is stored by itself, and no
pass adds them up.
"""

from collections import Counter

from minigrad.compiled.graph import Graph, Operand, Value, View, contiguous, reachable, size_of

__all__ = ["sum_products"]


def sum_products(graph: Graph) -> Graph:
    """The graph with sums of products as values `matmul` of more than two operands, in pairs.

    A graph with loops stays as it is: what leaves them is one product already.
    """
    if any(value.op == "loop" for value in graph.values):
        return graph
    uses = Counter(view.value for value in graph.values for view in value.views)
    uses.update(view.value for view in graph.outputs)
    moved: dict[Value, Value] = {}
    made: list[Value] = []

    def read(operand: Operand) -> Operand:
        if isinstance(operand, View) and operand.value in moved:
            return operand.of(moved[operand.value])
        return operand

    returned = {view.value for view in graph.outputs}
    inside = set(graph.values)  # what an earlier stage computed has its operation, too
    for value in graph.values:
        operands = tuple(map(read, value.operands))
        new = value
        products = [
            now.value
            for before, now in zip(value.operands, operands, strict=True)
            if isinstance(before, View) and isinstance(now, View)
            if uses[before.value] == 1 and before.value in inside and _is_product(now)
        ]
        if value.op == "add" and len(products) == 2 and products[0].shape == products[1].shape:
            shape = products[0].shape
            if value not in returned or value.shape == shape:
                factors = (*products[0].operands, *products[1].operands)
                new = Value("matmul", factors, shape, value.dtype, place=value.place)
        if new is value and any(a is not b for a, b in zip(operands, value.operands, strict=True)):
            new = Value(
                value.op, operands, value.shape, value.dtype, value.options, place=value.place
            )
        if new is not value:
            moved[value] = new
        made.append(new)
    outputs = [View(moved.get(view.value, view.value)) for view in graph.outputs]
    return Graph(graph.inputs, reachable(made, outputs), outputs)


def _is_product(view: View) -> bool:
    """Whether this is all of one product, of matrices, in its own order."""
    value = view.value
    return (
        value.op == "matmul"
        and len(value.shape) == 2
        and all(read.shape[-1] for read in list(value.views)[::2])
        and view.offset == 0
        and view.strides == contiguous(view.shape)
        and size_of(view.shape) == value.size
    )
