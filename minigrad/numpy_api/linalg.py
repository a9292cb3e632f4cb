"""Linear algebra under the name of NumPy's module: `minigrad.linalg.inv` and the like.

The same functions are `minigrad.inv` and so on, and `np.linalg.inv(t)` reaches them too.
"""

from minigrad.ops.linalg.matrices import (
    cholesky,
    det,
    eigh,
    eigvalsh,
    inv,
    lstsq,
    matrix_power,
    matrix_rank,
    pinv,
    qr,
    slogdet,
    solve,
    svd,
    svdvals,
    tensorinv,
    tensorsolve,
)
from minigrad.ops.linalg.matrix_norms import cond, matrix_norm
from minigrad.ops.linalg.norms import norm, vector_norm
from minigrad.ops.linalg.products import cross, matmul, multi_dot, outer, tensordot, vecdot
from minigrad.ops.manipulation.reshaping import matrix_transpose
from minigrad.ops.manipulation.triangles import matrix_diagonal as diagonal
from minigrad.ops.manipulation.triangles import matrix_trace as trace

__all__ = [
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "tensorinv",
    "tensorsolve",
    "trace",
    "vecdot",
    "vector_norm",
]
