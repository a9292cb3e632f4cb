"""NumPy's protocols: `np.exp(t)` and `np.concatenate([t, w])` run the operations of minigrad.

Both protocols look a function up in one table, from NumPy's function to ours, and fit the call to
it. What is not in the table is refused by name.
"""

import functools
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import numpy as np

from minigrad import ops
from minigrad.core.errors import DtypeError, describe
from minigrad.core.tensors import Tensor
from minigrad.numpy_api import inplace
from minigrad.numpy_api.detaching import tell_leaving
from minigrad.numpy_api.scipy_ufuncs import scipy_ufunc, ufunc_name
from minigrad.numpy_api.ufunc_methods import REDUCE_AND_ACCUMULATE, outer_method
from minigrad.numpy_api.unsupported import reason
from minigrad.ops.elementwise import comparisons
from minigrad.ops.explaining import name_the_call

__all__ = ["METADATA", "array_function", "array_ufunc", "numpy_functions", "public_name"]

numpy_functions: dict[Any, Callable[..., Any]] = {}
"""From a NumPy function, ufunc or method of a ufunc to what replaces it on tensors."""


def public_name(function: Any) -> str:
    """The name under which users know a NumPy function: "np.linalg.norm"."""
    module = getattr(function, "__module__", None) or "numpy"
    return f"{module}.{function.__name__}".replace("numpy", "np", 1)


# -- the table -------------------------------------------------------------------------------------


def _enter(module: ModuleType) -> None:
    """Enter a module's operations under the NumPy functions that they stand for."""
    for name in module.__all__:
        theirs = getattr(np, name, None)
        if callable(theirs) and hasattr(theirs, "__name__"):
            numpy_functions[theirs] = getattr(module, name)
    numpy_functions.update(getattr(module, "NUMPY", {}))


METADATA = (
    np.array2string,
    np.array_repr,
    np.array_str,
    np.can_cast,
    np.common_type,
    np.diag_indices_from,
    np.iscomplexobj,
    np.isrealobj,
    np.may_share_memory,
    np.min_scalar_type,
    np.ndim,
    np.result_type,
    np.shape,
    np.shares_memory,
    np.size,
    np.tril_indices_from,
    np.triu_indices_from,
)
"""Functions of shape, dtype, memory or text alone: NumPy's own answer from the tensors' arrays."""

READING = (np.array2string, np.array_repr, np.array_str, np.min_scalar_type)
"""Those of them whose answer depends on the numbers."""


def _answering(function: Any) -> Callable[..., Any]:
    def plain(value: Any) -> Any:
        if isinstance(value, Tensor):
            if function in READING:
                tell_leaving(value, function.__name__)
            return value._array
        return type(value)(map(plain, value)) if type(value) in (list, tuple) else value

    @functools.wraps(function)
    def answer(*args: Any, **kwargs: Any) -> Any:
        return function(*map(plain, args), **{name: plain(v) for name, v in kwargs.items()})

    return answer


for _module in ops.MODULES:
    _enter(_module)
numpy_functions |= inplace.NUMPY
numpy_functions |= {function: _answering(function) for function in METADATA}
numpy_functions |= {
    _ufunc.outer: outer_method(_function)
    for _ufunc, _function in list(numpy_functions.items())
    if isinstance(_ufunc, np.ufunc) and _ufunc.nin == 2 and not _ufunc.signature
}
numpy_functions |= REDUCE_AND_ACCUMULATE
numpy_functions[np._core.umath.clip] = ops.clip  # type: ignore[attr-defined]  # of array.clip(t, 1)


# -- the protocols ---------------------------------------------------------------------------------


def array_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """`__array_ufunc__` of tensors."""
    if method == "__call__":
        ours = numpy_functions.get(ufunc)
        if ours is not None and not kwargs:
            return ours(*inputs)
        if ours is None:
            ours = scipy_ufunc(ufunc)
            if ours is not None and not kwargs:
                return ours(*inputs)
        name = ufunc_name(ufunc)
    else:
        ours = numpy_functions.get(getattr(ufunc, method))
        name = f"{ufunc_name(ufunc)}.{method}"
        if ours is None:
            raise DtypeError(
                f"{name}: this method of a ufunc does not take tensors; use a function such as "
                "np.sum, np.cumsum or minigrad.scatter_add, or a loop."
            )
    if ours is None:
        raise DtypeError(reason(name))
    # Layout and subclass change no value of a tensor.
    options = {k: v for k, v in kwargs.items() if k not in ("order", "subok")}
    out = options.pop("out", None)
    where = options.pop("where", True) if method == "__call__" else True
    target = out[0] if isinstance(out, tuple) and len(out) == 1 else out
    options = _known_options(name, ours, options, UFUNC_DEFAULTS)
    if target is None and where is True:
        return _run(ours, inputs, options, name, inputs, kwargs)
    if not isinstance(target, Tensor):
        _refuse_writing(name, target, where)
    result = _run(ours, inputs, options, name, inputs, kwargs)
    if where is not True:
        result = comparisons.where(where, result, target)
    return inplace.rebind(target, result, f"{name}: out=")


UFUNC_DEFAULTS = {"casting": "same_kind", "dtype": None, "keepdims": False, "signature": None}


def array_function(
    self: Tensor, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """`__array_function__` of tensors."""
    ours = numpy_functions.get(function)
    name = public_name(function)
    if ours is None:
        from minigrad.numpy_api.conversion_advice import class_being_made  # for errors alone

        raise DtypeError(reason(class_being_made(2) or name))
    if not kwargs and len(args) < 2:
        return ours(*args)
    if getattr(ours, "__wrapped__", None) is function:  # some have no signature in old versions
        return ours(*args, **kwargs)
    fitting, options, out = _fit(name, function, ours, args, kwargs)
    result = _run(ours, fitting, options, name, args, kwargs)
    return result if out is None else inplace.rebind(out, result, f"{name}: out=")


def _run(
    ours: Any, fitting: Any, options: dict[str, Any], name: str, args: Any, kwargs: dict[str, Any]
) -> Any:
    """Our function with what was fitted to it; an error names the call as the user wrote it."""
    try:
        return ours(*fitting, **options)
    except Exception as error:
        named = name_the_call(error, name, args, kwargs)
        if named is error:
            raise
        raise named from error


def _refuse_writing(name: str, out: Any, where: Any) -> None:
    if out is not None:
        raise DtypeError(
            f"{name}: out= must be a tensor, got {describe(out)}: an array cannot remember how it "
            "was computed, so it takes no result of tensors (`a += t` on an array means out=a, "
            "too). Write `a = a + t`, or make it a tensor first."
        )
    raise DtypeError(
        f"{name}: where= is not supported on tensors without an out= that is a tensor. Mask the "
        "input instead, as in np.sum(np.where(mask, t, 0)), or choose with "
        "np.where(mask, result, other)."
    )


# -- fitting a call of NumPy's signature to ours ---------------------------------------------------


def _fit(
    name: str, function: Any, ours: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any], Tensor | None]:
    """The arguments and options for our function, and the tensor to write the result into."""
    plan, accepted = _fitting(function, ours), _parameters(ours)
    given, defaults = dict(kwargs), {"out": None, "dtype": None}
    if plan is not None:  # else one of the two takes any number of arrays
        names, defaults, aligned = plan
        given |= dict(zip(names[aligned:], args[aligned:], strict=False))
        args = args[:aligned]
        for array in names[len(args) :]:  # whose name may differ from ours
            if array not in given or array in accepted or array in defaults:
                break
            args = (*args, given.pop(array))
    out = None if "out" in accepted else given.pop("out", None)
    where = True if "where" in accepted else given.pop("where", True)
    plain = where is True or where is np._NoValue
    if not plain or not (out is None or isinstance(out, Tensor)):
        _refuse_writing(name, out, where)
    return args, _known_options(name, ours, given, defaults), out


def _known_options(
    name: str, ours: Any, options: dict[str, Any], defaults: dict[str, Any]
) -> dict[str, Any]:
    """The options that our function has; others are refused unless they are the default."""
    accepted = _parameters(ours)
    kept = {}
    for option, value in options.items():
        if value is np._NoValue:
            continue
        if option in accepted:
            kept[option] = value
        elif option not in defaults or not _same(value, defaults[option]):
            raise DtypeError(
                f"{name}: {option}={describe(value)} is not supported on tensors; "
                + ("convert with t.astype first." if option == "dtype" else "leave it out.")
            )
    return kept


def _same(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and bool(value == default))


@functools.cache
def _parameters(function: Any) -> tuple[str, ...]:
    """The parameters of our function that may be given by name."""
    return tuple(
        p.name for p in _signature(function) if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    )


def _signature(function: Any) -> Iterable[Any]:
    import inspect  # only calls with options need it, and it would slow the import

    return inspect.signature(function).parameters.values()


@functools.cache
def _fitting(function: Any, ours: Any) -> tuple[tuple[str, ...], dict[str, Any], int] | None:
    """NumPy's parameter names and defaults, and how many lead in the same order as ours."""
    try:
        theirs = [p for p in _signature(function) if p.name != "like"]
    except ValueError:  # functions of C in older versions of NumPy
        return ("a", "b"), {"out": None, "casting": "same_kind", "dtype": None}, 9
    if any(p.kind is p.VAR_POSITIONAL for p in (*theirs, *_signature(ours))):
        return None
    names = tuple(p.name for p in theirs if p.kind is not p.KEYWORD_ONLY)
    defaults = {p.name: p.default for p in theirs if p.default is not p.empty}
    mine = [p.name for p in _signature(ours) if p.kind is not p.KEYWORD_ONLY]
    aligned = 0
    for place, name in enumerate(names):
        if name == "out" or place >= len(mine) or (name in mine and mine.index(name) != place):
            break
        aligned = place + 1
    return names, defaults, aligned
