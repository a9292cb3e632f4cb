"""Vectors of any dtype that native code knows: constants, and what goes from and to memory.

| NumPy's dtype | in registers | in memory |
|---|---|---|
| float32, float64 | `float`, `double` | the same |
| int64, uint64, int32, uint32 | `i64`, `i32` | the same |
| bool | a mask, `i1` | `i8`, 0 or 1 |
"""

import functools
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from minigrad.compiled.graph import Unsupported
from minigrad.compiled.llvm.vectors.ir import BYTES, Code, Index, Vectors, literal

__all__ = ["Memory", "memory_kind", "register_kind", "select_lanes"]

_KINDS: Final = {
    "float32": "float",
    "float64": "double",
    "int64": "i64",
    "uint64": "i64",
    "int32": "i32",
    "uint32": "i32",
    "bool": "i1",
}


@functools.lru_cache(maxsize=256)
def register_kind(dtype: Any) -> str:
    """The type of an element in registers.

    Raises:
        Unsupported: for a dtype that native code does not know.
    """
    dtype = np.dtype(dtype)
    if dtype.name not in _KINDS or not dtype.isnative:
        raise Unsupported(f"native code for {dtype.str if dtype.name in _KINDS else dtype.name}")
    return _KINDS[dtype.name]


def memory_kind(dtype: Any) -> str:
    """The type of an element in memory."""
    kind = register_kind(dtype)
    return "i8" if kind == "i1" else kind


def select_lanes(lanes: Sequence[bool]) -> str:
    """A constant mask."""
    return "<" + ", ".join(f"i1 {'true' if lane else 'false'}" for lane in lanes) + ">"


class Memory:
    """Vectors of one width, in the code of one function.

    Attributes:
        code: where the instructions go.
        width: how many elements a vector has.
    """

    def __init__(self, code: Code, width: int, rounded: bool = False) -> None:
        self.code, self.width = code, width
        self._vectors = {kind: Vectors(code, kind, width, rounded) for kind in ("float", "double")}

    def floats(self, kind: str) -> Vectors:
        """Arithmetic of one of the two floating types."""
        return self._vectors[kind]

    def type(self, kind: str) -> str:
        """The type of a vector."""
        return f"<{self.width} x {kind}>"

    def constant(self, number: float, kind: str) -> str:
        """A number in all lanes."""
        return f"splat ({kind} {literal(number, kind)})"

    def counted(self, first: Index, kind: str) -> str:
        """Integers from `first` on, one up in each lane."""
        lanes = "<" + ", ".join(f"{kind} {lane}" for lane in range(self.width)) + ">"
        start = str(first)
        if kind != "i64" and not isinstance(first, int):
            start = self.code.value(f"trunc i64 {first} to {kind}")
        return self.code.value(f"add {self.type(kind)} {self._splat(start, kind)}, {lanes}")

    def select(self, mask: str, a: str, b: str, kind: str) -> str:
        """a where the mask is set, b elsewhere."""
        full = self.type(kind)
        return self.code.value(f"select {self.type('i1')} {mask}, {full} {a}, {full} {b}")

    # -- memory -------------------------------------------------------------------------------

    def load(self, pointer: str, kind: str, stride: int, lanes: int) -> str:
        """The elements at a pointer, `stride` elements apart.

        Of `lanes` fewer than the width, the others hold anything.
        """
        memory = "i8" if kind == "i1" else kind
        if stride == 0 or lanes == 1:
            found = self._splat(self.code.value(f"load {memory}, ptr {pointer}"), memory)
        elif stride == 1:
            found = self._load_beside(pointer, memory, lanes)
        else:
            pointers = self._pointers(pointer, memory, stride, lanes)
            full, places = self.type(memory), f"<{self.width} x ptr>"
            self.code.module.declare(
                f"{full} @llvm.masked.gather.{self._suffix(memory)}.v{self.width}p0"
                f"({places}, i32, {self.type('i1')}, {full})"
            )
            found = self.code.value(
                f"call {full} @llvm.masked.gather.{self._suffix(memory)}.v{self.width}p0"
                f"({places} {pointers}, i32 {BYTES[memory]}, "
                f"{self.type('i1')} splat (i1 true), {full} poison)"
            )
        if kind == "i1":
            return self.code.value(f"icmp ne {self.type('i8')} {found}, zeroinitializer")
        return found

    def _load_beside(self, pointer: str, kind: str, lanes: int) -> str:
        full = self.type(kind)
        if lanes == self.width:
            return self.code.value(f"load {full}, ptr {pointer}, align {BYTES[kind]}")
        mask = select_lanes([lane < lanes for lane in range(self.width)])
        name = f"llvm.masked.load.{self._suffix(kind)}.p0"
        self.code.module.declare(f"{full} @{name}(ptr, i32, {self.type('i1')}, {full})")
        return self.code.value(
            f"call {full} @{name}(ptr {pointer}, i32 {BYTES[kind]}, "
            f"{self.type('i1')} {mask}, {full} zeroinitializer)"
        )

    def lanes_below(self, count: Index) -> str:
        """The mask of the first `count` lanes."""
        bound = self._splat(str(count), "i64")
        lanes = "<" + ", ".join(f"i64 {lane}" for lane in range(self.width)) + ">"
        return self.code.value(f"icmp slt {self.type('i64')} {lanes}, {bound}")

    def load_some(self, pointer: str, kind: str, stride: Index, mask: str) -> str:
        """The elements at a pointer where a mask is set, zeros elsewhere; "" masks nothing.

        They lie side by side if `stride` is 1, and are gathered for any other.
        """
        full, bits = self.type(kind), self.type("i1")
        if stride == 1 and not mask:
            return self.code.value(f"load {full}, ptr {pointer}, align {BYTES[kind]}")
        mask = mask or "splat (i1 true)"
        if stride == 1:
            name, kinds, at = f"llvm.masked.load.{self._suffix(kind)}.p0", "ptr", pointer
        else:
            kinds = f"<{self.width} x ptr>"
            name = f"llvm.masked.gather.{self._suffix(kind)}.v{self.width}p0"
            lanes = "<" + ", ".join(f"i64 {lane}" for lane in range(self.width)) + ">"
            steps = self._splat(str(stride), "i64")
            steps = self.code.value(f"mul {self.type('i64')} {steps}, {lanes}")
            at = self.code.value(f"getelementptr {kind}, ptr {pointer}, {self.type('i64')} {steps}")
        self.code.module.declare(f"{full} @{name}({kinds}, i32, {bits}, {full})")
        return self.code.value(
            f"call {full} @{name}({kinds} {at}, i32 {BYTES[kind]}, {bits} {mask}, "
            f"{full} zeroinitializer)"
        )

    def store(self, x: str, pointer: str, kind: str, stride: int, lanes: int) -> None:
        """Write the first `lanes` elements of x, `stride` elements apart."""
        memory = kind
        if kind == "i1":
            memory = "i8"
            x = self.code.value(f"zext {self.type('i1')} {x} to {self.type('i8')}")
        full = self.type(memory)
        if lanes == 1:
            one = self.code.value(f"extractelement {full} {x}, i64 0")
            self.code.do(f"store {memory} {one}, ptr {pointer}")
            return
        mask = select_lanes([lane < lanes for lane in range(self.width)])
        if stride != 1:
            places = f"<{self.width} x ptr>"
            name = f"llvm.masked.scatter.{self._suffix(memory)}.v{self.width}p0"
            pointers = self._pointers(pointer, memory, stride, lanes)
            self.code.module.declare(f"void @{name}({full}, {places}, i32, {self.type('i1')})")
            self.code.do(
                f"call void @{name}({full} {x}, {places} {pointers}, i32 {BYTES[memory]}, "
                f"{self.type('i1')} {mask})"
            )
        elif lanes == self.width:
            self.code.do(f"store {full} {x}, ptr {pointer}, align {BYTES[memory]}")
        else:
            name = f"llvm.masked.store.{self._suffix(memory)}.p0"
            self.code.module.declare(f"void @{name}({full}, ptr, i32, {self.type('i1')})")
            self.code.do(
                f"call void @{name}({full} {x}, ptr {pointer}, i32 {BYTES[memory]}, "
                f"{self.type('i1')} {mask})"
            )

    def _pointers(self, pointer: str, kind: str, stride: int, lanes: int) -> str:
        steps = ", ".join(f"i64 {stride * min(lane, lanes - 1)}" for lane in range(self.width))
        return self.code.value(
            f"getelementptr {kind}, ptr {pointer}, <{self.width} x i64> <{steps}>"
        )

    def _suffix(self, kind: str) -> str:
        short = {"float": "f32", "double": "f64"}.get(kind, kind)
        return f"v{self.width}{short}"

    def _splat(self, scalar: str, kind: str) -> str:
        full = self.type(kind)
        one = self.code.value(f"insertelement {full} poison, {kind} {scalar}, i64 0")
        zeros = f"<{self.width} x i32> zeroinitializer"
        return self.code.value(f"shufflevector {full} {one}, {full} poison, {zeros}")
