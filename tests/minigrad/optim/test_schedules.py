import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import optim


def optimizer_of(*rates):
    groups = [
        {"parameters": [mg.Tensor([1.0], requires_grad=True)], "rate": rate} for rate in rates
    ]
    return optim.SGD(groups, momentum=0.5)


def rates(schedule, steps):
    found = []
    for _ in range(steps):
        found.append(schedule.rates[0])
        schedule.step()
    return found


@given(
    warmup=st.integers(1, 10),
    total=st.integers(1, 30),
    gamma=st.floats(0.5, 1.0),
    steps=st.integers(1, 40),
)
def test_a_chain_multiplies(warmup, total, gamma, steps):
    alone = []
    for make in (
        lambda o: optim.LinearSchedule(o, 0.1, 1.0, warmup),
        lambda o: optim.CosineSchedule(o, total),
        lambda o: optim.ExponentialSchedule(o, gamma),
    ):
        alone.append((make, rates(make(optimizer_of(0.5)), steps)))
    together = optimizer_of(0.5)
    chained = rates(optim.ChainedSchedule([make(together) for make, _ in alone]), steps)
    expected = np.prod([np.array(values) / 0.5 for _, values in alone], axis=0) * 0.5
    np.testing.assert_allclose(chained, expected, rtol=1e-12, atol=1e-15)


@given(first=st.integers(1, 9), second=st.integers(1, 9))
def test_a_sequence_lets_each_count_from_zero(first, second):
    optimizer = optimizer_of(1.0)
    schedule = optim.SequentialSchedule(
        [
            optim.ExponentialSchedule(optimizer, 0.5),
            optim.LinearSchedule(optimizer, 0.1, 1.0, 3),
            optim.StepSchedule(optimizer, 2, 0.5),
        ],
        [first, first + second],
    )
    pieces = [
        rates(optim.ExponentialSchedule(optimizer_of(1.0), 0.5), first),
        rates(optim.LinearSchedule(optimizer_of(1.0), 0.1, 1.0, 3), second),
        rates(optim.StepSchedule(optimizer_of(1.0), 2, 0.5), 6),
    ]
    assert rates(schedule, first + second + 6) == [*pieces[0], *pieces[1], *pieces[2]]


def test_restarts_get_longer():
    found = rates(optim.CosineRestartsSchedule(optimizer_of(1.0), 2, growth=3), 9)
    assert [i for i, rate in enumerate(found) if rate == 1.0] == [0, 2, 8]


def test_schedules_read_the_base_rate_not_the_one_of_another_schedule():
    optimizer = optimizer_of(0.8)
    optim.LinearSchedule(optimizer, 0.25, 1.0, 4)
    assert optimizer.rate == 0.2
    assert optim.StepSchedule(optimizer, 3).base_rates == [0.8]
    optimizer.rate = 0.4  # by hand: a new base
    assert optim.StepSchedule(optimizer, 3).base_rates == [0.4]


def test_a_cycle_ends():
    schedule = optim.OneCycleSchedule(optimizer_of(0.1), 1.0, total_steps=10)
    found = rates(schedule, 10)
    assert max(found) == pytest.approx(1.0)
    assert found[-1] == schedule.rates[0] == pytest.approx(1 / 25 / 1e4)
    with pytest.raises(ValueError, match="total_steps=10 is over"):
        schedule.step()


def test_a_cycle_without_momentum_or_of_one_step():
    optimizer = optim.Adagrad([mg.Tensor([1.0], requires_grad=True)])
    assert optim.OneCycleSchedule(optimizer, 1.0, 10).cycle_momentum is False
    fixed = optimizer_of(0.1)
    rates(optim.OneCycleSchedule(fixed, 1.0, 10, cycle_momentum=False), 10)
    assert fixed.groups[0]["momentum"] == 0.5
    short = optim.OneCycleSchedule(optimizer_of(0.1), 1.0, total_steps=1, rise=1.0)
    assert short.rates == [1.0]


def test_a_plateau_takes_tensors_and_refuses_nan():
    schedule = optim.PlateauSchedule(optimizer_of(1.0), patience=0, factor=0.5)
    schedule.step(mg.Tensor([2.0]))
    schedule.step(np.float32(2.0))
    assert schedule.rates == [0.5]
    with pytest.raises(mg.GradientError, match="is NaN"):
        schedule.step(math.nan)
    with pytest.raises(TypeError, match=r"step\(loss\)"):
        schedule.step()
    assert schedule.count == 2


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: optim.StepSchedule(o, 0), ValueError, "step_size must be above 0"),
        (lambda o: optim.ExponentialSchedule(o, 0.0), ValueError, "gamma must be above 0"),
        (lambda o: optim.CosineSchedule(o, T_max=9), TypeError, "write total_steps=9"),
        (lambda o: optim.CosineSchedule(o, 9, eta_min=0.1), TypeError, "write min_rate=0.1"),
        (lambda o: optim.OneCycleSchedule(o, max_lr=1.0), TypeError, "write max_rate=1.0"),
        (lambda o: optim.CosineRestartsSchedule(o, 3, 1.5), ValueError, "growth must be a whole"),
        (lambda o: optim.OneCycleSchedule(o, 1.0, 9, rise=2), ValueError, "rise must be between"),
        (lambda o: optim.OneCycleSchedule(o, 1.0, 9, shape="cos"), ValueError, "shape must be"),
        (lambda o: optim.OneCycleSchedule(o, [1.0], 9), ValueError, "1 values of max_rate for 2"),
        (lambda o: optim.LambdaSchedule(o, [abs]), ValueError, "1 functions for 2 groups"),
        (lambda o: optim.MultiplicativeSchedule(o, [abs]), ValueError, "1 functions for 2 groups"),
        (lambda o: optim.ConstantSchedule(o, 1.5), ValueError, "factor must be between 0 and 1"),
        (lambda o: optim.ConstantSchedule(o, 0.5, 0), ValueError, "total_steps must be above 0"),
        (lambda o: optim.PolynomialSchedule(o, 0), ValueError, "total_steps must be above 0"),
        (lambda o: optim.CyclicSchedule(o, 0.1, 1.0, 0), ValueError, "step_size_up must be above"),
        (lambda o: optim.CyclicSchedule(o, 0.1, 1.0, mode="up"), ValueError, "mode must be one of"),
        (lambda o: optim.CyclicSchedule(o, [0.1], 1.0), ValueError, "1 values of base_rate for 2"),
        (
            lambda o: optim.CyclicSchedule(o, 0.1, 1.0, scale_mode="x"),
            ValueError,
            "scale_mode must be",
        ),
        (lambda o: optim.CyclicSchedule(o, base_lr=0.1), TypeError, "write base_rate=0.1"),
        (lambda o: optim.PlateauSchedule(o, "up"), ValueError, "mode must be"),
        (lambda o: optim.PlateauSchedule(o, factor=1.5), ValueError, "factor must be between"),
        (lambda o: optim.PlateauSchedule(o, threshold_mode=""), ValueError, "threshold_mode must"),
        (lambda o: optim.ChainedSchedule([]), ValueError, "schedules is empty"),
        (lambda o: optim.ChainedSchedule([o]), TypeError, r"schedules\[0\] is a SGD"),
        (
            lambda o: optim.ChainedSchedule([optim.PlateauSchedule(o)]),
            TypeError,
            "PlateauSchedule, which is no multiple",
        ),
        (
            lambda o: optim.ChainedSchedule(
                [optim.StepSchedule(o, 1), optim.StepSchedule(optimizer_of(1.0), 1)]
            ),
            ValueError,
            r"schedules\[1\] belongs to another",
        ),
        (
            lambda o: optim.SequentialSchedule([optim.StepSchedule(o, 1)], [3]),
            ValueError,
            "one fewer than the 1 schedules",
        ),
        (
            lambda o: optim.StepSchedule(0.1, 3),
            TypeError,
            "optimizer must be an Optimizer, got 0.1",
        ),
    ],
)
def test_wrong_options_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make(optimizer_of(1.0, 0.1))


def test_a_state_that_does_not_fit_is_refused():
    schedule = optim.StepSchedule(optimizer_of(1.0), 3)
    with pytest.raises(KeyError, match="must be base_rates, count, rates, got count"):
        schedule.load_state_dict({"count": 3})
    other = optim.StepSchedule(optimizer_of(1.0, 2.0), 3).state_dict()
    with pytest.raises(ValueError, match=r"has shape \(2,\), but there are 1 groups"):
        schedule.load_state_dict(other)
    assert schedule.count == 0


def test_loading_restores_the_base_rates_of_combined_schedules():
    def make(rate):
        optimizer = optimizer_of(rate)
        return optim.ChainedSchedule([optim.CosineSchedule(optimizer, 10, 0.1)])

    first, second = make(1.0), make(0.3)
    for _ in range(4):
        first.step()
    second.load_state_dict(first.state_dict())
    assert second.rates == first.rates
    assert rates(second, 5) == rates(first, 5)


def test_new_schedules_combine():
    optimizer = optimizer_of(1.0)
    schedule = optim.SequentialSchedule(
        [
            optim.ConstantSchedule(optimizer, 0.5, 10),
            optim.MultiplicativeSchedule(optimizer, lambda count: 0.5),
            optim.PolynomialSchedule(optimizer, 2),
        ],
        [2, 4],
    )
    assert rates(schedule, 8) == [0.5, 0.5, 1.0, 0.5, 1.0, 0.5, 0.0, 0.0]


def test_a_plateau_knows_the_rate_of_now_alone():
    schedule = optim.PlateauSchedule(optimizer_of(0.5), patience=0, factor=0.5)
    schedule.step(1.0)
    schedule.step(1.0)
    assert [schedule.rate_of(count, 0) for count in (0, 2, 7)] == [0.25] * 3


def test_a_schedule_must_say_its_factor():
    class Nothing(optim.Schedule):
        pass

    schedule = Nothing(optimizer_of(0.5))
    with pytest.raises(AttributeError, match=r"^Nothing defines no factor$"):
        schedule.step()
