"""Operations that are called by themselves: native code for any number of rows or elements.

What they compute is written down once more, as formulas of other operations. A formula is traced
with a few rows and becomes one kernel, which is told at run time how many there are. Here
subnormal numbers stay what they are.
"""

import functools
import math
from collections.abc import Callable, Sequence
from contextvars import Context, ContextVar
from typing import Any, Final, TypeAlias

import numpy as np

from minigrad.compiled.graph import Graph, Unsupported
from minigrad.compiled.llvm import native
from minigrad.compiled.llvm.crew import asked_for, run_in_room
from minigrad.compiled.llvm.kernels.rows import RowKernel
from minigrad.compiled.llvm.kernels.runtime import define_take
from minigrad.compiled.llvm.planning.places import LINE
from minigrad.compiled.llvm.planning.plan import Plan
from minigrad.compiled.llvm.stages import is_native
from minigrad.compiled.llvm.vectors.ir import Code, Module
from minigrad.compiled.trace import trace
from minigrad.core.tensors import Tensor
from minigrad.ops.elementwise.comparisons import equal, where
from minigrad.ops.elementwise.powers import exp, sqrt
from minigrad.ops.elementwise.predicates import isfinite
from minigrad.ops.manipulation.reshaping import broadcast_to
from minigrad.ops.nn.activations import gelu, gelu_rule
from minigrad.ops.reduction.softmaxes import log_softmax, softmax

__all__ = ["FORMULAS", "by_rows"]

PlainArray: TypeAlias = np.ndarray[Any, Any]

_ROWS: Final = 3
"""Rows of a trace: more than one, so that strides along them are seen."""

_CHUNKS: Final = 16
"""Into how many parts rows are cut for threads, however many threads there are."""

_WORTH_THREADS: Final = 400_000
"""Elements from which on a second thread pays."""

_building: ContextVar[bool] = ContextVar("minigrad_building_rows", default=False)


def _mean(x: Any) -> Any:
    return x.sum(axis=-1, keepdims=True) / x.shape[-1]


def _layer_norm(x: Any, weight: Any, bias: Any, eps: Any) -> tuple[Any, ...]:
    centered = x - _mean(x)
    scale = 1 / sqrt(_mean(centered * centered) + eps)
    normal = centered * scale
    return normal * weight + bias, normal, scale


def _layer_norm_gradient(g: Any, normal: Any, scale: Any, weight: Any) -> Any:
    d = g * weight
    d = d - _mean(d)
    return (d - normal * _mean(d * normal)) * scale


def _rms_norm_gradient(g: Any, x: Any, eps: Any) -> Any:
    scale = 1 / sqrt(_mean(x * x) + eps)
    normal = x * scale
    return scale * (g - normal * _mean(g * normal))


def _finite(x: Any, top: Any) -> Any:
    """Scores whose maximum may be infinite: those that are share the probability."""
    zero, least = x.dtype.type(0), x.dtype.type(-math.inf)
    certain = equal(broadcast_to(top, x.shape), math.inf)
    return where(certain, where(equal(x, math.inf), zero, least), x)


def _shifted(x: Any) -> tuple[Any, Any]:
    top = x.max(axis=-1, keepdims=True)
    return _finite(x, top) - where(isfinite(top), top, x.dtype.type(0)), top


def _partition(x: Any) -> tuple[Any, ...]:
    difference, top = _shifted(x)
    return top, exp(difference).sum(axis=-1, keepdims=True)


def _log_partition(x: Any) -> tuple[Any, ...]:
    difference, _ = _shifted(x)
    e = exp(difference)
    return difference, e, e.sum(axis=-1, keepdims=True)


FORMULAS: Final[dict[str, Callable[..., Any]]] = {
    "gelu_none": gelu,
    "gelu_none_gradient": lambda g, x: gelu_rule(g, x, "none"),
    "gelu_tanh": lambda x: gelu(x, approximate="tanh"),
    "gelu_tanh_gradient": lambda g, x: gelu_rule(g, x, "tanh"),
    "softmax": lambda x: softmax(x, axis=-1),
    "softmax_gradient": lambda g, y: y * (g - (g * y).sum(axis=-1, keepdims=True)),
    "log_softmax": lambda x: log_softmax(x, axis=-1),
    "log_softmax_gradient": lambda g, y: g - exp(y) * g.sum(axis=-1, keepdims=True),
    "partition": _partition,
    "log_partition": _log_partition,
    "shares": lambda x, top, shift, factor: exp(_finite(x, top) - shift) * factor,
    "layer_norm": _layer_norm,
    "layer_norm_gradient": _layer_norm_gradient,
    "rms_norm": lambda x, eps: x / sqrt(_mean(x * x) + eps),
    "rms_norm_gradient": _rms_norm_gradient,
}
"""What is computed; see the operations of these names, and their rules."""


def by_rows(name: str, arrays: Sequence[Any]) -> tuple[PlainArray, ...] | None:
    """The results of a formula, or None where no kernel is made for the arrays.

    Args:
        name: of `FORMULAS`.
        arrays: the first one has the rows (..., length); each other one has its shape, (..., 1) or
            (length,), or is a number.
    """
    if _building.get():
        return None
    whole = arrays[0]
    length = whole.shape[-1]
    each = (*whole.shape[:-1], 1)
    kinds, given = [], []
    for array in arrays:
        if isinstance(array, float):
            array = np.array(array, whole.dtype)
        if array.__class__ is not np.ndarray or array.dtype != whole.dtype:
            return None
        shapes = {whole.shape: (_ROWS, length), each: (_ROWS, 1), (length,): (length,), (): ()}
        if array.shape not in shapes:
            return None
        kinds.append(shapes[array.shape])
        given.append(np.ascontiguousarray(array))
    kernel = _kernel(name, whole.dtype, tuple(kinds))
    return None if kernel is None else kernel(whole.shape, given)


@functools.cache
def _kernel(name: str, dtype: Any, shapes: tuple[tuple[int, ...], ...]) -> "_Kernel | None":
    if dtype not in (np.float32, np.float64):
        return None

    def build() -> _Kernel:
        _building.set(True)  # what the formula calls must not come here again
        return _Kernel(FORMULAS[name], dtype, shapes)

    try:
        return Context().run(build)  # nobody who looks on sees it
    except Unsupported:
        return None


class _Kernel:
    """Native code of a formula for rows of one length.

    Raises:
        Unsupported: when it does not become one kernel along rows.
    """

    def __init__(
        self, formula: Callable[..., Any], dtype: Any, shapes: tuple[tuple[int, ...], ...]
    ) -> None:
        tensors = [
            Tensor(np.linspace(0.5, 1.5, math.prod(shape)).astype(dtype).reshape(shape))
            for shape in shapes
        ]
        traced = trace(formula, tensors, {}, differentiate=False)
        graph = traced.graph(traced.arguments, traced.outputs)
        self._outputs = [(view.value.shape[1:], view.value.dtype) for view in graph.outputs]
        self._layout = native.layout()
        text, self._room = _written(graph, self._layout)
        self._library = native.load_code(text)
        self._main = self._library.main()

    def __call__(
        self, shape: tuple[int, ...], arrays: Sequence[PlainArray]
    ) -> tuple[PlainArray, ...]:
        lead = shape[:-1]
        outputs = [np.empty((*lead, *last), dtype) for last, dtype in self._outputs]
        rows = math.prod(lead)
        count = np.array([rows], np.int64)
        threads = asked_for() if rows * shape[-1] >= _WORTH_THREADS else 1
        frame, alive = native.make_frame((*outputs, *arrays, count), self._layout)
        run_in_room(self._main, frame, threads, LINE, self._room)
        del alive
        return tuple(outputs)


def _written(graph: Graph, layout: Any) -> tuple[str, int]:
    """The module, and how many bytes of room a thread needs."""
    if graph.constants or not all(map(is_native, graph.values)):
        raise Unsupported("rows that are not native code alone")
    plan, target = Plan(graph), native.host()
    region = plan.scope.region
    stored = {value for value in region.stored if not isinstance(plan.place_of(value).base, int)}
    if len(region.kernels) != 1 or stored or plan.copied:
        raise Unsupported("rows of more than one kernel")
    module = Module(target.scales, target.fences)
    rows = RowKernel(
        module, region.kernels[0], region, plan.place_of, target.vector_bytes, by_rows=True
    )
    if rows.length != _ROWS or rows.sums:
        raise Unsupported("rows that are not taken one by one")
    code = Code(module)
    count = len(graph.outputs) + len(graph.inputs)
    pointers = native.arguments(code, count + 1, layout)
    number = code.value(f"load i64, ptr {pointers[count]}")
    given = [
        f"ptr {code.at(pointers[_argument(place.base)], place.offset, kind)}"
        for place, kind in zip(rows.places, rows.kinds, strict=True)
    ]
    room = -(-rows.scratch_bytes // LINE) * LINE + LINE
    scratch = code.at("%workspace", LINE, "i8")
    scratch = code.at(scratch, code.multiply("%thread", room), "i8")
    saved = native.enter(code, target, flush=False)
    define_take(module)
    chunk = ""

    def another() -> str:
        nonlocal chunk
        chunk = code.call("i64", "take", f"ptr %workspace, i64 {_CHUNKS}")
        return code.value(f"icmp sge i64 {chunk}, 0")

    def some() -> None:
        ends = [
            code.value(f"udiv i64 {code.multiply(code.add(chunk, more), number)}, {_CHUNKS}")
            for more in (0, 1)
        ]
        lo, hi = ends
        code.call("void", rows.name, *given, f"ptr {scratch}", f"i64 {lo}", f"i64 {hi}")

    code.repeat(another, some)
    code.do(f"ret i32 {native.leave(code, target, saved)}")
    head = "define i32 @main(ptr %frame, ptr %workspace, i64 %thread, i64 %threads)"
    module.define("main", code.finish(head))
    return module.text(), room


def _argument(base: Any) -> int:
    if not isinstance(base, int):
        raise Unsupported("rows that keep values in between")
    return base
