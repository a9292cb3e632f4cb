"""The operations on matrices and of neural networks that random programs are made of."""

from typing import Any

import numpy as np

from minigrad import ops
from minigrad.testing import hyperdual
from minigrad.testing.hyperdual import Jet, bilinear, linear
from minigrad.testing.tables import parameters
from minigrad.testing.tables.specifications import (
    SMALL,
    SOME,
    THREE,
    TWO,
    Shape,
    distinct,
    ndim,
    specify,
)

__all__ = ["MATRICES", "NETWORKS"]

WELL_CONDITIONED = 20.0


def _shapes_of(function: Any, first: int = 1, second: int = 0) -> Any:
    """Whether a function takes two arrays of given shapes, with so many axes at least."""

    def fits(x: Shape, z: Shape | None = None) -> bool:
        if z is None or len(x) < first or len(z) < second:
            return z is None and len(x) >= first
        try:
            function(np.zeros(x), np.zeros(z))
        except (ValueError, IndexError):
            return False
        return True

    return fits


def _square(x: Shape, *others: Shape) -> bool:
    return len(x) >= 2 and x[-1] == x[-2] <= 3


def _solvable(a: Shape, b: Shape | None = None) -> bool:
    return _square(a) and (b is None or (len(b) == 2 and b[0] == a[-1]))


def _attention(query: Shape, key: Shape | None = None, value: Shape | None = None) -> bool:
    if key is None or value is None:
        # No fewer keys than queries, so that each query may attend to one.
        return len(query) == 2 and (
            key is None or (len(key) == 2 and key[1] == query[1] and key[0] >= query[0])
        )
    return len(value) == 2 and value[0] == key[0]


def _filters(x: Shape, weight: Shape | None = None) -> bool:
    if weight is None:
        return len(x) == 3
    return len(x) == len(weight) == 3 and weight[1] == x[1] and weight[2] <= x[2]


def _affine(x: Shape, weight: Shape | None = None, bias: Shape | None = None) -> bool:
    return len(x) > 0 and x[-1] > 1 and all(s is None or s == x[-1:] for s in (weight, bias))


def _invertible(a: Any, *others: Any, **params: Any) -> bool:
    return bool((np.linalg.cond(a) < WELL_CONDITIONED).all())


def _einsum(x: Any, z: Any, subscripts: str) -> Any:
    return ops.einsum(subscripts, x, z)


def _einsum_on_jets(subscripts: str) -> Any:
    return bilinear(lambda p, q: np.einsum(subscripts, p, q))


def _positive_definite(a: Any) -> Any:
    return a @ a.swapaxes(-1, -2) + np.eye(a.shape[-1])


def _positive_definite_on_jets(a: Jet) -> Jet:
    return a @ linear(np.swapaxes)(a, -1, -2) + np.eye(a.shape[-1])


MATRICES = [
    *(
        specify(name, bilinear(function), _shapes_of(function), domains=TWO)
        for name, function in (
            ("matmul", np.matmul),
            ("dot", np.dot),
            ("inner", np.inner),
            ("outer", np.outer),
            ("kron", np.kron),
            ("vdot", np.vdot),
        )
    ),
    # Products by their definition: NumPy has them only since 2.1.
    *(
        specify(name, bilinear(function), _shapes_of(function, *ndims), domains=TWO)
        for name, function, *ndims in (
            ("vecdot", lambda p, q: np.matmul(p[..., None, :], q[..., None])[..., 0, 0], 1, 1),
            ("matvec", lambda p, q: np.matmul(p, q[..., None])[..., 0], 2, 1),
            ("vecmat", lambda p, q: np.matmul(p[..., None, :], q)[..., 0, :], 1, 2),
        )
    ),
    specify(
        "tensordot",
        bilinear(np.tensordot),
        lambda x, z=None: len(x) > 0 and (z is None or z[-1:] + z[:1] == (x[0], x[-1])),
        parameters.contracted,
        domains=TWO,
    ),
    specify(
        "cross",
        bilinear(np.cross),
        lambda x, z=None: len(x) > 0 and x[-1] == 3 and z in (None, x),
        domains=TWO,
    ),
    specify(
        "einsum_product",
        _einsum_on_jets("ij,kj->ik"),
        lambda x, z=None: len(x) == 2 and (z is None or (len(z) == 2 and z[1] == x[1])),
        function=lambda x, z: _einsum(x, z, "ij,kj->ik"),
        domains=TWO,
    ),
    specify(
        "einsum_broadcast",
        _einsum_on_jets("...i,i->...i"),
        lambda x, z=None: len(x) > 0 and z in (None, x[-1:]),
        function=lambda x, z: _einsum(x, z, "...i,i->...i"),
        domains=TWO,
    ),
    specify(
        "einsum_diagonal",
        linear(lambda p: np.einsum("ii->i", p)),
        lambda x: len(x) == 2 and x[0] == x[1],
        function=lambda x: ops.einsum("ii->i", x),
    ),
    specify("inv", hyperdual.inverse, _square, None, _invertible, domains=(SMALL,)),
    specify("det", hyperdual.determinant, _square, domains=(SMALL,)),
    specify(
        "logabsdet",
        lambda a: hyperdual.log(hyperdual.absolute(hyperdual.determinant(a))),
        _square,
        None,
        _invertible,
        domains=(SMALL,),
        function=lambda a: ops.slogdet(a)[1],
    ),
    specify(
        "solve",
        lambda a, b: hyperdual.inverse(a) @ b,
        _solvable,
        None,
        _invertible,
        domains=TWO,
    ),
    specify(
        "pinv",
        hyperdual.inverse,
        _square,
        None,
        _invertible,
        domains=(SMALL,),
    ),
    specify(
        "cholesky",
        lambda a: hyperdual.cholesky(_positive_definite_on_jets(a)),
        _square,
        domains=(SMALL,),
        function=lambda a: ops.cholesky(_positive_definite(a)),
    ),
]

NETWORKS = [
    specify(
        "layer_norm",
        lambda x, weight, bias: hyperdual.layer_norm(x, weight, bias, 0.1),
        _affine,
        function=lambda x, weight, bias: ops.layer_norm(x, weight, bias, eps=0.1),
        domains=THREE,
    ),
    specify(
        "rms_norm",
        lambda x: hyperdual.rms_norm(x, 0.1),
        SOME,
        function=lambda x: ops.rms_norm(x, eps=0.1),
    ),
    specify(
        "attention",
        hyperdual.attention,
        _attention,
        parameters.fixed(causal=(False, True)),
        function=lambda q, k, v, causal: ops.scaled_dot_product_attention(q, k, v, causal=causal),
        domains=THREE,
    ),
    specify(
        "cross_entropy",
        lambda x, target, label_smoothing: hyperdual.cross_entropy(x, target, label_smoothing),
        ndim(2),
        parameters.targets,
    ),
    specify(
        "nll_loss",
        lambda x, target, **params: -hyperdual.average(x[np.arange(len(target)), target]),
        ndim(2),
        parameters.targets,
        function=lambda x, target, **params: ops.nll_loss(x, target),
    ),
    specify(
        "conv1d",
        hyperdual.convolution,
        _filters,
        parameters.windows,
        domains=TWO,
    ),
    specify(
        "max_pool1d",
        lambda x: hyperdual.max_pool(x, 2, 1),
        lambda x: len(x) == 3 and x[-1] > 1,
        None,
        distinct,
        function=lambda x: ops.max_pool1d(x, 2, stride=1),
    ),
]
