"""A graph evaluated as its documentation reads, step by step and with fresh arrays: the oracle."""

import numpy as np
from numpy.lib.stride_tricks import as_strided
from scipy import special

from minigrad.compiled.graph import View

FUNCTIONS = {
    "copy": lambda x: x,
    "erf": special.erf,
    "sigmoid": special.expit,
}


def evaluate(graph, arrays, wide=True):
    """The outputs; floats are computed as float64 if `wide`."""
    found = {}
    for value, array in zip(graph.inputs, arrays, strict=True):
        found[value] = widened(np.asarray(array)) if wide else np.asarray(array)
    with np.errstate(all="ignore"):
        run(graph.values, found, wide)
    return [read(view, found, wide) for view in graph.outputs]


def widened(array):
    return array.astype(np.float64) if array.dtype == np.float32 else array


def read(operand, found, wide, moved=0):
    if not isinstance(operand, View):
        return operand
    value = operand.value
    if value.op == "constant" and value not in found:
        found[value] = widened(value.array) if wide else value.array
    array = np.ascontiguousarray(found[value]).reshape(-1)
    step = array.itemsize
    if not array.size or not all(operand.shape):
        return np.zeros(operand.shape, array.dtype)
    start = operand.offset + moved
    reaches = [s * (n - 1) for s, n in zip(operand.strides, operand.shape, strict=True)]
    lowest = start + sum(min(0, reach) for reach in reaches)
    highest = start + sum(max(0, reach) for reach in reaches)
    assert lowest >= 0, operand
    assert highest < array.size, operand
    strides = [stride * step for stride in operand.strides]
    return as_strided(array[start:], operand.shape, strides).copy()


def run(values, found, wide):
    for value in values:
        if value.op == "loop":
            run_loop(value, found, wide)
        elif value.op != "stack":
            found[value] = compute(value, found, wide)


def run_loop(value, found, wide):
    loop = value.options[0]
    slots = {b: [None] * (loop.count + 1) for b in loop.body}
    for b, view in loop.initial.items():
        slots[b][loop.initial_slot] = read(view, found, wide)
    for t in reversed(range(loop.count)) if loop.down else range(loop.count):
        for b in loop.body:
            for view in b.views:
                inner = view.value
                if inner.op == "previous":
                    found[inner] = slots[inner.options[0]][t + loop.previous_slot]
                elif inner.op == "moving":
                    (outer,) = inner.views
                    found[inner] = read(outer, found, wide, t * inner.options[0])
            found[b] = slots[b][t + loop.current_slot] = compute(b, found, wide)
    for b, stack in loop.stacked.items():
        filled = [np.zeros(b.shape) if slot is None else slot for slot in slots[b]]
        found[stack] = np.stack(filled)


def compute(value, found, wide):
    x = [read(operand, found, wide) for operand in value.operands]
    op = value.op
    if op == "convert":
        dtype = np.float64 if wide and value.dtype == np.float32 else value.dtype
        return x[0].astype(dtype)
    if op == "row_sum":
        return x[0].sum(-1, keepdims=True)
    if op == "row_max":
        return x[0].max(-1, keepdims=True)
    if op == "lead_sum":
        return x[0].sum(tuple(range(value.options[0])))
    if op == "total":
        return x[0].sum()
    if op == "assemble":
        out = np.zeros(value.size, np.float64 if value.dtype == np.float32 else value.dtype)
        for part, (strides, offset) in zip(x, value.options, strict=True):
            at = as_strided(out[offset:], part.shape, [s * out.itemsize for s in strides])
            at[...] = part
        return out.reshape(value.shape)
    if op == "gather":
        return x[0][x[1]]
    if op == "scatter_add":
        out = np.zeros(value.shape, x[1].dtype)
        np.add.at(out, x[0], x[1])
        return out
    return (FUNCTIONS.get(op) or getattr(np, op))(*x)
