"""The tape as a whole: edges, orders, long chains, memory, and what it refuses."""

import gc
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.backward import pull_back
from minigrad.core.blocks import observed_by
from minigrad.core.errors import GradientError, ShapeError
from minigrad.core.observer import Observer
from minigrad.debug.graph_view import saved_arrays

ROOT = Path(mg.__file__).parents[1]


def run_alone(program: str) -> list[str]:
    """Run a program in a fresh process, and return the words that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


# -- edges and accumulation ----------------------------------------------------------------------


def test_a_product_with_itself_has_two_edges():
    x = mg.Tensor(3.0, requires_grad=True)
    y = x * x
    assert y._node.inputs == (x._node, x._node)
    seen: list[Any] = []

    class Edges(Observer):
        def edge(self, node, gradient, slot, source, part):
            if node is y._node and source is not None:
                seen.append((slot, float(part)))

    with observed_by(Edges()):
        pull_back([(y._node, np.float32(1.0))])
    assert seen == [(0, 3.0), (1, 3.0)]


def test_gradients_accumulate_over_uses_and_over_backwards():
    x = mg.Tensor([1.0, 2.0], requires_grad=True)
    (x * x + x + x[0]).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2 + 1 + 2, 4 + 1])
    first = x.grad
    (3 * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [8.0, 8.0])
    np.testing.assert_array_equal(first.numpy(), [5.0, 5.0])  # what was read stays as it was
    x.zero_grad()
    assert x.grad is None


@pytest.mark.parametrize("hooked", [0, 1, 2])
def test_leaves_with_and_without_hooks_get_whole_gradients(hooked):
    """One is reached early and again late, one by parts of it alone, and one in between."""
    seen = []
    leaves = [mg.Tensor(v, requires_grad=True) for v in ([1.0, 2.0], [3.0, 4.0, 5.0], [6.0, 7.0])]
    a, b, c = leaves
    leaves[hooked].register_hook(lambda g: seen.append(g.tolist()))
    y = a * b[:2] * b[1:] + c
    (y * y * a).sum().backward()
    # y = a b0 b1 + c, and the loss y^2 a: by y, 2 y a
    y = np.array([18.0, 47.0])
    by_y, x, w = 2 * y * [1.0, 2.0], np.array([3.0, 4.0]), np.array([4.0, 5.0])
    by_b = np.array([1.0, 2.0]) * by_y
    wanted = [by_y * x * w + y**2, np.append(by_b * w, 0) + np.append(0, by_b * x), by_y]
    for leaf, gradient in zip(leaves, wanted, strict=True):
        assert leaf.grad is not None
        assert leaf.grad.tolist() == gradient.tolist()
    assert seen == [wanted[hooked].tolist()]


@pytest.mark.parametrize("count", [1, 3])
def test_a_kernel_that_sends_back_too_little_or_too_much_is_no_silent_gradient(count):
    @mg.fused(
        reference=lambda x, w: x * w, backward=lambda *given: [np.ones(2, np.float32)] * count
    )
    def product(x, w):
        return x * w, None

    x, w = (mg.Tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    with pytest.raises(ValueError, match="zip"):
        product(x, w).sum().backward()


def test_adding_up_does_not_write_into_shared_gradients():
    # g goes to both inputs of an addition; the sum for one must not change that of the other.
    a, b = (mg.Tensor([1.0], requires_grad=True) for _ in range(2))
    s = a + b
    (s + s + s + 2 * a + 3 * a + 4 * a).sum().backward()
    assert (a.grad.item(), b.grad.item()) == (12.0, 3.0)
    seed = np.ones(1, np.float32)
    (a + b + a + a).backward(seed)
    assert seed.item() == 1.0


def test_a_diamond_waits_for_all_of_its_paths():
    x = mg.Tensor(2.0, dtype="float64", requires_grad=True)
    y = x
    for _ in range(40):
        y = y + y  # 2 ** 40 paths
    y.backward()
    assert x.grad.item() == 2.0**40


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(
    ("shape", "whole"),
    [
        ((1, 3), (2, 4, 3)),
        ((3, 1), (2, 3, 4)),
        ((2, 1, 3, 1), (5, 2, 4, 3, 2)),
        ((1,), (4,)),
        ((), (2, 3)),
        ((1, 1), (5, 1, 1)),
        ((1, 2), (3, 2)),
        ((3,), (0, 3)),
        ((1, 3), (2, 0, 3)),
    ],
)
def test_gradients_are_summed_over_the_axes_that_were_broadcast(shape, whole, create_graph):
    x = mg.Tensor(np.zeros(shape), requires_grad=True)
    g = np.random.default_rng(0).standard_normal(whole)
    y = x + np.zeros(whole)
    found = mg.gradients(y, x, create_graph, gradient=mg.Tensor(g)).numpy()
    place = np.broadcast_to(np.arange(x.size).reshape(shape), whole)  # where each number came from
    expected = np.bincount(place.ravel(), g.ravel(), minlength=x.size).reshape(shape)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


def test_gradients_add_up_and_are_recorded_where_they_are_asked_to_be():
    x = mg.Tensor(3.0, requires_grad=True)
    for _ in range(2):
        (x * x).backward(create_graph=True)
    assert x.grad.item() == 12.0
    assert mg.gradients(x.grad, x).item() == 4.0
    (x * x).backward()
    assert x.grad.item() == 18.0
    assert not x.grad.requires_grad


def test_a_rule_may_return_a_number():
    @mg.primitive
    def double(x):
        return 2 * x

    double.vjp(x=lambda g: 2.0)
    x = mg.Tensor(1.5, requires_grad=True)
    double(x).backward()
    assert (x.grad.item(), x.grad.dtype, x.grad.shape) == (2.0, np.float32, ())
    w = mg.Tensor([1.5, 2.0], requires_grad=True)
    with pytest.raises(ShapeError, match=r"returned a gradient of shape \(\)"):
        double(w).sum().backward()


def test_half_precision_gradients_are_summed_beyond_2048_terms():
    x = mg.Tensor(np.zeros((1, 2), np.float16), requires_grad=True)
    (x + np.zeros((5000, 2), np.float16)).sum().backward()
    assert x.grad.tolist() == [[5000.0, 5000.0]]


def test_gradients_are_those_of_leaves_and_of_the_nodes_that_are_kept():
    x = mg.Tensor([2.0, 3.0], requires_grad=True)
    h = x * x
    e = mg.exp(h)
    e.register_hook(lambda g: None)
    start = np.full(2, 2, e.dtype)
    found = pull_back([((e * 1)._node, start), (None, start)], [h._node])
    np.testing.assert_allclose(found.pop(h._node), 2 * np.exp([4.0, 9.0]), rtol=1e-6)
    np.testing.assert_allclose(found.pop(x._node), np.exp([4.0, 9.0]) * [8, 12], rtol=1e-6)
    assert not found


def test_gradient_of_given_start():
    x = mg.Tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    y.backward(np.array([1.0, 10.0]))
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 40.0])
    assert x.grad.dtype == np.float32


# -- orders --------------------------------------------------------------------------------------


def test_create_graph_gives_second_order_and_keeps_the_graph():
    x = mg.Tensor(2.0, dtype="float64", requires_grad=True)
    y = x**3
    y.backward(create_graph=True)
    first = x.grad
    assert first.requires_grad
    assert first.item() == 12.0
    x.grad = None
    first.backward()
    assert x.grad.item() == 12.0
    x.grad = None
    y.backward()  # create_graph kept the saved arrays
    assert x.grad.item() == 12.0


def test_a_second_backward_raises_unless_the_graph_was_retained():
    x = mg.Tensor(2.0, requires_grad=True)
    y = np.tanh(x) * x
    y.backward(retain_graph=True)
    once = x.grad.item()
    y.backward()
    assert x.grad.item() == pytest.approx(2 * once)
    with pytest.raises(GradientError, match=r"freed by an earlier backward.*retain_graph=True"):
        y.backward()
    # Also where only a part of the graph was freed.
    shared = np.exp(x)
    shared.backward()
    with pytest.raises(GradientError, match="backward through exp: its saved arrays were freed"):
        (shared * 2).backward()


def test_refused_starts():
    x = mg.Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(GradientError, match=r"backward from f32\[2\].*t\.sum\(\).*shape \(2,\)"):
        (x * 2).backward()
    with pytest.raises(GradientError, match=r"does not require grad.*no_grad"):
        mg.Tensor(1.0).backward()
    with pytest.raises(ShapeError, match=r"gradient: must have the shape.*\(2,\), got \(3,\)"):
        (x * 2).backward(np.ones(3))


def test_a_written_leaf_refuses_the_old_graph():
    x = mg.Tensor([1.0, 2.0], requires_grad=True)
    x.name = "weight"
    reads, forgets = (x * x).sum(), (x + 1).sum()
    view = (x.reshape(2, 1) * x.reshape(1, 2)).sum()
    with mg.no_grad():
        x -= 1.0
    forgets.backward()  # needs no values
    for y in (reads, view):
        with pytest.raises(GradientError, match=r"leaf 'weight' f32.* was written in place"):
            y.backward()


# -- long chains ---------------------------------------------------------------------------------


def test_a_chain_of_200_000_nodes_under_a_recursion_limit_of_100():
    words = run_alone(
        """
import sys
import minigrad as mg
x = mg.Tensor(1.0, dtype="float64", requires_grad=True)
(x + 0.0).backward()  # whatever is compiled once is compiled now
x.grad = None
sys.setrecursionlimit(100)
y = x
for _ in range(200_000):
    y = y * 1.00001
nodes = len(mg.graph(y))
y.backward()
print(nodes, x.grad.item())
del y
"""
    )
    assert int(words[0]) == 200_001
    assert float(words[1]) == pytest.approx(1.00001**200_000, rel=1e-9)


def test_a_million_nodes_in_a_thread_with_a_small_stack():
    words = run_alone(
        """
import gc, threading, weakref
import minigrad as mg
threading.stack_size(2**20)
x = mg.Tensor(1.0, dtype="float64", requires_grad=True)
results = []

def work():
    with mg.paused_gc():
        y = x
        for _ in range(1_000_000):
            y = y + 1.0
        first = weakref.ref(mg.graph(y).nodes[1])
        y.backward(retain_graph=True)
        alive = first() is not None
        del y  # a million nodes freed, one after the other
        results.append((alive, first() is None, x.grad.item()))

thread = threading.Thread(target=work)
thread.start()
thread.join()
print(*results[0])
"""
    )
    assert words == ["True", "True", "1.0"]


# -- memory --------------------------------------------------------------------------------------


@pytest.fixture
def no_gc():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def make_graph(x: Any) -> Any:
    h = np.tanh(x @ x.T)
    parts = [h[i] for i in range(3)]
    joined = mg.softmax(mg.stack(parts), axis=-1) + mg.concatenate([h[:2], h[2:]])
    return mg.cross_entropy(joined * h, np.arange(3))


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("how", ["backward", "never", "retained", "gradients", "fails"])
def test_graphs_are_freed_by_reference_count_alone(how):
    x = mg.Tensor(np.eye(3), requires_grad=True)
    loss = make_graph(x)
    nodes = [weakref.ref(node) for node in mg.graph(loss) if node is not x._node]
    arrays = [
        weakref.ref(array)
        for ref in nodes
        for array in saved_arrays(ref().saved)
        if array is not x._array and array.base is not x._array
    ]
    assert len(nodes) > 8
    assert arrays
    if how == "backward":
        loss.backward()
    elif how == "retained":
        loss.backward(retain_graph=True)
    elif how == "gradients":
        mg.gradients(loss, x, create_graph=True)
    elif how == "fails":
        mg.graph(loss).nodes[2].register_hook(lambda inputs, outputs: 1 / 0)
        with pytest.raises(ZeroDivisionError, match="division"):
            loss.backward()
    del loss
    assert [ref() for ref in nodes if ref() is not None] == []
    assert [ref() for ref in arrays if ref() is not None] == []


@pytest.mark.usefixtures("no_gc")
def test_transforms_leave_nothing_behind():
    x = mg.Tensor(np.eye(3), requires_grad=True)
    seen = []

    def f(x):
        loss = make_graph(x)
        seen.extend(weakref.ref(node) for node in mg.graph(loss))
        return loss

    plain = x.detach()
    mg.grad(f)(plain)
    mg.value_and_grad(f)(plain)
    mg.vjp(f, plain)[1](1.0)
    mg.jvp(f, plain, plain)
    mg.hvp(f, plain, plain)
    mg.grad(mg.checkpoint(f))(plain)
    assert len(seen) > 60
    assert [ref() for ref in seen if ref() is not None] == []


@pytest.mark.usefixtures("no_gc")
def test_backward_frees_saved_arrays_on_its_way_and_keeps_the_structure():
    x = mg.Tensor(np.ones(4), requires_grad=True)
    y = x
    for _ in range(5):
        y = np.tanh(y)
    nodes = mg.graph(y).nodes[1:]
    alive = []
    x.register_hook(lambda g: alive.extend(node.saved is not None for node in nodes))
    y.sum().backward()
    assert alive == [False] * 5
    assert [node.shape for node in nodes] == [(4,)] * 5


def test_gradients_neither_alias_nor_hold_larger_arrays():
    x = mg.Tensor(np.ones(3), requires_grad=True)
    big = mg.Tensor(np.ones(1000), requires_grad=True)
    (mg.concatenate([x, big]) * 2).sum().backward()
    assert x.grad._array.base is None
    (x * 0 + mg.broadcast_to(x.sum(), (3,))).sum().backward()
    assert x.grad._array.flags.writeable
