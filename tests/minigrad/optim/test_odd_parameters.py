"""Parameters without axes, without numbers, in float16 or strided, and steps that fail."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim

KINDS = {
    "SGD": lambda p: optim.SGD(p, 0.1, momentum=0.9),
    "ASGD": lambda p: optim.ASGD(p, 0.1, t0=2),
    "Adadelta": optim.Adadelta,
    "Adagrad": lambda p: optim.Adagrad(p, 0.1),
    "Adam": lambda p: optim.Adam(p, 0.1, amsgrad=True),
    "AdamW": lambda p: optim.AdamW(p, 0.1),
    "Adamax": lambda p: optim.Adamax(p, 0.1),
    "NAdam": lambda p: optim.NAdam(p, 0.1),
    "RAdam": lambda p: optim.RAdam(p, 0.1),
    "RMSprop": lambda p: optim.RMSprop(p, 0.1, centered=True, momentum=0.5),
    "Rprop": optim.Rprop,
}


def test_every_optimizer_is_here():
    classes = [getattr(optim, name) for name in optim.__all__]
    kinds = {c.__name__ for c in classes if isinstance(c, type) and issubclass(c, optim.Optimizer)}
    assert kinds - {"Optimizer"} == set(KINDS)


def run(kind, start, steps=4, resumed_at=None):
    """The parameter after some steps along its own value, and the optimiser."""
    parameter = mg.Tensor(start, requires_grad=True)
    optimizer = KINDS[kind]([parameter])
    for step in range(steps):
        if step == resumed_at:
            state = optimizer.state_dict()
            optimizer = KINDS[kind]([parameter])
            optimizer.load_state_dict(state)
        optimizer.zero_grad()
        (parameter * parameter).sum().backward()
        optimizer.step()
    return parameter, optimizer


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_a_learnable_scalar_moves_like_a_vector_of_one(kind, dtype):
    scalar, optimizer = run(kind, np.asarray(1.5, dtype))
    vector, _ = run(kind, np.asarray([1.5], dtype))
    resumed, _ = run(kind, np.asarray(1.5, dtype), resumed_at=2)
    assert scalar.shape == ()
    assert scalar.dtype == dtype
    assert scalar.item() == vector.item() == resumed.item() != 1.5
    arrays = {k: v for k, v in optimizer.state_dict().items() if k.startswith("state.")}
    assert all(array.shape == () for array in arrays.values())


@pytest.mark.parametrize("shape", [(0,), (3, 0)])
@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_parameter_stays_empty(kind, shape):
    parameter, optimizer = run(kind, np.zeros(shape, np.float32), resumed_at=1)
    assert parameter.shape == shape
    assert optimizer.steps == 4


@pytest.mark.parametrize("kind", KINDS)
def test_float16_is_updated_as_exactly_as_it_can_be(kind):
    # Squares of these gradients vanish in float16, and so does an epsilon of 1e-8.
    start = np.array([1e-4, -3e-4, 0.0, 1.0])
    exact, _ = run(kind, start)
    half, _ = run(kind, start.astype(np.float16))
    resumed, _ = run(kind, start.astype(np.float16), resumed_at=2)
    assert half.dtype == np.float16
    np.testing.assert_allclose(half.numpy(), exact.numpy(), rtol=0.02, atol=2e-3)
    np.testing.assert_array_equal(half.numpy(), resumed.numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_strided_parameters_move_like_dense_ones(kind):
    wide = np.random.default_rng(0).standard_normal((4, 6))
    strided, _ = run(kind, wide.T[::2], resumed_at=1)
    dense, _ = run(kind, np.ascontiguousarray(wide.T[::2]))
    np.testing.assert_array_equal(strided.numpy(), dense.numpy())


class Failing(optim.Adam):
    """Fails at the second parameter while it is told to."""

    failing = False

    def update(self, value, gradient, state, options):
        new = super().update(value, gradient, state, options)
        if self.failing and value.size == 2:
            raise FloatingPointError("planted")
        return new


def test_a_step_that_fails_changes_nothing():
    parameters = [mg.Tensor(np.ones(n), requires_grad=True) for n in (3, 2, 1)]
    optimizer = Failing(parameters, 0.1, amsgrad=True)

    def go():
        for parameter in parameters:
            parameter.grad = np.full(parameter.shape, 0.5)
        optimizer.step()

    go()
    values = [parameter.numpy().copy() for parameter in parameters]
    state = optimizer.state_dict()
    optimizer.failing = True
    with pytest.raises(FloatingPointError, match="planted"):
        go()
    after = optimizer.state_dict()
    assert after.keys() == state.keys()
    assert all(np.array_equal(after[name], state[name]) for name in state)
    for parameter, value in zip(parameters, values, strict=True):
        np.testing.assert_array_equal(parameter.numpy(), value)


NO_WARNING = {"SGD", "ASGD", "RAdam", "Rprop"}
"""Those that neither divide by an infinite number nor square one in their first two steps."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_warning_made_an_error_leaves_a_step_undone(kind):
    first, second = (mg.Tensor(np.ones(1, np.float32), requires_grad=True) for _ in range(2))
    optimizer = KINDS[kind]([first, second])
    first.grad, second.grad = [1.0], [1.0]
    optimizer.step()
    state, values = optimizer.state_dict(), (first.item(), second.item())
    second.grad = np.array([np.inf], np.float32)
    with np.errstate(all="raise"):
        if kind in NO_WARNING:
            optimizer.step()
            assert (first.item(), second.item()) != values
            return
        with pytest.raises(FloatingPointError):
            optimizer.step()
    after = optimizer.state_dict()
    assert all(np.array_equal(after[name], state[name]) for name in state)
    assert (first.item(), second.item()) == values


def test_an_update_of_another_shape_is_refused():
    class Wrong(optim.SGD):
        def update(self, value, gradient, state, options):
            return value[:1]

    parameter = mg.Tensor([1.0, 2.0], requires_grad=True)
    parameter.grad = [1.0, 1.0]
    with pytest.raises(mg.ShapeError, match=r"Wrong: update must return .*f32\[2\], got f32\[1\]"):
        Wrong([parameter]).step()


@pytest.mark.parametrize("order", [0.5, 1, 2, 3, 100, math.inf])
@pytest.mark.parametrize("scale", [1e-200, 1, 1e200])
def test_any_norm_clips_without_overflow(order, scale):
    one, two = np.array([3.0, -4.0]), np.array(2.0)
    leaves = [mg.Tensor(np.zeros(a.shape), requires_grad=True) for a in (one, two)]
    for leaf, gradient in zip(leaves, (one, two), strict=True):
        leaf.grad = gradient * scale
    norm = optim.clip_grad_norm(leaves, 1e-3 * scale, order)
    expected = np.linalg.norm([3.0, 4.0, 2.0], order)
    assert norm == pytest.approx(expected * scale)
    after = [x for leaf in leaves for x in np.ravel(leaf.grad.numpy())]
    if scale >= 1:  # of smaller ones the 1e-6 that is added to the norm makes more
        assert np.linalg.norm(np.array(after) / scale, order) == pytest.approx(1e-3, rel=1e-5)
    assert leaves[1].grad.shape == ()


def test_float16_gradients_are_clipped_without_overflow():
    leaf = mg.Tensor(np.zeros(100, np.float16), requires_grad=True)
    leaf.grad = np.full(100, 3e4, np.float16)
    assert optim.clip_grad_norm([leaf], 10.0) == pytest.approx(3e5, rel=1e-3)
    np.testing.assert_allclose(leaf.grad.numpy(), 1.0, rtol=1e-3)


def test_averages_and_checkpoints_hold_scalars(tmp_path):
    scalar = mg.Tensor(1.0, requires_grad=True)
    empty = mg.Tensor(np.zeros((0, 2)), requires_grad=True)
    average = optim.ExponentialAverage([scalar, empty], decay=0.5)
    average.update()
    scalar.write(np.asarray(3.0, np.float32))
    average.update()
    assert [array.shape for array in average.averages] == [(), (0, 2)]
    with average.swapped_in():
        assert scalar.item() == 2.0
    for file in ("weights.safetensors", "weights.npz"):
        mg.save(tmp_path / file, average.state_dict())
        average.load_state_dict(mg.load(tmp_path / file))
        assert average.averages[0].shape == ()
