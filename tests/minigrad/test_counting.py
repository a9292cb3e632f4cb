import numpy as np
import pytest

import minigrad as mg
from minigrad.debug.flops import multiply_adds

A, B, V, W = np.ones((5, 2, 3)), np.ones((5, 3, 4)), np.ones(3), np.ones(4)


@pytest.mark.parametrize(
    ("function", "count"),
    [
        (lambda: mg.matmul(A, B), 5 * 2 * 3 * 4),
        (lambda: mg.matmul(A, B[0]), 5 * 2 * 3 * 4),
        (lambda: mg.matmul(A, V), 5 * 2 * 3),
        (lambda: mg.matmul(V, B), 5 * 3 * 4),
        (lambda: mg.matmul(V, V), 3),
        (lambda: mg.matvec(A, V), 5 * 2 * 3),
        (lambda: mg.vecmat(V, B), 5 * 3 * 4),
        (lambda: mg.vecdot(A, V), 5 * 2 * 3),
        (lambda: mg.vecdot(A, A, axis=0), 5 * 2 * 3),
        (lambda: mg.vdot(A, A), 30),
        (lambda: mg.inner(A[0], B[0].T), 2 * 3 * 4),
        (lambda: mg.outer(V, W), 12),
        (lambda: mg.tensordot(A, B, ([0, 2], [0, 1])), 5 * 2 * 3 * 4),
        (lambda: mg.einsum("bij,bjk->bik", A, B), 5 * 2 * 3 * 4),
        (lambda: mg.einsum("bij,bjk->b", A, B), 5 * 3),
        (lambda: mg.einsum("bij->b", A), 0),
        (lambda: mg.conv1d(np.ones((2, 4, 9)), np.ones((6, 2, 3)), groups=2), 2 * 6 * 7 * 2 * 3),
        (
            lambda: mg.conv2d(np.ones((1, 2, 5, 6)), np.ones((3, 2, 2, 2)), stride=2),
            3 * 2 * 3 * 2 * 4,
        ),
        (
            lambda: mg.conv_transpose1d(np.ones((2, 4, 5)), np.ones((4, 3, 2)), stride=2),
            2 * 4 * 5 * 3 * 2,
        ),
        (lambda: mg.tanh(A).sum(), 0),
        (
            lambda: mg.scaled_dot_product_attention(
                np.ones((2, 7, 4)), np.ones((2, 6, 4)), np.ones((2, 6, 5))
            ),
            2 * 7 * 6 * 4 + 2 * 7 * 6 * 5,
        ),
    ],
)
def test_products_count_as_the_textbook_says(function, count):
    with mg.recording(replay=True, fused=False):
        outputs = function()
    assert sum(work.multiply_adds for work in multiply_adds(outputs)) == count


def test_each_operation_counts_once_and_knows_its_scope():
    with mg.recording(replay=True, fused=False):
        with mg.scope("shared"):
            x = mg.matmul(A, B)
        y, unused = x + 1, mg.matmul(A, B)
    work = multiply_adds({"x": x, "y": y, "text": "kept"})
    assert [(w.name, w.scope.path, w.multiply_adds) for w in work] == [("matmul", "shared", 120)]
    assert len(multiply_adds([x, unused])) == 2


def test_what_was_not_recorded_is_refused():
    w = mg.Tensor(B, requires_grad=True)
    with pytest.raises(mg.GradientError, match=r"inside `with minigrad.recording\(replay=True, fu"):
        multiply_adds(mg.matmul(A, w))
