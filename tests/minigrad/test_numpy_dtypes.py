"""NumPy's functions on tensors of every dtype: its values, its dtypes, its kinds of errors.

The calls are in `numpy_calls.txt` beside this file.
"""

import re
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from tools.numpy_table import table

TEXT = Path(__file__).with_name("numpy_calls.txt").read_text(encoding="utf-8")


def known(call):
    """Whether this NumPy has the functions of a call."""
    paths = [name.split(".")[1:] for name in re.findall(r"np\.[\w.]+", call)]
    return all(
        hasattr(np, p[0]) and (len(p) < 2 or hasattr(getattr(np, p[0]), p[1])) for p in paths
    )


CALLS = [call for call in TEXT.split("\n\n", 1)[1].splitlines() if known(call)]
DTYPES = [
    "bool",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    "float16",
    "float32",
    "float64",
]
# `**` and np.power are one operation here, and differ in NumPy for booleans: int8 and int64.
DIFFERENT = {("np.power(x, 2)", "bool")}
WRITING = {"np.copyto": "x", "np.fill_diagonal": "A", "np.put_along_axis": "x"}


def arrays(dtype):
    dtype = np.dtype(dtype)
    x = np.array([[1, 3, 2], [3, 0, 5]]).astype(dtype)
    v = x[0].copy()
    if dtype.itemsize == 8 and dtype.kind in "iu":
        x[0, 1] = 2**53 + 1  # which float64 cannot hold
    floating = dtype if dtype.kind == "f" else np.float64
    return {
        "x": x,
        "z": np.array([[2, 1, 3], [1, 2, 2]]).astype(dtype),
        "v": v,
        "v_sorted": np.array([0, 1, 2]).astype("int64" if dtype.kind == "b" else dtype),
        "A": np.array([[4, 1, 2], [1, 5, 3], [0, 1, 6]]).astype(dtype),
        "S": np.array([[4, 1, 0], [1, 5, 1], [0, 1, 6]]).astype(dtype),
        "f": np.array([[0.25, -0.5, 0.75], [0.5, 0.1, 0.9]]).astype(floating),
    }


def parts(result):
    if isinstance(result, (tuple, list)):
        return [p for r in result for p in parts(r)]
    return [result]


def outcome(call, values):
    """The results of a call, or its error."""
    mask = np.array([[True, False, True], [True, True, False]])
    written = next((name for f, name in WRITING.items() if call.startswith(f)), None)
    with np.errstate(all="ignore"):
        try:
            result = eval(call, {"np": np, "m": mask, **values})
        except Exception as error:
            return error
    return parts(result if written is None else values[written])


def kind(error):
    """The class that a user would name in an except clause."""
    public = (np.exceptions.AxisError, np.linalg.LinAlgError)
    return next(c for c in type(error).__mro__ if c.__module__ == "builtins" or c in public)


# The sinc of integers had another dtype in NumPy 2.0.
OF_LATER = pytest.param("np.sinc(x)", marks=pytest.mark.present_numpy)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.filterwarnings("ignore:numpy.fix is deprecated")  # of NumPy 2.5, for arrays alone
@pytest.mark.parametrize("call", [OF_LATER if c == "np.sinc(x)" else c for c in CALLS])
def test_values_and_dtypes_are_those_of_numpy(call):
    for dtype in DTYPES:
        if (call, dtype) in DIFFERENT:
            continue
        theirs = outcome(call, arrays(dtype))
        ours = outcome(call, {name: mg.Tensor(a) for name, a in arrays(dtype).items()})
        if isinstance(theirs, Exception):
            assert isinstance(ours, kind(theirs)), (dtype, theirs, ours)
            continue
        assert not isinstance(ours, Exception), (dtype, ours)
        assert len(ours) == len(theirs)
        for a, b in zip(theirs, ours, strict=True):
            if not isinstance(b, mg.Tensor):
                assert type(a) is type(b), dtype
                assert a == b, dtype
                continue
            a, b = np.asarray(a), b.numpy()
            assert (a.shape, a.dtype) == (b.shape, b.dtype), dtype
            if a.dtype.kind == "f":
                near = 16 * float(np.finfo(a.dtype).eps)
                np.testing.assert_allclose(b.astype(float), a.astype(float), near, near)
            else:
                np.testing.assert_array_equal(b, a)


def test_every_function_is_called():
    called = set(re.findall(r"np\.[\w.]+", TEXT))
    named = {row.name for row in table() if row.status in ("differentiable", "constant")}
    assert not named - called - {"np.row_stack"}  # NumPy warns that this one will go
