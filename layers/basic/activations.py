"""Activation functions as modules, for `Sequential` and for drawings.

Each applies the function of the same name in `minigrad`, whose documentation gives formula, source
and conventions at kinks. Except for `GLU`, `Softmax`, `Softmin` and `LogSoftmax` they work place by
place. Except for that of `GLU`, shapes stay as they are, and so do floating dtypes.
"""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import minigrad as mg
from layers.base.init import constant_
from layers.base.inputs import cast_input
from layers.base.module import Module, Parameter
from layers.basic.linear import blank, check_beginning, check_sizes
from minigrad import Tensor
from minigrad.core.tensors import TensorLike
from minigrad.ops.arguments import refuse_pytorch_names

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmin",
    "Softplus",
    "Softsign",
    "Tanh",
]

AXIS = {"dim": "Write axis=, as NumPy names it; it is -1 by default."}


class _Activation(Module):
    """A function as a module; a subclass names the function, and the attributes it is given."""

    function: ClassVar[Callable[..., Tensor]]
    options: ClassVar[tuple[str, ...]] = ()

    def forward(self, x: TensorLike) -> Tensor:
        """Apply the function."""
        return type(self).function(x, **{name: getattr(self, name) for name in self.options})


class ReLU(_Activation):
    """max(x, 0); the derivative at 0 is 0."""

    function = staticmethod(mg.relu)


class ReLU6(_Activation):
    """min(max(x, 0), 6)."""

    function = staticmethod(mg.relu6)


class LeakyReLU(_Activation):
    """x above 0 and negative_slope * x elsewhere."""

    function = staticmethod(mg.leaky_relu)
    options = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = negative_slope


class ELU(_Activation):
    """x above 0 and alpha * (exp(x) - 1) elsewhere (Clevert et al. 2016)."""

    function = staticmethod(mg.elu)
    options = ("alpha",)

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha


class CELU(_Activation):
    """x above 0 and alpha * (exp(x / alpha) - 1) elsewhere (Barron 2017)."""

    function = staticmethod(mg.celu)
    options = ("alpha",)

    def __init__(self, alpha: float = 1.0) -> None:
        if not alpha:
            raise ValueError(f"CELU: alpha must not be 0, got {alpha}")
        super().__init__()
        self.alpha = alpha


class SELU(_Activation):
    """The scaled ELU of self-normalising networks (Klambauer et al. 2017)."""

    function = staticmethod(mg.selu)


class GELU(_Activation):
    """x times the normal distribution function at x (Hendrycks and Gimpel 2016).

    Args:
        approximate: "none" for the exact form with erf, "tanh" for the approximation by tanh.
    """

    function = staticmethod(mg.gelu)
    options = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise ValueError(f'GELU: approximate must be "none" or "tanh", got {approximate!r}')
        super().__init__()
        self.approximate = approximate


class SiLU(_Activation):
    """x sigmoid(x), also called swish (Elfwing et al. 2018)."""

    function = staticmethod(mg.silu)


class Mish(_Activation):
    """x tanh(log(1 + exp(x))) (Misra 2019)."""

    function = staticmethod(mg.mish)


class Sigmoid(_Activation):
    """1 / (1 + exp(-x))."""

    function = staticmethod(mg.sigmoid)


class LogSigmoid(_Activation):
    """log(sigmoid(x))."""

    function = staticmethod(mg.log_sigmoid)


class Tanh(_Activation):
    """The hyperbolic tangent."""

    function = staticmethod(mg.tanh)


class Hardtanh(_Activation):
    """x kept between min_val and max_val; the derivative on a bound is 0."""

    function = staticmethod(mg.hardtanh)
    options = (
        "min_val",
        "max_val",
    )

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        if not min_val <= max_val:
            raise ValueError(
                f"Hardtanh: min_val must not be above max_val, got {min_val} and {max_val}"
            )
        super().__init__()
        self.min_val = min_val
        self.max_val = max_val


class Hardswish(_Activation):
    """x relu6(x + 3) / 6: `SiLU` made of straight lines (Howard et al. 2019)."""

    function = staticmethod(mg.hardswish)


class Softsign(_Activation):
    """x / (1 + |x|)."""

    function = staticmethod(mg.softsign)


class Softplus(_Activation):
    """log(1 + exp(beta x)) / beta, and x where beta x is above the threshold.

    Args:
        beta: how sharply it bends, not 0.
        threshold: there is none by default, since nothing overflows; PyTorch's is 20.
    """

    function = staticmethod(mg.softplus)
    options = ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = math.inf) -> None:
        if not beta:
            raise ValueError(f"Softplus: beta must not be 0, got {beta}")
        super().__init__()
        self.beta, self.threshold = beta, threshold


class PReLU(Module):
    """x above 0 and weight * x elsewhere, with learned weights (He et al. 2015).

    Args:
        num_parameters: 1 for one weight, or the number of channels, which are axis 1 of the input.
        init: what the weights begin with.

    Shapes: any, and the same; weight (num_parameters,). Floating input is converted to the dtype of
    the weight.

    Raises:
        ShapeError: for another number of channels.
        DtypeError: when the input is not floating.

    >>> PReLU()([-2.0, 3.0]).tolist()
    [-0.5, 3.0]
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        super().__init__()
        check_sizes("PReLU", 1, num_parameters=num_parameters)
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(blank(self, "weight", num_parameters))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset the parameters: all weights `init`."""
        check_beginning("PReLU", self.weight.dtype, init=self.init)
        constant_(self.weight, self.init)

    def forward(self, x: TensorLike) -> Tensor:
        """Apply the layer."""
        return mg.prelu(cast_input("PReLU", "x", x, self.weight.dtype), self.weight)


class GLU(_Activation):
    """a sigmoid(b), where a and b are the halves of the input along an axis (Dauphin et al. 2017).

    Args:
        axis: the axis that is halved, the last one by default; PyTorch's `dim`.
    """

    function = staticmethod(mg.glu)
    options = ("axis",)

    def __init__(self, axis: int = -1, **other: Any) -> None:
        refuse_pytorch_names("GLU", other, AXIS)
        super().__init__()
        self.axis = axis


class Softmax(_Activation):
    """exp(x) / sum(exp(x)) along an axis; where all scores are -inf, zeros.

    Args:
        axis: the axis, the last one by default; PyTorch's `dim`.
    """

    function = staticmethod(mg.softmax)
    options = ("axis",)

    def __init__(self, axis: Any = -1, **other: Any) -> None:
        refuse_pytorch_names("Softmax", other, AXIS)
        super().__init__()
        self.axis = axis


class Softmin(_Activation):
    """`Softmax` of -x: the smallest number has the largest share.

    Args:
        axis: the axis, the last one by default; PyTorch's `dim`.
    """

    function = staticmethod(mg.softmin)
    options = ("axis",)

    def __init__(self, axis: Any = -1, **other: Any) -> None:
        refuse_pytorch_names("Softmin", other, AXIS)
        super().__init__()
        self.axis = axis


class LogSoftmax(_Activation):
    """The logarithm of `Softmax`, without the loss of digits of the two steps.

    Args:
        axis: the axis, the last one by default; PyTorch's `dim`.
    """

    function = staticmethod(mg.log_softmax)
    options = ("axis",)

    def __init__(self, axis: Any = -1, **other: Any) -> None:
        refuse_pytorch_names("LogSoftmax", other, AXIS)
        super().__init__()
        self.axis = axis
