"""Layers that are one product with their input: Linear, Bilinear, and Identity for none."""

from numbers import Real
from typing import Any

import numpy as np

import minigrad as mg
from layers.base.allowance import take
from layers.base.init import fan_in_bound, uniform_
from layers.base.inputs import cast_input
from layers.base.module import Module, Parameter
from minigrad import Tensor, matmul
from minigrad.core.errors import ShapeError, describe
from minigrad.core.modes import current_mode
from minigrad.core.tensors import TensorLike

__all__ = ["Bilinear", "Identity", "Linear"]


class Linear(Module):
    """y = x W^T + b on the last axis.

    Args:
        in_features, out_features: the lengths of the last axis of input and output.
        bias: whether to add b.

    Shapes: (..., in_features) -> (..., out_features); weight (out_features, in_features), bias
    (out_features,), both drawn uniformly from +-1/sqrt(in_features), as in PyTorch. A weight may be
    shared: ``head.weight = embedding.weight`` ties the two, which is learned and counted once.

    Floating input is converted to the dtype of the parameters.

    Raises:
        ShapeError: when the last axis of the input has another length.
        DtypeError: when the input is not floating.

    >>> Linear(3, 5)(np.ones((2, 3), np.float32)).shape
    (2, 5)
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        sizes = {"in_features": in_features, "out_features": out_features}
        check_sizes("Linear", **sizes)
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(blank(self, "weight", out_features, in_features))
        self.bias = Parameter(blank(self, "bias", out_features)) if bias else None
        self.reset_parameters()

    def reset_parameters(self, generator: "np.random.Generator | None" = None) -> None:
        """Draw weight and bias again, uniformly from +-1/sqrt(in_features)."""
        draw_uniform(self, fan_in_bound(self.in_features), generator)

    def forward(self, x: TensorLike) -> Tensor:
        """Apply the layer."""
        x = cast_input("Linear", "x", x, self.weight.dtype)
        check_last_axis("Linear", "x", x, self.in_features)
        y = matmul(x, self.weight.T)  # (..., out_features)
        return y if self.bias is None else y + self.bias


class Bilinear(Module):
    """y_k = x1 W_k x2 + b_k, for each k: every product of a feature of x1 and one of x2.

    Args:
        in1_features, in2_features, out_features: the lengths of the last axes of the two inputs
            and of the output.
        bias: whether to add b.

    Shapes: (..., in1_features) and (..., in2_features) -> (..., out_features), the other axes
    equal; weight (out_features, in1_features, in2_features), bias (out_features,), both drawn
    uniformly from +-1/sqrt(in1_features), as in PyTorch.

    Floating input is converted to the dtype of the parameters.

    Raises:
        ShapeError: when the shapes are not as said.
        DtypeError: when an input is not floating.
    """

    def __init__(
        self, in1_features: int, in2_features: int, out_features: int, bias: bool = True
    ) -> None:
        super().__init__()
        sizes = {"in1_features": in1_features, "in2_features": in2_features}
        check_sizes("Bilinear", **sizes, out_features=out_features)
        self.in1_features, self.in2_features = in1_features, in2_features
        self.out_features = out_features
        self.weight = Parameter(blank(self, "weight", out_features, in1_features, in2_features))
        self.bias = Parameter(blank(self, "bias", out_features)) if bias else None
        self.reset_parameters()

    def reset_parameters(self, generator: "np.random.Generator | None" = None) -> None:
        """Draw weight and bias again, uniformly from +-1/sqrt(in1_features)."""
        draw_uniform(self, fan_in_bound(self.in1_features), generator)

    def forward(self, x1: TensorLike, x2: TensorLike) -> Tensor:
        """Apply the layer."""
        dtype = self.weight.dtype
        x1, x2 = cast_input("Bilinear", "x1", x1, dtype), cast_input("Bilinear", "x2", x2, dtype)
        check_last_axis("Bilinear", "x1", x1, self.in1_features)
        check_last_axis("Bilinear", "x2", x2, self.in2_features)
        if x1.shape[:-1] != x2.shape[:-1]:
            raise ShapeError(
                f"Bilinear: x1 and x2 must have equal axes before their features, got "
                f"x1 {describe(x1)} and x2 {describe(x2)}"
            )
        y: Tensor = mg.einsum("...i,kij,...j->...k", x1, self.weight, x2)
        return y if self.bias is None else y + self.bias


class Identity(Module):
    """Gives its input as it is; it takes the place of a layer that is left out.

    It takes any arguments to be built with, and ignores them, as in PyTorch.

    >>> Identity(54, unused=True)(np.ones(2)).tolist()
    [1.0, 1.0]
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        """The input."""
        return x


# -- what layers with weights share ----------------------------------------------------------------


def blank(module: Any, name: str, *shape: int, dtype: Any = None) -> "np.ndarray[Any, Any]":
    """An array for a new parameter or buffer, to be filled; takes no memory until it is copied.

    Args:
        module, name: whose parameter it becomes, under which name, for messages.
        shape: of it.
        dtype: the default dtype unless given.

    Raises:
        ShapeError: within `allowing`, when it would be more than that allows.
        MemoryError: when it would be more than this process can have.
    """
    dtype = np.dtype(current_mode().dtype if dtype is None else dtype)
    take(f"{type(module).__name__}.{name}", shape, dtype)
    return np.broadcast_to(np.zeros((), dtype), shape)


def draw_uniform(module: Any, bound: float, generator: "np.random.Generator | None") -> None:
    """Fill weight and bias uniformly from +-bound, the weight first."""
    uniform_(module.weight, -bound, bound, generator)
    if module.bias is not None:
        uniform_(module.bias, -bound, bound, generator)


def check_sizes(layer: str, least: int = 0, **sizes: Any) -> None:
    """Refuse sizes that are no integers, or too small.

    Raises:
        ValueError: naming the argument.
    """
    for argument, size in sizes.items():
        if not isinstance(size, (int, np.integer)) or isinstance(size, bool) or size < least:
            raise ValueError(
                f"{layer}: {argument} must be an integer of {least} or more, got {size!r}"
            )


def check_last_axis(layer: str, argument: str, x: Any, features: int) -> None:
    """Refuse an input of another number of features.

    Raises:
        ShapeError: naming the argument.
    """
    shape = x.shape
    if not shape or shape[-1] != features:
        raise ShapeError(
            f"{layer}: {argument} must have {features} features on its last axis, got {describe(x)}"
            + (
                f"; axis {shape.index(features)} has {features}: swap or reshape the axes"
                if features in shape
                else ""
            )
        )


def check_beginning(layer: str, dtype: Any, **numbers: Any) -> None:
    """Refuse what weights shall begin with and their dtype cannot hold.

    Raises:
        ValueError: naming the argument that is no finite number in that dtype.
    """
    largest = float(np.finfo(dtype).max)
    for name, number in numbers.items():
        real = isinstance(number, Real)
        if not real or not abs(number) <= largest:
            raise ValueError(
                f"{layer}: {name} must be a number of {np.dtype(dtype)}, at most {largest:.3g} in "
                f"size, got {number!r}"
            )
