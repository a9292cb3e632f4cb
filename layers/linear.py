"""Linear."""

from layers.init import fan_in_bound, uniform
from layers.module import Module, Parameter
from minigrad import Tensor, matmul
from minigrad.errors import ShapeError, describe
from minigrad.signatures import TensorLike

__all__ = ["Linear"]


class Linear(Module):
    """y = x W^T + b on the last axis.

    Args:
        in_features, out_features: the lengths of the last axis of input and output.
        bias: whether to add b.

    Shapes: (..., in_features) -> (..., out_features); weight (out_features, in_features), bias
    (out_features,), both drawn evenly from +-1/sqrt(in_features), as in PyTorch.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        bound = fan_in_bound(in_features)
        self.weight = Parameter(uniform((out_features, in_features), bound))
        self.bias = Parameter(uniform((out_features,), bound)) if bias else None

    def forward(self, x: TensorLike) -> Tensor:
        """Apply the layer."""
        if not x.ndim or x.shape[-1] != self.in_features:
            raise ShapeError(
                f"Linear: x must have {self.in_features} features on its last axis, got "
                f"{describe(x)}"
            )
        y = matmul(x, self.weight.T)  # (..., out_features)
        return y if self.bias is None else y + self.bias
