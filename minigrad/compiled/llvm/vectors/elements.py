"""Elementwise operations on vectors of any dtype that native code knows.

| NumPy's dtype | in registers | in memory |
|---|---|---|
| float32, float64 | `float`, `double` | the same |
| int64 | `i64` | the same |
| bool | a mask, `i1` | `i8`, 0 or 1 |
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from minigrad.compiled.graph import COMPARISONS, Operand, Unsupported, Value, View
from minigrad.compiled.llvm.vectors.functions import FUNCTIONS, LIBRARY, define
from minigrad.compiled.llvm.vectors.ir import BYTES, Code, Index, Vectors, literal, select_lanes

__all__ = ["Elements", "memory_kind", "register_kind"]

_KINDS: Final = {"float32": "float", "float64": "double", "int64": "i64", "bool": "i1"}
_COMPARE_FLOATS: Final = {
    "greater": "ogt",
    "greater_equal": "oge",
    "less": "olt",
    "less_equal": "ole",
    "equal": "oeq",
    "not_equal": "une",
}
_COMPARE_INTEGERS: Final = {
    "greater": "sgt",
    "greater_equal": "sge",
    "less": "slt",
    "less_equal": "sle",
    "equal": "eq",
    "not_equal": "ne",
}
_ARITHMETIC: Final = {"add": "add", "subtract": "sub", "multiply": "mul"}
_BITWISE: Final = {"logical_and": "and", "logical_or": "or", "logical_xor": "xor"}
_ROUNDING: Final = {"floor": "floor", "ceil": "ceil", "trunc": "trunc", "rint": "rint"}
_PREDICATES: Final = frozenset(("isnan", "isinf", "isfinite", "signbit"))


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


class Elements:
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

    # -- reductions ---------------------------------------------------------------------------

    def neutral(self, op: str, kind: str) -> str:
        """What a sum or a maximum starts with."""
        if op != "row_max":
            return self.constant(0, kind)
        return self.constant(-(2**63) if kind == "i64" else -math.inf, kind)

    def combine(self, op: str, total: str, x: str, kind: str) -> str:
        """A sum or a maximum with one vector more; a maximum keeps NaN."""
        if op != "row_max":
            return self.arithmetic("add", total, x, kind)
        return self._larger("maximum", total, x, kind)

    def accumulate(self, op: str, total: str, x: str, kind: str, fresh: int) -> str:
        """`combine` with the last `fresh` elements of x."""
        if op != "row_max":  # elements seen before make no other maximum
            x = self.fresh(x, self.neutral(op, kind), kind, fresh)
        return self.combine(op, total, x, kind)

    def fresh(self, x: str, other: str, kind: str, count: int) -> str:
        """The last `count` lanes of x, and those of another vector before."""
        if count == self.width:
            return x
        mask = select_lanes([lane >= self.width - count for lane in range(self.width)])
        return self.select(mask, x, other, kind)

    def across(self, op: str, x: str, kind: str) -> str:
        """The sum or the maximum of all lanes, in all lanes."""
        full, suffix = self.type(kind), self._suffix(kind)
        if op != "row_max":
            if kind == "i64":
                found = self.code.intrinsic(kind, f"llvm.vector.reduce.add.{suffix}", f"{full} {x}")
            else:
                name = f"llvm.vector.reduce.fadd.{suffix}"
                self.code.module.declare(f"{kind} @{name}({kind}, {full})")
                zero = literal(-0.0, kind)
                found = self.code.value(f"call reassoc {kind} @{name}({kind} {zero}, {full} {x})")
        else:
            name = "smax" if kind == "i64" else "fmaximum"
            found = self.code.intrinsic(kind, f"llvm.vector.reduce.{name}.{suffix}", f"{full} {x}")
        return self._splat(found, kind)

    # -- operations ---------------------------------------------------------------------------

    def compute(self, value: Value, operands: Sequence[str]) -> str:
        """The result of an elementwise operation.

        Args:
            value: what is computed.
            operands: registers of its views, and whatever for its numbers.

        Raises:
            Unsupported: for operations and dtypes without native code.
        """
        op, result = value.op, register_kind(value.dtype)
        kinds = [_kind_of(value, operand, result) for operand in value.operands]
        x = [
            register if isinstance(operand, View) else self.constant(operand, kind)
            for operand, register, kind in zip(value.operands, operands, kinds, strict=True)
        ]
        if op == "where":
            return self.select(self._truth(x[0], kinds[0]), x[1], x[2], result)
        if op == "copy":
            return x[0]
        if op == "convert":
            return self.convert(x[0], kinds[0], result)
        if op in _BITWISE or op == "logical_not":
            truths = [self._truth(a, kind) for a, kind in zip(x, kinds, strict=True)]
            if op == "logical_not":
                return self.code.value(f"xor {self.type('i1')} {truths[0]}, splat (i1 true)")
            return self.code.value(f"{_BITWISE[op]} {self.type('i1')} {truths[0]}, {truths[1]}")
        kind = kinds[0]
        if op in COMPARISONS:
            return self._compare(op, x[0], x[1], kind)
        if op in _PREDICATES:
            return self._predicate(op, x[0], kind)
        if kind == "i1":
            raise Unsupported(f"native code for {op} of bool")
        if op in _ARITHMETIC:
            return self.arithmetic(op, x[0], x[1], kind)
        if op in ("maximum", "minimum"):
            return self._larger(op, x[0], x[1], kind)
        if op == "square":
            return self.arithmetic("multiply", x[0], x[0], kind)
        if op == "negative" and kind == "i64":
            return self.code.value(f"sub {self.type(kind)} zeroinitializer, {x[0]}")
        if kind == "i64":
            raise Unsupported(f"native code for {op} of int64")
        return self._of_floats(op, x, self.floats(kind))

    def arithmetic(self, op: str, a: str, b: str, kind: str) -> str:
        """add, subtract or multiply."""
        instruction = _ARITHMETIC[op]
        if kind == "i64":
            return self.code.value(f"{instruction} {self.type(kind)} {a}, {b}")
        return self.floats(kind).binary(f"f{instruction}", a, b)

    def convert(self, x: str, old: str, new: str) -> str:
        """The same numbers in another dtype."""
        if old == new:
            return x
        if new == "i1":
            return self._truth(x, old)
        if old == "i1":
            if new == "i64":
                return self.code.value(f"zext {self.type(old)} {x} to {self.type(new)}")
            return self.select(x, self.constant(1, new), self.constant(0, new), new)
        instruction = {
            ("float", "double"): "fpext",
            ("double", "float"): "fptrunc",
            ("i64", "float"): "sitofp",
            ("i64", "double"): "sitofp",
        }.get((old, new), "fptosi")
        return self.code.value(f"{instruction} {self.type(old)} {x} to {self.type(new)}")

    def _truth(self, x: str, kind: str) -> str:
        """A mask of what is not zero."""
        if kind == "i1":
            return x
        return self._compare("not_equal", x, self.constant(0, kind), kind)

    def _compare(self, op: str, a: str, b: str, kind: str) -> str:
        if kind in ("float", "double"):
            return self.floats(kind).compare(_COMPARE_FLOATS[op], a, b)
        names = _COMPARE_INTEGERS
        if kind == "i1":  # as one bit with a sign, True is -1
            names = {name: word.replace("s", "u", 1) for name, word in names.items()}
        return self.code.value(f"icmp {names[op]} {self.type(kind)} {a}, {b}")

    def _predicate(self, op: str, x: str, kind: str) -> str:
        if kind not in ("float", "double"):
            raise Unsupported(f"native code for {op} of integers")
        v = self.floats(kind)
        if op == "isnan":
            return v.compare("uno", x, x)
        if op == "signbit":
            return self.code.value(f"icmp slt {v.integers} {v.bits_of(x)}, zeroinitializer")
        predicate = "oeq" if op == "isinf" else "one"
        return v.compare(predicate, v.absolute(x), v.number(math.inf))

    def _larger(self, op: str, a: str, b: str, kind: str) -> str:
        """maximum or minimum; NaN if one of them is."""
        if kind == "i64":
            chosen = self._compare("greater" if op == "maximum" else "less", a, b, kind)
            return self.select(chosen, a, b, kind)
        v = self.floats(kind)
        ordered = v.compare("ogt" if op == "maximum" else "olt", a, b)
        return v.select(v.either(ordered, v.compare("uno", a, a)), a, b)

    def _of_floats(self, op: str, x: Sequence[str], v: Vectors) -> str:
        if op in FUNCTIONS:
            name = define(self.code.module, op, v.kind, self.width)
            return self.code.call(v.type, name, f"{v.type} {x[0]}")
        if op in LIBRARY:
            return v.intrinsic(LIBRARY[op], *x)
        if op in _ROUNDING:
            return v.intrinsic(_ROUNDING[op], x[0])
        simple: dict[str, Callable[[], str]] = {
            "divide": lambda: v.div(x[0], x[1]),
            "negative": lambda: v.neg(x[0]),
            "absolute": lambda: v.absolute(x[0]),
            "sqrt": lambda: v.intrinsic("sqrt", x[0]),
            "sign": lambda: self._sign(x[0], v),
        }
        if op not in simple:
            raise Unsupported(f"native code for {op}")
        return simple[op]()

    def _sign(self, x: str, v: Vectors) -> str:
        zero = v.number(0.0)
        one = v.select(v.compare("ogt", x, zero), v.number(1.0), v.number(-1.0))
        other = v.either(v.compare("oeq", x, zero), v.compare("uno", x, x))
        return v.select(other, v.add(x, zero), one)  # 0.0 of -0.0, as NumPy has it


def _kind_of(value: Value, operand: Operand, result: str) -> str:
    """The type of an operand in registers; a number has that of the others."""
    if isinstance(operand, View):
        return register_kind(operand.dtype)
    if value.op == "where":
        return result
    others = [register_kind(view.dtype) for view in value.views]
    return others[0] if others else result
