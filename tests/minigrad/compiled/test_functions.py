"""Vector functions against mpmath: all exponents, both dtypes, three vector widths."""

import functools

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.compiled.llvm.native import (
    arguments,
    enter,
    host,
    layout,
    leave,
    load_code,
    make_frame,
)
from minigrad.compiled.llvm.vectors.functions import ERRORS, FUNCTIONS, define
from minigrad.compiled.llvm.vectors.ir import Code, Module

KINDS = {"float": np.float32, "double": np.float64}
WIDTHS = {"float": (1, 4, 16), "double": (1, 2, 8)}


@functools.cache
def program(name, kind, width, scales):
    """`f(y, x)` on 16 elements."""
    module = Module(scales)
    called = define(module, name, kind, width)
    code = Code(module)
    saved = enter(code, host(), flush=False)
    y, x = arguments(code, 2, layout())
    vector = f"<{width} x {kind}>"

    def step(i, _):
        value = code.value(f"load {vector}, ptr {code.at(x, i, kind)}, align 4")
        value = code.call(vector, called, f"{vector} {value}")
        code.do(f"store {vector} {value}, ptr {code.at(y, i, kind)}, align 4")

    code.loop(0, 16, width, step)
    code.do(f"ret i32 {leave(code, host(), saved)}")
    head = "define i32 @main(ptr %frame, ptr %workspace, i64 %thread, i64 %threads)"
    module.define("main", code.finish(head))
    built = load_code(module.text())
    main = built.main()
    main.kept = built
    return main


def apply(name, x, kind, width=None, scales=None):
    """The function on an array of any length, and the status flags."""
    scales = host().scales if scales is None else scales
    main = program(name, kind, width or WIDTHS[kind][-1], scales)
    dtype = KINDS[kind]
    padded = np.resize(np.asarray(x, dtype), -(-len(x) // 16) * 16)
    y, flags = np.empty_like(padded), 0
    for start in range(0, len(padded), 16):
        frame, alive = make_frame((y[start : start + 16], padded[start : start + 16]), layout())
        flags |= main(frame, 0, 0, 1)
        del alive
    return y[: len(x)], flags


EXACT = {"sigmoid": lambda x: 1 / (1 + mpmath.exp(-x))}


def ulps(name, x, y, kind):
    """The errors of finite results in units in the last place of the exact ones."""
    dtype = KINDS[kind]
    tiny, largest = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
    exact_function = EXACT.get(name) or getattr(mpmath, name)
    worst, where = 0.0, None
    # enough digits that exp(-745) is seen beside 1
    with mpmath.workdps(400 if name in ("sigmoid", "expm1", "tanh", "erf") else 40):
        for value, got in zip(x.tolist(), y.tolist(), strict=True):
            exact = exact_function(mpmath.mpf(value))
            if abs(exact) > float(largest):
                assert np.isinf(got) or abs(got) == largest, (name, value, got)
                continue
            unit = max(float(np.spacing(np.abs(dtype(float(exact))))), float(tiny))
            error = float(abs(mpmath.mpf(got) - exact) / mpmath.mpf(unit))
            if not error <= worst:
                worst, where = error, (value, got, float(exact))
    return worst, where


def samples(name, kind, count, seed=0):
    """Numbers of all exponents and signs, and of those that matter to the function."""
    rng = np.random.default_rng(seed)
    dtype = KINDS[kind]
    info = np.finfo(dtype)
    exponents = rng.uniform(info.minexp - info.nmant, info.maxexp, count // 4)
    every = np.exp2(exponents) * rng.choice([-1, 1], count // 4)
    reach = 110 if kind == "float" else 760
    near = rng.uniform(-reach, reach, count // 4)
    parts = [every, near, rng.uniform(-9, 9, count // 4), rng.uniform(-1, 1, count // 4)]
    x = np.concatenate(parts).astype(dtype)
    if name == "log":
        x = np.abs(x)
        x[: count // 8] = rng.uniform(0.7, 1.5, count // 8)
    if name == "log1p":
        x = x[x > -1]
    return x[np.isfinite(x) & (x != 0)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_errors_are_those_that_are_stated(name, kind):
    x = samples(name, kind, 1200)
    y, _ = apply(name, x, kind)
    worst, where = ulps(name, x, y, kind)
    assert worst <= ERRORS[name][kind == "double"], where


@pytest.mark.parametrize("name", ["exp", "sigmoid"])
def test_processors_that_look_nothing_up(name):
    x = samples(name, "float", 1200)
    for width in WIDTHS["float"]:
        y, _ = apply(name, x, "float", width, scales=False)
        worst, where = ulps(name, x, y, "float")
        assert worst <= ERRORS[name][0], where


@pytest.mark.parametrize("scales", [False, None])
def test_exp_between_its_steps_and_where_it_ends(scales):
    sixteenths = np.arange(-151 * 16, 129 * 16) * np.log(2) / 16
    ends = [-1e30, -104.1, -103.98, -103.9, -87.4, -87.3, 88.72, 88.7228, 88.7229, 89.1, 1e30]
    x = np.concatenate([sixteenths, sixteenths + np.log(2) / 32, ends]).astype(np.float32)
    y, flags = apply("exp", x, "float", scales=scales)
    worst, where = ulps("exp", x, y, "float")
    assert worst <= ERRORS["exp"][0], where
    assert flags & 4  # overflow, of those that are infinite
    assert not apply("exp", x[np.isfinite(y)], "float", scales=scales)[1] & 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FUNCTIONS)
@given(data=st.data())
def test_errors_of_drawn_numbers(name, kind, data):
    width = 32 if kind == "float" else 64
    numbers = st.floats(allow_nan=False, allow_infinity=False, width=width)
    x = np.array(data.draw(st.lists(numbers, min_size=1, max_size=16)), KINDS[kind])
    if name == "log":
        x = x[x > 0]
    if name == "log1p":
        x = x[x > -1]
    x = x[x != 0]
    y, _ = apply(name, x, kind) if len(x) else (x, 0)
    worst, where = ulps(name, x, y, kind)
    assert worst <= ERRORS[name][kind == "double"], where


SPECIAL = {  # of inf, -inf, nan, 0.0, -0.0
    "exp": [np.inf, 0.0, np.nan, 1.0, 1.0],
    "expm1": [np.inf, -1.0, np.nan, 0.0, -0.0],
    "log": [np.inf, np.nan, np.nan, -np.inf, -np.inf],
    "log1p": [np.inf, np.nan, np.nan, 0.0, -0.0],
    "tanh": [1.0, -1.0, np.nan, 0.0, -0.0],
    "sigmoid": [1.0, 0.0, np.nan, 0.5, 0.5],
    "erf": [1.0, -1.0, np.nan, 0.0, -0.0],
    "sin": [np.nan, np.nan, np.nan, 0.0, -0.0],
    "cos": [np.nan, np.nan, np.nan, 1.0, 1.0],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values(name, kind):
    for width in WIDTHS[kind]:
        y, _ = apply(name, [np.inf, -np.inf, np.nan, 0.0, -0.0], kind, width)
        np.testing.assert_array_equal(y, np.array(SPECIAL[name], KINDS[kind]))
        numbers = np.isfinite(y)
        expected = np.signbit(np.array(SPECIAL[name]))[numbers]
        np.testing.assert_array_equal(np.signbit(y)[numbers], expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_all_widths_give_the_same_bits(name, kind):
    x = samples(name, kind, 400, seed=1)
    results = [apply(name, x, kind, width)[0] for width in WIDTHS[kind]]
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


@pytest.mark.parametrize("kind", KINDS)
def test_log_at_the_ends_of_its_domain(kind):
    y, _ = apply("log", [-1.0, -1e-30], kind)
    assert np.isnan(y).all()
    y, _ = apply("log1p", [-1.0, -2.0], kind)
    assert y[0] == -np.inf
    assert np.isnan(y[1])


FLAGS = {  # division 2, invalid 1, overflow 4
    ("log", 0.0): 2,
    ("log", -1.0): 1,
    ("exp", 1e4): 4,
    ("exp", -1e4): 0,
    ("exp", 1.0): 0,
    ("log", 3.0): 0,
    ("tanh", 1e30): 0,
    ("sigmoid", -1e4): 0,
    ("erf", 1e30): 0,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "x"), FLAGS)
def test_status_flags(name, x, kind):
    assert apply(name, [x] * 16, kind)[1] == FLAGS[name, x]
