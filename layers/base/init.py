"""How parameters begin: PyTorch's initialisers, by its names.

The functions whose names end in an underscore fill a tensor, leaf or parameter in place and return
it; nothing is recorded. They draw from `generator=`, a `numpy.random.Generator`, or from the
default one (see `minigrad.seed`). The numbers are those of NumPy's generators: equal in
distribution to PyTorch's, not one by one.

    minigrad.seed(0)
    layers.init.xavier_uniform_(model.head.weight, gain=layers.init.calculate_gain("tanh"))
"""

import functools
import math
from typing import Any, Final, TypeVar

import numpy as np

from minigrad.core.errors import DtypeError, ShapeError, describe
from minigrad.core.tensors import Tensor
from minigrad.numpy_api.inplace import replace
from minigrad.ops.randomness import draw_numbers

__all__ = [
    "calculate_fan_in_and_fan_out",
    "calculate_gain",
    "constant_",
    "eye_",
    "fan_in_bound",
    "identity_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

Generator = np.random.Generator
T = TypeVar("T", bound=Tensor)

BLOCK: Final = 2**22
"""How many random numbers are drawn at a time: 32 MB."""

GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2.0),
    "selu": 3 / 4,
}
"""How much a layer's weights must be enlarged so that the activation keeps the variance."""


# -- numbers of one distribution -------------------------------------------------------------------


def uniform_(tensor: T, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> T:
    """Fill with numbers drawn uniformly from [a, b).

    Raises:
        ValueError: when `b` is below `a`.
    """
    if not a <= b:
        raise ValueError(f"uniform_: a must not be above b, got a={a} and b={b}")
    return _draw("uniform_", tensor, generator, "uniform", a, b)


def normal_(
    tensor: T, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> T:
    """Fill with normally distributed numbers.

    Raises:
        ValueError: when `std` is negative.
    """
    if not std >= 0:
        raise ValueError(f"normal_: std must be 0 or more, got {std}")
    return _draw("normal_", tensor, generator, "normal", mean, std)


def trunc_normal_(
    tensor: T,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> T:
    """Fill with normally distributed numbers, those outside [a, b] drawn again until inside.

    `a` and `b` are values, not multiples of `std`, as in PyTorch.

    Raises:
        ValueError: when `std` is not positive, `a` not below `b`, or [a, b] so far from the mean
            that next to no number falls into it.
    """
    if not std > 0 or not a < b:
        raise ValueError(
            f"trunc_normal_: std must be positive and a below b, got std={std}, a={a}, b={b}"
        )
    inside = (
        math.erf((b - mean) / std / math.sqrt(2)) - math.erf((a - mean) / std / math.sqrt(2))
    ) / 2
    if inside < 1e-3:
        raise ValueError(
            f"trunc_normal_: of a normal distribution with mean={mean} and std={std} only "
            f"{inside:.2g} lies within a={a} to b={b}; move the bounds, or use uniform_"
        )
    draw = functools.partial(
        draw_numbers, generator, "normal", mean, std, tensor.shape, name="trunc_normal_"
    )
    numbers = draw()
    while (outside := (numbers < a) | (numbers > b)).any():
        numbers = np.where(outside, draw(), numbers)
    return _write("trunc_normal_", tensor, numbers)


def constant_(tensor: T, val: float) -> T:
    """Fill with one number."""
    return _fill("constant_", tensor, val)


def ones_(tensor: T) -> T:
    """Fill with 1."""
    return _fill("ones_", tensor, 1.0)


def zeros_(tensor: T) -> T:
    """Fill with 0."""
    return _fill("zeros_", tensor, 0.0)


# -- variances that suit the layer -----------------------------------------------------------------


def xavier_uniform_(tensor: T, gain: float = 1.0, generator: Generator | None = None) -> T:
    """Fill uniformly, with the variance 2 gain^2 / (fan_in + fan_out).

    It keeps the size of activations and gradients about equal (Glorot and Bengio 2010,
    equation 16).

    Raises:
        ShapeError: when the tensor has fewer than 2 axes.
    """
    bound = math.sqrt(3.0) * _xavier_std("xavier_uniform_", tensor, gain)
    return _draw("xavier_uniform_", tensor, generator, "uniform", -bound, bound)


def xavier_normal_(tensor: T, gain: float = 1.0, generator: Generator | None = None) -> T:
    """Fill with normal numbers of the variance 2 gain^2 / (fan_in + fan_out).

    Raises:
        ShapeError: when the tensor has fewer than 2 axes.
    """
    std = _xavier_std("xavier_normal_", tensor, gain)
    return _draw("xavier_normal_", tensor, generator, "normal", 0.0, std)


def kaiming_uniform_(
    tensor: T,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> T:
    """Fill uniformly, with the variance gain^2 / fan (He et al. 2015, equation 10).

    Args:
        tensor: to fill; at least 2 axes.
        a: the negative slope of the leaky rectifier that follows; 0 for a plain one.
        mode: "fan_in" keeps the size of activations, "fan_out" that of gradients.
        nonlinearity: what follows the layer; see `calculate_gain`.
        generator: draws the numbers; the default one if None.

    Raises:
        ShapeError: when the tensor has fewer than 2 axes.
        ValueError: for another mode or nonlinearity.
    """
    bound = math.sqrt(3.0) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return _draw("kaiming_uniform_", tensor, generator, "uniform", -bound, bound)


def kaiming_normal_(
    tensor: T,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> T:
    """Fill with normal numbers of the variance gain^2 / fan; arguments as in `kaiming_uniform_`."""
    std = _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity)
    return _draw("kaiming_normal_", tensor, generator, "normal", 0.0, std)


# -- matrices of a kind ----------------------------------------------------------------------------


def orthogonal_(tensor: T, gain: float = 1.0, generator: Generator | None = None) -> T:
    """Fill with a random (semi-)orthogonal matrix times `gain` (Saxe et al. 2014).

    Axes beyond the first count as columns. Rows or columns, whichever are fewer, have length
    `gain` and are orthogonal to each other; every such matrix is equally likely.

    Raises:
        ShapeError: when the tensor has fewer than 2 axes.
    """
    rows, columns = _matrix("orthogonal_", tensor)
    shape = max(rows, columns), min(rows, columns)
    tall = draw_numbers(generator, "standard_normal", shape, name="orthogonal_")
    q, r = np.linalg.qr(tall)
    q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)  # makes the decomposition, and so q, unbiased
    return _write("orthogonal_", tensor, gain * (q if rows >= columns else q.T))


def eye_(tensor: T, gain: float = 1.0) -> T:
    """Fill a matrix with the identity times `gain`, ones on its diagonal if it is not square.

    Recurrent weights of rectified networks begin well so (Le et al. 2015): the state is kept.

    Raises:
        ShapeError: when the tensor does not have 2 axes.
    """
    if tensor.ndim != 2:
        raise ShapeError(f"eye_: the tensor must be a matrix, got {describe(tensor)}")
    rows, columns = tensor.shape
    return _write("eye_", tensor, gain * np.eye(rows, columns))


def identity_(tensor: T, gain: float = 1.0) -> T:
    """Fill recurrent weights (parts x H, H) with an identity times `gain` for each part.

    For a plain recurrent network of rectifiers (one part) this is the IRNN of Le et al. (2015),
    for an LSTM (4 parts) or GRU (3) every gate begins by reading its own unit alone.

    Raises:
        ShapeError: when the rows are no multiple of the columns.
    """
    if tensor.ndim != 2 or (tensor.shape[0] % max(tensor.shape[1], 1)):
        raise ShapeError(
            f"identity_: the tensor must be (parts * H, H), such as weight_hh_l0, got "
            f"{describe(tensor)}; eye_ takes any matrix"
        )
    rows, columns = tensor.shape
    return _write(
        "identity_", tensor, gain * np.tile(np.eye(columns), (rows // max(columns, 1), 1))
    )


# -- gains and fans --------------------------------------------------------------------------------


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By how much weights are enlarged so that a nonlinearity keeps the variance.

    Args:
        nonlinearity: "linear", "sigmoid", "conv1d", ... (1), "tanh" (5/3), "relu" (sqrt 2),
            "leaky_relu" (sqrt(2 / (1 + param^2))) or "selu" (3/4).
        param: the negative slope of "leaky_relu"; 0.01 if None.

    Raises:
        ValueError: for another name.

    >>> calculate_gain("leaky_relu", 1.0)
    1.0
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else float(param)
        return math.sqrt(2.0 / (1 + slope * slope))
    if nonlinearity not in GAINS:
        known = ", ".join(["leaky_relu", *GAINS])
        raise ValueError(
            f"calculate_gain: nonlinearity must be one of {known}, got {nonlinearity!r}"
        )
    return GAINS[nonlinearity]


def fan_in_bound(fan_in: int) -> float:
    """1 / sqrt(fan_in), the bound of PyTorch's default initialisation of linear layers."""
    return 1 / math.sqrt(fan_in) if fan_in else 0.0


def calculate_fan_in_and_fan_out(tensor: Any) -> tuple[int, int]:
    """How many numbers each output is made of, and how many outputs each input goes into.

    Of weights (out, in, *kernel): in and out, times the size of the kernel.

    Raises:
        ShapeError: when the tensor has fewer than 2 axes.
    """
    _matrix("calculate_fan_in_and_fan_out", tensor)
    kernel = math.prod(tensor.shape[2:])
    return tensor.shape[1] * kernel, tensor.shape[0] * kernel


def _matrix(name: str, tensor: Any) -> tuple[int, int]:
    """Rows and columns, all axes beyond the first counted as columns."""
    if tensor.ndim < 2:
        raise ShapeError(
            f"{name}: the tensor must have at least 2 axes (outputs, inputs, ...), got "
            f"{describe(tensor)}; use uniform_, normal_ or zeros_ for biases"
        )
    return tensor.shape[0], math.prod(tensor.shape[1:])


def _xavier_std(name: str, tensor: Any, gain: float) -> float:
    _matrix(name, tensor)
    fans = sum(calculate_fan_in_and_fan_out(tensor))
    return gain * math.sqrt(2.0 / fans) if fans else 0.0


def _kaiming_std(name: str, tensor: Any, a: float, mode: str, nonlinearity: str) -> float:
    _matrix(name, tensor)
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f'{name}: mode must be "fan_in" or "fan_out", got {mode!r}')
    fan = calculate_fan_in_and_fan_out(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def _draw(
    name: str, tensor: T, generator: Generator | None, method: str, first: float, second: float
) -> T:
    """Put random numbers into a tensor, in its own shape and dtype.

    They are drawn in double precision, one after the other; of a large tensor so many at a time,
    which gives the same numbers in half the memory.
    """
    draw = functools.partial(draw_numbers, generator, method, first, second, name=name)
    if tensor.size <= BLOCK or not isinstance(tensor, Tensor):
        return _write(name, tensor, draw(tensor.shape))
    numbers = np.empty(tensor.shape, tensor.dtype)
    flat = numbers.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        part = flat[start : start + BLOCK]
        part[:] = draw(part.size)
    replace(tensor, numbers)
    return tensor


def _fill(name: str, tensor: T, number: float) -> T:
    """Put one number into all of a tensor."""
    return _write(name, tensor, np.broadcast_to(np.asarray(number, tensor.dtype), tensor.shape))


def _write(name: str, tensor: T, numbers: Any) -> T:
    """Put numbers into a tensor, in its own shape and dtype."""
    if not isinstance(tensor, Tensor):
        raise DtypeError(f"{name}: the tensor must be a minigrad Tensor, got {describe(tensor)}")
    tensor.write(np.asarray(numbers, tensor.dtype).reshape(tensor.shape))
    return tensor
