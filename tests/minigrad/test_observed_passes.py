"""Backward passes beside observers and odd rules: no gradient depends on who looks on."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.blocks import observed_by
from minigrad.core.observer import Observer


def leaf(values):
    return mg.Tensor(np.asarray(values, float), requires_grad=True)


class Nobody(Observer):
    """Looks at calls and edges, and does nothing."""

    def call(self, applied):
        pass

    def edge(self, node, gradient, slot, source, part):
        pass


MODES = {
    "anomaly": mg.anomaly_mode,
    "replay": lambda: mg.recording(replay=True),
    "observer": lambda: observed_by(Nobody()),
}


def test_a_rule_that_returns_arrays_in_a_recorded_pass():
    @mg.primitive
    def twice(a):
        return a * 2

    twice.vjp(a=lambda g: np.full(3, 2.0))
    x = leaf([1, 2, 3])
    found = mg.gradients((x**3 + twice(x) + twice(x)).sum(), x, create_graph=True)
    assert found.tolist() == [7.0, 16.0, 31.0]
    assert mg.gradients(found.sum(), x).tolist() == [6.0, 12.0, 18.0]


@pytest.mark.parametrize("values", ["eigh", "svd"])
def test_equal_values_beside_a_graph_that_was_freed(values):
    x = leaf([1, 2, 3])
    h = mg.exp(x)
    h.sum().backward()
    a = leaf(np.eye(3) * 2)
    if values == "eigh":
        _, v = mg.linalg.eigh(a)
        rebuilt = v @ v.T
    else:
        u, s, vt = mg.linalg.svd(a)
        rebuilt = (u * s) @ vt
    found = mg.gradients((rebuilt * h.detach() + 0 * h).sum(), a)
    expected = np.zeros((3, 3)) if values == "eigh" else np.broadcast_to(h.numpy(), (3, 3))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_a_reference_that_closes_over_a_tensor_with_a_history():
    seen = []
    c = leaf(2.0)
    k = mg.exp(c)
    k.backward()
    k.register_hook(seen.append)

    @mg.fused(
        reference=lambda x: x * k * x,
        backward=lambda grads, residuals, inputs, needed: (2 * grads[0] * residuals * inputs[0],),
    )
    def squares(x):
        return x * x * k.item(), k.item()

    x = leaf([1, 2])
    found = mg.gradients(squares(x).sum(), x, create_graph=True)
    np.testing.assert_allclose(found.numpy(), 2 * np.exp(2.0) * np.array([1, 2]))
    assert seen == []


def overflow(x):
    return (x * 3e38).sum() + (x * 3e38).sum()


@pytest.mark.parametrize("transform", [mg.grad, mg.value_and_grad])
def test_anomaly_mode_sees_sums_that_end_at_the_inputs_of_a_transform(transform):
    x = mg.Tensor([1e-3], dtype="float32")
    with mg.anomaly_mode(), pytest.raises(mg.AnomalyError, match="when they were added up"):
        transform(overflow)(x)


def test_anomaly_mode_sees_the_gradient_of_a_computed_target():
    x = mg.Tensor([1e-3], dtype="float32", requires_grad=True)
    h = x * 1.0
    with mg.anomaly_mode(), pytest.raises(mg.AnomalyError, match="when they were added up"):
        mg.gradients(overflow(h), h)


def test_a_checkpoint_is_blamed_for_nothing_that_came_to_it():
    def f(x):
        return x * 1.0

    x = mg.Tensor([1e-3], dtype="float32", requires_grad=True)
    with mg.anomaly_mode():
        loss = overflow(mg.checkpoint(f)(x))
        with pytest.raises(mg.AnomalyError, match=r"backward at checkpoint\(f\)"):
            loss.backward()


@pytest.mark.parametrize("mode", MODES)
def test_the_sign_of_zero_does_not_depend_on_who_looks_on(mode):
    def slope():
        x = leaf([1, 1, 1, 1])
        y = x * 1.0
        ((y[:2] * -0.0).sum() + (y * -0.0).sum()).backward()
        return np.signbit(x.grad.numpy()).tolist()

    plain = slope()
    with MODES[mode]():
        assert slope() == plain


@pytest.mark.parametrize("mode", MODES)
def test_generators_of_ones_own_are_asked_whoever_looks_on(mode):
    class Zeros(np.random.Generator):
        def random(self, *args, **options):
            return np.zeros_like(super().random(*args, **options))

    with MODES[mode]():
        dropped = mg.dropout(mg.Tensor(np.ones(4)), 0.5, generator=Zeros(np.random.PCG64(3)))
    assert dropped.tolist() == [0.0] * 4


def test_operations_that_return_their_input_are_replayed():
    with mg.recording(replay=True):
        z = mg.squeeze(np.ones(3))
    assert mg.graph(z).replay().tolist() == [1.0] * 3


def test_variable_arguments_are_no_inputs():
    def inner(*args, **options):
        return args[0]

    with pytest.raises(ValueError, match="it has no array input"):
        mg.primitive(inner)

    @mg.primitive
    def doubled(x, **options):
        return x * 2

    assert doubled(mg.Tensor([1.0])).tolist() == [2.0]
    with pytest.raises(TypeError, match="unexpected keyword argument 'axis'"):
        doubled(mg.Tensor([1.0]), axis=0)


def test_one_rule_for_two_pairs_of_inputs():
    @mg.primitive
    def weighted(a, b, c, d):
        return a + 2 * b + 3 * c + 4 * d

    def rule(g):
        return g * 1, g * 2

    weighted.joint_vjp("a", "b")(rule)
    weighted.joint_vjp("c", "d")(rule)
    leaves = [leaf(1.0) for _ in range(4)]
    assert [g.item() for g in mg.gradients(weighted(*leaves), leaves)] == [1.0, 2.0, 1.0, 2.0]


def test_several_outputs_that_are_parts_refuse_to_be_written():
    @mg.primitive(outputs=("p", "q"), view=True)
    def halves(x):
        return x[:1], x[1:]

    p, _ = halves(mg.Tensor([1.0, 2.0]))
    with pytest.raises(mg.ReadOnlyError):
        p[0] = 3


@pytest.mark.parametrize("wrong", [lambda x: [x, x], lambda x: np.stack([x, x])])
def test_a_forward_that_returns_no_tuple_is_refused(wrong):
    @mg.primitive(outputs=("p", "q"))
    def pair(x):
        return wrong(x)

    with pytest.raises(mg.DtypeError, match="pair: must return a tuple of p, q"):
        pair(mg.Tensor([1.0]))


def test_a_node_hook_on_several_outputs_keeps_the_history():
    x = leaf([1.0, 2.0, 3.0, 4.0])
    first, second = mg.split(x * x, 2)
    node = first._node.inputs[0]
    with node.register_hook(lambda inputs, outputs: tuple(2 * g for g in inputs)):
        (first**2 + second).sum().backward(create_graph=True)
    assert x.grad.requires_grad


def test_edges_of_outputs_that_depend_on_no_input_are_not_told():
    seen = []

    class Edges(Observer):
        def edge(self, node, gradient, slot, source, part):
            seen.append((None if node is None else node.plan.name, slot, part.tolist()))

    x, other = leaf([1, 2]), leaf([3, 4])
    with observed_by(Edges()):
        _, back = mg.vjp(lambda a: (a * 2.0, other * 3.0), x)
        (found,) = back((np.ones(2), np.ones(2)))
    assert found.tolist() == [2, 2]
    assert seen == [(None, 0, [1, 1]), ("multiply", -1, [1, 1]), ("multiply", 0, [2, 2]),
                    ("alias", -1, [2, 2])]  # fmt: skip


def test_a_pass_within_a_function_that_is_traced_gives_its_gradient():
    slope = mg.compile(lambda a: mg.grad(lambda b: (b**3).sum())(a))
    for values in ([1.0, 2.0], [1.0, 3.0]):  # traced, and then run as a program
        assert slope(np.array(values)).tolist() == [3 * value**2 for value in values]


class Recorder(Nobody):
    """Has the rules of every pass run on tensors."""

    looks_at_calls = looks_at_edges = records_passes = True

    def __init__(self):
        self.edges, self.calls = [], []

    def call(self, applied):
        self.calls.append(applied.operation.name)

    def edge(self, node, gradient, slot, source, part):
        self.edges.append((node, slot, source))


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("observer", [Nobody(), Recorder()])
def test_hooks_are_recorded_with_create_graph_alone(observer, create_graph):
    x, w = leaf([2.0]), leaf([3.0])
    recorded = []
    x.register_hook(lambda g: recorded.append((g * w).requires_grad))
    with observed_by(observer):
        (x * x).sum().backward(create_graph=create_graph)
    assert recorded == [create_graph]
    assert x.grad.requires_grad is create_graph
    assert x.grad.tolist() == [4.0]


def test_an_observer_is_told_of_each_edge_and_of_whole_gradients():
    observer = Recorder()
    x = leaf([2.0])
    y = 3 - x
    with observed_by(observer):
        y.backward()
    start, end = (None, 0, y._node), (x._node, -1, None)
    assert observer.edges == [start, (y._node, -1, None), (y._node, 1, x._node), end]


def test_an_observer_may_see_the_operations_of_rules():
    observer = Recorder()
    x = leaf([2.0])
    y = np.sin(x)
    with observed_by(observer):
        y.backward()
    assert observer.calls == ["cos", "multiply"]


def test_an_observer_is_told_of_no_gradient_that_nobody_asked_for():
    observer = Recorder()
    x, z = leaf([2.0]), leaf([3.0])
    with observed_by(observer):
        mg.gradients(x * z, x)
    sources = [source for _, _, source in observer.edges]
    assert x._node in sources
    assert z._node not in sources


def test_infinities_that_a_pass_within_a_recorded_one_masks_are_no_anomaly():
    x, z = leaf([0.0, 2.0]), leaf([0.0, 4.0])
    z.register_hook(lambda g: mg.where(z.detach() == 0, 0.0, 1 / z.detach()))
    x.register_hook(lambda g: g * mg.gradients((z * 3).sum(), z))
    with mg.anomaly_mode():
        (x * 2).sum().backward(create_graph=True)
    assert x.grad.tolist() == [0.0, 0.5]
