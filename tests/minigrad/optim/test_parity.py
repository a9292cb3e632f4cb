"""Optimisers, schedules, clipping and averages against PyTorch's: tests/fixtures/make_optim.py."""

from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim

FIXTURE = np.load(Path(__file__).parents[2] / "fixtures" / "optim.npz")
START, NOISE = FIXTURE["start"], FIXTURE["noise"]

OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, rate=0.1),
    "sgd_decay": lambda p: optim.SGD(p, rate=0.1, weight_decay=0.05),
    "sgd_momentum": lambda p: optim.SGD(p, rate=0.1, momentum=0.9),
    "sgd_dampening": lambda p: optim.SGD(
        p, rate=0.1, momentum=0.8, dampening=0.3, weight_decay=0.1
    ),
    "sgd_nesterov": lambda p: optim.SGD(
        p, rate=0.1, momentum=0.9, nesterov=True, weight_decay=0.02
    ),
    "adam": lambda p: optim.Adam(p, rate=0.05),
    "adam_decay": lambda p: optim.Adam(
        p, rate=0.05, betas=(0.8, 0.95), epsilon=1e-4, weight_decay=0.1
    ),
    "adam_amsgrad": lambda p: optim.Adam(p, rate=0.05, amsgrad=True, weight_decay=0.01),
    "adam_missing": lambda p: optim.Adam(p, rate=0.05),
    "adamw": lambda p: optim.AdamW(p, rate=0.05),
    "adamw_amsgrad": lambda p: optim.AdamW(p, rate=0.05, weight_decay=0.3, amsgrad=True),
    "rmsprop": lambda p: optim.RMSprop(p, rate=0.02),
    "rmsprop_momentum": lambda p: optim.RMSprop(p, rate=0.02, momentum=0.9, weight_decay=0.1),
    "rmsprop_centered": lambda p: optim.RMSprop(p, rate=0.02, alpha=0.9, centered=True),
    "rmsprop_all": lambda p: optim.RMSprop(p, rate=0.02, centered=True, momentum=0.5, epsilon=1e-3),
    "adagrad": lambda p: optim.Adagrad(p, rate=0.1),
    "adagrad_all": lambda p: optim.Adagrad(
        p, rate=0.1, rate_decay=0.1, weight_decay=0.1, initial_accumulator=0.2, epsilon=1e-6
    ),
    "sgd_maximize": lambda p: optim.SGD(
        p, rate=0.01, momentum=0.5, weight_decay=0.1, maximize=True
    ),
    "adam_maximize": lambda p: optim.Adam(p, rate=0.05, weight_decay=0.1, maximize=True),
    "adamw_maximize": lambda p: optim.AdamW(p, rate=0.05, weight_decay=0.1, maximize=True),
    "rmsprop_maximize": lambda p: optim.RMSprop(p, rate=0.02, weight_decay=0.1, maximize=True),
    "adagrad_maximize": lambda p: optim.Adagrad(p, rate=0.1, weight_decay=0.1, maximize=True),
    "adadelta": optim.Adadelta,
    "adadelta_all": lambda p: optim.Adadelta(p, rate=0.5, rho=0.8, epsilon=1e-4, weight_decay=0.1),
    "adadelta_maximize": lambda p: optim.Adadelta(p, weight_decay=0.1, maximize=True),
    "adamax": optim.Adamax,
    "adamax_all": lambda p: optim.Adamax(
        p, rate=0.05, betas=(0.8, 0.95), epsilon=1e-4, weight_decay=0.1
    ),
    "adamax_maximize": lambda p: optim.Adamax(p, rate=0.05, weight_decay=0.1, maximize=True),
    "nadam": lambda p: optim.NAdam(p, rate=0.05),
    "nadam_all": lambda p: optim.NAdam(
        p, rate=0.05, betas=(0.8, 0.95), epsilon=1e-4, weight_decay=0.1, momentum_decay=0.1
    ),
    "nadam_decoupled": lambda p: optim.NAdam(
        p, rate=0.05, weight_decay=0.3, decoupled_weight_decay=True
    ),
    "nadam_maximize": lambda p: optim.NAdam(p, rate=0.05, weight_decay=0.1, maximize=True),
    "radam": lambda p: optim.RAdam(p, rate=0.05),
    "radam_all": lambda p: optim.RAdam(
        p, rate=0.05, betas=(0.8, 0.95), epsilon=1e-4, weight_decay=0.1
    ),
    "radam_decoupled": lambda p: optim.RAdam(
        p, rate=0.05, weight_decay=0.3, decoupled_weight_decay=True
    ),
    "radam_maximize": lambda p: optim.RAdam(p, rate=0.05, weight_decay=0.1, maximize=True),
    "rprop": optim.Rprop,
    "rprop_all": lambda p: optim.Rprop(p, rate=0.1, etas=(0.4, 1.5), step_sizes=(0.02, 0.3)),
    "rprop_maximize": lambda p: optim.Rprop(p, maximize=True),
    "asgd": lambda p: optim.ASGD(p, rate=0.1),
    "asgd_all": lambda p: optim.ASGD(p, rate=0.1, lambd=0.1, alpha=0.6, t0=4, weight_decay=0.1),
    "asgd_maximize": lambda p: optim.ASGD(p, rate=0.01, weight_decay=0.1, maximize=True),
    "groups": lambda p: optim.SGD(
        [{"parameters": [p[0]]}, {"parameters": [p[1]], "rate": 0.01, "weight_decay": 0.2}],
        rate=0.1,
        momentum=0.9,
    ),
}


def sgd(parameters):
    return optim.SGD(parameters, rate=0.1)


def walk(make, after_gradients=None, after_step=None, name="", dtype=np.float64, save_at=()):
    """The weights after each step; the optimiser is saved and made anew at the steps `save_at`."""
    parameters = [
        mg.Tensor(START[:6].reshape(2, 3), dtype=dtype, requires_grad=True),
        mg.Tensor(START[6:], dtype=dtype, requires_grad=True),
    ]
    optimizer = make(parameters)
    weights = []
    for step in range(len(NOISE)):
        if step in save_at:
            state = optimizer.state_dict()
            optimizer = make(parameters)
            optimizer.load_state_dict(state)
        for parameter, part in zip(parameters, (NOISE[step, :6], NOISE[step, 6:]), strict=True):
            slope = part.reshape(parameter.shape).astype(dtype)
            parameter.grad = slope + 0.5 * parameter.numpy()
        if name == "adam_missing" and step % 3 == 0:
            parameters[1].grad = None
        if after_gradients is not None:
            after_gradients(parameters)
        optimizer.step()
        if after_step is not None:
            after_step(parameters, optimizer)
        weights.append(np.concatenate([p.numpy().ravel() for p in parameters]))
    if name == "asgd_all":
        weights.append(np.concatenate([average.ravel() for average in optimizer.averages]))
    return np.array(weights)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_twenty_steps_are_pytorchs(name):
    weights = walk(OPTIMIZERS[name], name=name)
    np.testing.assert_allclose(weights, FIXTURE[name], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_twenty_steps_in_float32(name):
    weights = walk(OPTIMIZERS[name], name=name, dtype=np.float32)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, FIXTURE[name], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_saved_optimizer_goes_on_exactly(name):
    whole = walk(OPTIMIZERS[name], name=name)
    parts = walk(OPTIMIZERS[name], name=name, save_at=(0, 1, 7))
    np.testing.assert_array_equal(parts, whole)


@pytest.mark.parametrize(
    ("name", "row", "largest", "order"),
    [
        ("clip_norm", 0, 3.0, 2.0),
        ("clip_norm_1", 1, 7.0, 1.0),
        ("clip_norm_inf", 2, 2.0, np.inf),
        ("clip_norm_3", 3, 2.5, 3.0),
        ("clip_norm_half", 4, 70.0, 0.5),
    ],
)
def test_clipping_by_norm_is_pytorchs(name, row, largest, order):
    norms = []
    weights = walk(sgd, lambda p: norms.append(optim.clip_grad_norm(p, largest, order)))
    np.testing.assert_allclose(weights, FIXTURE[name], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(norms, FIXTURE["norms"][row], rtol=1e-10)
    assert min(norms) < largest < max(norms)


def test_clipping_by_value_is_pytorchs():
    weights = walk(sgd, lambda p: optim.clip_grad_value(p, 0.4))
    np.testing.assert_allclose(weights, FIXTURE["clip_value"], rtol=1e-10, atol=1e-10)


def test_the_moving_average_is_pytorchs():
    averages = []

    def follow(parameters, optimizer):
        if not averages:
            averages.append(optim.ExponentialAverage(parameters, decay=0.9))
        averages[0].update()

    walk(sgd, after_step=follow)
    found = np.concatenate([array.ravel() for array in averages[0].averages])
    np.testing.assert_allclose(found, FIXTURE["average"], rtol=1e-10, atol=1e-12)


def test_a_cycle_moves_rate_and_betas_as_pytorchs():
    cycles = []

    def cycle(parameters, optimizer):
        if not cycles:
            cycles.append(optim.OneCycleSchedule(optimizer, 0.2, total_steps=20))
            return
        cycles[0].step()

    weights = walk(lambda p: optim.AdamW(p, rate=0.05), after_step=cycle)
    np.testing.assert_allclose(weights, FIXTURE["walk_onecycle"], rtol=1e-10, atol=1e-10)


SCHEDULES = {
    "step": lambda o: optim.StepSchedule(o, 7, 0.5),
    "multistep": lambda o: optim.MultiStepSchedule(o, [5, 12, 12, 40], 0.3),
    "exponential": lambda o: optim.ExponentialSchedule(o, 0.93),
    "linear": lambda o: optim.LinearSchedule(o, 0.2, 1.0, 15),
    "constant": lambda o: optim.ConstantSchedule(o, 0.3, 12),
    "polynomial": lambda o: optim.PolynomialSchedule(o, 30, 2.0),
    "polynomial_root": lambda o: optim.PolynomialSchedule(o, 60, 0.5),
    "multiplicative": lambda o: optim.MultiplicativeSchedule(o, lambda count: 1 - 1 / (count + 2)),
    "multiplicatives": lambda o: optim.MultiplicativeSchedule(
        o, [lambda count: 0.95, lambda count: 1 + 1 / count]
    ),
    "cyclic": lambda o: optim.CyclicSchedule(o, 0.1, [1.0, 0.5], 7),
    "cyclic_uneven": lambda o: optim.CyclicSchedule(o, 0.1, 1.0, 4, 9, "triangular2"),
    "cyclic_exp": lambda o: optim.CyclicSchedule(
        o, [0.1, 0.2], 1.0, 6, 3, "exp_range", 0.97, momenta=(0.7, 0.95)
    ),
    "cyclic_function": lambda o: optim.CyclicSchedule(
        o, 0.1, 1.0, 5, scale_function=lambda n: 1 / (1 + n), scale_mode="iterations"
    ),
    "cyclic_no_momentum": lambda o: optim.CyclicSchedule(
        o, 0.1, 1.0, 5, scale_function=lambda n: 0.8**n, cycle_momentum=False
    ),
    "cosine": lambda o: optim.CosineSchedule(o, 20, 0.01),
    "cosine_restarts": lambda o: optim.CosineRestartsSchedule(o, 6, 2, 0.02),
    "cosine_restarts_even": lambda o: optim.CosineRestartsSchedule(o, 7),
    "lambda": lambda o: optim.LambdaSchedule(o, lambda count: 1 / (1 + count)),
    "lambdas": lambda o: optim.LambdaSchedule(
        o, [lambda count: 0.9**count, lambda count: 1 + count]
    ),
    "onecycle": lambda o: optim.OneCycleSchedule(o, [2.0, 0.3], total_steps=60),
    "onecycle_linear": lambda o: optim.OneCycleSchedule(
        o, 2.0, total_steps=50, rise=0.4, shape="linear", initial_divisor=10
    ),
    "onecycle_three": lambda o: optim.OneCycleSchedule(
        o, 2.0, total_steps=50, three_phase=True, momenta=(0.7, 0.95), final_divisor=100
    ),
    "chained": lambda o: optim.ChainedSchedule(
        [
            optim.LinearSchedule(o, 0.1, 1.0, 10),
            optim.ExponentialSchedule(o, 0.9),
            optim.CosineSchedule(o, 50),
        ]
    ),
    "sequential": lambda o: optim.SequentialSchedule(
        [
            optim.LinearSchedule(o, 0.1, 1.0, 8),
            optim.CosineSchedule(o, 30, 0.005),
            optim.StepSchedule(o, 4, 0.5),
        ],
        [8, 38],
    ),
    "plateau": lambda o: optim.PlateauSchedule(o, patience=2, factor=0.5),
    "plateau_max": lambda o: optim.PlateauSchedule(o, "max", 0.3, 3, 0.05, "rel", 2, 0.01),
    "plateau_abs": lambda o: optim.PlateauSchedule(o, "min", 0.5, 1, 0.3, "abs", 1, [0.1, 0.05]),
    "plateau_max_abs": lambda o: optim.PlateauSchedule(o, "max", 0.5, 0, 0.5, "abs", 0, 0.0, 0.02),
}


def rates_of(name, save_at=()):
    """Both groups' rates and the momentum at 50 steps."""
    one, two = (mg.Tensor(np.zeros(1), requires_grad=True) for _ in range(2))

    def make():
        return optim.SGD(
            [{"parameters": [one]}, {"parameters": [two], "rate": 0.1}], rate=1.0, momentum=0.9
        )

    optimizer = make()
    schedule = SCHEDULES[name](optimizer)
    rows = []
    for step, metric in enumerate(FIXTURE["metrics"]):
        if step in save_at:
            states = optimizer.state_dict(), schedule.state_dict()
            optimizer = make()
            schedule = SCHEDULES[name](optimizer)
            optimizer.load_state_dict(states[0])
            schedule.load_state_dict(states[1])
        rows.append([*schedule.rates, optimizer.groups[0]["momentum"]])
        optimizer.step()
        schedule.step(*([metric] * name.startswith("plateau")))
    return np.array(rows)


@pytest.mark.parametrize("name", SCHEDULES)
def test_fifty_steps_of_a_schedule_are_pytorchs(name):
    expected = FIXTURE[f"schedule_{name}"]
    assert len(np.unique(expected, axis=0)) > 1
    np.testing.assert_allclose(rates_of(name), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_saved_schedule_goes_on_exactly(name):
    np.testing.assert_array_equal(rates_of(name, save_at=(0, 3, 20)), rates_of(name))


def test_every_array_of_the_fixture_is_compared():
    names = {f"schedule_{name}" for name in SCHEDULES} | set(OPTIMIZERS)
    names |= {f"clip_norm{order}" for order in ("", "_1", "_inf", "_3", "_half")}
    names |= {"norms", "clip_value", "average"}
    names |= {"walk_onecycle", "start", "noise", "metrics", "state_codes", "state_output"}
    assert names == set(FIXTURE.files)
