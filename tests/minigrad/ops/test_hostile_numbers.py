"""Random programs on hostile numbers against extended precision."""

import random
from dataclasses import replace

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.reliability import hostile_numbers
from benchmarks.reliability.exact import BAD, Format, Gradient, Slope
from benchmarks.reliability.hostile_numbers import (
    DTYPES,
    OPERATIONS,
    Program,
    check,
    check_compiled,
    draw,
)
from minigrad import ops
from minigrad.testing.profiles import examples

BY_NAME = {operation.name: operation for operation in OPERATIONS}


@examples(2)
@given(st.integers(0, 2**32 - 1), st.sampled_from(DTYPES))
def test_programs_have_the_gradients_of_extended_precision(seed, dtype):
    program = draw(random.Random(seed), dtype)
    assert check(program)[1] == [], program


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_operation_has_them(dtype):
    rng = random.Random(0)
    for operation in OPERATIONS:
        for _ in range(3):
            leaves = [draw(rng, dtype, 1).leaves[0] for _ in range(operation.inputs)]
            program = Program(leaves, [(operation, tuple(range(operation.inputs)))])
            assert check(program)[1] == [], program


@pytest.mark.parametrize("name", ["arctan2", "log_sigmoid", "norm"])
def test_compiled_operations_have_them(name, monkeypatch, tmp_path):
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path))
    kinds, faults = check_compiled(BY_NAME[name], np.float32, 5)
    assert kinds["finite"]
    assert faults == []


# -- the check itself ------------------------------------------------------------------------------


def faults_of(name, numbers, function, dtype=np.float64):
    """What is found of an operation that is computed by another function."""
    planted = replace(BY_NAME[name], function=function)
    return check(Program([np.array(numbers, dtype)], [(planted, (0,))]))[1]


def test_a_finite_gradient_where_the_true_one_is_not_is_found():
    plain, recorded = faults_of("sqrt", [0.0, 1.0], lambda x: ops.sqrt(ops.maximum(x, 1e-30)))
    assert plain.startswith("the gradient of v0[0] is ")
    assert plain.endswith(" is finite, the true gradient is not")
    assert recorded.startswith("the gradient of v0[0] under create_graph is ")


def test_nan_where_the_true_gradient_is_finite_is_found():
    found = faults_of("arctan", [2.0, np.inf], lambda x: ops.arctan(x) + 0 * ops.square(x))
    assert found[0] == "the gradient of v0[1] is nan, the true gradient is 0.0"
    assert len(found) == 2


def test_a_gradient_that_is_off_is_found():
    plain, _ = faults_of("tanh", [0.5], lambda x: ops.tanh(x) + 1e-12 * x)
    assert "the true gradient is 0.786447732966, within " in plain
    assert faults_of("tanh", [0.5], ops.tanh) == []


def test_a_value_that_is_off_or_not_finite_is_found():
    wrong = faults_of("sigmoid", [0.5], lambda x: ops.sigmoid(x) + 1e-9)
    assert len(wrong) == 1
    assert wrong[0].startswith("v1: the value")
    wrong = faults_of("reciprocal", [2.0], lambda x: 1 / x + ops.where(x > 1, np.nan, 0.0))
    assert any(fault.startswith("v1: the value nan") for fault in wrong)


def test_nothing_is_promised_where_numbers_on_the_way_cannot_be_represented():
    format = Format(np.float32)
    start = Gradient("finite", mpmath.mpf(2))
    assert start.times(Slope(mpmath.mpf(10) ** 60), 8, 8, format).kind == "open"
    assert start.times(Slope(BAD), 8, 8, format).kind == "bad"
    assert start.times(Slope(BAD, free=True), 8, 8, format).kind == "open"
    assert Gradient("finite").times(Slope(BAD), 8, 8, format).kind == "open"  # 0 times infinity
    bad, fine = Gradient("bad"), Gradient("finite", mpmath.mpf(1))
    assert Gradient.total([bad, fine, Gradient("open")], format).kind == "bad"
    assert Gradient.total([fine, Gradient("open")], format).kind == "open"
    assert Gradient.total([fine, fine], format).value == 2


def test_the_command_prints_figures_and_ends_with_1_for_a_fault(capsys, monkeypatch):
    assert hostile_numbers.main(["--count", "2", "--operations", "1", "--compiled", "0"]) == 0
    told = capsys.readouterr().out
    assert all(f"{np.dtype(dtype).name}: 2 programs: gradients " in told for dtype in DTYPES)
    planted = replace(BY_NAME["negative"], function=lambda x: x * 1)
    monkeypatch.setattr(hostile_numbers, "OPERATIONS", (planted,))
    assert hostile_numbers.main(["--count", "2", "--operations", "1", "--compiled", "0"]) == 1
    assert "= negative(v" in capsys.readouterr().out
