"""The checks that operations and layers share: what passes, and what each refusal says."""

import math
import re

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops.axis_utils import whole_number
from minigrad.ops.checks import (
    check_broadcasts,
    check_lengths,
    check_probabilities,
    check_same_shape,
    check_sizes,
)

X = np.zeros((2, 3, 4))


def lengths(value, shapes=((2,),), advice=""):
    return check_lengths("f", "lengths", value, shapes, 3, "x", X, advice)


def test_what_passes():
    check_sizes("f", 1, a=1, b=np.int32(7))
    check_probabilities("f", p=0, q=1.0, r=np.float32(0.5))
    check_same_shape("f", x=X, target=np.ones((2, 3, 4)))
    check_broadcasts("f", "weight", np.zeros((3, 1)), X.shape, "the losses")
    assert lengths([0, 3]).tolist() == [0, 3]
    assert lengths(np.array([], np.float64), [(0,)]).dtype == np.intp
    assert lengths(mg.Tensor([2, 1])).tolist() == [2, 1]
    assert lengths(2, [(2,), ()]).shape == ()
    assert whole_number(np.int8(0), "f: n", 0) == 0


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: check_sizes("f", 1, a=0),
            ValueError,
            "a must be an integer of 1 or more, got 0",
        ),
        (lambda: check_sizes("f", a=True), ValueError, "f: a must be an integer of 0 or more"),
        (lambda: check_sizes("f", a=2.0), ValueError, "got 2.0"),
        (lambda: check_probabilities("f", p=1.5), ValueError, "f: p must be 0 to 1, got 1.5"),
        (lambda: check_probabilities("f", p=math.nan), ValueError, "f: p must be 0 to 1, got nan"),
        (lambda: check_probabilities("f", p="a"), mg.DtypeError, "f: p must be a number, 0 to 1"),
        (
            lambda: check_same_shape("f", x=X, target=X[0]),
            mg.ShapeError,
            "f: the shapes must be equal, got x: f64[2, 3, 4], target: f64[3, 4]",
        ),
        (
            lambda: check_broadcasts("f", "weight", X[None], X.shape, "the losses"),
            mg.ShapeError,
            "f: weight must broadcast to the shape (2, 3, 4) of the losses, got f64[1, 2, 3, 4]",
        ),
        (lambda: whole_number(-1, "f: n", 0), ValueError, "f: n must be 0 or more, got -1"),
        (lambda: whole_number(1.0, "f: n", 0), mg.DtypeError, "f: n must be an integer, got 1.0"),
        (
            lambda: lengths([1], [(2,), ()], "Swap."),
            mg.ShapeError,
            "f: lengths must have shape (2,) or (), one for each sequence of x f64[2, 3, 4], got "
            "i64[1]. Swap.",
        ),
        (lambda: lengths([1.0, 2.0]), mg.DtypeError, "f: lengths must be integers, got f32[2]"),
        (
            lambda: lengths([3, 4]),
            ValueError,
            "f: lengths must be 0 to 3, the time steps of x f64[2, 3, 4], got 4 at place 1.",
        ),
        (lambda: lengths([[3, 0], [-1, 5]], [(2, 2)]), ValueError, "got -1 at place (1, 0)."),
        (lambda: lengths(9, [()]), ValueError, "got 9."),
        (
            lambda: lengths(mg.Tensor([1.0, 2.0], requires_grad=True)),
            mg.DetachError,
            "f: lengths is a constant here and has no derivative; pass lengths.detach()",
        ),
    ],
)
def test_what_refusals_say(call, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        call()
