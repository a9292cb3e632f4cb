"""Calls of the kernels of attention, with arrays of any strides."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from minigrad.compiled.llvm import native
from minigrad.compiled.llvm.attention.backward import Backward
from minigrad.compiled.llvm.attention.blocks import COUNTERS, Form, Pass, multiple
from minigrad.compiled.llvm.attention.forward import Forward
from minigrad.compiled.llvm.crew import asked_for, run_in_room
from minigrad.ops.nn.attention_plain import AttentionOptions

__all__ = ["attention", "attention_gradient"]

PlainArray: TypeAlias = np.ndarray[Any, Any]
Shape: TypeAlias = tuple[int, ...]

WORTH_KERNEL: Final = 1_000_000
"""Multiplications up to which NumPy does it, within a fraction of a millisecond."""

_WORTH_THREADS: Final = 35_000_000
"""Multiplications from which on a second thread pays."""


def attention(
    q: PlainArray, k: PlainArray, v: PlainArray, bias: Any, options: AttentionOptions
) -> tuple[PlainArray, PlainArray] | None:
    """The outputs (..., queries, values), and the logarithms of totals (..., queries, 1).

    None for what no kernel is made for: small work, and dtypes other than float32 and float64.
    """
    call = _Call.of(q, k, v, bias, options)
    if call is None:
        return None
    y = np.empty((*call.lead, call.queries, call.values), call.dtype)
    logs = np.empty((*call.lead, call.queries, 1), call.dtype)
    call.arrays |= {"y": y, "logs": logs}
    call.run(call.form)
    return y, logs


def attention_gradient(
    g: PlainArray,
    y: PlainArray,
    logs: PlainArray,
    q: PlainArray,
    k: PlainArray,
    v: PlainArray,
    bias: Any,
    options: AttentionOptions,
    needed: Sequence[bool],
) -> tuple[PlainArray | None, ...] | None:
    """The gradients of query, key, value and bias; None where no kernel is made for it.

    Args:
        g: the gradient of the outputs.
        y, logs: what `attention` gave.
        q, k, v, bias, options: as for `attention`.
        needed: which of the four gradients are wanted, the others being None.
    """
    call = _Call.of(q, k, v, bias, options)
    if call is None:
        return None
    names = [f"d_{name}" for name in ("q", "k", "v", "bias")]
    found = [
        np.zeros(np.shape(x), call.dtype) if wanted else None
        for x, wanted in zip((q, k, v, bias), needed, strict=True)
    ]
    summed = found[3] is not None and found[3].shape[-1:] != (call.keys,)
    call.arrays |= {"y": y, "logs": logs, "g": _rows(g.astype(call.dtype, copy=False))}
    for name, array in zip(names, found, strict=True):
        if array is not None:
            call.arrays[name] = array.reshape((1,) * (2 - array.ndim) + array.shape)
            call.shared |= array.shape[:-2] != call.lead
    form = call.form._replace(backward=True, needed=tuple(map(bool, needed)), summed=summed)
    call.run(form)
    return tuple(found)


class _Call:
    """The arrays of a call, and how they lie.

    Attributes:
        lead: the leading axes of all, and `queries`, `keys`, `values`, the lengths of the last.
        form: of the forward pass.
        arrays: by name, each with at least two axes.
        shared: whether several heads write to one place.
    """

    def __init__(
        self, q: PlainArray, k: PlainArray, v: PlainArray, bias: Any, options: AttentionOptions
    ) -> None:
        self.dtype = np.result_type(q, k, v)
        self.queries, features = map(int, q.shape[-2:])
        self.keys, self.values = map(int, v.shape[-2:])
        self.lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
        self.options = options
        self.shared = False
        self.arrays = {
            name: _rows(array.astype(self.dtype, copy=False))
            for name, array in (("q", q), ("k", k), ("v", v))
        }
        if not isinstance(bias, float):
            self.arrays["bias"] = self._by_keys(bias.astype(self.dtype, copy=False))
        for number, mask in enumerate(options.masks):
            self.arrays[f"mask{number}"] = self._by_keys(mask)
        dropout = options.dropout
        if dropout is not None:
            self.arrays["drop_rows"] = dropout.rows[..., None]
            self.arrays["drop_columns"] = _rows(dropout.columns[..., None, :])
        self.form = Form(
            "float" if self.dtype == np.float32 else "double",
            features,
            self.values,
            options.causal,
            len(options.masks),
            "bias" in self.arrays,
            dropout is not None,
        )

    @classmethod
    def of(
        cls, q: PlainArray, k: PlainArray, v: PlainArray, bias: Any, options: AttentionOptions
    ) -> "_Call | None":
        """A call that there is a kernel for, or None."""
        if np.result_type(q, k, v) not in (np.float32, np.float64):
            return None
        if not (q.size and k.size and v.size):
            return None
        call = cls(q, k, v, bias, options)
        return call if call.work >= WORTH_KERNEL else None

    @property
    def work(self) -> int:
        """Multiplications of the forward pass."""
        features = self.form.features + self.values
        heads: int = math.prod(self.lead)
        return heads * self.queries * self.keys * features

    def _by_keys(self, array: PlainArray) -> PlainArray:
        """A bias or a mask with an element for each key, side by side."""
        array = array.reshape((1,) * (2 - array.ndim) + array.shape)
        return _rows(np.broadcast_to(array, (*array.shape[:-1], self.keys)))

    def run(self, form: Form) -> None:
        """Run the kernel of a form."""
        kernel = _kernel(form)
        arrays = [self.arrays[name] for name in form.arrays]
        distances = [array.strides[-2] // array.itemsize for array in arrays]
        distances = [
            distance if array.shape[-2] > 1 else 0
            for distance, array in zip(distances, arrays, strict=True)
        ]
        heads = np.empty((math.prod(self.lead), len(arrays)), np.int64)
        for column, array in enumerate(arrays):
            heads[:, column] = _offsets(array, self.lead)
        dropout = self.options.dropout
        packed = multiple(self.keys, kernel.columns)
        room = kernel.room(packed)
        threshold = 0 if dropout is None else min(round(dropout.p * 2**32), 2**32 - 1)
        header = [len(heads), self.queries, self.keys, packed, room, threshold]
        integers = np.concatenate([header, distances, heads.reshape(-1)])
        kept = 1.0 if dropout is None else dropout.scale
        numbers = np.array([self.options.scale, kept], self.dtype)
        many = self.work >= _WORTH_THREADS and not self.shared
        threads = min(asked_for(), len(heads)) if many else 1
        frame, alive = native.make_frame((integers, numbers, *arrays), kernel.layout)
        run_in_room(kernel.main, frame, threads, COUNTERS, room)
        del alive


class _Kernel:
    """Native code of a pass."""

    def __init__(self, form: Form) -> None:
        self.layout = native.layout()
        written: Pass = (Backward if form.backward else Forward)(form, native.host(), self.layout)
        self._library = native.load_code(written.text)
        self.main: Callable[[int, int, int, int], int] = self._library.main()
        self.columns = written.products.columns
        self.room = written.room


@functools.cache
def _kernel(form: Form) -> _Kernel:
    return _Kernel(form)


def _rows(array: PlainArray) -> PlainArray:
    """The array, or a copy, whose last axis lies side by side."""
    step = array.itemsize
    beside = array.shape[-1] == 1 or array.strides[-1] == step
    return array if beside and array.strides[-2] % step == 0 else np.ascontiguousarray(array)


def _offsets(array: PlainArray, lead: Shape) -> PlainArray:
    """Where the matrix at each place of the leading axes begins, in elements."""
    seen = np.broadcast_to(array, (*lead, *array.shape[-2:]))
    found = np.zeros((), np.int64)
    for length, stride in zip(lead, seen.strides, strict=False):
        found = found[..., None] + np.arange(length) * (stride // array.itemsize)
    return found.reshape(-1)
