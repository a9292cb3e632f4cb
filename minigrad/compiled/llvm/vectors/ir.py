"""LLVM IR as text: modules, the code of a function, and arithmetic on vectors.

Values are the names of registers or constants, as they stand in the text. Names are counted by
function, so that equal programs have equal texts, which is what finds them again on disk.
"""

import math
import struct
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

__all__ = ["BITS", "BYTES", "Code", "Index", "Module", "Vectors", "literal"]

Index: TypeAlias = "int | str"
"""A number that is known, or the register that holds it."""

Body: TypeAlias = "Callable[[], Sequence[str] | None]"

BITS: Final = {"float": 32, "double": 64, "i64": 64, "i32": 32, "i8": 8, "i1": 1}
BYTES: Final = {"float": 4, "double": 8, "i64": 8, "i32": 4, "i8": 1}
_SHORT: Final = {"float": "f32", "double": "f64"}


def literal(value: float, kind: str) -> str:
    """A number as LLVM writes one of the type `kind`: floats by the bits of the nearest double.

    >>> literal(0.5, "float")
    '0x3FE0000000000000'
    >>> literal(3, "i64")
    '3'
    """
    if kind == "i1":
        return "true" if value else "false"
    if kind not in _SHORT:
        half = 1 << BITS[kind] - 1
        return str((int(value) + half) % (2 * half) - half)
    if kind == "float":
        try:
            value = struct.unpack("f", struct.pack("f", value))[0]
        except OverflowError:
            value = math.copysign(math.inf, value)
    return f"0x{struct.unpack('Q', struct.pack('d', value))[0]:016X}"


class Module:
    """The text of a module: declarations and functions, each once.

    Attributes:
        scales, fences: see `minigrad.compiled.llvm.native.Host`.
    """

    def __init__(self, scales: bool = False, fences: bool = False) -> None:
        self.scales, self.fences = scales, fences
        self._declarations: dict[str, None] = {}
        self._functions: dict[str, str] = {}
        self._shared: dict[str, str] = {}

    def declare(self, signature: str) -> None:
        """Name a function that LLVM or the process has, `void @name(ptr)`."""
        self._declarations[signature] = None

    def __contains__(self, name: str) -> bool:
        return name in self._functions

    def define(self, name: str, text: str) -> None:
        """Add a function under its name, which must be new."""
        if name in self._functions:
            raise ValueError(f"the module has a function {name} already")
        self._functions[name] = text

    def shared(self, stem: str, parameters: str, code: "Code") -> str:
        """The name of a function without result of this body, which may be there already."""
        body = parameters + "\n".join(code.lines)
        if body not in self._shared:
            self._shared[body] = name = f"{stem}{len(self._shared)}"
            head = f"define internal void @{name}{parameters} noinline"
            self.define(name, code.finish(head))
        return self._shared[body]

    def text(self) -> str:
        """All of it, to be parsed. The order is that in which things were added."""
        declarations = (f"declare {signature}" for signature in self._declarations)
        # Without these, LLVM cuts vectors of 512 bits in two on processors that it thinks slow.
        wide = (
            'attributes #0 = { nounwind "prefer-vector-width"="512" '
            '"min-legal-vector-width"="512" }\n'
        )
        return "\n".join([*declarations, *self._functions.values(), wide])


class Code:
    """The body of one function, line by line."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.lines: list[str] = []
        self.block = "entry"
        self._count = 0

    # -- lines --------------------------------------------------------------------------------

    def name(self, stem: str) -> str:
        """A name that is new in this function."""
        self._count += 1
        return f"{stem}{self._count}"

    def do(self, line: str) -> None:
        """Add an instruction without a result."""
        self.lines.append(f"  {line}")

    def value(self, instruction: str) -> str:
        """Add an instruction, and return the register of its result."""
        register = self.name("%v")
        self.lines.append(f"  {register} = {instruction}")
        return register

    def label(self, name: str) -> None:
        """Begin a block."""
        self.lines.append(f"{name}:")
        self.block = name

    def call(self, result: str, name: str, *arguments: str) -> str:
        """Call a function; arguments with their types. Returns the result, "" for void."""
        text = f"call {result} @{name}({', '.join(arguments)})"
        if result == "void":
            self.do(text)
            return ""
        return self.value(text)

    def intrinsic(self, result: str, name: str, *arguments: str) -> str:
        """Call a function of LLVM's or of the process, and declare it.

        An argument is its type, a space, and its value; types of several words are not used.
        """
        types = [_type_of(argument) for argument in arguments]
        self.module.declare(f"{result} @{name}({', '.join(types)})")
        return self.call(result, name, *arguments)

    def finish(self, head: str) -> str:
        """The whole function: `head` is `define void @name(ptr %x)`."""
        return "\n".join([f"{head} #0 {{", "entry:", *self.lines, "}"])

    # -- indices ------------------------------------------------------------------------------

    def add(self, a: Index, b: Index) -> Index:
        """a + b; known numbers are added here and now."""
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        if a == 0 or b == 0:
            return b if a == 0 else a
        return self.value(f"add i64 {a}, {b}")

    def subtract(self, a: Index, b: Index) -> Index:
        """a - b."""
        if isinstance(a, int) and isinstance(b, int):
            return a - b
        return a if b == 0 else self.value(f"sub i64 {a}, {b}")

    def multiply(self, a: Index, b: Index) -> Index:
        """a * b."""
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        if a == 0 or b == 0:
            return 0
        if a == 1 or b == 1:
            return b if a == 1 else a
        return self.value(f"mul i64 {a}, {b}")

    def minimum(self, a: Index, b: Index) -> Index:
        """The smaller one."""
        if isinstance(a, int) and isinstance(b, int):
            return min(a, b)
        less = self.value(f"icmp slt i64 {a}, {b}")
        return self.value(f"select i1 {less}, i64 {a}, i64 {b}")

    def at(self, pointer: str, index: Index, kind: str) -> str:
        """The pointer `index` elements further."""
        if index == 0:
            return pointer
        return self.value(f"getelementptr {kind}, ptr {pointer}, i64 {index}")

    # -- control ------------------------------------------------------------------------------

    def loop(
        self,
        start: Index,
        end: Index,
        step: int,
        body: Callable[[Index, list[str]], Sequence[str] | None],
        carried: Sequence[tuple[str, str]] = (),
    ) -> list[str]:
        """`body(i, values)` for i from `start` to before `end`, which returns the next values.

        Args:
            start, end, step: of the counter; `step` is positive.
            body: writes one step.
            carried: the types and first values of what goes from step to step.

        Returns:
            The values after the last step.
        """
        known = isinstance(start, int) and isinstance(end, int)
        first = [value for _, value in carried]
        if isinstance(start, int) and isinstance(end, int):
            if start >= end:
                return first
            if start + step >= end:
                return list(body(start, first) or [])
        number = self.name("")
        head, leave, before = f"loop{number}", f"end{number}", self.block
        if known:
            self.do(f"br label %{head}")
        else:
            runs = self.value(f"icmp slt i64 {start}, {end}")
            self.do(f"br i1 {runs}, label %{head}, label %{leave}")
        self.label(head)
        here = len(self.lines)
        counter, values = f"%i{number}", [f"%c{number}.{k}" for k in range(len(carried))]
        after = list(body(counter, values) or [])
        following = self.value(f"add i64 {counter}, {step}")
        goes_on = self.value(f"icmp slt i64 {following}, {end}")
        self.do(f"br i1 {goes_on}, label %{head}, label %{leave}")
        latch = self.block
        self.lines[here:here] = [
            f"  {counter} = phi i64 [ {start}, %{before} ], [ {following}, %{latch} ]",
            *(
                f"  {name} = phi {kind} [ {value}, %{before} ], [ {new}, %{latch} ]"
                for name, (kind, value), new in zip(values, carried, after, strict=True)
            ),
        ]
        self.label(leave)
        if known:
            return after
        return [
            self.value(f"phi {kind} [ {value}, %{before} ], [ {new}, %{latch} ]")
            for (kind, value), new in zip(carried, after, strict=True)
        ]

    def when(self, condition: str, body: Body) -> None:
        """Run the body if the condition, an i1, holds."""
        self.choose(condition, body, lambda: None)

    def repeat(self, condition: Callable[[], str], body: Callable[[], None]) -> None:
        """Run the body as long as the condition, computed anew each time, holds."""
        number = self.name("")
        self.do(f"br label %head{number}")
        self.label(f"head{number}")
        self.do(f"br i1 {condition()}, label %body{number}, label %after{number}")
        self.label(f"body{number}")
        body()
        self.do(f"br label %head{number}")
        self.label(f"after{number}")

    def choose(self, test: str, then: Body, other: Body, types: Sequence[str] = ()) -> list[str]:
        """Run one of two bodies, by an i1; returns the values of these types that it returns."""
        number, ends = self.name(""), []
        self.do(f"br i1 {test}, label %then{number}, label %else{number}")
        for name, body in (("then", then), ("else", other)):
            self.label(f"{name}{number}")
            values = body() or []
            ends.append([f"[ {value}, %{self.block} ]" for value in values])
            self.do(f"br label %done{number}")
        self.label(f"done{number}")
        pairs = zip(types, *ends, strict=True)
        return [self.value(f"phi {kind} {one}, {two}") for kind, one, two in pairs]


def _type_of(argument: str) -> str:
    """The type that an argument begins with."""
    if argument.startswith("<"):
        return argument[: argument.index(">") + 1]
    return argument.split(" ", 1)[0]


class Vectors:
    """Arithmetic on vectors of one floating type; every method returns the register of a result.

    Multiplications may be contracted with the addition that follows, unless `rounded` says that
    every operation is rounded by itself, as NumPy's are; nothing else is reordered.

    Attributes:
        code: where the instructions go.
        kind: `float` or `double`.
        width: how many elements a vector has.
        type, integers, mask: the vector types of its elements, of integers of that size, of bits.
    """

    def __init__(self, code: Code, kind: str, width: int, rounded: bool = False) -> None:
        self.code, self.kind, self.width = code, kind, width
        self._flags = "" if rounded else " contract"
        self.bits = BITS[kind]
        self.type = f"<{width} x {kind}>"
        self.integers = f"<{width} x i{self.bits}>"
        self.mask = f"<{width} x i1>"
        self.suffix = f"v{width}{_SHORT.get(kind, kind)}"

    def number(self, value: float) -> str:
        """A constant in all lanes."""
        return f"splat ({self.kind} {literal(value, self.kind)})"

    def integer(self, value: int) -> str:
        """A constant integer in all lanes."""
        return f"splat (i{self.bits} {value})"

    def splat(self, scalar: str) -> str:
        """A scalar in all lanes."""
        one = self.code.value(f"insertelement {self.type} poison, {self.kind} {scalar}, i64 0")
        zeros = f"<{self.width} x i32> zeroinitializer"
        return self.code.value(f"shufflevector {self.type} {one}, {self.type} poison, {zeros}")

    def first(self, x: str) -> str:
        """The scalar in lane 0."""
        return self.code.value(f"extractelement {self.type} {x}, i64 0")

    def binary(self, operation: str, a: str, b: str) -> str:
        """An instruction on two vectors of floats."""
        return self.code.value(f"{operation}{self._flags} {self.type} {a}, {b}")

    def add(self, a: str, b: str) -> str:
        """a + b."""
        return self.binary("fadd", a, b)

    def sub(self, a: str, b: str) -> str:
        """a - b."""
        return self.binary("fsub", a, b)

    def mul(self, a: str, b: str) -> str:
        """a * b."""
        return self.binary("fmul", a, b)

    def div(self, a: str, b: str) -> str:
        """a / b."""
        return self.binary("fdiv", a, b)

    def neg(self, a: str) -> str:
        """-a, zeros and NaN too."""
        return self.code.value(f"fneg {self.type} {a}")

    def intrinsic(self, name: str, *operands: str) -> str:
        """A function of LLVM's on vectors of this type."""
        arguments = (f"{self.type} {operand}" for operand in operands)
        return self.code.intrinsic(self.type, f"llvm.{name}.{self.suffix}", *arguments)

    def fma(self, a: str, b: str, c: str) -> str:
        """a * b + c, rounded once."""
        return self.intrinsic("fma", a, b, c)

    def compare(self, predicate: str, a: str, b: str) -> str:
        """A mask; `predicate` as LLVM names it, `olt` for an ordered less."""
        return self.code.value(f"fcmp {predicate} {self.type} {a}, {b}")

    def select(self, mask: str, a: str, b: str) -> str:
        """a where the mask is set, b elsewhere."""
        return self.code.value(f"select {self.mask} {mask}, {self.type} {a}, {self.type} {b}")

    def either(self, a: str, b: str) -> str:
        """The union of two masks."""
        return self.code.value(f"or {self.mask} {a}, {b}")

    def least(self, a: str, b: str) -> str:
        """The smaller one; b where one is NaN."""
        return self.select(self.compare("olt", a, b), a, b)

    def most(self, a: str, b: str) -> str:
        """The larger one; b where one is NaN."""
        return self.select(self.compare("ogt", a, b), a, b)

    def absolute(self, a: str) -> str:
        """|a|."""
        return self.intrinsic("fabs", a)

    def copysign(self, a: str, sign: str) -> str:
        """|a| with the sign of `sign`."""
        return self.intrinsic("copysign", a, sign)

    def bits_of(self, a: str) -> str:
        """The same bits as integers."""
        return self.code.value(f"bitcast {self.type} {a} to {self.integers}")

    def of_bits(self, a: str) -> str:
        """The same bits as floats."""
        return self.code.value(f"bitcast {self.integers} {a} to {self.type}")

    def whole(self, operation: str, a: str, b: str) -> str:
        """An instruction on two vectors of integers."""
        return self.code.value(f"{operation} {self.integers} {a}, {b}")

    def polynomial(self, coefficients: Sequence[float], u: str) -> str:
        """The sum of coefficients[k] * u ** k; even and odd ones side by side, half the latency."""
        if len(coefficients) < 4:
            return self._horner(coefficients, u)
        square = self.mul(u, u)
        odd = self._horner(coefficients[1::2], square)
        return self.fma(odd, u, self._horner(coefficients[::2], square))

    def _horner(self, coefficients: Sequence[float], u: str) -> str:
        result = self.number(coefficients[-1])
        for coefficient in coefficients[-2::-1]:
            result = self.fma(result, u, self.number(coefficient))
        return result
