"""Replay of random programs, bit for bit, and of constants in any memory layout."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.debug import calls
from minigrad.testing import programs
from minigrad.testing.profiles import examples
from minigrad.testing.strategies import layouts


def same_bits(a, b) -> bool:
    a, b = a.numpy(), b.numpy()
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def leaf(data):
    return mg.Tensor(data, requires_grad=True)


BINARY = (mg.add, mg.subtract, mg.multiply, mg.maximum, mg.arctan2, lambda a, b: mg.matmul(a, b.T))
UNARY = (
    mg.tanh,
    mg.exp,
    mg.sigmoid,
    lambda a: a.sum(axis=1, keepdims=True) * a,
    lambda a: a - a.mean(axis=0),
    lambda a: a[::-1],
    lambda a: mg.where(a > 0.3, a, mg.sin(a)),
    lambda a: mg.softmax(a, axis=-1),
    lambda a: a.T,
    lambda a: a[mg.argsort(a[:, 0].detach())],
    lambda a: mg.stack([a, a * 2]).sum(axis=0),
    lambda a: mg.dropout(a, 0.2),
)


def run_program(steps, inputs, constant):
    values = [*inputs, mg.multiply(inputs[0], constant)]
    for kind, first, second in steps:
        a, b = values[first % len(values)], values[second % len(values)]
        if kind < len(BINARY):
            value = BINARY[kind](a, b)
        else:
            value = UNARY[kind - len(BINARY)](a)
        values.append(mg.tanh(value))
    return values[-1]


@examples(2)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(BINARY) + len(UNARY) - 1), st.integers(0, 40), st.integers(0, 40)
        ),
        min_size=1,
        max_size=30,
    ),
    st.integers(0, 2**32 - 1),
    st.sampled_from([np.float32, np.float64]),
    st.data(),
)
def test_random_programs(steps, seed, dtype, data):
    size = 5  # square, so that every operation fits every other
    generator = np.random.default_rng(seed)
    constant = data.draw(layouts(generator.normal(size=(size, size)).astype(dtype)))
    first, second = (
        [generator.normal(size=(size, size)).astype(dtype) for _ in "ab"] for _ in "12"
    )
    inputs = [leaf(array) for array in first]
    mg.seed(seed)
    with mg.recording(replay=True):
        y = run_program(steps, inputs, constant)
    recorded = mg.graph(y)
    used = [t for t in inputs if t._node in recorded.leaves]
    y.backward(np.ones(y.shape))
    assert same_bits(recorded.replay(), y)
    others = dict(zip(inputs, second, strict=True))
    mg.seed(seed)
    expected = run_program(steps, [leaf(array) for array in second], constant)
    assert same_bits(recorded.replay({t: others[t] for t in used}), expected)


@examples(2)
@given(programs(), st.booleans(), st.integers(0, 2**32 - 1))
def test_random_programs_of_all_operations(program, fused, seed):
    generator = np.random.default_rng(seed)
    second = [a + 1e-3 * generator.uniform(-1, 1, a.shape) for a in program.leaves]
    inputs, others = ([leaf(a) for a in arrays] for arrays in (program.leaves, second))
    # The other values may be where an operation is not defined; NaN are the same then, too.
    with np.errstate(all="ignore"):
        with mg.recording(replay=True, fused=fused):
            values = program.run(inputs)
            loss = program.loss(values)
            slopes = mg.gradients(loss, inputs, create_graph=True)
        recorded = mg.graph([*values, loss])
        repeated = mg.graph([*values, loss, *slopes]).replay()
        loss.backward()
        again = recorded.replay(dict(zip(inputs, second, strict=True)))
        with mg.recording(fused=fused):
            expected = program.run(others)
            expected.append(program.loss(expected))
    for a, b in zip(repeated, [*values, loss, *slopes], strict=True):
        assert same_bits(a, b)
    for a, b in zip(again, expected, strict=True):
        assert same_bits(a, b)


@given(st.data(), st.sampled_from([np.float32, np.float64]))
def test_constants_are_copied_with_their_layout(data, dtype):
    shape = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple))
    array = np.random.default_rng(len(shape)).normal(size=shape).astype(dtype)
    array = data.draw(layouts(array)).transpose(data.draw(st.permutations(range(len(shape)))))
    if data.draw(st.booleans()):
        array = np.broadcast_to(array, (3, *array.shape))
    copy = calls.copy_like(array)
    np.testing.assert_array_equal(copy, array)
    assert not np.shares_memory(copy, array)

    def order(a):
        return [a.strides[i] == 0 or int(np.sign(a.strides[i])) for i in range(a.ndim)], sorted(
            (i for i in range(a.ndim) if a.shape[i] > 1), key=lambda i: abs(a.strides[i])
        )

    long = [i for i in range(array.ndim) if array.shape[i] > 1]
    assert [np.sign(copy.strides[i]) for i in long] == [np.sign(array.strides[i]) for i in long]
    assert order(copy)[1] == order(array)[1]
    assert copy.flags.forc == array.flags.forc
    for axes in (None, 0, -1):
        assert array.sum(axis=axes).tobytes() == copy.sum(axis=axes).tobytes()
