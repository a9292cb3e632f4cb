"""Positions: sinusoidal, learned and rotary."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from layers import LearnedPositions, RotaryPositions, SinusoidalPositions, sinusoidal_positions
from minigrad.testing import check_gradients


def test_sinusoidal_positions_are_the_formula():
    table = sinusoidal_positions(7, 6, offset=2, base=100.0, dtype="float64")
    for place in range(7):
        for i in range(3):
            angle = (place + 2) / 100 ** (2 * i / 6)
            assert table[place, 2 * i] == pytest.approx(math.sin(angle), abs=1e-12)
            assert table[place, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-12)
    assert sinusoidal_positions(3, 4).dtype == np.float32
    assert sinusoidal_positions(0, 4).shape == (0, 4)
    several = sinusoidal_positions(2, 4, offset=[0, 5])
    np.testing.assert_array_equal(several[1], sinusoidal_positions(2, 4, offset=5))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("kind", ["sinusoidal", "learned"])
def test_positions_are_added(kind, dtype):
    with mg.default_dtype(dtype):
        layer = SinusoidalPositions(4) if kind == "sinusoidal" else LearnedPositions(9, 4)
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(dtype)
    zero = np.zeros((9, 4), dtype)
    table = layer(zero).numpy()
    y = layer(x, offset=2)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.numpy(), x + table[2:5])
    several = layer(x, offset=np.array([2, 6])).numpy()
    np.testing.assert_array_equal(several, np.stack([x[0] + table[2:5], x[1] + table[6:]]))
    np.testing.assert_array_equal(layer(x[0]).numpy(), x[0] + table[:3])
    layer.batch_first = False
    turned = layer(x.swapaxes(0, 1), offset=[2, 6]).numpy()
    np.testing.assert_array_equal(turned.swapaxes(0, 1), several)
    np.testing.assert_array_equal(layer(x).numpy(), x + table[:2, None])
    if kind == "sinusoidal":
        assert not layer.state_dict()
        close = {"atol": np.finfo(dtype).eps}
        np.testing.assert_allclose(table, sinusoidal_positions(9, 4, dtype=dtype), **close)


@pytest.mark.parametrize("shape", [(2, 0, 4), (0, 2, 4), (0, 4)])
def test_no_places_have_positions(shape):
    for layer in (LearnedPositions(3, 4), SinusoidalPositions(4)):
        assert layer(np.zeros(shape, np.float32)).shape == shape


def test_one_sequence_has_one_offset():
    with pytest.raises(mg.ShapeError, match=r"offset must be an integer, .* got i64\[4\]"):
        LearnedPositions(4, 4)(np.zeros((2, 4), np.float32), offset=[0, 1, 0, 1])


def test_learned_positions_keep_their_dtype():
    assert LearnedPositions(4, 4)(np.zeros((1, 2, 4)), offset=1).dtype == np.float32


def test_learned_positions_learn():
    mg.seed(0)
    layer = LearnedPositions(50, 40)
    assert layer.weight.numpy().std() == pytest.approx(0.02, rel=0.1)
    assert abs(layer.weight.numpy().mean()) < 0.002
    layer = LearnedPositions(4, 3)
    layer(np.zeros((2, 2, 3), np.float32), offset=[0, 1]).sum().backward()
    np.testing.assert_array_equal(
        layer.weight.grad.numpy(), np.array([[1], [2], [1], [0]]) + [0] * 3
    )
    check_gradients(
        lambda x: layer(x, offset=2), np.ones((2, 2, 3)), parameters={"weight": layer.weight}
    )
    dropped = LearnedPositions(4, 3, dropout=1.0)
    assert not dropped(np.ones((1, 2, 3), np.float32)).numpy().any()
    assert dropped.eval()(np.ones((1, 2, 3), np.float32)).numpy().any()


@given(
    offsets=st.tuples(st.integers(0, 50), st.integers(0, 50)),
    shift=st.integers(0, 1000),
    interleaved=st.booleans(),
)
def test_rotary_products_depend_on_the_distance_alone(offsets, shift, interleaved):
    turn = RotaryPositions(6, interleaved=interleaved)
    q, k = np.random.default_rng(0).normal(size=(2, 1, 6))
    near = turn(q, offsets[0]).numpy() @ turn(k, offsets[1]).numpy().T
    far = turn(q, offsets[0] + shift).numpy() @ turn(k, offsets[1] + shift).numpy().T
    np.testing.assert_allclose(near, far, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(
        np.linalg.norm(turn(q, shift).numpy()), np.linalg.norm(q), rtol=1e-12
    )


@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_rotary_positions_are_complex_products(interleaved, dtype):
    turn = RotaryPositions(4, base=50.0, interleaved=interleaved)
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(dtype)
    pairs = ((0, 1), (2, 3)) if interleaved else ((0, 2), (1, 3))
    for offset in (3, np.array([3, 0])):
        y = turn(x, offset)
        assert y.dtype == dtype
        first = np.broadcast_to(offset, 2)
        for i, (a, b) in enumerate(pairs):
            z = x[..., a].astype(float) + 1j * x[..., b]
            angle = (first[:, None] + np.arange(5)) * 50.0 ** (-i / 2)  # (batch, time)
            z = z * np.exp(1j * angle)[:, None]
            tolerance = 6 * np.finfo(dtype).eps
            np.testing.assert_allclose(y.numpy()[..., a], z.real, rtol=0, atol=tolerance)
            np.testing.assert_allclose(y.numpy()[..., b], z.imag, rtol=0, atol=tolerance)
    check_gradients(turn, x[0])
    np.testing.assert_array_equal(turn(x[0, 0]).numpy(), turn(x).numpy()[0, 0])


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (
            lambda: SinusoidalPositions(5),
            ValueError,
            "SinusoidalPositions: size must be even, got 5",
        ),
        (lambda: RotaryPositions(3), ValueError, "RotaryPositions: size must be even, got 3"),
        (lambda: sinusoidal_positions(2, 0), ValueError, "size must be an integer of 2 or more"),
        (
            lambda: sinusoidal_positions(2, 4, offset=[[0], [1]]),
            mg.ShapeError,
            "sinusoidal_positions: offset must be an integer or (batch,), got i64[2, 1]",
        ),
        (lambda: LearnedPositions(0, 2), ValueError, "max_length must be an integer of 1 or more"),
        (
            lambda: LearnedPositions(3, 2)(np.ones((1, 2, 2)), offset=2),
            mg.ShapeError,
            "position 3 is beyond max_length=3: 2 time steps from offset 2. Cut the sequence",
        ),
        (
            lambda: SinusoidalPositions(4)(np.ones((2, 3, 5))),
            mg.ShapeError,
            "x must have 4 features on its last axis, got f64[2, 3, 5]",
        ),
        (
            lambda: SinusoidalPositions(4)(np.ones((1, 2, 3, 4))),
            mg.ShapeError,
            "x must have shape (batch, time, 4) or (time, 4), got f64[1, 2, 3, 4]",
        ),
        (
            lambda: SinusoidalPositions(4)(np.ones((2, 3, 4)), offset=[1, 2, 3]),
            mg.ShapeError,
            "offset must be an integer, or one for each sequence of x f64[2, 3, 4], got i64[3]",
        ),
        (
            lambda: SinusoidalPositions(4)(np.ones((2, 3, 4)), offset=0.5),
            mg.DtypeError,
            "offset must be an integer or several, got 0.5",
        ),
        (
            lambda: SinusoidalPositions(4)(np.ones((2, 3, 4)), offset=-1),
            ValueError,
            "offset must be 0 or more, got -1",
        ),
        (
            lambda: RotaryPositions(4)(np.ones((2, 3, 4)), offset=-1),
            ValueError,
            "RotaryPositions: offset must be 0 or more, got -1",
        ),
        (
            lambda: RotaryPositions(4)(np.ones((2, 3, 4)), offset=[1, 2, 3]),
            mg.ShapeError,
            "with one offset for each sequence, got f64[2, 3, 4] and offset i64[3]",
        ),
    ],
)
def test_errors_say_what_is_wrong(wrong, error, words):
    with pytest.raises(error, match=re.escape(words)):
        wrong()
