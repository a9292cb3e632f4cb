"""Elementwise operations, sums and maxima on vectors of any dtype that native code knows.

Integers have no sign in registers: what needs to know takes it from the dtype.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final

from minigrad.compiled.graph import COMPARISONS, Operand, Unsupported, Value, View
from minigrad.compiled.llvm.vectors.functions import FUNCTIONS, LIBRARY, define, fenced
from minigrad.compiled.llvm.vectors.ir import BITS, Vectors, literal
from minigrad.compiled.llvm.vectors.memory import Memory, register_kind, select_lanes

__all__ = ["Elements"]

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
_LOGICAL: Final = {"logical_and": "and", "logical_or": "or", "logical_xor": "xor"}
_BITWISE: Final = {"bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor"}
_LEAST: Final = {"i64": -(2**63), "i32": -(2**31)}
_ROUNDING: Final = {"floor": "floor", "ceil": "ceil", "trunc": "trunc", "rint": "rint"}
_PREDICATES: Final = frozenset(("isnan", "isinf", "isfinite", "signbit"))


class Elements(Memory):
    """Vectors of one width, and what is computed with them."""

    # -- reductions ---------------------------------------------------------------------------

    def neutral(self, op: str, kind: str) -> str:
        """What a sum or a maximum starts with."""
        if op != "row_max":
            return self.constant(0, kind)
        return self.constant(_LEAST.get(kind, -math.inf), kind)

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
        if op == "row_max" and kind not in _LEAST:
            return self._largest(x, kind)
        if op != "row_max":
            if kind in _LEAST:
                found = self.code.intrinsic(kind, f"llvm.vector.reduce.add.{suffix}", f"{full} {x}")
            else:
                name = f"llvm.vector.reduce.fadd.{suffix}"
                self.code.module.declare(f"{kind} @{name}({kind}, {full})")
                zero = literal(-0.0, kind)
                found = self.code.value(f"call reassoc {kind} @{name}({kind} {zero}, {full} {x})")
        else:
            found = self.code.intrinsic(kind, f"llvm.vector.reduce.smax.{suffix}", f"{full} {x}")
        return self._splat(found, kind)

    def _largest(self, x: str, kind: str) -> str:
        """The maximum of floats in all lanes, or NaN.

        LLVM's own takes 50 instructions, one after the other, to tell zeros by their signs.
        """
        full, step = self.type(kind), self.width // 2
        while step:
            lanes = ", ".join(f"i32 {(lane + step) % self.width}" for lane in range(self.width))
            turned = self.code.value(
                f"shufflevector {full} {x}, {full} poison, <{self.width} x i32> <{lanes}>"
            )
            x = self._larger("maximum", x, turned, kind)
            step //= 2
        return x

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
            chosen = self.select(self._truth(x[0], kinds[0]), x[1], x[2], result)
            may_fold = result in ("float", "double") and any(map(_is_constant, value.operands[1:]))
            return fenced(self.floats(result), chosen) if may_fold else chosen
        if op == "copy":
            return x[0]
        unsigned = any(view.dtype.kind == "u" for view in value.views)
        if op == "convert":
            if value.dtype.kind == "u" and kinds[0] in ("float", "double"):
                raise Unsupported(f"native code for {value.dtype} of floats")
            return self.convert(x[0], kinds[0], result, unsigned)
        if op in _LOGICAL or op == "logical_not":
            truths = [self._truth(a, kind) for a, kind in zip(x, kinds, strict=True)]
            if op == "logical_not":
                return self.code.value(f"xor {self.type('i1')} {truths[0]}, splat (i1 true)")
            return self.code.value(f"{_LOGICAL[op]} {self.type('i1')} {truths[0]}, {truths[1]}")
        kind = kinds[0]
        if op in COMPARISONS:
            return self._compare(op, x[0], x[1], kind, unsigned)
        if op in _PREDICATES:
            return self._predicate(op, x[0], kind)
        if kind == "i1":
            raise Unsupported(f"native code for {op} of bool")
        if op in _ARITHMETIC:
            return self.arithmetic(op, x[0], x[1], kind)
        if op in ("maximum", "minimum"):
            return self._larger(op, x[0], x[1], kind, unsigned)
        if op == "square":
            return self.arithmetic("multiply", x[0], x[0], kind)
        if kind in _LEAST:
            return self._of_integers(value, x, kind, unsigned)
        return self._of_floats(op, x, self.floats(kind))

    def arithmetic(self, op: str, a: str, b: str, kind: str) -> str:
        """add, subtract or multiply."""
        instruction = _ARITHMETIC[op]
        if kind in _LEAST:
            return self.code.value(f"{instruction} {self.type(kind)} {a}, {b}")
        return self.floats(kind).binary(f"f{instruction}", a, b)

    def _of_integers(self, value: Value, x: Sequence[str], kind: str, unsigned: bool) -> str:
        op = value.op
        if op == "negative":
            return self.code.value(f"sub {self.type(kind)} zeroinitializer, {x[0]}")
        if op in _BITWISE:
            return self.code.value(f"{_BITWISE[op]} {self.type(kind)} {x[0]}, {x[1]}")
        places = value.operands[-1]
        shift = {"left_shift": "shl", "right_shift": "lshr" if unsigned else "ashr"}.get(op)
        if shift and not isinstance(places, View) and 0 <= places < BITS[kind]:  # else undefined
            return self.code.value(f"{shift} {self.type(kind)} {x[0]}, {x[1]}")
        if op in ("remainder", "floor_divide") and not isinstance(places, View) and places > 0:
            return self._divided(op, x[0], x[1], kind, unsigned)  # by 0, the processor stops
        raise Unsupported(f"native code for {op} of {value.dtype}")

    def _divided(self, op: str, x: str, by: str, kind: str, unsigned: bool) -> str:
        """The rest of a division by a positive number, or the quotient, rounded down."""
        form, sign = self.type(kind), "u" if unsigned else "s"
        rest = self.code.value(f"{sign}rem {form} {x}, {by}")
        quotient = self.code.value(f"{sign}div {form} {x}, {by}")
        if unsigned:
            return rest if op == "remainder" else quotient
        below = self.code.value(f"icmp slt {form} {rest}, zeroinitializer")
        if op == "remainder":
            return self.select(below, self.code.value(f"add {form} {rest}, {by}"), rest, kind)
        less = self.code.value(f"sub {form} {quotient}, {self.constant(1, kind)}")
        return self.select(below, less, quotient, kind)

    def convert(self, x: str, old: str, new: str, unsigned: bool = False) -> str:
        """The same numbers in another dtype, from unsigned integers perhaps."""
        if old == new:
            return x
        if new == "i1":
            return self._truth(x, old)
        floats = ("float", "double")
        if old == "i1" and new in floats:
            return self.select(x, self.constant(1, new), self.constant(0, new), new)
        if old in floats and new in floats:
            instruction = "fpext" if new == "double" else "fptrunc"
        elif old in floats:
            instruction = "fptosi"
        elif new in floats:
            instruction = "uitofp" if unsigned else "sitofp"
        elif BITS[new] < BITS[old]:
            instruction = "trunc"
        else:
            instruction = "zext" if unsigned or old == "i1" else "sext"
        return self.code.value(f"{instruction} {self.type(old)} {x} to {self.type(new)}")

    def _truth(self, x: str, kind: str) -> str:
        """A mask of what is not zero."""
        if kind == "i1":
            return x
        return self._compare("not_equal", x, self.constant(0, kind), kind)

    def _compare(self, op: str, a: str, b: str, kind: str, unsigned: bool = False) -> str:
        if kind in ("float", "double"):
            return self.floats(kind).compare(_COMPARE_FLOATS[op], a, b)
        names = _COMPARE_INTEGERS
        if unsigned or kind == "i1":  # as one bit with a sign, True is -1
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

    def _larger(self, op: str, a: str, b: str, kind: str, unsigned: bool = False) -> str:
        """maximum or minimum; NaN if one of them is."""
        if kind in _LEAST:
            predicate = "greater" if op == "maximum" else "less"
            chosen = self._compare(predicate, a, b, kind, unsigned)
            return self.select(chosen, a, b, kind)
        v = self.floats(kind)
        found = v.most(a, b) if op == "maximum" else v.least(a, b)  # b where one is NaN
        return v.select(v.compare("uno", a, a), a, found)

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


def _is_constant(operand: Operand) -> bool:
    return not isinstance(operand, View) or operand.value.op == "constant"


def _kind_of(value: Value, operand: Operand, result: str) -> str:
    """The type of an operand in registers; a number has that of the others."""
    if isinstance(operand, View):
        return register_kind(operand.dtype)
    if value.op == "where":
        return result
    others = [register_kind(view.dtype) for view in value.views]
    return others[0] if others else result
