"""Arrays whose way through NumPy is followed: arguments that are arrays, and drawn numbers.

Layers compute masks from lengths and from random numbers in NumPy, outside of minigrad's
operations. A `Followed` array tells the tracer of every NumPy function that it goes through. Where
one of its numbers is looked at by our own code, as in a check, the program assumes that number.
"""

import functools
import gc
import operator
from collections.abc import Callable, Sequence
from types import CellType
from typing import Any

import numpy as np

from minigrad.compiled.tracing.watching import is_users, is_users_line
from minigrad.ops.pytree import labelled_leaves, replace_leaves

__all__ = ["Followed", "NumpyCall", "follow", "set_free"]


_OF_SHAPE = frozenset(
    (np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.iscomplexobj, np.isrealobj)
)
_OF_MEMORY = frozenset((np.may_share_memory, np.shares_memory))
_SHAPED_BY_VALUES = frozenset(
    ("argwhere", "flatnonzero", "repeat", "tile", "compress", "extract", "bincount", "delete")
) | {"unique", "union1d", "intersect1d", "setdiff1d", "setxor1d", "trim_zeros", "unique_values"}


class NumpyCall:
    """A NumPy function as an operation, as it is called by `CalledOperation`."""

    list_input = False
    rerun = None

    def __init__(self, name: str, forward: Callable[..., Any]) -> None:
        self.name, self.forward = name, forward


class Followed(np.ndarray[Any, Any]):
    """An array that tells a tracer what is done with it.

    Attributes:
        number: whether NumPy gives a number where this array without axes stands.
    """

    tracer: Any = None
    number = False

    def __array_finalize__(self, source: Any) -> None:
        self.tracer = getattr(source, "tracer", None)
        self.number = self.ndim == 0 and getattr(source, "number", False)  # as `T` of a number

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if any(hasattr(value, "_array") for value in inputs):
            return NotImplemented  # the tensor among them knows what to do
        into = options.pop("out", None)
        function = getattr(ufunc, method)
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        if method == "at" and (isinstance(inputs[0], Followed) or is_users()):
            self._written(f"np.{name}")
        plain = {key: _plain(value) for key, value in options.items()}  # `where` may be followed
        result = self._told(
            name, function, inputs, options, function(*map(_plain, inputs), **plain)
        )
        if into is None or into[0] is None:
            return result
        (out,) = into
        np.copyto(_plain(out), _plain(result), casting="same_kind")
        if self.tracer is not None:
            self.tracer.overwrite(out, result)
        return out

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        leaves = [leaf for _, leaf in labelled_leaves((args, kwargs))]
        if any(hasattr(leaf, "_array") for leaf in leaves):
            return NotImplemented
        args_, kwargs_ = replace_leaves((args, kwargs), map(_own, leaves))
        result = func(*args_, **kwargs_)
        if (result is None or kwargs.get("out") is not None) and self.tracer is not None:
            self.tracer.refuse(f"np.{func.__name__} writes into an array")
        return self._told(func.__name__, func, args, kwargs, result)

    def _told(self, name: str, function: Any, args: Any, options: Any, result: Any) -> Any:
        tracer = self.tracer
        if tracer is None or function in _OF_SHAPE or result is None:
            return result
        if function in _OF_MEMORY:
            if is_users():
                tracer.refuse(f"{name} tells where arrays lie in memory")
            return result
        known = isinstance(result, (np.ndarray, np.generic))
        if not known and not isinstance(result, str):
            parts = [leaf for _, leaf in labelled_leaves(result)]
            if all(isinstance(p, np.ndarray) and tracer.view_of(p) is not None for p in parts):
                return result  # views, as of `split`
        if not known or name in _SHAPED_BY_VALUES or _picks(name, args):
            for _, leaf in labelled_leaves((args, options)):
                if isinstance(leaf, Followed):
                    leaf._looked_at(name)
        return tracer.numpy_call(name, function, args, options, result) if known else result

    def __getitem__(self, index: Any) -> Any:
        places = replace_leaves(index, [_plain(leaf) for _, leaf in labelled_leaves(index)])
        result = _plain(self)[places]
        return self._told("indexing", operator.getitem, (self, index), {}, result)

    def astype(self, *args: Any, **kwargs: Any) -> Any:
        """The same numbers in another dtype, followed."""
        result = _own(self).astype(*args, **kwargs)
        return self._told("astype", _astype(args, kwargs), (self,), {}, result)

    def copy(self, order: Any = "C") -> Any:
        """The same numbers, followed."""
        return self._told("positive", np.copy, (self,), {}, _own(self).copy(order))

    def reshape(self, *shape: Any, **options: Any) -> Any:
        """The same numbers in another shape, followed where NumPy has to copy them, too."""
        result = _plain(self).reshape(*shape, **options)
        if not np.may_share_memory(result, _plain(self)):  # it may look at a copy that nobody knows
            result = result.copy()
        name = "reshaped" if options.get("order", "C") == "C" else "reshaped in another order"
        function = functools.partial(_reshaped, shape=shape, options=options)
        return self._told(name, function, (self,), {}, result)

    def ravel(self, order: Any = "C") -> Any:
        """All numbers in one axis."""
        return self.reshape(-1, order=order)

    def flatten(self, order: Any = "C") -> Any:
        """All numbers in one axis."""
        return self.reshape(-1, order=order)

    def mean(self, *args: Any, **options: Any) -> Any:
        """By NumPy, which writes into an array of its own on the way."""
        return self._by_numpy("mean", args, options)

    def var(self, *args: Any, **options: Any) -> Any:
        """As `mean`."""
        return self._by_numpy("var", args, options)

    def std(self, *args: Any, **options: Any) -> Any:
        """As `mean`."""
        return self._by_numpy("std", args, options)

    def compress(self, condition: Any, axis: Any = None, out: Any = None) -> Any:
        """By NumPy's function, which is followed."""
        return np.compress(condition, self, axis, out)

    def view(self, *args: Any, **options: Any) -> Any:
        """The same memory as another type, which is not followed."""
        return self._looked_at("view").view(*args, **options)

    @property  # type: ignore[misc]
    def real(self) -> Any:
        """The same numbers, or one part of them."""
        return self._part("real") if self.dtype.kind == "c" else self

    @property  # type: ignore[misc]
    def imag(self) -> Any:
        """The other part."""
        return self._part("imag")

    def _part(self, name: str) -> Any:
        read = operator.attrgetter(name)
        return self._told(f"{name} part", read, (self,), {}, read(_plain(self)).copy())

    @property
    def flat(self) -> Any:
        """Numbers that leave."""
        return self._looked_at("flat").flat

    def _by_numpy(self, name: str, args: Any, options: dict[str, Any]) -> Any:
        result = getattr(_plain(self), name)(*args, **options)
        return self._told(name, getattr(np, name), (self, *args), options, result)

    def _looked_at(self, name: str) -> Any:
        plain = _plain(self)
        if self.tracer is not None:
            self.tracer.looked_at(self, plain, name)
        return plain

    def item(self, *args: Any) -> Any:
        """A number that leaves."""
        return self._looked_at("item").item(*args)

    def tolist(self) -> Any:
        """Numbers that leave."""
        return self._looked_at("tolist").tolist()

    def __bool__(self) -> bool:
        return bool(self._looked_at("bool()"))

    def __int__(self) -> int:
        return int(self._looked_at("int()"))

    def __float__(self) -> float:
        return float(self._looked_at("float()"))

    def __index__(self) -> int:
        return int(self._looked_at("use as an index").__index__())

    def __complex__(self) -> complex:
        return complex(self._looked_at("complex()"))

    def __contains__(self, value: Any) -> bool:
        return value in self._looked_at("in")

    def __repr__(self) -> str:
        return repr(self._looked_at("repr()"))

    def __str__(self) -> str:
        return str(self._looked_at("str()"))

    def __format__(self, spec: str) -> str:
        return format(self._looked_at("format()"), spec)

    def tobytes(self, order: Any = "C") -> bytes:
        """Numbers that leave."""
        return self._looked_at("tobytes").tobytes(order)  # type: ignore[no-any-return]

    @property
    def data(self) -> Any:
        """Memory that leaves."""
        return self._looked_at("data").data

    def __setitem__(self, index: Any, value: Any) -> None:
        self._written("assignment")
        _plain(self)[index] = value

    def sort(self, *args: Any, **kwargs: Any) -> None:
        """In place, which is not followed."""
        self._written("sort")
        _plain(self).sort(*args, **kwargs)

    def fill(self, value: Any) -> None:
        """In place, which is not followed."""
        self._written("fill")
        _plain(self).fill(value)

    def partition(self, *args: Any, **kwargs: Any) -> None:
        """In place, which is not followed."""
        self._written("partition")
        _plain(self).partition(*args, **kwargs)

    def put(self, *args: Any, **kwargs: Any) -> None:
        """In place, which is not followed."""
        self._written("put")
        _plain(self).put(*args, **kwargs)

    def _written(self, name: str) -> None:
        if self.tracer is not None:
            self.tracer.refuse(f"{name} writes into an array")

    def __reduce__(self) -> Any:
        return _plain(self).__reduce__()

    # A number of NumPy's has more than an array without axes, and another class.

    @property  # type: ignore[misc]  # nobody sets it
    def __class__(self) -> Any:
        return self.dtype.type if self.number else Followed

    def __getattr__(self, name: str) -> Any:
        if self.number and hasattr(self.dtype.type, name):
            return getattr(self._looked_at(name)[()], name)
        raise AttributeError(f"'numpy.ndarray' object has no attribute '{name}'")

    def __hash__(self) -> int:  # type: ignore[override]
        if not self.number:
            raise TypeError("unhashable type: 'numpy.ndarray'")
        return hash(self._looked_at("hash()")[()])

    def __round__(self, digits: Any = None) -> Any:
        if not self.number:
            raise TypeError("type numpy.ndarray doesn't define __round__ method")
        return round(self._looked_at("round()")[()], digits)


def _of_memory(name: str) -> Any:
    """An attribute that tells how an array lies in memory, which no program asks."""
    attribute = getattr(np.ndarray, name)

    def read(self: Followed) -> Any:
        if self.tracer is not None and is_users_line():
            self.tracer.refuse(f"{name} tells how an array lies in memory")
        return attribute.__get__(self)

    return property(read)


for _name in ("flags", "strides", "base", "ctypes", "__array_interface__"):
    setattr(Followed, _name, _of_memory(_name))


def _by_function(name: str) -> Any:
    """A method written in C, which tells nobody, by way of NumPy's function of that name."""
    function = getattr(np, name)

    def method(self: Followed, *args: Any, **options: Any) -> Any:
        return function(self, *args, **options)

    return method


for _name in ("argmax", "argmin", "argpartition", "argsort", "choose", "cumprod", "cumsum"):
    setattr(Followed, _name, _by_function(_name))
for _name in (
    "diagonal",
    "dot",
    "nonzero",
    "prod",
    "repeat",
    "round",
    "searchsorted",
    "take",
    "trace",
):
    setattr(Followed, _name, _by_function(_name))


def follow(array: Any, tracer: Any) -> Followed:
    """The same array, followed."""
    followed: Followed = np.ndarray.view(array, Followed)
    followed.tracer = tracer
    return followed


def set_free(survivors: Sequence[Followed], replace: bool) -> None:
    """Have nobody follow arrays any more that outlive their trace.

    Args:
        survivors: the arrays.
        replace: put arrays of NumPy's own in their place, in the user's lists, dictionaries,
            attributes and closures.
    """
    for array in survivors:
        array.tracer = None
    if not survivors or not replace:
        return
    plain = {id(array): _plain(array) for array in survivors}
    for holder in gc.get_referrers(*survivors):
        if isinstance(holder, CellType):
            holder.cell_contents = plain[id(holder.cell_contents)]
            continue
        table = holder if isinstance(holder, (list, dict)) else getattr(holder, "__dict__", None)
        if isinstance(table, list):
            table[:] = [plain.get(id(value), value) for value in table]
        elif isinstance(table, dict) and "__module__" not in table:  # which a class has
            table.update((k, plain[id(v)]) for k, v in list(table.items()) if id(v) in plain)


def _picks(name: str, args: Any) -> bool:
    """Whether NumPy picks by booleans that are followed."""
    return name == "indexing" and any(
        isinstance(leaf, Followed) and leaf.dtype == bool for _, leaf in labelled_leaves(args[1])
    )


def _plain(value: Any) -> Any:
    return np.ndarray.view(value, np.ndarray) if isinstance(value, Followed) else value


def _own(value: Any) -> Any:
    """The array or the number that NumPy would have given."""
    return _plain(value)[()] if isinstance(value, Followed) and value.number else _plain(value)


def _reshaped(array: Any, shape: Any, options: Any) -> Any:
    return array.reshape(*shape, **options)


def _astype(args: Any, kwargs: Any) -> Any:
    return functools.partial(_converted, args=args, kwargs=kwargs)


def _converted(array: Any, args: Any, kwargs: Any) -> Any:
    return array.astype(*args, **kwargs)
