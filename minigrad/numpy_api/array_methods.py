"""Methods and properties that arrays have, and NumPy's protocols, as methods of `Tensor`.

`np.exp(t)` arrives through `minigrad.numpy_api.protocols`.
"""

from typing import Any

from minigrad.core.tensors import Tensor, method
from minigrad.numpy_api import copying, inplace, protocols
from minigrad.numpy_api.protocols import numpy_functions
from minigrad.ops.elementwise.casting import imag, real
from minigrad.ops.elementwise.comparisons import absolute
from minigrad.ops.manipulation.reshaping import matrix_transpose, reshape, transpose

__all__ = ["numpy_functions"]


def _itemsize(self: Tensor) -> int:
    """Bytes per element."""
    return self._array.itemsize


def _nbytes(self: Tensor) -> int:
    """Bytes of all elements."""
    return self._array.nbytes


def _transpose(self: Tensor, *axes: Any) -> Tensor:
    order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
    return transpose(self, tuple(order) if order else None)


def _reshape(self: Tensor, *shape: Any, order: str = "C") -> Tensor:
    return reshape(self, shape[0] if len(shape) == 1 else shape, order)


METHODS: dict[str, Any] = {
    "__array_ufunc__": protocols.array_ufunc,
    "__array_function__": protocols.array_function,
    "T": property(lambda self: transpose(self), doc="The axes in reverse order."),
    "mT": property(lambda self: matrix_transpose(self), doc="The last two axes exchanged."),
    "real": property(lambda self: real(self), doc="The real part."),
    "imag": property(lambda self: imag(self), doc="The imaginary part."),
    "itemsize": property(_itemsize),
    "nbytes": property(_nbytes),
    "abs": absolute,
    "reshape": _reshape,
    "transpose": _transpose,
}
for _name, _method in (METHODS | inplace.METHODS | copying.METHODS).items():
    method(_method, _name)
