"""Vector mathematics as LLVM IR: one function for each name, float type and width.

`define(module, "tanh", "float", 16)` adds a function on vectors of 16 floats, once, and returns its
name. Infinities, NaN, subnormal numbers and signed zeros give what NumPy gives. The largest errors
found by `tests/minigrad/compiled/test_functions.py`, over all exponents, are in `ERRORS`.

What LLVM or the C library has is taken from there, element by element (`LIBRARY`): right, not fast.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final

from minigrad.compiled.llvm.vectors import coefficients as fitted
from minigrad.compiled.llvm.vectors.ir import Code, Module, Vectors, literal

__all__ = ["ERRORS", "FUNCTIONS", "LIBRARY", "define", "fenced"]

ERRORS: Final = {
    "exp": (1.1, 1.1),
    "expm1": (2.0, 2.5),
    "log": (0.9, 0.9),
    "log1p": (2.6, 2.6),
    "tanh": (4.5, 2.5),
    "sigmoid": (3.1, 2.4),
    "erf": (5.0, 2.5),
    "sin": (1.5, 1.5),
    "cos": (1.5, 1.5),
}
"""By function: the largest error in units in the last place, for float32 and for float64."""

LIBRARY: Final = {
    "exp2": "exp2",
    "log2": "log2",
    "log10": "log10",
    "power": "pow",
    "tan": "tan",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arctan2": "atan2",
    "sinh": "sinh",
    "cosh": "cosh",
}
"""NumPy's names of functions that come from the C library, and LLVM's names for them."""


def _scaled(v: Vectors, x: str, exponent: str) -> str:
    """x times 2 ** exponent, where the power itself is a normal number."""
    bias, shift = (127, 23) if v.kind == "float" else (1023, 52)
    biased = v.whole("add", exponent, v.integer(bias))
    return v.mul(x, v.of_bits(v.whole("shl", biased, v.integer(shift))))


def _nearest(v: Vectors, x: str) -> tuple[str, str]:
    """The nearest whole number, as a float and as an integer; |x| far below 2 ** 22 or 2 ** 51.

    Adding 1.5 * 2 ** 23 leaves the number in the low bits. That needs no conversion of doubles to
    64-bit integers, which AVX2 does not have.
    """
    magic = 1.5 * 2.0 ** (23 if v.kind == "float" else 52)
    shifted = v.add(x, v.number(magic))
    integers = v.whole("sub", v.bits_of(shifted), v.bits_of(v.number(magic)))
    return v.sub(shifted, v.number(magic)), integers


def _split_exponent(v: Vectors, x: str) -> tuple[str, str, str]:
    """n and r with x = n ln(2) + r, |r| <= ln(2) / 2; n as a float and as an integer."""
    n, whole = _nearest(v, v.mul(x, v.number(1 / math.log(2))))
    return n, whole, _without_powers(v, x, n)


def _without_powers(v: Vectors, x: str, n: str) -> str:
    """x - n ln(2), where that is small."""
    # ln(2) in two parts, the first so short that n times it is exact
    if v.kind == "float":
        high, low = 0.693359375, math.log(2) - 0.693359375
    else:
        high, low = 0.6931471803691238, 1.9082149292705877e-10
    r = v.fma(n, v.number(-high), x)
    return v.fma(n, v.number(-low), r)


def _tail_of_exp(v: Vectors, r: str) -> str:
    """exp(r) - 1 for |r| <= ln(2) / 2."""
    p = v.polynomial(fitted.EXP_32 if v.kind == "float" else fitted.EXP_64, r)
    return v.fma(v.mul(r, r), p, r)


def _clamped(v: Vectors, x: str, low: float, high: float) -> str:
    """x within two bounds; NaN gives one of them."""
    return v.most(v.least(x, v.number(high)), v.number(low))


def exp(v: Vectors, x: str) -> str:
    """e ** x, also where the result is subnormal."""
    low, high = (-104.0, 89.0) if v.kind == "float" else (-746.0, 710.0)
    within = v.most(v.number(low), v.least(v.number(high), x))  # NaN stays
    if v.kind == "float" and v.code.module.scales:
        return _exp_by_steps(v, within)
    n, whole, r = _split_exponent(v, within)
    return _scaled_fully(v, v.add(_tail_of_exp(v, r), v.number(1.0)), n, whole)


def _exp_by_steps(v: Vectors, x: str) -> str:
    """e ** x = 2 ** n exp(r), where n counts sixteenths: those of one are looked up in a register.

    As r is small, the polynomial has two multiplications less.
    """
    magic = v.number(1.5 * 2.0**19)  # beside it, sixteenths are the lowest bits
    shifted = v.fma(x, v.number(1 / math.log(2)), magic)
    n, bits = v.sub(shifted, magic), v.bits_of(shifted)
    r = _without_powers(v, x, n)
    step = _looked_up(v, fitted.EXP_32_STEPS, bits)
    tail = v.fma(v.mul(r, r), v.polynomial(fitted.EXP_32_OF_STEP, r), r)
    y = v.fma(step, tail, step)
    whole = v.whole("ashr", v.whole("sub", bits, v.bits_of(magic)), v.integer(4))
    return _scaled_fully(v, y, n, whole)


def _looked_up(v: Vectors, table: Sequence[float], index: str) -> str:
    """The numbers of a table of 16, by the lowest bits of integers; only where `Module.scales`."""
    wide = Vectors(v.code, v.kind, len(table))
    index = _lanes(v, index, v.integers, [i if i < v.width else 0 for i in range(wide.width)])
    numbers = ", ".join(f"{v.kind} {literal(number, v.kind)}" for number in table)
    found = v.code.intrinsic(
        wide.type, "llvm.x86.avx512.permvar.sf.512",
        f"{wide.type} <{numbers}>", f"{wide.integers} {index}",
    )  # fmt: skip
    return _lanes(v, found, wide.type, range(v.width))


def _lanes(v: Vectors, x: str, full: str, lanes: Sequence[int]) -> str:
    """Some lanes of a vector of the type `full`."""
    order = ", ".join(f"i32 {lane}" for lane in lanes)
    kind = f"<{len(lanes)} x i32>"
    return v.code.value(f"shufflevector {full} {x}, {full} poison, {kind} <{order}>")


def _scaled_fully(v: Vectors, y: str, n: str, whole: str) -> str:
    """y times 2 ** n, rounded once, where y is near 1; n as a float and as an integer."""
    if v.code.module.scales and v.width * v.bits == 512:
        name = f"llvm.x86.avx512.mask.scalef.{'ps' if v.kind == 'float' else 'pd'}.512"
        operands = (f"{v.type} {operand}" for operand in (y, n, "zeroinitializer"))
        return v.code.intrinsic(v.type, name, *operands, f"i{v.width} -1", "i32 4")
    # by halves, of which each is a normal number
    half = v.whole("ashr", whole, v.integer(1))
    return _scaled(v, _scaled(v, y, half), v.whole("sub", whole, half))


def expm1(v: Vectors, x: str) -> str:
    """e ** x - 1 = 2 ** n (exp(r) - 1) + (2 ** n - 1), with its relative error also near zero."""
    low, high, largest = (-50.0, 89.0, 127) if v.kind == "float" else (-100.0, 710.0, 1023)
    _, n, r = _split_exponent(v, _clamped(v, x, low, high))
    # 2 ** 128 is no float: then half of everything, and twice the result
    top = v.code.value(f"icmp sgt {v.integers} {n}, {v.integer(largest)}")
    less = v.code.value(f"zext {v.mask} {top} to {v.integers}")
    power = _scaled(v, v.number(1.0), v.whole("sub", n, less))
    one = v.select(top, v.number(0.5), v.number(1.0))
    y = v.fma(power, _tail_of_exp(v, r), v.sub(power, one))
    y = v.mul(y, v.select(top, v.number(2.0), v.number(1.0)))
    return v.select(v.compare("uno", x, x), x, v.copysign(y, x))


def _log_of(v: Vectors, x: str, more: str) -> str:
    """log(x) + more * log(2) of normal positive numbers."""
    root, shift = (0x3F3504F3, 23) if v.kind == "float" else (0x3FE6A09E667F3BCD, 52)
    bits = v.bits_of(x)
    exponent = v.whole("ashr", v.whole("sub", bits, v.integer(root)), v.integer(shift))
    mantissa = v.of_bits(v.whole("sub", bits, v.whole("shl", exponent, v.integer(shift))))
    n = v.add(_small_integer_as_float(v, exponent), more)
    z = v.sub(mantissa, v.number(1.0))
    square = v.mul(z, z)
    if v.kind == "float":
        high, low = 0.693359375, math.log(2) - 0.693359375
        tail = v.mul(square, v.number(-0.5))
        tail = v.fma(v.mul(square, z), v.polynomial(fitted.LOG_32, z), tail)
        y = v.add(v.fma(n, v.number(low), tail), z)
        return v.fma(n, v.number(high), y)
    # log(1 + z) = z - (z^2 / 2 - s (z^2 / 2 + R)), where s = z / (2 + z)
    high, low = 0.6931471803691238, 1.9082149292705877e-10
    s = v.div(z, v.add(z, v.number(2.0)))
    u = v.mul(s, s)
    rest = v.mul(u, v.polynomial(fitted.LOG_64, u))
    half = v.mul(square, v.number(0.5))
    tail = v.fma(s, v.add(half, rest), v.mul(n, v.number(low)))
    return v.fma(n, v.number(high), v.sub(z, v.sub(half, tail)))


def _small_integer_as_float(v: Vectors, n: str) -> str:
    """An integer far below 2 ** 22, converted by adding it to the bits of a large float."""
    magic = v.number(1.5 * 2.0 ** (23 if v.kind == "float" else 52))
    return v.sub(v.of_bits(v.whole("add", n, v.bits_of(magic))), magic)


def log(v: Vectors, x: str) -> str:
    """The natural logarithm."""
    smallest, power = (2.0**-126, 25) if v.kind == "float" else (2.0**-1022, 54)
    tiny = v.compare("olt", x, v.number(smallest))
    normal = v.select(tiny, v.mul(x, v.number(2.0**power)), x)
    y = _log_of(v, normal, v.select(tiny, v.number(-power), v.number(0.0)))
    y = v.select(v.compare("oeq", x, v.number(math.inf)), x, y)
    # log(0) and logs of negative numbers by an operation, so that the status flags tell
    zero = v.compare("oeq", x, v.number(0.0))
    wrong = v.compare("olt", x, v.number(0.0))
    divisor = v.select(zero, v.number(0.0), v.number(-1.0))
    y = v.select(zero, v.div(v.number(-1.0), v.absolute(divisor)), y)
    root = v.intrinsic("sqrt", v.select(wrong, v.number(-1.0), v.number(1.0)))
    y = v.select(wrong, root, y)
    return v.select(v.compare("uno", x, x), x, y)


def fenced(v: Vectors, chosen: str) -> str:
    """The result of a `select`, of which nothing is computed before the choice.

    LLVM takes it that nobody reads status flags: where one side is a constant, it makes
    `1 / select(x == 0, 1, x)` a choice between 1 and 1 / x, which divides by zero.
    """
    return v.intrinsic("arithmetic.fence", chosen) if v.code.module.fences else chosen


def log1p(v: Vectors, x: str) -> str:
    """log(1 + x) = log(u) x / (u - 1), where u is 1 + x rounded."""
    u = v.add(x, v.number(1.0))
    change = v.sub(u, v.number(1.0))
    same = v.compare("oeq", change, v.number(0.0))
    huge = v.compare("oeq", x, v.number(math.inf))
    divisor = fenced(v, v.select(v.either(same, huge), v.number(1.0), change))
    y = v.mul(log(v, u), v.div(x, divisor))
    return v.select(same, x, y)


def tanh(v: Vectors, x: str) -> str:
    """The hyperbolic tangent: float32 by a rational function, float64 by expm1."""
    if v.kind == "double":
        t = expm1(v, v.mul(v.least(v.absolute(x), v.number(20.0)), v.number(2.0)))
        y = v.div(t, v.add(t, v.number(2.0)))
        return v.select(v.compare("uno", x, x), x, v.copysign(y, x))
    c = _clamped(v, x, -9.02, 9.02)
    u = v.mul(c, c)
    over, under = fitted.TANH_32_P, fitted.TANH_32_Q
    divisor = v.polynomial(under, u)
    difference = [p - q for p, q in zip(over, under, strict=True)][1:]
    # near zero x + x (P - Q) / Q, whose rounding errors are small beside x
    small = v.compare("olt", u, v.number(1.0))
    near = v.mul(u, v.polynomial(difference, u))
    ratio = v.div(v.mul(c, v.select(small, near, v.polynomial(over, u))), divisor)
    y = _clamped(v, v.add(ratio, v.select(small, c, v.number(0.0))), -1.0, 1.0)
    return v.select(v.compare("uno", x, x), x, v.copysign(y, x))


def sigmoid(v: Vectors, x: str) -> str:
    """1 / (1 + exp(-x)), by the exponential that cannot overflow."""
    t = exp(v, v.neg(v.absolute(x)))
    over = v.select(v.compare("olt", x, v.number(0.0)), t, v.number(1.0))
    return v.div(over, v.add(t, v.number(1.0)))


def erf(v: Vectors, x: str) -> str:
    """The error function."""
    size = v.absolute(x)
    if v.kind == "float":
        c = v.least(size, v.number(3.93))
        u = v.mul(c, c)
        over = v.mul(c, v.polynomial(fitted.ERF_32_P, u))
        y = v.least(v.div(over, v.polynomial(fitted.ERF_32_Q, u)), v.number(1.0))
    else:
        c = v.least(size, v.number(6.0))
        square = v.mul(c, c)
        near = v.mul(c, v.polynomial(fitted.ERF_64, v.least(square, v.number(1.0))))
        shift = v.number(fitted.ERFC_SHIFT)
        t = v.div(v.sub(c, shift), v.add(c, shift))
        rest = v.mul(exp(v, v.neg(square)), v.polynomial(fitted.ERFC_64, t))
        far = v.sub(v.number(1.0), rest)
        y = v.select(v.compare("olt", c, v.number(1.0)), near, far)
    return v.select(v.compare("uno", x, x), x, v.copysign(y, x))


_LARGE: Final = {"float": 2.0**28, "double": 2.0**19}
"""Up to which arguments the reduction by multiples of pi / 2 is exact enough."""


def _quarter_turns(v: Vectors, x: str) -> tuple[str, str]:
    """How many quarter turns there are in x, and what is left, |r| <= pi / 4."""
    if v.kind == "double":
        n, whole = _nearest(v, v.mul(x, v.number(2 / math.pi)))
        # pi / 2 in parts of 33 bits, whose products with n are exact
        r = v.fma(n, v.number(-1.5707963267341256), x)
        r = v.fma(n, v.number(-6.077100506303966e-11), r)
        return whole, v.fma(n, v.number(-2.0222662487959506e-21), r)
    # float32 is reduced in float64
    wide = Vectors(v.code, "double", v.width)
    far = v.code.value(f"fpext {v.type} {x} to {wide.type}")
    n, whole = _nearest(wide, wide.mul(far, wide.number(2 / math.pi)))
    r = wide.fma(n, wide.number(-math.pi / 2), far)
    r = wide.fma(n, wide.number(-6.123233995736766e-17), r)
    turns = v.code.value(f"trunc {wide.integers} {whole} to {v.integers}")
    return turns, v.code.value(f"fptrunc {wide.type} {r} to {v.type}")


def _turned(v: Vectors, x: str, name: str) -> str:
    """sin or cos, for small arguments here and for large ones by the library."""
    reduced = v.select(v.compare("olt", v.absolute(x), v.number(_LARGE[v.kind])), x, v.number(0.0))
    turns, r = _quarter_turns(v, reduced)
    if name == "cos":
        turns = v.whole("add", turns, v.integer(1))
    u = v.mul(r, r)
    sines, cosines = (
        (fitted.SIN_32, fitted.COS_32) if v.kind == "float" else (fitted.SIN_64, fitted.COS_64)
    )
    sine = v.fma(v.mul(u, r), v.polynomial(sines, u), r)
    cosine = v.add(
        v.fma(v.mul(u, u), v.polynomial(cosines, u), v.mul(u, v.number(-0.5))), v.number(1.0)
    )
    odd = v.whole("and", turns, v.integer(1))
    is_odd = v.code.value(f"icmp ne {v.integers} {odd}, zeroinitializer")
    y = v.select(is_odd, cosine, sine)
    sign = v.whole("shl", v.whole("and", turns, v.integer(2)), v.integer(v.bits - 2))
    y = v.of_bits(v.whole("xor", v.bits_of(y), sign))
    # -0.0 + 0.0 in the reduction would lose the sign of zero
    return v.select(v.compare("oeq", x, v.number(0.0)), x, y) if name == "sin" else y


def _with_large(v: Vectors, x: str, name: str) -> str:
    """`_turned`, and the library where an argument is large or not finite."""
    code = v.code
    y = _turned(v, x, name)
    large = v.compare("uge", v.absolute(x), v.number(_LARGE[v.kind]))
    any_large = code.intrinsic("i1", f"llvm.vector.reduce.or.v{v.width}i1", f"{v.mask} {large}")
    before, number = code.block, code.name("")
    code.do(f"br i1 {any_large}, label %large{number}, label %ready{number}")
    code.label(f"large{number}")
    right = v.select(large, v.intrinsic(name, v.select(large, x, v.number(0.0))), y)
    code.do(f"br label %ready{number}")
    code.label(f"ready{number}")
    return code.value(f"phi {v.type} [ {y}, %{before} ], [ {right}, %large{number} ]")


def sin(v: Vectors, x: str) -> str:
    """The sine of radians."""
    return _with_large(v, x, "sin")


def cos(v: Vectors, x: str) -> str:
    """The cosine of radians."""
    return _with_large(v, x, "cos")


FUNCTIONS: Final[dict[str, Callable[[Vectors, str], str]]] = {
    "exp": exp,
    "expm1": expm1,
    "log": log,
    "log1p": log1p,
    "tanh": tanh,
    "sigmoid": sigmoid,
    "erf": erf,
    "sin": sin,
    "cos": cos,
}
"""The functions of this module, by NumPy's and minigrad's names."""


def define(module: Module, name: str, kind: str, width: int) -> str:
    """Add a function on vectors to a module, unless it is there, and return its name.

    >>> define(Module(), "exp", "float", 8)
    'exp_v8f32'
    """
    code = Code(module)
    v = Vectors(code, kind, width)
    full = f"{name}_{v.suffix}"
    if full not in module:
        code.do(f"ret {v.type} {FUNCTIONS[name](v, '%x')}")
        module.define(
            full, code.finish(f"define internal {v.type} @{full}({v.type} %x) alwaysinline")
        )
    return full
