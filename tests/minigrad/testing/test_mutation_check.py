"""The mutation check changes what it says, restores it, and sees whether tests notice."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad
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
