"""Wrong calls across minigrad: every one raises what a user can act on.

The table is `wrong_calls.txt` beside this file, written to be read: a call, and below it the class
and the beginning of the message that it gives.
"""

import copy
import math
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg

TABLE = Path(__file__).with_name("wrong_calls.txt")
BLOCK = re.compile(r"^(?!#)(\S.*)\n    (\w+): (.+)$", re.MULTILINE)
CALLS = BLOCK.findall(TABLE.read_text(encoding="utf-8").split("\n#", 1)[1])


def leaf(*shape, dtype="float64"):
    numbers = np.arange(1.0, 1 + np.prod(shape, dtype=int)).reshape(shape)
    return mg.Tensor(numbers, dtype=dtype, requires_grad=True)


def write_without_grad(tensor):
    with mg.no_grad():
        tensor += 1


def write_into_an_array(tensor):
    buffer = np.zeros((2, 3))
    buffer[0] = tensor


def take_a_branch():
    x = mg.Tensor([0.0, 1.0], requires_grad=True)
    with mg.anomaly_mode():
        np.where(x > 0, np.sqrt(abs(x)), 0).sum().backward()


def choose_eigenvectors():
    with mg.anomaly_mode():
        np.linalg.eigh(mg.Tensor(np.eye(2), requires_grad=True))[1].sum().backward()


def record_nothing():
    with mg.no_grad():
        y = (leaf(3) * 2).sum()
    y.backward()


def go_back_twice():
    x = leaf(3)
    y = (x * x).sum()
    y.backward()
    y.backward()


def write_before_going_back():
    x = leaf(3)
    y = (x * x).sum()
    write_without_grad(x)
    y.backward()


def shrink_in_a_hook():
    y = leaf(3) * 1
    y.register_hook(lambda g: g[:1])
    y.sum().backward()


def name_an_input_y():
    @mg.primitive
    def f(x, y):
        return x


def cube():
    @mg.primitive
    def cube(x):
        return x * x * x

    return cube


def declare_twice():
    op = cube()
    op.vjp(x=lambda g: g)
    op.vjp(x=lambda g: g)


def return_a_short_gradient():
    op = cube()
    op.vjp(x=lambda g: g[:2])
    op(leaf(3)).sum().backward()


def generator():
    yield 1


def error_of(call):
    """The error that a call of the table gives."""
    tensors = {"x": leaf(2, 3), "v": leaf(3), "s": leaf(), "A": leaf(3, 3)}
    try:
        eval(call, {**globals(), **tensors, "copy": copy, "math": math, "pickle": pickle})
    except Exception as error:
        return error
    return pytest.fail(f"{call} gives no error")


def test_there_are_enough_of_them_and_none_twice():
    assert len(CALLS) >= 80
    assert len({call for call, _, _ in CALLS}) == len(CALLS)


def as_parameters(call, kind, message):
    of_later = call.startswith(("np.cumulative_sum", "np.clip(x, 0, max"))  # NumPy 2.1 brought them
    return pytest.param(
        call, kind, message, id=call, marks=[pytest.mark.present_numpy] if of_later else []
    )


@pytest.mark.parametrize(("call", "kind", "message"), [as_parameters(*call) for call in CALLS])
def test_wrong_call(call, kind, message):
    error = error_of(call)
    assert type(error).__name__ == kind
    pattern = re.escape(message).replace(r"\.\.\.", ".*")
    assert re.match(pattern, str(error)), f"it says: {error}"


@pytest.mark.parametrize("call", [call for call, _, _ in CALLS])
def test_a_wrong_call_leaves_the_engine_as_it_was(call):
    error_of(call)
    t = leaf(2)
    (t * t).sum().backward()
    assert t.grad.tolist() == [2, 4]
    assert mg.is_recording()


if __name__ == "__main__":
    for call, _, _ in CALLS:
        error = error_of(call)
        print(f"{call}\n    {type(error).__name__}: {error}")
