"""Activation functions as modules, for `Sequential` and for drawings.

Each applies the function of the same name in `minigrad`, whose documentation gives formula, source
and conventions at kinks. Except for `Softmax` and `LogSoftmax` they work place by place. Shapes
stay as they are, and so do floating dtypes.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import minigrad as mg
from layers.module import Module
from minigrad import Tensor
from minigrad.ops.arguments import refuse_pytorch_names
from minigrad.signatures import TensorLike

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "SELU",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
]

AXIS = {"dim": "Write axis=: softmax and log_softmax name it as NumPy does; it is -1 by default."}


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


class Softplus(_Activation):
    """log(1 + exp(beta x)) / beta; exact where PyTorch switches to x (beta x > 20)."""

    function = staticmethod(mg.softplus)
    options = ("beta",)

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = beta


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
