"""The kernels of recurrent layers against their step-by-step forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from layers.kernels import gru_sequence, lstm_sequence, rnn_sequence
from layers.kernels.packing import CHUNK
from minigrad.core.errors import ShapeError
from minigrad.testing import check_gradients

KINDS = {
    "rnn tanh": (rnn_sequence, 1, 1, {}),
    "rnn relu": (rnn_sequence, 1, 1, {"nonlinearity": "relu"}),
    "rnn sigmoid": (rnn_sequence, 1, 1, {"nonlinearity": "sigmoid"}),
    "lstm": (lstm_sequence, 4, 2, {}),
    "gru": (gru_sequence, 3, 1, {}),
}
sizes = st.integers(1, 3)


def arguments(kind, batch, time, features, hidden, seed, dtype=np.float64):
    generator = np.random.default_rng(seed)
    _, gates, states, _ = KINDS[kind]
    shapes = [(batch, time, features), *[(batch, hidden)] * states]
    shapes += [(gates * hidden, features), (gates * hidden, hidden), *[(gates * hidden,)] * 2]
    return [(0.7 * generator.standard_normal(shape)).astype(dtype) for shape in shapes]


def some_lengths(batch, time, seed):
    return np.random.default_rng(seed).integers(0, time + 1, batch)


def derivatives(function, arrays, **options):
    """Values, gradients, and the gradients of the gradients' squares."""
    leaves = [mg.Tensor(a, requires_grad=True) for a in arrays]
    outputs = function(*leaves, **options)
    loss = sum((k + 1) * (out * out * out).sum() for k, out in enumerate(outputs))
    first = mg.gradients(loss, leaves, create_graph=True)
    total = sum((g * g).sum() for g in first)
    return [*outputs, *first, *mg.gradients(total, leaves)]


@given(
    kind=st.sampled_from(sorted(KINDS)),
    batch=st.integers(0, 3),
    time=st.integers(1, 3),
    features=sizes,
    hidden=sizes,
    padded=st.booleans(),
    reverse=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_kernel_and_steps_agree_to_second_order(
    kind, batch, time, features, hidden, padded, reverse, seed
):
    function, _, _, options = KINDS[kind]
    arrays = arguments(kind, batch, time, features, hidden, seed)
    lengths = some_lengths(batch, time, seed) if padded else None
    options = {**options, "lengths": lengths, "reverse": reverse}
    fast = derivatives(function, arrays, **options)
    slow = derivatives(function.operation.reference, arrays, **options)
    for one, other in zip(fast, slow, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_gradients_against_differences(kind):
    function, _, _, options = KINDS[kind]
    arrays = arguments(kind, 3, 3, 2, 2, 0)
    lengths = np.array([2, 0, 3])
    check_gradients(
        lambda *leaves: list(function(*leaves, **options, lengths=lengths, reverse=True)), *arrays
    )


@given(kind=st.sampled_from(sorted(KINDS)), data=st.data())
def test_gradients_do_not_depend_on_which_are_wanted(kind, data):
    function, _, states, options = KINDS[kind]
    count = 5 + states
    needed = data.draw(st.lists(st.booleans(), min_size=count, max_size=count).filter(any))
    arrays = arguments(kind, 2, 3, 2, 2, 1)

    def gradients(flags):
        leaves = [mg.Tensor(a, requires_grad=flag) for a, flag in zip(arrays, flags, strict=True)]
        output, *last = function(*leaves, **options)
        ((output * output).sum() + sum((value * value).sum() for value in last)).backward()
        return [leaf.grad for leaf in leaves]

    for part, whole, flag in zip(gradients(needed), gradients([True] * count), needed, strict=True):
        if flag:
            np.testing.assert_array_equal(part.numpy(), whole.numpy())
        else:
            assert part is None


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_dtypes_are_kept(kind, dtype):
    function, _, _, options = KINDS[kind]
    arrays = arguments(kind, 2, 3, 2, 2, 0, dtype)
    leaves = [mg.Tensor(a, requires_grad=True) for a in arrays]
    output, *last = function(*leaves, **options, lengths=np.array([3, 1]))
    assert {value.dtype for value in (output, *last)} == {np.dtype(dtype)}
    output.sum().backward()
    assert all(leaf.grad.dtype == dtype for leaf in leaves)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_backward_twice_gives_the_same(kind):
    function, _, _, options = KINDS[kind]
    leaves = [mg.Tensor(a, requires_grad=True) for a in arguments(kind, 2, 3, 2, 2, 0)]
    output, *_ = function(*leaves, **options)
    loss = (output * output).sum()
    first = mg.gradients(loss, leaves, create_graph=True)
    loss.backward(retain_graph=True)
    loss.backward()
    for leaf, g in zip(leaves, first, strict=True):
        np.testing.assert_allclose(leaf.grad.numpy(), 2 * g.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["rnn tanh", "rnn sigmoid", "lstm", "gru"])
def test_huge_numbers_saturate_without_a_warning(kind):
    function, _, _, options = KINDS[kind]
    arrays = [1000 * a for a in arguments(kind, 2, 3, 2, 2, 0, np.float32)]
    leaves = [mg.Tensor(a, requires_grad=True) for a in arrays]
    output, *_ = function(*leaves, **options)
    assert np.isfinite(output.numpy()).all()
    output.sum().backward()
    assert all(np.isfinite(leaf.grad.numpy()).all() for leaf in leaves)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_many_columns_are_projected_in_several_chunks(kind):
    function, _, _, options = KINDS[kind]
    time = 2 * CHUNK // 100 + 3
    arrays = arguments(kind, 100, time, 2, 2, 0)
    lengths = some_lengths(100, time, 0)
    fast = function(*arrays, **options, lengths=lengths)
    slow = function.operation.reference(*arrays, **options, lengths=lengths)
    for one, other in zip(fast, slow, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_complex_numbers_go_through_the_steps(kind):
    function, _, _, options = KINDS[kind]
    if "relu" in kind:
        return_value = function(*arguments(kind, 1, 2, 1, 1, 0), **options)
        assert return_value[0].dtype == np.float64
        return
    arrays = arguments(kind, 1, 2, 1, 1, 0)
    step = 1e-30
    output, *_ = function(arrays[0] + 1j * step, *arrays[1:], **options)
    leaf = mg.Tensor(arrays[0], requires_grad=True)
    plain, *_ = function(leaf, *arrays[1:], **options)
    plain.sum().backward()
    np.testing.assert_allclose(
        output.numpy().imag.sum() / step, leaf.grad.numpy().sum(), rtol=1e-10
    )


def test_replay_gives_the_same_numbers_again():
    arrays = arguments("gru", 2, 3, 2, 2, 0)
    with mg.recording(replay=True):
        leaves = [mg.Tensor(a, requires_grad=True) for a in arrays]
        output, _ = gru_sequence(*leaves, lengths=np.array([1, 3]))
        loss = (output * output).sum()
    again = mg.graph(loss).replay()
    np.testing.assert_array_equal(np.asarray(again.numpy()), loss.numpy())


def test_wrong_shapes_say_what_was_given():
    arrays = arguments("lstm", 2, 3, 2, 2, 0)
    with pytest.raises(ShapeError, match=r"lstm_sequence: .*x: f64\[2, 3, 3\]"):
        lstm_sequence(np.zeros((2, 3, 3)), *arrays[1:])
