"""Hooks on tensors and nodes, and retained gradients."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.errors import GradientError, ShapeError


def test_a_hook_sees_the_whole_gradient_once():
    x = mg.Tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    seen = []
    y.register_hook(lambda g: seen.append(g.numpy()))
    (y * y + y).sum().backward()
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0], [5.0, 9.0])


def test_a_hook_replaces_the_gradient():
    x = mg.Tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    y.register_hook(lambda g: g * 10)
    y.register_hook(lambda g: np.asarray(g) + 1)  # in order, and arrays may be returned
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [33.0, 33.0])
    assert x.grad.dtype == np.float32


def test_hooks_of_leaves_run_and_are_removed():
    x = mg.Tensor(2.0, requires_grad=True)
    handle = x.register_hook(lambda g: g * 0)
    (x * x).backward()
    assert x.grad.item() == 0.0
    handle.remove()
    handle.remove()  # once more does no harm
    (x * x).backward()
    assert x.grad.item() == 4.0
    with x.register_hook(lambda g: g * 0) as inner:
        assert inner is not handle
        (x * x).backward()
    assert x.grad.item() == 4.0
    (x * x).backward()
    assert x.grad.item() == 8.0


def test_a_hook_may_remove_itself():
    x = mg.Tensor(2.0, requires_grad=True)
    calls = []

    def once(g):
        calls.append(g.item())
        handle.remove()

    handle = x.register_hook(once)
    for _ in range(2):
        (x * x).backward()
    assert calls == [4.0]


def test_a_hook_is_recorded_with_create_graph():
    x = mg.Tensor(3.0, requires_grad=True)
    y = x * x
    y.register_hook(lambda g: g * x)
    slope = mg.gradients(y, x, create_graph=True)  # x * 2 x
    assert slope.item() == 18.0
    assert mg.gradients(slope, x).item() == 12.0


def test_an_array_from_a_hook_is_a_constant_with_create_graph():
    x = mg.Tensor([3.0], requires_grad=True)
    y = x * x
    y.register_hook(lambda g: np.array([10.0], np.float64))
    slope = mg.gradients(y.sum(), x, create_graph=True)  # 10 * 2 x
    assert slope.tolist() == [60.0]
    assert slope.dtype == np.float32
    assert mg.gradients(slope.sum(), x).tolist() == [20.0]


def test_hooks_run_for_gradients_and_not_for_the_inputs_of_transforms():
    x = mg.Tensor(3.0, requires_grad=True)
    seen = []
    x.register_hook(lambda g: seen.append(g.item()))
    assert mg.gradients(x * x, x).item() == 6.0
    assert seen == [6.0]
    mg.grad(lambda x: x * x)(x)
    assert seen == [6.0]


def test_node_hooks_see_inputs_and_outputs_and_replace():
    x = mg.Tensor(np.ones((2, 3)), requires_grad=True)
    b = mg.Tensor(np.zeros(3), requires_grad=True)
    y = x + b
    node = mg.graph(y).outputs[0]
    seen = []
    handle = node.register_hook(lambda inputs, outputs: seen.append((inputs, outputs)))
    y.sum().backward(retain_graph=True)
    (inputs, outputs) = seen[0]
    assert [g.shape for g in inputs] == [(2, 3), (3,)]  # reduced over the broadcast axis
    assert [g.shape for g in outputs] == [(2, 3)]
    handle.remove()
    x.grad = b.grad = None
    with node.register_hook(lambda inputs, outputs: (inputs[0] * 2, None)):
        y.sum().backward(retain_graph=True)
    np.testing.assert_array_equal(x.grad.numpy(), np.full((2, 3), 2.0))
    assert b.grad is None
    node.register_hook(lambda inputs, outputs: (inputs[0],))
    with pytest.raises(ShapeError, match="a tuple of 2 gradients, one per input"):
        y.sum().backward(retain_graph=True)
    assert len(seen) == 1


def test_node_hooks_are_recorded_with_create_graph():
    x = mg.Tensor(3.0, requires_grad=True)
    y = np.square(x)
    mg.graph(y).outputs[0].register_hook(lambda inputs, outputs: tuple(g * x for g in inputs))
    slope = mg.gradients(y, x, create_graph=True)
    assert slope.item() == 18.0
    assert mg.gradients(slope, x).item() == 12.0


def test_node_hooks_of_operations_with_several_outputs():
    x = mg.Tensor([4.0, 5.0], requires_grad=True)

    @mg.primitive(outputs=("low", "high"))
    def halves(x):
        return x[:1] * 1, x[1:] * 1

    halves.vjp(x=lambda g: np.concatenate([g[0], g[1]]))
    low, _ = halves(x)
    node = next(n for n in mg.graph(low) if n.plan.name == "halves")
    seen = []
    node.register_hook(lambda inputs, outputs: seen.append((inputs, outputs)))
    low.sum().backward()
    (((g,), (g_low, g_high)),) = seen
    np.testing.assert_array_equal(g.numpy(), [1.0, 0.0])
    assert (g_low.item(), g_high.item()) == (1.0, 0.0)


def test_retained_gradients_of_computed_tensors_add_up():
    x = mg.Tensor([1.0, 2.0], requires_grad=True)
    y = (x * x).retain_grad()
    z = (y * 3).sum()
    assert y.grad is None
    z.backward(retain_graph=True)
    np.testing.assert_array_equal(y.grad.numpy(), [3.0, 3.0])
    z.backward()
    np.testing.assert_array_equal(y.grad.numpy(), [6.0, 6.0])
    assert y.grad.shape == y.shape
    x.retain_grad()  # a leaf has its gradient anyway, once
    (x * 2).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2 * 2 * 3 * np.array([1.0, 2.0]) + 2)


def test_a_retained_gradient_is_the_one_after_hooks():
    x = mg.Tensor(1.0, requires_grad=True)
    y = (x * 2).retain_grad()
    y.register_hook(lambda g: g * 5)
    y.backward()
    assert y.grad.item() == 5.0


def test_mistakes_say_what_to_do():
    with pytest.raises(GradientError, match=r"register_hook: .* does not require grad"):
        mg.Tensor(1.0).register_hook(print)
    with pytest.raises(GradientError, match=r"retain_grad: .* does not require grad"):
        mg.Tensor(1.0).retain_grad()
    x = mg.Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match="hook must be callable, got int"):
        x.register_hook(3)
    y = x * 2
    y.register_hook(lambda g: np.ones(3))
    with pytest.raises(ShapeError, match=r"hook on multiply: must return None or a gradient of"):
        y.sum().backward()


def test_anomaly_mode_looks_at_what_is_sent_and_followed_alone():
    """Not at a gradient that a hook takes away, nor at one of a leaf that is not asked for."""
    x = mg.Tensor([1.0, 2.0], requires_grad=True)
    w = mg.Tensor([0.0, 1.0], requires_grad=True)
    with mg.anomaly_mode():
        y = x * w
        mg.graph(y).outputs[0].register_hook(lambda inputs, outputs: (inputs[0] * 2, None))
        y.sum().backward()
        assert x.grad.tolist() == [0.0, 2.0]
        assert w.grad is None
        y = x + np.sqrt(w)  # whose slope at 0 is infinite
        assert mg.gradients(y.sum(), x).tolist() == [1.0, 1.0]
        with pytest.raises(mg.AnomalyError, match="sqrt"):
            mg.gradients(y.sum(), [x, w])
