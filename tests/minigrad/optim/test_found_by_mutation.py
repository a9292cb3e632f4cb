"""What changed code showed that no other test noticed: see tests/mutation.py."""

import math
import re

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad import optim


def leaf(*numbers, dtype=np.float64):
    return mg.Tensor(np.array(numbers, dtype), requires_grad=True)


def sgd(rate=0.5, **options):
    return optim.SGD([leaf(1.0)], rate, **options)


# -- options ---------------------------------------------------------------------------------------

WITH_BETAS = ("Adam", "AdamW", "Adamax", "NAdam", "RAdam")


@pytest.mark.parametrize("kind", WITH_BETAS)
@pytest.mark.parametrize("betas", [(0.9,), (0.9, 0.99, 0.5), 0.9, None])
def test_betas_that_are_no_pair_are_named_with_their_optimizer(kind, betas):
    with pytest.raises(TypeError, match=rf"^{kind}: betas must be a pair of numbers, got"):
        getattr(optim, kind)([leaf(1.0)], betas=betas)


def test_pairs_of_rprop_are_named_and_may_be_equal():
    with pytest.raises(TypeError, match=r"^Rprop: step_sizes must be a pair"):
        optim.Rprop([leaf(1.0)], step_sizes=(1.0,))
    with pytest.raises(TypeError, match=r"^Rprop: etas must be a pair"):
        optim.Rprop([leaf(1.0)], etas=0.5)
    weight = leaf(1.0, -1.0)
    optimizer = optim.Rprop([weight], 0.25, step_sizes=(0.25, 0.25))
    for _ in range(3):
        weight.grad = [1.0, -2.0]
        optimizer.step()
    assert weight.tolist() == [0.25, -0.25]


def test_asgd_begins_its_average_with_the_first_weights_and_then_lets_it_follow():
    weight = leaf(0.0)
    optimizer = optim.ASGD([weight], 1.0, lambd=0.0, t0=0.0)
    seen = []
    for gradient in (-1.0, -2.0, -3.0):
        weight.grad = [gradient]
        optimizer.step()
        seen.append((weight.item(), optimizer.averages[0].item()))
    # The second average counts wholly, too: mu is 1 / max(1, steps - t0) after step 1.
    assert seen == [(1.0, 1.0), (3.0, 3.0), (6.0, 4.5)]


def test_one_tensor_is_a_group_and_modules_that_can_be_walked_are_refused():
    weight = leaf(2.0)
    optimizer = optim.SGD(weight, 0.5)
    weight.grad = [1.0]
    optimizer.step()
    assert weight.tolist() == [1.5]
    with pytest.raises(TypeError, match=r"pass module\.parameters\(\)"):
        optim.SGD(layers.Sequential(layers.Linear(1, 1)), 0.5)


def test_numbers_of_numpy_become_those_of_python():
    optimizer = optim.Adam([leaf(1.0)], np.float64(0.5), (np.float32(0.5), 0.75))
    optimizer.groups[0]["epsilon"] = np.float32(0.25)
    optimizer.step()
    (group,) = optimizer.groups
    assert [type(group[name]) for name in ("rate", "epsilon")] == [float, float]
    assert group["betas"] == (0.5, 0.75)
    assert [type(beta) for beta in group["betas"]] == [float, float]


def test_an_optimizer_shows_its_groups_line_by_line():
    groups = [{"parameters": [leaf(1.0)], "rate": 0.5}, {"parameters": [leaf(1.0), leaf(2.0)]}]
    first, *lines, last = repr(optim.SGD(groups, 0.25)).splitlines()
    assert (first, last) == ("SGD(", ")")
    assert [line.split(", ")[:2] for line in lines] == [
        ["  parameters=1", "rate=0.5"],
        ["  parameters=2", "rate=0.25"],
    ]
    assert repr(sgd(0.5)).startswith("SGD(parameters=1, rate=0.5, ")
    assert repr(sgd(0.5)).endswith(")")


# -- steps -----------------------------------------------------------------------------------------


def test_a_graph_of_before_a_step_refuses_to_run_backward():
    weight = leaf(1.0)
    loss = (weight * weight).sum()
    loss.backward(retain_graph=True)
    optim.SGD([weight], 0.5).step()
    with pytest.raises(mg.GradientError, match="written in"):
        loss.backward()
    assert weight.item() == 0.0
    assert (weight * 1).item() == 0.0


def test_an_update_in_another_dtype_is_cast_to_that_of_the_parameter():
    class Wide(optim.Optimizer):
        def __init__(self, parameters):
            super().__init__(parameters, 0.5)

        def update(self, value, gradient, state, options):
            return value.astype(np.float64) - options["rate"] * gradient

    weight = leaf(1.0, dtype=np.float32)
    weight.grad = [1.0]
    Wide([weight]).step()
    assert (weight.dtype, weight.tolist()) == (np.float32, [0.5])


# -- clipping --------------------------------------------------------------------------------------


def test_values_are_clipped_to_zero_and_unnamed_parameters_have_their_shape():
    weight = leaf(1.0, 2.0)
    weight.grad = [3.0, -3.0]
    optim.clip_grad_value([weight], 0.0)
    assert weight.grad.tolist() == [0.0, 0.0]
    weight.grad = [math.nan, 1.0]
    with pytest.raises(mg.GradientError, match=r"NaN in the gradients of \(2,\)\."):
        optim.clip_grad_value([weight], 1.0)
    with pytest.raises(mg.GradientError, match=r"not finite \(in \(2,\)\)"):
        optim.clip_grad_norm([weight], 1.0)
    weight.name = "w"
    with pytest.raises(mg.GradientError, match=r"NaN in the gradients of w\."):
        optim.clip_grad_value([weight], 1.0)
    with pytest.raises(mg.GradientError, match=r"not finite \(in w\)"):
        optim.clip_grad_norm([weight], 1.0)


# -- averages --------------------------------------------------------------------------------------


def test_a_loaded_average_has_the_averages_and_the_count_of_the_other():
    weight, other = leaf(1.0, 2.0), leaf(5.0, 5.0, dtype=np.float32)
    average = optim.ExponentialAverage([weight], 0.5)
    for value in ([2.0, 4.0], [4.0, 8.0]):
        weight.write(np.array(value))
        average.update()
    again = optim.ExponentialAverage([other], 0.5)
    again.load_state_dict(average.state_dict())
    assert again.updates == 2
    assert [a.tolist() for a in again.averages] == [[3.0, 6.0]]
    assert again.averages[0].dtype == np.float32
    with again.swapped_in():
        assert other.tolist() == [3.0, 6.0]
    assert other.tolist() == [5.0, 5.0]


def test_integers_are_copied_and_not_averaged():
    count = mg.Tensor(np.array([1]))
    average = optim.ExponentialAverage([count], 0.5)
    for value in (4, 7):
        count.write(np.array([value]))
        average.update()
    assert average.averages[0].tolist() == [7]
    assert average.averages[0].dtype == count.dtype


# -- states of optimisers --------------------------------------------------------------------------


def test_names_that_are_no_states_are_listed():
    optimizer = sgd(momentum=0.9)
    optimizer.parameters[0].grad = [1.0]
    optimizer.step()
    for name in ("state", "state.", "groups", "groups.0", "states.0.x", "other"):
        with pytest.raises(KeyError, match=f"unexpected: {re.escape(name)}$"):
            optimizer.load_state_dict({**optimizer.state_dict(), name: np.array(1.0)})
    with pytest.raises(KeyError, match="state of parameter 7, but there are 1 parameters"):
        optimizer.load_state_dict({**optimizer.state_dict(), "state.7.momentum": np.ones(1)})


def test_groups_of_other_sizes_do_not_fit():
    def of_sizes(*sizes):
        return optim.SGD([{"parameters": [leaf(1.0) for _ in range(n)]} for n in sizes], 0.5)

    one = of_sizes(1, 2)
    one.load_state_dict(of_sizes(1, 2).state_dict())
    with pytest.raises(KeyError, match="group 0 has 1 parameters here and 2 there; group 1 has 2"):
        one.load_state_dict(of_sizes(2, 1).state_dict())
    swapped = one.state_dict() | {"groups.0.parameters": np.array([1])}
    with pytest.raises(KeyError, match="group 0 has 1 parameters here and 1 there"):
        one.load_state_dict(swapped)


def test_a_state_from_before_there_was_maximize_is_loaded():
    state = sgd(0.25).state_dict()
    del state["groups.0.maximize"]
    optimizer = sgd(0.5)
    optimizer.load_state_dict(state)
    assert (optimizer.rate, optimizer.groups[0]["maximize"]) == (0.25, False)
    del state["groups.0.momentum"]
    with pytest.raises(KeyError, match=r"missing: groups\.0\.momentum"):
        optimizer.load_state_dict(state)


def test_loading_forgets_the_base_rate_of_a_schedule_that_the_other_did_not_have():
    optimizer = sgd(0.5)
    optim.StepSchedule(optimizer, 2)
    optimizer.load_state_dict(sgd(0.25).state_dict())
    assert optim.StepSchedule(optimizer, 2).base_rates == [0.25]


# -- schedules -------------------------------------------------------------------------------------

AT_ZERO = {
    "StepSchedule": (lambda o: optim.StepSchedule(o, 3), 0.5),
    "MultiStepSchedule": (lambda o: optim.MultiStepSchedule(o, [2]), 0.5),
    "ExponentialSchedule": (lambda o: optim.ExponentialSchedule(o, 0.9), 0.5),
    "ConstantSchedule": (lambda o: optim.ConstantSchedule(o, 0.5, 3), 0.25),
    "PolynomialSchedule": (lambda o: optim.PolynomialSchedule(o, 4), 0.5),
    "LinearSchedule": (lambda o: optim.LinearSchedule(o, 0.25, 1.0, 3), 0.125),
    "CosineSchedule": (lambda o: optim.CosineSchedule(o, 10), 0.5),
    "CosineRestartsSchedule": (lambda o: optim.CosineRestartsSchedule(o, 4), 0.5),
    "LambdaSchedule": (lambda o: optim.LambdaSchedule(o, lambda count: count + 2), 1.0),
    "MultiplicativeSchedule": (lambda o: optim.MultiplicativeSchedule(o, lambda count: 9), 0.5),
    "CyclicSchedule": (lambda o: optim.CyclicSchedule(o, 0.125, 1.0, 3), 0.125),
    "OneCycleSchedule": (lambda o: optim.OneCycleSchedule(o, 1.0, 20, initial_divisor=4), 0.25),
    "ChainedSchedule": (lambda o: optim.ChainedSchedule([optim.LinearSchedule(o, 0.5)]), 0.25),
    "SequentialSchedule": (
        lambda o: optim.SequentialSchedule(
            [optim.LinearSchedule(o, 0.5), optim.StepSchedule(o, 3)], [2]
        ),
        0.25,
    ),
}


def test_every_schedule_is_here():
    every = {name for name in optim.__all__ if name.endswith("Schedule")}
    assert every - {"Schedule", "PlateauSchedule"} == set(AT_ZERO)


@pytest.mark.parametrize("name", AT_ZERO)
def test_a_new_schedule_sets_the_rate_of_step_0(name):
    make, expected = AT_ZERO[name]
    optimizer = sgd(0.5)
    optim.StepSchedule(optimizer, 1)  # the base rate is known from here on
    optimizer.groups[0]["rate"] = 0.0625
    assert make(optimizer).rates == [expected]
    assert optimizer.rate == expected


# Cycles have rates of their own.
@pytest.mark.parametrize("name", sorted(set(AT_ZERO) - {"CyclicSchedule", "OneCycleSchedule"}))
def test_a_base_rate_of_zero_stays(name):
    schedule = AT_ZERO[name][0](sgd(0.0))
    for _ in range(3):
        schedule.step()
        assert schedule.rates == [0.0]


def test_milestones_must_rise_and_be_one_fewer():
    for milestones in ([3, 2], [2, 2], [2], [1, 2, 3]):
        optimizer = sgd()
        parts = [optim.ExponentialSchedule(optimizer, 0.5) for _ in range(3)]
        with pytest.raises(ValueError, match="milestones must rise and be one fewer than the 3"):
            optim.SequentialSchedule(parts, milestones)


@pytest.mark.parametrize("kind", [optim.CyclicSchedule, optim.OneCycleSchedule])
def test_cycles_leave_optimizers_without_momentum_alone_and_name_their_rates(kind):
    options = {"base_rate": 0.1} if kind is optim.CyclicSchedule else {"total_steps": 10}
    adagrad = optim.Adagrad([leaf(1.0)], 0.1)
    schedule = kind(adagrad, max_rate=1.0, **options)
    schedule.step()
    assert not adagrad.groups[0].keys() & {"momentum", "betas"}
    with pytest.raises(ValueError, match=rf"^{kind.__name__}: 2 values of max_rate for 1 groups"):
        kind(sgd(), max_rate=[1.0, 2.0], **options)


def test_a_cycle_moves_every_group_between_rates_of_its_own():
    optimizer = optim.SGD([{"parameters": [leaf(1.0)]}, {"parameters": [leaf(2.0)]}], 0.5)
    schedule = optim.CyclicSchedule(optimizer, [0.0, 1.0], [4.0, 3.0], 2, 4)
    found = [schedule.rates]
    for _ in range(6):
        schedule.step()
        found.append(schedule.rates)
    first, second = zip(*found, strict=True)
    assert first == (0.0, 2.0, 4.0, 3.0, 2.0, 1.0, 0.0)
    assert second == (1.0, 2.0, 3.0, 2.5, 2.0, 1.5, 1.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda o: optim.CyclicSchedule(o, 0.1, 1.0, 4),
        lambda o: optim.OneCycleSchedule(o, 1.0, 20),
    ],
)
def test_a_loaded_cycle_sets_the_momentum_too(make):
    one, other = sgd(momentum=0.5), sgd(momentum=0.5)
    schedule, again = make(one), make(other)
    for _ in range(3):
        schedule.step()
    again.load_state_dict(schedule.state_dict())
    assert other.groups[0]["momentum"] == one.groups[0]["momentum"]
    assert other.groups[0]["momentum"] != make(sgd(momentum=0.5)).optimizer.groups[0]["momentum"]


@pytest.mark.parametrize(
    "options", [{"total_steps": 0}, {"initial_divisor": 0.0}, {"final_divisor": -1.0}]
)
def test_one_cycle_names_what_must_be_above_0(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"^OneCycleSchedule: {name} must be above 0"):
        optim.OneCycleSchedule(sgd(), 1.0, **{"total_steps": 10, **options})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: optim.LinearSchedule(o, total_steps=0), "LinearSchedule: total_steps"),
        (lambda o: optim.CosineSchedule(o, 0), "CosineSchedule: total_steps"),
        (lambda o: optim.CosineRestartsSchedule(o, 0), "CosineRestartsSchedule: period"),
        (lambda o: optim.CosineRestartsSchedule(o, 2, 0), "CosineRestartsSchedule: growth"),
        (lambda o: optim.CosineRestartsSchedule(o, 2, -1), "CosineRestartsSchedule: growth"),
        (lambda o: optim.CosineRestartsSchedule(o, 2, 1.5), "CosineRestartsSchedule: growth"),
        (
            lambda o: optim.PlateauSchedule(o, min_rate=[0.1, 0.2]),
            "PlateauSchedule: 2 values of min_rate",
        ),
    ],
)
def test_options_out_of_range_are_named_with_their_schedule(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make(sgd())


# -- plateaus --------------------------------------------------------------------------------------


def plateau(values, rate=1.0, **options):
    """The rate after each of some values."""
    schedule = optim.PlateauSchedule(sgd(rate), factor=0.5, **options)
    found = []
    for value in values:
        schedule.step(value)
        found.append(schedule.rates[0])
    return found


def test_a_drop_must_be_larger_than_epsilon():
    assert plateau([1.0, 1.0], patience=0, epsilon=0.5) == [1.0, 1.0]
    assert plateau([1.0, 1.0], patience=0, epsilon=0.49) == [1.0, 0.5]


def test_infinity_is_no_progress():
    assert plateau([math.inf] * 3, patience=1) == [1.0, 0.5, 0.5]
    assert plateau([-math.inf] * 3, patience=1, mode="max") == [1.0, 0.5, 0.5]
    assert plateau([-math.inf, -math.inf], patience=0) == [1.0, 0.5]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_progress_must_pass_the_threshold(mode):
    sign = 1 if mode == "min" else -1
    near, far = 8 - sign * 0.5, 8 - sign * 1.0  # a sixteenth and an eighth of 8
    for threshold_mode, threshold in (("rel", 1 / 16), ("abs", 0.5)):
        how = {
            "mode": mode,
            "patience": 0,
            "threshold": threshold,
            "threshold_mode": threshold_mode,
        }
        assert plateau([8.0, near], **how) == [1.0, 0.5]
        assert plateau([8.0, far], **how) == [1.0, 1.0]


def test_a_plateau_cools_down_and_has_a_lowest_rate():
    values = [1.0] * 8
    assert plateau(values, patience=1, cooldown=2) == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert plateau(values, patience=0, min_rate=0.25) == [1, 0.5, 0.25, *[0.25] * 5]
