"""The methods of `Tensor`, written by `tools.tensor_methods`: do not edit."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

from numpy import ndarray

from minigrad.core.tensors import Tensor, TensorLike
from minigrad.debug.extras import HookHandle

class TensorMethods:
    """What functions of minigrad and of NumPy's protocols give to tensors."""

    __slots__ = ()
    @property
    def T(self) -> Tensor:
        """The axes in reverse order."""

    def __abs__(self) -> Tensor: ...
    def __add__(self, other: TensorLike) -> Tensor: ...
    def __and__(self, other: TensorLike) -> Tensor: ...
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> ndarray[Any, Any]: ...
    def __bool__(self) -> bool: ...
    def __complex__(self) -> complex: ...
    def __contains__(self, value: Any) -> bool: ...
    def __copy__(self) -> Tensor: ...
    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor: ...
    def __divmod__(self, other: TensorLike) -> tuple[Tensor, Tensor]: ...
    def __eq__(self, other: object) -> Tensor: ...  # type: ignore[override]
    def __float__(self) -> float: ...
    def __floordiv__(self, other: TensorLike) -> Tensor: ...
    def __format__(self, spec: str) -> str: ...
    def __ge__(self, other: TensorLike) -> Tensor: ...
    def __getitem__(self, index: Any) -> Tensor: ...
    def __gt__(self, other: TensorLike) -> Tensor: ...
    def __iadd__(self, other: TensorLike) -> Self: ...
    def __iand__(self, other: TensorLike) -> Self: ...
    def __ifloordiv__(self, other: TensorLike) -> Self: ...
    def __ilshift__(self, other: TensorLike) -> Self: ...
    def __imatmul__(self, other: TensorLike) -> Self: ...
    def __imod__(self, other: TensorLike) -> Self: ...
    def __imul__(self, other: TensorLike) -> Self: ...
    def __index__(self) -> int: ...
    def __int__(self) -> int: ...
    def __invert__(self) -> Tensor: ...
    def __ior__(self, other: TensorLike) -> Self: ...
    def __ipow__(self, other: TensorLike) -> Self: ...
    def __irshift__(self, other: TensorLike) -> Self: ...
    def __isub__(self, other: TensorLike) -> Self: ...
    def __iter__(self) -> Iterator[Tensor]: ...
    def __itruediv__(self, other: TensorLike) -> Self: ...
    def __ixor__(self, other: TensorLike) -> Self: ...
    def __le__(self, other: TensorLike) -> Tensor: ...
    def __len__(self) -> int: ...
    def __lshift__(self, other: TensorLike) -> Tensor: ...
    def __lt__(self, other: TensorLike) -> Tensor: ...
    def __matmul__(self, other: TensorLike) -> Tensor: ...
    def __mod__(self, other: TensorLike) -> Tensor: ...
    def __mul__(self, other: TensorLike) -> Tensor: ...
    def __ne__(self, other: object) -> Tensor: ...  # type: ignore[override]
    def __neg__(self) -> Tensor: ...
    def __or__(self, other: TensorLike) -> Tensor: ...
    def __pos__(self) -> Tensor: ...
    def __pow__(self, other: TensorLike) -> Tensor: ...
    def __radd__(self, other: TensorLike) -> Tensor: ...
    def __rand__(self, other: TensorLike) -> Tensor: ...
    def __rdivmod__(self, other: TensorLike) -> tuple[Tensor, Tensor]: ...
    def __repr__(self) -> str: ...
    def __rfloordiv__(self, other: TensorLike) -> Tensor: ...
    def __rlshift__(self, other: TensorLike) -> Tensor: ...
    def __rmatmul__(self, other: TensorLike) -> Tensor: ...
    def __rmod__(self, other: TensorLike) -> Tensor: ...
    def __rmul__(self, other: TensorLike) -> Tensor: ...
    def __ror__(self, other: TensorLike) -> Tensor: ...
    def __round__(self, ndigits: int | None = None) -> Tensor: ...
    def __rpow__(self, other: TensorLike) -> Tensor: ...
    def __rrshift__(self, other: TensorLike) -> Tensor: ...
    def __rshift__(self, other: TensorLike) -> Tensor: ...
    def __rsub__(self, other: TensorLike) -> Tensor: ...
    def __rtruediv__(self, other: TensorLike) -> Tensor: ...
    def __rxor__(self, other: TensorLike) -> Tensor: ...
    def __setitem__(self, index: Any, value: Any) -> None: ...
    def __sub__(self, other: TensorLike) -> Tensor: ...
    def __truediv__(self, other: TensorLike) -> Tensor: ...
    def __xor__(self, other: TensorLike) -> Tensor: ...
    def abs(self) -> Tensor:
        """The absolute value, elementwise; the derivative at 0 is 0, as in PyTorch."""

    def absolute(self) -> Tensor:
        """The absolute value, elementwise; the derivative at 0 is 0, as in PyTorch."""

    def all(self, axis: Any = None, *, keepdims: bool = False, where: Any = None) -> Tensor:
        """Whether all elements over `axis`, and in `where`, are true."""

    def any(self, axis: Any = None, *, keepdims: bool = False, where: Any = None) -> Tensor:
        """Whether any element over `axis`, and in `where`, is true."""

    def arccos(self) -> Tensor:
        """The angle in [0, pi] with cosine `x`, elementwise. At +-1 the derivative is -inf."""

    def arccosh(self) -> Tensor:
        """The inverse of the hyperbolic cosine, for x >= 1, elementwise. At 1 the derivative
        is inf.
        """

    def arcsin(self) -> Tensor:
        """The angle in [-pi / 2, pi / 2] with sine `x`, elementwise. At +-1 the derivative is
        inf.
        """

    def arcsinh(self) -> Tensor:
        """The inverse of the hyperbolic sine, elementwise."""

    def arctan(self) -> Tensor:
        """The angle in (-pi / 2, pi / 2) with tangent `x`, elementwise."""

    def arctan2(self, x2: TensorLike) -> Tensor:
        """The angle in [-pi, pi] of the point with ordinate `x1` and abscissa `x2`,
        elementwise."""

    def arctanh(self) -> Tensor:
        """The inverse of the hyperbolic tangent, for -1 < x < 1, elementwise."""

    def argmax(self, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
        """The index of the first largest element along `axis`; with None, in the flattened
        array.
        """

    def argmin(self, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
        """The index of the first smallest element along `axis`; with None, in the flattened
        array.
        """

    def argpartition(self, kth: int | Sequence[int], axis: int | None = -1) -> Tensor:
        """The places of the elements in the order of `partition`: integers."""

    def argsort(
        self,
        axis: int | None = -1,
        kind: str | None = None,
        *,
        stable: bool | None = None,
        descending: bool = False,
    ) -> Tensor:
        """The places of the elements in the order of `sort`: integers, which carry no
        gradient."""

    def astype(self, dtype: Any) -> Tensor:
        """`x` converted to another dtype. To a dtype that is not floating only without grad."""

    def backward(
        self,
        gradient: Any = None,
        retain_graph: bool = False,
        create_graph: bool = False,
    ) -> None:
        """Add the gradient of this tensor to `.grad` of every leaf that it was computed from."""

    def broadcast_to(self, shape: Any) -> Tensor:
        """`x` repeated along new axes and along axes of length 1."""

    def ceil(self) -> Tensor:
        """The smallest integer from `x` on, elementwise."""

    def choose(self, choices: Any, mode: str = "raise") -> Tensor:
        """Elementwise, the choice that the integer `a` names; all broadcast together."""

    def clip(
        self,
        a_min: Any = None,
        a_max: Any = None,
        *,
        min: Any = None,
        max: Any = None,
    ) -> Tensor:
        """`x` kept between two bounds, elementwise."""

    def compress(self, condition: Any, axis: int | None = None) -> Tensor:
        """The parts along an axis for which a condition holds."""

    def conj(self) -> Tensor:
        """The complex conjugate, elementwise; of real numbers, themselves."""

    def copy(self, order: str = "K", subok: bool = False) -> Tensor:
        """The same values with the same history, to be written without changing this tensor."""

    def copysign(self, x2: TensorLike) -> Tensor:
        """The size of `x1` with the sign of `x2`, elementwise."""

    def cos(self) -> Tensor:
        """The cosine of an angle in radians, elementwise."""

    def cosh(self) -> Tensor:
        """The hyperbolic cosine, elementwise."""

    def cumprod(self, axis: int | None = None, dtype: Any = None) -> Tensor:
        """The cumulative product along `axis`; with None, of the flattened array."""

    def cumsum(self, axis: int | None = None, dtype: Any = None) -> Tensor:
        """The cumulative sum along `axis`; with None, of the flattened array."""

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """The elements with axis2 - axis1 = `offset` of two axes, as a new last axis."""

    def dot(self, b: Any) -> Any:
        """NumPy's `dot`: the sum of products over the last axis of `a` and the last but one of
        `b`.
        """

    def erf(self) -> Tensor:
        """The error function 2 / sqrt(pi) * integral of exp(-t * t) from 0 to x, elementwise."""

    def erfc(self) -> Tensor:
        """1 - erf(x), elementwise, without loss of digits where erf is near 1."""

    def exp(self) -> Tensor:
        """The exponential, elementwise."""

    def exp2(self) -> Tensor:
        """2 ** x, elementwise."""

    def expand_dims(self, axis: Any) -> Tensor:
        """With new axes of length 1, at the places in the result that `axis` names."""

    def expm1(self) -> Tensor:
        """exp(x) - 1, elementwise, exact near 0."""

    def fill(self, value: Any) -> None:
        """Write one number into every element, in place."""

    def flatten(self, order: str = "C") -> Tensor:
        """All elements in one axis: a value that can be written, as NumPy's is a copy."""

    def flip(self, axis: Any = None) -> Tensor:
        """The elements in reverse order along `axis` (None: all axes; an int; a tuple)."""

    def floor(self) -> Tensor:
        """The largest integer up to `x`, elementwise."""

    def floor_divide(self, x2: TensorLike) -> Tensor:
        """floor(x1 / x2), elementwise."""

    def fmod(self, x2: TensorLike) -> Tensor:
        """x1 - trunc(x1 / x2) * x2, elementwise, with the sign of `x1`."""

    @property
    def imag(self) -> Tensor:
        """The imaginary part."""

    def isfinite(self) -> Tensor:
        """Whether `x` is neither infinite nor NaN, elementwise."""

    def isinf(self) -> Tensor:
        """Whether `x` is infinite, elementwise."""

    def isnan(self) -> Tensor:
        """Whether `x` is NaN, elementwise."""

    def item(self) -> Any:
        """The only element as a Python number; detaches, since it was asked for."""

    @property
    def itemsize(self) -> int:
        """Bytes per element."""

    def log(self) -> Tensor:
        """The natural logarithm, elementwise."""

    def log10(self) -> Tensor:
        """The logarithm to base 10, elementwise."""

    def log1p(self) -> Tensor:
        """log(1 + x), elementwise, exact near 0."""

    def log2(self) -> Tensor:
        """The logarithm to base 2, elementwise."""

    def log_softmax(self, axis: Any = -1) -> Tensor:
        """The logarithm of `softmax`; computed without overflow."""

    def logaddexp(self, x2: TensorLike) -> Tensor:
        """log(exp(x1) + exp(x2)), elementwise, without overflow."""

    def logical_and(self, x2: TensorLike) -> Tensor:
        """Whether both are true, elementwise."""

    def logical_not(self) -> Tensor:
        """Whether `x` is false, elementwise."""

    def logical_or(self, x2: TensorLike) -> Tensor:
        """Whether any of the two is true, elementwise."""

    def logical_xor(self, x2: TensorLike) -> Tensor:
        """Whether just one of the two is true, elementwise."""

    def logsumexp(self, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        """log(sum(exp(x))) over `axis`, without overflow."""

    @property
    def mT(self) -> Tensor:
        """The last two axes exchanged."""

    def matmul(self, x2: TensorLike) -> Tensor:
        """The matrix product over the last two axes, stacked and broadcast over the others."""

    def max(
        self,
        axis: Any = None,
        *,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
    ) -> Tensor:
        """The largest element over `axis`; ties share the gradient equally, as in
        `torch.amax`."""

    def maximum(self, x2: TensorLike) -> Tensor:
        """The larger of `x1` and `x2`, elementwise; ties halve the gradient, as in PyTorch."""

    def mean(
        self,
        axis: Any = None,
        dtype: Any = None,
        *,
        keepdims: bool = False,
        where: Any = None,
    ) -> Tensor:
        """The mean over `axis`, with the arguments of `sum`; float16 is added up in float32."""

    def median(self, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        """The middle value over `axis`; of an even number, the mean of the two middle ones."""

    def min(
        self,
        axis: Any = None,
        *,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
    ) -> Tensor:
        """The smallest element over `axis`; ties share the gradient equally, as in
        `torch.amin`."""

    def minimum(self, x2: TensorLike) -> Tensor:
        """The smaller of `x1` and `x2`, elementwise; ties halve the gradient, as in PyTorch."""

    def moveaxis(self, source: Any, destination: Any) -> Tensor:
        """Axes moved to new places, the others in their order; ints or tuples."""

    def nan_to_num(
        self,
        copy: bool = True,
        nan: float = 0.0,
        posinf: float | None = None,
        neginf: float | None = None,
    ) -> Tensor:
        """NaN and infinities replaced, where the derivative is 0."""

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""

    def nonzero(self) -> tuple[Tensor, ...]:
        """The places of the elements that are not 0, as one array of integers per axis."""

    def norm(self, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
        """The norm of vectors or matrices, as `np.linalg.norm`."""

    def numpy(self) -> ndarray[Any, Any]:
        """A read-only view of the values; detaches, since it was asked for."""

    def pad(
        self,
        pad_width: Any,
        mode: str = "constant",
        *,
        constant_values: Any = None,
        end_values: Any = None,
        stat_length: Any = None,
        reflect_type: str | None = None,
    ) -> Tensor:
        """Pad: more elements before and after those along each axis."""

    def partition(self, kth: Any, axis: int = -1) -> None:
        """Partition along an axis in place, as ndarray.partition does."""

    def pow(self, x2: TensorLike) -> Tensor:
        """`x1 ** x2`, elementwise."""

    def prod(
        self,
        axis: Any = None,
        dtype: Any = None,
        *,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
    ) -> Tensor:
        """The product over `axis`, with the arguments of `sum`."""

    def quantile(
        self,
        q: Any,
        axis: Any = None,
        *,
        method: str = "linear",
        keepdims: bool = False,
        weights: Any = None,
    ) -> Tensor:
        """The quantiles over `axis`: the values below which given fractions of the elements
        lie."""

    def ravel(self, order: str = "C") -> Tensor:
        """All elements in one axis."""

    @property
    def real(self) -> Tensor:
        """The real part."""

    def reciprocal(self) -> Tensor:
        """`1 / x`, elementwise."""

    def register_hook(self, hook: Callable[[Tensor], Any]) -> HookHandle:
        """Call `hook(gradient)` with the whole gradient of this tensor during backward."""

    def relu(self) -> Tensor:
        """max(x, 0), elementwise; the derivative at 0 is 0 and at NaN 1, as in PyTorch."""

    def remainder(self, x2: TensorLike) -> Tensor:
        """x1 - floor(x1 / x2) * x2, elementwise, with the sign of `x2`."""

    def repeat(self, repeats: Any, axis: int | None = None) -> Tensor:
        """Each element `repeats` times, next to each other."""

    def reshape(self, *shape: Any, order: str = "C") -> Tensor: ...
    def retain_grad(self) -> Tensor:
        """Keep the gradient of this computed tensor in `.grad`, as a leaf does."""

    def roll(self, shift: Any, axis: Any = None) -> Tensor:
        """The elements shifted cyclically along `axis`: the last ones come in at the front."""

    def round(self, decimals: int = 0) -> Tensor:
        """Rounded to a number of decimals, of two neighbours to the even one, elementwise."""

    def scatter_add(self, index: Any, values: Any) -> Tensor:
        """A copy of `x` with `values` added at `x[index]`; places that repeat get every
        addition.
        """

    def searchsorted(self, v: TensorLike, side: str = "left", sorter: Any = None) -> Tensor:
        """The places at which to insert `v` into the sorted vector `a` so that it stays
        sorted."""

    def sigmoid(self) -> Tensor:
        """The logistic function 1 / (1 + exp(-x)), elementwise; accurate in both tails."""

    def sign(self) -> Tensor:
        """-1, 0 or 1: piecewise constant, so nothing is recorded."""

    def sin(self) -> Tensor:
        """The sine of an angle in radians, elementwise."""

    def sinh(self) -> Tensor:
        """The hyperbolic sine, elementwise."""

    def softmax(self, axis: Any = -1) -> Tensor:
        """The softmax exp(x) / sum(exp(x)) along `axis`, without overflow."""

    def sort(
        self,
        axis: int = -1,
        kind: str | None = None,
        *,
        stable: bool | None = None,
    ) -> None:
        """Sort along an axis in place, as ndarray.sort does; `minigrad.sort` returns a new
        tensor.
        """

    def split(self, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
        """Parts along an axis: a number of equal ones, or those between given places."""

    def sqrt(self) -> Tensor:
        """The square root, elementwise. At 0 the derivative is infinite."""

    def square(self) -> Tensor:
        """`x * x`, elementwise."""

    def squeeze(self, axis: Any = None) -> Tensor:
        """Without axes of length 1: all of them, or those named by `axis` (an int or a tuple)."""

    def std(
        self,
        axis: Any = None,
        dtype: Any = None,
        *,
        ddof: float = 0,
        keepdims: bool = False,
        correction: float | None = None,
        where: Any = None,
    ) -> Tensor:
        """The standard deviation over `axis`, the square root of `var`, with its arguments."""

    def sum(
        self,
        axis: Any = None,
        dtype: Any = None,
        *,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
    ) -> Tensor:
        """The sum over `axis`."""

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """Two axes exchanged."""

    def take(self, indices: TensorLike, axis: int | None = None, mode: str = "raise") -> Tensor:
        """The elements at integer places along an axis."""

    def take_along_axis(self, indices: TensorLike, axis: int | None = -1) -> Tensor:
        """The elements that `indices` name along an axis, one to one along the other axes."""

    def tan(self) -> Tensor:
        """The tangent of an angle in radians, elementwise."""

    def tanh(self) -> Tensor:
        """The hyperbolic tangent, elementwise."""

    def tile(self, reps: Any) -> Tensor:
        """`x` repeated as a whole: `reps` times along each axis, the last one last."""

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers; detaches, since it was asked for."""

    def topk(self, k: int, axis: int = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
        """The `k` largest (or smallest) elements along an axis, in order, and their places."""

    def trace(
        self,
        offset: int = 0,
        axis1: int = 0,
        axis2: int = 1,
        dtype: Any = None,
    ) -> Tensor:
        """The sum along a diagonal of two axes, added up in `dtype`."""

    def transpose(self, *axes: Any) -> Tensor: ...
    def tril(self, k: int = 0) -> Tensor:
        """The lower triangle of the last two axes, zeros above the `k`-th diagonal."""

    def triu(self, k: int = 0) -> Tensor:
        """The upper triangle of the last two axes, zeros below the `k`-th diagonal."""

    def trunc(self) -> Tensor:
        """The integer part of `x`, elementwise."""

    def unstack(self, *, axis: int = 0) -> tuple[Tensor, ...]:
        """The parts along an axis, without it: the inverse of `stack`."""

    def var(
        self,
        axis: Any = None,
        dtype: Any = None,
        *,
        ddof: float = 0,
        keepdims: bool = False,
        correction: float | None = None,
        where: Any = None,
    ) -> Tensor:
        """The variance over `axis`: the sum of squared distances from the mean, over n - ddof."""

    def write(self, value: Any) -> None:
        """Replace the values of this leaf by a copy of an array, as optimisers do."""
