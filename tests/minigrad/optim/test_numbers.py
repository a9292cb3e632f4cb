"""What an update rule does with plain numbers, as a function written for it."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from minigrad.optim.together import updates
from minigrad.optim.together.numbers import Number, Options, Script, Unfollowed, plain
from minigrad.optim.together.recorded import recorded
from tests.minigrad.optim.test_parity import OPTIMIZERS
from tests.minigrad.optim.test_together import give_gradients, parameters_of


def written(rule, state, options):
    """The function of a rule that gives numbers from a state and options."""
    script = Script()
    held = {name: script.given(f"state[{name!r}]", value) for name, value in state.items()}
    numbers = rule(held, Options(script, options))
    return script.function(numbers, held), [plain(number) for number in numbers]


@pytest.mark.parametrize(
    "rule",
    [
        lambda a, b: (a + b) + 2 + (3 + b),
        lambda a, b: (a - b) - 2 - (3 - b),
        lambda a, b: (a * b) * 2 * (3 * b),
        lambda a, b: (a / b) / 2 / (3 / b),
        lambda a, b: (a**b) ** 2 + 0.9**b,
        lambda a, b: -a * (1 - -b),
        lambda a, b: max(a, b) + max(1.0, b - 4),
        lambda a, b: a if a < b else b,
        lambda a, b: a if a <= b else 2 * b,
        lambda a, b: a if a > b else 3 * b,
        lambda a, b: a if a >= b else 4 * b,
        lambda a, b: a if a == b else 5 * b,
        lambda a, b: a if a != b else 6 * b,
        lambda a, b: a if a else 7 * b,
        lambda a, b: 5 if not a - 2 else a,
    ],
)
def test_arithmetic_of_other_numbers(rule):
    cases = [(2.0, 3), (3.0, 3), (0.5, 2), (2.0, 2), (7.25, 1)]
    for first in cases:

        def apart(state, options):
            return [rule(options["a"], state["b"])]

        numbers, now = written(apart, {"b": first[1]}, {"a": first[0]})
        assert now == [rule(*first)]
        for a, b in cases:
            found = numbers({"b": b}, {"a": a})
            again = written(apart, {"b": b}, {"a": a})[0]({"b": b}, {"a": a})
            assert again == ([rule(a, b)], {"b": b})
            assert found in (None, again)
        assert numbers({"b": first[1]}, {"a": first[0]}) is not None


def test_a_branch_taken_otherwise_is_refused():
    numbers, _ = written(
        lambda s, o: [o["rate"] if s["steps"] > 5 else 0.5], {"steps": 3}, {"rate": 0.1}
    )
    assert numbers({"steps": 5}, {"rate": 0.1}) == ([0.5], {"steps": 5})
    assert numbers({"steps": 6}, {"rate": 0.1}) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [(1, 1.0), (1.0, 1), (1.0, True), (True, 1), (True, False), ((0.9, 0.99), (0.9,)),
     ((0.9, 0.99), [0.9, 0.99]), ((0.9, 0.99), (0.9, 1)), ("mean", "sum"), (None, 0.0),
     (((1.0, 2.0), 3.0), ((1.0, 2), 3.0))],
)  # fmt: skip
def test_values_of_another_kind_are_refused(before, after):
    numbers, _ = written(lambda s, o: [0.5 if o["x"] else 0.25], {}, {"x": before})
    assert numbers({}, {"x": before}) is not None
    assert numbers({}, {"x": after}) is None


def test_numbers_of_tuples_count():
    numbers, _ = written(lambda s, o: [1 - o["betas"][0], o["betas"][1]], {}, {"betas": (0.9, 2)})
    assert numbers({}, {"betas": (0.5, 7)}) == ([0.5, 7], {})


def test_options_that_are_not_read_may_be_anything():
    numbers, _ = written(lambda s, o: [o["rate"]], {}, {"rate": 0.1, "other": 1})
    assert numbers({}, {"rate": 0.2, "other": object()}) == ([0.2], {})


@pytest.mark.parametrize("function", [math.sqrt, float, int, lambda n: [0, 1][n]])
def test_other_functions_of_numbers_are_not_followed(function):
    with pytest.raises(Unfollowed):
        written(lambda s, o: [function(s["steps"])], {"steps": 1}, {})


@pytest.mark.parametrize("value", [math.inf, math.nan, "text", np.float64(1)])
def test_other_values_are_not_followed(value):
    with pytest.raises(Unfollowed):
        written(lambda s, o: [value], {"steps": 1}, {})


def test_arithmetic_with_what_is_no_number():
    number = Number(Script(), "x", 2.0)
    for other in ("text", None, np.float64(1)):
        assert number.__add__(other) is NotImplemented
        assert number.__radd__(other) is NotImplemented


def test_errors_are_those_of_the_rule():
    def rule(state, options):
        return [1 / (1 - options["beta"] ** state["steps"])]

    numbers, _ = written(rule, {"steps": 1}, {"beta": 0.5})
    with pytest.raises(ZeroDivisionError):
        numbers({"steps": 1}, {"beta": 1.0})


# -- rules of optimisers ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - {"groups"}))
def test_numbers_of_later_steps_are_those_of_the_rule(name):
    """What is recorded at one step gives what would be recorded at every other, or refuses."""
    (parameter,) = parameters = parameters_of([(3,)])
    optimizer = OPTIMIZERS[name](parameters)
    rule, served = None, 0
    for step in range(12):
        give_gradients(parameters, step)
        if step:  # some rules begin states at their first step
            (group,), state = optimizer.groups, optimizer._state[parameter]
            group["rate"] = 0.1 / (step + 1)
            fresh, now = recorded(optimizer.update, "float32", state, group)
            assert fresh.numbers(state, group) == now
            found = None if rule is None else rule.numbers(state, group)
            if found is None:
                rule = fresh
            else:
                served += 1
                assert found == now
                assert rule.recipe == fresh.recipe
        optimizer.step()
    assert served >= 8


@pytest.fixture
def runs(monkeypatch):
    """The steps at which the rule was recorded."""
    steps = []
    usual = updates.recorded

    def noted(rule, dtype, state, options):
        steps.append(state["steps"] + 1)
        return usual(rule, dtype, state, options)

    monkeypatch.setattr(updates, "recorded", noted)
    return steps


def test_a_rule_is_recorded_once_for_all_steps_and_rates(runs):
    parameters = parameters_of()
    optimizer = optim.AdamW(parameters, 0.1)
    schedule = optim.CosineSchedule(optimizer, 10)
    for step in range(6):
        give_gradients(parameters, step)
        optimizer.step()
        schedule.step()
    assert runs == [1]
    optimizer.groups[0]["weight_decay"] = 0.0
    optimizer.step()
    optimizer.step()
    assert runs == [1, 7]


def test_a_branch_is_recorded_when_it_is_taken(runs):
    parameters = parameters_of([(3,)])
    optimizer = optim.RAdam(parameters, 0.1)
    for step in range(8):
        give_gradients(parameters, step)
        optimizer.step()
    assert runs == [1, 6]


def test_groups_dtypes_and_kinds_of_states_have_rules_of_their_own(runs):
    one, two = parameters_of([(3,)]), parameters_of([(3,)], np.float64)
    groups = [{"parameters": one, "weight_decay": 0.1}, {"parameters": two}]
    optimizer = optim.SGD(groups, 0.1, momentum=0.9)  # which begins states at its first step
    for step in range(5):
        give_gradients([*one, *two], step)
        optimizer.step()
    assert runs == [1, 1, 2, 2]


@pytest.mark.parametrize("root", [math.sqrt, np.sqrt, lambda x: round(x, 3) ** 0.5])
def test_a_rule_that_cannot_be_followed_runs_by_numpy(root):
    class Rooted(optim.SGD):
        __module__ = "minigrad.optim.planted"

        def update(self, value, gradient, state, options):
            return value - root(options["rate"]) * gradient

    parameter = mg.Tensor(np.ones(3), requires_grad=True)
    parameter.grad = np.ones(3)
    Rooted([parameter], 0.25).step()
    assert parameter.tolist() == [0.5] * 3
