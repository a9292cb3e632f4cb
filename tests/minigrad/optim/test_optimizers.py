import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.optim import SGD, Adadelta, Adagrad, Adam, AdamW, RMSprop, Rprop

ALL = [SGD, Adam, AdamW, RMSprop, Adagrad]


def leaf(*values):
    return mg.Tensor(np.array(values), requires_grad=True)


def textbook_adam(value, gradients, rate, beta1, beta2, epsilon):
    """Algorithm 1 of Kingma and Ba (2015)."""
    m = v = np.zeros_like(value)
    for t, g in enumerate(gradients, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        value = value - rate * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + epsilon)
    return value


@given(
    rate=st.floats(1e-4, 1.0),
    beta1=st.floats(0, 0.99),
    beta2=st.floats(0, 0.999),
    steps=st.integers(1, 8),
    seed=st.integers(0, 1000),
)
def test_adam_equals_the_paper(rate, beta1, beta2, steps, seed):
    generator = np.random.default_rng(seed)
    start, gradients = generator.standard_normal(3), generator.standard_normal((steps, 3))
    parameter = mg.Tensor(start, requires_grad=True)
    optimizer = Adam([parameter], rate, (beta1, beta2), 1e-8)
    for g in gradients:
        parameter.grad = g
        optimizer.step()
    expected = textbook_adam(start, gradients, rate, beta1, beta2, 1e-8)
    np.testing.assert_allclose(parameter.numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ALL)
def test_the_gradient_and_the_old_value_are_not_written_to(kind):
    parameter = leaf(1.0, -2.0)
    before, values = parameter.numpy(), parameter.numpy().copy()
    gradient = np.array([0.5, 0.25])
    parameter.grad = gradient
    optimizer = kind([parameter], weight_decay=0.1)
    for _ in range(3):
        optimizer.step()
    np.testing.assert_array_equal(parameter.grad.numpy(), [0.5, 0.25])
    np.testing.assert_array_equal(before, values)
    assert (parameter.numpy() != values).all()


@pytest.mark.parametrize("kind", ALL)
def test_every_optimizer_finds_the_minimum_of_a_bowl(kind):
    parameter = leaf(0.5, -0.25)
    optimizer = kind([parameter], rate=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        (parameter * parameter).sum().backward()
        optimizer.step()
    assert np.abs(parameter.numpy()).max() < 0.06


def test_parameters_without_gradient_stay():
    used, unused = (mg.Tensor([1.0], requires_grad=True) for _ in range(2))
    optimizer = Adam([used, unused], 0.1)
    (used * 2).sum().backward()
    optimizer.step()
    assert used.item() != 1
    assert unused.item() == 1
    assert used.dtype == np.float32


def test_frozen_parameters_are_passed_over_and_learn_once_they_may():
    learned, frozen = leaf(1.0), mg.Tensor([1.0])
    optimizer = SGD([learned, frozen], rate=0.5)
    (learned * frozen).sum().backward()
    optimizer.step()
    assert frozen.item() == 1
    frozen.requires_grad_()
    optimizer.zero_grad()
    (learned * frozen).sum().backward()
    optimizer.step()
    assert frozen.item() == 0.75


def test_bias_correction_counts_the_updates_of_each_parameter():
    early, late = leaf(1.0), leaf(1.0)
    optimizer = Adam([early, late], 0.1)
    for step in range(3):
        early.grad = [1.0]
        late.grad = [1.0] if step == 2 else None
        optimizer.step()
    assert late.item() == pytest.approx(0.9)  # a first step of Adam moves by its rate


def test_rate_is_that_of_all_groups():
    one, two = leaf(1.0), leaf(1.0)
    optimizer = SGD([{"parameters": one}, {"parameters": [two], "rate": 0.5}], rate=0.1)
    with pytest.raises(ValueError, match=r"groups have the rates \[0.1, 0.5\]"):
        optimizer.rate  # noqa: B018 - reading it raises
    optimizer.rate = 0.25
    assert [group["rate"] for group in optimizer.groups] == [0.25, 0.25]
    assert optimizer.rate == 0.25


def test_groups_may_come_later():
    one, two = leaf(1.0), leaf(1.0)
    optimizer = SGD([one], rate=0.1)
    optimizer.add_group({"parameters": [two], "rate": 0.5})
    one.grad, two.grad = [1.0], [1.0]
    optimizer.step()
    assert (one.item(), two.item()) == (0.9, 0.5)
    with pytest.raises(ValueError, match="is there twice"):
        optimizer.add_group({"parameters": [one]})
    assert repr(optimizer).splitlines()[1].startswith("  parameters=1, rate=0.1, momentum=0.0")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: Adam(p, lr=0.1, rate=0.1), "Adam: lr= and rate= are the same argument"),
        (lambda p: Adam(p, eps=1e-6), "write epsilon=1e-06"),
        (lambda p: SGD(params=p), r"params= of PyTorch is called parameters="),
        (lambda p: Adagrad(p, lr_decay=0.5), "write rate_decay=0.5"),
        (lambda p: SGD([{"parameters": p, "lr": 0.1, "rate": 1.0}]), "SGD: lr= and rate="),
        (lambda p: SGD([{"params": p}]), "called parameters="),
        (lambda p: SGD([{"rate": 0.1}]), "must have the key 'parameters'"),
        (lambda p: SGD([{"parameters": p, "betas": 1}]), "the option 'betas'; known are dampening"),
        (lambda p: SGD([3.0]), r"parameters\[0\] must be a tensor, got 3.0"),
        (
            lambda p: SGD(3.0),
            "^SGD: parameters must be a sequence of tensors or of groups, got float",
        ),
        (lambda p: SGD(p, maximize="yes"), "SGD: maximize must be True or False, got 'yes'"),
        (lambda p: SGD(p, rate="fast"), "SGD: rate must be a number, got 'fast'"),
        (lambda p: Adam(p, betas=0.9), "Adam: betas must be a pair of numbers, got 0.9"),
        (lambda p: Adam(p, betas=(0.9, None)), "Adam: betas must be numbers"),
        (lambda p: Rprop(p, etas=(0.5,)), "Rprop: etas must be a pair of numbers"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(TypeError, match=message):
        make([leaf(1.0)])


def test_a_module_in_place_of_its_parameters_is_refused():
    class Holder:
        def parameters(self):
            return []

    with pytest.raises(TypeError, match=r"got Holder; for a module, pass module.parameters\(\)"):
        SGD(Holder())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: Adam(p, -1.0), "rate must be 0 or more"),
        (lambda p: Adam(p, np.nan), "rate must be 0 or more"),
        (lambda p: Adam(p, betas=(0.9, 1.0)), r"betas must be in \[0, 1\)"),
        (lambda p: RMSprop(p, alpha=1.0), r"alpha must be in \[0, 1\)"),
        (lambda p: SGD(p, weight_decay=-0.1), "weight_decay must be 0 or more"),
        (lambda p: SGD(p, nesterov=True), "nesterov needs a momentum"),
        (lambda p: SGD(p, nesterov=True, momentum=0.9, dampening=0.1), "no dampening"),
        (lambda p: Rprop(p, etas=(1.2, 0.5)), "between 0 and 1 and one above 1"),
        (lambda p: Rprop(p, step_sizes=(1.0, 0.5)), "the smallest and the largest"),
        (lambda p: Adadelta(p, rho=1.0), r"rho must be in \[0, 1\)"),
        (lambda p: SGD([*p, *p]), r"parameters\[1\] f64\[1\] is there twice"),
    ],
)
def test_values_out_of_range_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make([leaf(1.0)])


def test_optimizer_refuses_what_it_cannot_write():
    with pytest.raises(mg.GradientError, match=r"parameters\[0\] f64\[1\] is not a leaf"):
        Adam([leaf(1.0) * 2])
    with pytest.raises(mg.GradientError, match="is empty"):
        Adam([])
    with pytest.raises(mg.GradientError, match="nor is any other"):
        Adam([mg.Tensor([1.0])])


def test_state_that_does_not_fit_is_listed_and_changes_nothing():
    parameter = leaf(1.0, 2.0)
    optimizer = Adam([parameter], 0.1)
    parameter.grad = [1.0, 1.0]
    optimizer.step()
    before = optimizer.state_dict()
    state = dict(before)
    del state["groups.0.rate"]
    state["state.3.mean"] = np.zeros(1)
    state["state.0.mean"] = np.zeros(5)
    state["other"] = np.zeros(1)
    with pytest.raises(KeyError) as info:
        optimizer.load_state_dict(state)
    for part in (
        "missing: groups.0.rate",
        "state of parameter 3, but there are 1 parameters",
        "state.0.mean has shape (5,) for f64[2]",
        "unexpected: other",
    ):
        assert part in str(info.value)
    after = optimizer.state_dict()
    assert after.keys() == before.keys()
    assert all(np.array_equal(after[name], before[name]) for name in before)
    other = Adam([{"parameters": [leaf(1.0)]}, {"parameters": [leaf(1.0)]}])
    with pytest.raises(KeyError, match="group 1 has 1 parameters here and none there"):
        other.load_state_dict(before)


def test_a_state_dict_is_a_copy_and_holds_all_options():
    parameter = leaf(1.0)
    optimizer = Adam([parameter], 0.1, amsgrad=True)
    parameter.grad = [1.0]
    optimizer.step()
    state = optimizer.state_dict()
    assert set(state) >= {"steps", "state.0.mean", "state.0.steps", "groups.0.parameters"}
    state["state.0.mean"][:] = 9
    assert optimizer.state_dict()["state.0.mean"].item() == pytest.approx(0.1)
    second = Adam([parameter], 0.7, betas=(0.5, 0.5))
    second.load_state_dict(optimizer.state_dict())
    assert second.groups[0]["betas"] == (0.9, 0.999)
    assert second.groups[0]["amsgrad"] is True
    assert second.rate == 0.1


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_copy_goes_on_alike_and_apart(copied):
    parameter = leaf(1.0)
    optimizer = Adam([parameter], 0.1)
    parameter.grad = [1.0]
    optimizer.step()
    other = copied(optimizer)
    (twin,) = other.parameters
    for tensor, stepper in ((parameter, optimizer), (twin, other)):
        tensor.grad = [0.5]
        stepper.step()
    assert twin is not parameter
    assert twin.item() == parameter.item()
    twin.grad = [5.0]
    other.step()
    assert twin.item() != parameter.item()


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_lr_is_another_name_of_rate(kind):
    def made(*parameters, **options):
        return kind([mg.Tensor([1.0], requires_grad=True)], *parameters, **options)

    assert made(lr=0.25).rate == made(rate=0.25).rate == made(0.25).lr == 0.25
    group = {"parameters": [mg.Tensor([1.0], requires_grad=True)], "lr": 0.5}
    optimizer = kind([group], lr=0.25)
    assert optimizer.groups[0]["rate"] == 0.5
    assert "lr" not in optimizer.groups[0]
    optimizer.lr = 0.125
    assert optimizer.rate == 0.125
