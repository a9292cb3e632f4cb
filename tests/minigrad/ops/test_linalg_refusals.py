"""Calls of linear algebra that are refused, with the reason."""

import numpy as np
import pytest

import minigrad
from minigrad import DtypeError, ShapeError, Tensor


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda t: minigrad.inv(t[:2]), ShapeError, r"inv: the last two axes .* \(2, 3\)"),
        (lambda t: minigrad.det(t[0]), ShapeError, r"det: matrices of shape .* shape \(3,\)"),
        (lambda t: minigrad.inv(t * 0), np.linalg.LinAlgError, "inv: a matrix is singular.*pinv"),
        (lambda t: minigrad.solve(t * 0, t), np.linalg.LinAlgError, "solve: .*singular.*lstsq"),
        (lambda t: minigrad.cholesky(-t), np.linalg.LinAlgError, "cholesky: .*not positive def"),
        (lambda t: minigrad.solve(t, t[:2]), ShapeError, r"solve: b must be a vector \(3,\)"),
        (lambda t: minigrad.solve(t[None], t[:2]), ShapeError, r"b\[\.\.\., None\]"),
        (lambda t: minigrad.solve(t, t[0, 0]), ShapeError, "solve: b must be a vector"),
        (lambda t: minigrad.eigh(t, "X"), ShapeError, "eigh: UPLO argument must be 'L' or 'U'"),
        (lambda t: minigrad.qr(t, "full"), ValueError, "qr: mode must be one of 'reduced'"),
        (lambda t: minigrad.matrix_power(t, 0.5), DtypeError, "matrix_power: n must be an integer"),
        (lambda t: minigrad.matrix_power(t[:2], 2), ShapeError, "matrix_power: .*square"),
        (lambda t: minigrad.lstsq(t, t[:2]), ShapeError, "lstsq: .*for stacks"),
        (lambda t: minigrad.tensorinv(t), ShapeError, "tensorinv: the first ind=2 axes"),
        (lambda t: minigrad.tensorsolve(t, t), ShapeError, "tensorsolve: the shape of a"),
    ],
)
def test_wrong_calls(call, error, words):
    with pytest.raises(error, match=words):
        call(Tensor(np.eye(3), requires_grad=True))


@pytest.mark.parametrize(
    "name",
    [
        "inv",
        "det",
        "slogdet",
        "cholesky",
        "qr",
        "eigh",
        "eigvalsh",
        "svd",
        "svdvals",
        "pinv",
        "matrix_rank",
    ],
)
def test_half_precision_is_refused_by_name(name):
    t = Tensor(np.eye(2, dtype=np.float16), requires_grad=True)
    with pytest.raises(
        DtypeError, match=rf"{name}: .*float16; convert with t\.astype\('float32'\)"
    ):
        getattr(minigrad, name)(t)


def test_half_precision_right_sides_are_refused():
    with pytest.raises(DtypeError, match=r"solve: .*float16"):
        minigrad.solve(np.eye(2), Tensor(np.ones(2, np.float16)))
