"""The mutation check changes what it says, restores it, and sees whether tests notice."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad
from minigrad.testing.function_mutants import (
    module_functions,
    module_mutants,
    parts_to_change,
    program_changes,
)
from minigrad.testing.mutants import mutants_of, rule_mutants

PATH = Path(__file__).parents[2] / "mutation.py"


@pytest.fixture(scope="module")
def mutation():
    spec = importlib.util.spec_from_file_location("mutation_check", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def sample(g, x, z):
    if x > z:
        return -g * x
    return g / z, np.where(x, g, z)


def labels(function):
    return [m.label.partition(": ")[2] for m in mutants_of(function, ("sample",), {})]


def test_each_kind_of_change_is_made():
    assert sorted(labels(sample)) == sorted(
        [
            "reverse in `x > z`",
            "flip result in `return -g * x`",
            "flip result 0 in `return (g / z, np.where(x, g, z))`",
            "flip result 1 in `return (g / z, np.where(x, g, z))`",
            "swap results in `return (g / z, np.where(x, g, z))`",
            "drop right in `-g * x`",
            "drop left in `-g * x`",
            "drop right in `g / z`",
            "swap in `g / z`",
            "swap in `np.where(x, g, z)`",
            "flip in `-g`",
        ]
    )


def test_lambdas_on_one_line_are_told_apart():
    first, second = (lambda g, x: g * x), (lambda g, x: g - x)
    assert labels(first)[0] == "drop right in `g * x`"
    assert labels(second)[0] == "flip in `g - x`"


def test_functions_with_closures_are_changed_in_place():
    factor = 3.0

    def rule(g):
        return g * factor

    changed = mutants_of(rule, ("rule",), {})
    original = rule.__code__
    flipped = next(m for m in changed if m.change.startswith("flip result"))
    rule.__code__ = flipped.code
    assert rule(2.0) == -6.0
    rule.__code__ = original
    assert rule(2.0) == 6.0


def test_rules_with_their_helpers_are_found_and_forwards_are_not():
    names = {m.function.__name__ for m in rule_mutants("logaddexp")}
    assert "first_share" in names
    changed = rule_mutants("")
    assert len({owner for m in changed for owner in m.owners}) > 90
    assert not any(m.function is minigrad.tanh.operation.forward for m in changed)


def test_a_suite_kills_what_its_tests_notice_and_restores_the_rule(mutation):
    suite = object.__new__(mutation.Suite)

    def notice():
        x = minigrad.Tensor(np.array(0.5), requires_grad=True)
        minigrad.tanh(x).backward(2.0)
        assert abs(x.grad.item() - 2 * (1 - np.tanh(0.5) ** 2)) < 1e-12

    name = "minigrad.ops.elementwise.powers.tanh"
    row = (1, 0.0, "notice", notice)
    suite.tests, suite.programs = {name: [row]}, {name: []}
    changed = rule_mutants(name)
    rule = minigrad.tanh.operation.rules["x"]
    original = rule.__code__
    assert {suite.killer(mutant) for mutant in changed} == {"notice"}
    assert rule.__code__ is original
    suite.tests[name] = [(1, 0.0, "blind", lambda: None)]
    assert {suite.killer(mutant) for mutant in changed} == {None}


def test_parameters_of_tests_are_expanded(mutation):
    seen = []

    @pytest.mark.parametrize(("a", "b"), [(1, 2), pytest.param(3, 4, id="x")])
    @pytest.mark.parametrize("c", [5, 6])
    def test(a, b, c):
        seen.append((a, b, c))

    for _, call in mutation.expanded(test):
        call()
    assert sorted(seen) == [(1, 2, 5), (1, 2, 6), (3, 4, 5), (3, 4, 6)]
    assert mutation.expanded(lambda tmp_path: None) == []


def test_survivors_are_explained_by_patterns(mutation, monkeypatch):
    monkeypatch.setitem(mutation.EQUIVALENT, "tanh, *: flip*", "because")
    assert mutation.reason("tanh, <lambda>: flip in `-x`") == "because"
    assert mutation.reason("cosh, <lambda>: flip in `-x`") is None


# -- functions that are no rules -------------------------------------------------------------------


def between(value, low, high=None):
    """Whether a value is between two others."""
    if not isinstance(value, float):
        raise TypeError(f"a value must be a float, got {value + 1}")
    if high is None and low > 0:
        high = low + 1
    for _ in range(2):
        continue
    return low <= value < high and value is not None


def test_each_kind_of_change_is_made_in_a_program():
    changed = mutants_of(between, ("sample",), {}, program_changes, parts_to_change)
    assert [m.label.partition(": ")[2] for m in changed] == [
        "negate in `not isinstance(value, float)`",
        "leave out in `raise TypeError(f'a value must be a float, got {value + 1}')`",
        "and to or, or to and in `high is None and low > 0`",
        "drop part 0 in `high is None and low > 0`",
        "drop part 1 in `high is None and low > 0`",
        "negate in `high is None`",
        "move bound in `low > 0`",
        "negate in `low > 0`",
        "constant in `0`",
        "flip in `low + 1`",
        "drop right in `low + 1`",
        "drop left in `low + 1`",
        "constant in `1`",
        "constant in `2`",
        "drop value in `return low <= value < high and value is not None`",
        "and to or, or to and in `low <= value < high and value is not None`",
        "drop part 0 in `low <= value < high and value is not None`",
        "drop part 1 in `low <= value < high and value is not None`",
        "negate in `value is not None`",
    ]


def test_all_functions_of_a_module_are_found():
    modules = ("minigrad.optim.schedules", "minigrad.core.backward", "layers.models.generation")
    functions = module_functions(*modules)
    names = {f"{f.__module__}.{f.__qualname__}" for f in functions}
    assert {
        "minigrad.optim.schedules.Schedule.rates",  # a property
        "minigrad.optim.schedules.Schedule.__new__",  # a static method
        "minigrad.core.backward.send_back",  # decorated
        "layers.models.generation.choosing.Decoding.__post_init__",
    } <= names
    changed = module_mutants("layers.models.generation.targets", "layers.training.threads")
    assert all(m.label.startswith(f"{m.function.__module__}.") for m in changed)


def test_every_target_has_functions_and_tests(mutation, monkeypatch):
    monkeypatch.chdir(PATH.parents[1])
    for name, target in mutation.functions.TARGETS.items():
        assert module_functions(*target.modules), name
        for path in target.tests:
            assert "*" in path or (PATH.parents[1] / path).exists(), path
        assert len(target.files) > 0, name


MODULE = """
def clamp(value):
    '''
    >>> clamp(7)
    5
    '''
    return 5 if value > 5 else value


def size(values):
    return len(values) + 0
"""

TESTS = """
from sample_module import clamp, size

def test_low():
    assert clamp(3) == 3

def test_size(tmp_path):
    assert size([1, 2]) == 2

def test_broken():
    assert clamp(3) == 4
"""

RUN_CHECK = """
import argparse
from tests import mutation, mutation_of_functions as functions, mutation_reasons
functions.TARGETS["sample"] = functions.Target(("sample_module",), ("test_sample.py",))
mutation_reasons.EQUIVALENT["sample_module.size: *left*"] = "not so, but it does not count"
mutation.load_profile(5)
options = argparse.Namespace(sample=None, seed=0, jobs=2, budget=10.0)
count, survivors = functions.check("sample", options, print)
print("counted", count, *survivors, sep="|")
"""


def test_functions_are_checked_by_the_tests_that_call_them(tmp_path):
    (tmp_path / "sample_module.py").write_text(MODULE)
    (tmp_path / "test_sample.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --doctest-modules\n")
    done = subprocess.run(
        [sys.executable, "-c", RUN_CHECK], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{PATH.parents[1]}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "left out, fails or takes long without any change: test_sample.py::test_broken" in (
        done.stdout
    )
    last = done.stdout.splitlines()[-1].split("|")
    # 5 and 6 are not tried, and adding or taking 0 is the same.
    assert last == [
        "counted",
        "9",
        "sample_module.clamp: move bound in `value > 5`",
        "sample_module.clamp: constant in `5`",
        "sample_module.size: flip in `len(values) + 0`",
        "sample_module.size: drop right in `len(values) + 0`",
    ]


def test_the_command_knows_its_targets():
    command = [sys.executable, str(PATH)]
    root = PATH.parents[1]
    env = {**os.environ, "PYTHONPATH": str(root)}
    listed = subprocess.run(
        [*command, "gpt", "rules", "--list", "--sample", "3"], cwd=root, env=env,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert len(listed.stdout.splitlines()) == 6
    unknown = subprocess.run(
        [*command, "nothing"], cwd=root, env=env, capture_output=True, text=True
    )
    assert unknown.returncode == 2
    assert "there is no target nothing; there are: rules, backward, optim" in unknown.stderr
