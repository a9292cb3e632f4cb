"""Advice for calls that would convert a tensor to plain numbers: what to write instead."""

import math
import sys
from typing import Any

import numpy as np

from minigrad.numpy_api.call_sites import Site, running_site
from minigrad.numpy_api.sampling_advice import of_draws

__all__ = ["SCIPY_FUNCTIONS", "advice", "class_being_made"]

_NUMPY_NAMES = {
    "acos": "arccos",
    "acosh": "arccosh",
    "asin": "arcsin",
    "asinh": "arcsinh",
    "atan": "arctan",
    "atanh": "arctanh",
    "fabs": "abs",
}
_OF_MATH = {
    "atan2": "np.arctan2(y, x)",
    "copysign": "np.copysign(x1, x2)",
    "dist": "np.linalg.norm(x - y)",
    "erf": "mg.erf(t)",
    "erfc": "mg.erfc(t)",
    "fmod": "np.fmod(x1, x2)",
    "fsum": "np.sum(np.stack([...])), or np.sum(t) of one tensor",
    "gamma": "np.exp(mg.gammaln(t)), for t > 0",
    "hypot": "np.hypot(x1, x2), or np.linalg.norm(np.stack([...])) of more than two",
    "isclose": "np.isclose(x1, x2)",
    "ldexp": "t * 2.0**exponent",
    "lgamma": "mg.gammaln(t)",
    "log": "np.log(t), or np.log(t) / np.log(base) with a base",
    "pow": "t ** exponent",
    "remainder": "x - y * np.round(x / y)",
    "sumprod": "x @ y",
}
_ARRAY_METHODS = {
    "dot": "{array} @ t",
    "fill": "mg.full_like({array}, t)",
    "put": "flat = mg.Tensor({array}.ravel()), flat[index] = t and flat.reshape({array}.shape)",
    "__setitem__": "{array}[index] = t, after {array} = mg.Tensor({array})",
}
SCIPY_FUNCTIONS = {
    "scipy.special.log_softmax": "mg.log_softmax(t, axis=...)",
    "scipy.special.logsumexp": "mg.logsumexp(t, axis=...)",
    "scipy.special.polygamma": "mg.polygamma(n, t)",
    "scipy.special.softmax": "mg.softmax(t, axis=...)",
    "scipy.special.sinc": "np.sinc(t)",
    "scipy.integrate.cumulative_trapezoid": "np.cumsum(np.diff(x) * (y[1:] + y[:-1]) / 2)",
    "scipy.integrate.trapezoid": "np.trapezoid(y, x)",
    "scipy.linalg.cholesky": "np.linalg.cholesky(t)",
    "scipy.linalg.det": "np.linalg.det(t)",
    "scipy.linalg.eigh": "np.linalg.eigh(t)",
    "scipy.linalg.inv": "np.linalg.inv(t)",
    "scipy.linalg.lstsq": "np.linalg.lstsq(a, t)",
    "scipy.linalg.norm": "np.linalg.norm(t)",
    "scipy.linalg.pinv": "np.linalg.pinv(t)",
    "scipy.linalg.qr": "np.linalg.qr(t)",
    "scipy.linalg.solve": "np.linalg.solve(a, t)",
    "scipy.linalg.svd": "np.linalg.svd(t)",
    "scipy.signal.convolve": "np.convolve(t, v) of vectors, or mg.conv1d",
    "scipy.spatial.distance.cdist": "mg.cdist(x1, x2)",
}
"""Functions of SciPy that are written in Python and convert, and what to write instead."""

_GENERATORS = (np.random.Generator, np.random.RandomState)
_STACK = "np.stack([...]) makes one tensor of several"
_NO_MEMORY = "An array cannot remember how a value was computed. Make it a tensor"


def advice(depth: int) -> tuple[str, str] | None:
    """The operation that is converting a tensor, and what to write instead; None if unknown.

    Args:
        depth: how many frames above the caller of this function the tensor was called.
    """
    try:
        site = running_site(depth + 1)
        return None if site is None else _advice_for(site)
    except Exception:  # an error message must not fail
        return None


def class_being_made(depth: int) -> str | None:
    """The class of NumPy that the user's code is making, by its public name; None for a function.

    Args:
        depth: how many frames above the caller of this function the tensor was called.
    """
    site = running_site(depth + 1)
    return site.name if site is not None and isinstance(site.function, type) else None


def _advice_for(site: Site) -> tuple[str, str] | None:
    if site.kind == "store":
        return _advice_for_store(site)
    if site.kind == "operator":
        if site.name.startswith("%"):
            return "% with a text", "Write f'{t.item():.3f}'"
        return f"operator {site.name}", f"The list beside it holds tensors: {_STACK}"
    return _advice_for_call(site)


def _advice_for_store(site: Site) -> tuple[str, str]:
    joined = "; or collect the parts in a list and join them with np.stack"
    if site.receiver is not None:  # into a part, as in `a.T[0] = t`, where `a.T` has no place
        array = site.name.rpartition(".")[0]
        return (
            f"{site.name}[...] = t",
            f"{_NO_MEMORY}, {array} = mg.Tensor({array}), and assign into {array} itself, at the "
            f"index that the elements have there{joined}",
        )
    if site.name:
        made, assign = f"{site.name} = mg.Tensor({site.name})", "assign as before"
    else:
        made, assign = "buffer = mg.Tensor(array)", "assign into it with one index"
    return f"{site.name or 'the array'}[...] = t", f"{_NO_MEMORY}, {made}, and {assign}{joined}"


def _advice_for_call(site: Site) -> tuple[str, str] | None:
    name, function = site.name, site.function
    last = name.rpartition(".")[2]
    if function is np.r_ or function is np.c_:
        return name, (
            "Write np.concatenate([...])" if function is np.r_ else "Write np.column_stack([...])"
        )
    if name.startswith("scipy."):
        instead = SCIPY_FUNCTIONS.get(name)
        return f"{name}(...)", f"Write {instead}" if instead else (
            "It has no derivative here: compose it of functions that minigrad knows, or declare it "
            "with @minigrad.primitive or @minigrad.custom_vjp"
        )
    if function is None:
        return _advice_for_method(site, last)
    if getattr(math, last, None) is function:
        other = _NUMPY_NAMES.get(last, last)
        takes = _is_known(getattr(np, other, None))
        instead = _OF_MATH.get(last) or (f"np.{other}(t)" if takes else None)
        if instead is None:
            return _refused(f"np.{other}", name)
        return f"{name}(...)", f"Write {instead}"
    if function is np.matrix:
        return f"{name}(...)", "Use the tensor itself and @"
    if isinstance(function, type):
        if issubclass(function, np.generic):
            return f"{name}(...)", f"Write t.astype({last!r})"
        return None
    if isinstance(getattr(function, "__self__", None), _GENERATORS):
        return f"{name}(...)", of_draws(last)
    return _advice_for_numpy(name, last, function)


def _advice_for_method(site: Site, last: str) -> tuple[str, str] | None:
    """Of a method whose receiver is known, or that arrays alone have."""
    receiver, written = site.receiver, site.name
    if isinstance(receiver, _GENERATORS):
        return f"{written}(...)", of_draws(last)
    if not isinstance(receiver, np.ndarray) and not (receiver is None and last in _ARRAY_METHODS):
        return None
    array = written.rpartition(".")[0].replace("(...)", "array")
    instead = _ARRAY_METHODS.get(last)
    if instead is None:
        if not _is_known(getattr(np, last, None)):
            return None
        instead = f"np.{last}({{array}}, ...)"
    return f"{written}(...)", f"Write {instead.format(array=array)}"


def _refused(public: str, name: str) -> tuple[str, str] | None:
    """What the tables of refusals say of a function of NumPy, by its public name."""
    from minigrad.numpy_api.unsupported import REFUSED, UNREACHED

    text = UNREACHED.get(public) or REFUSED.get(public)
    return None if text is None else (f"{name}(...)", text[0].upper() + text[1:])


def _advice_for_numpy(name: str, last: str, function: Any) -> tuple[str, str] | None:
    from minigrad.numpy_api.unsupported import UNREACHED

    public = next((n for n in UNREACHED if getattr(np, n[3:], None) is function), None)
    if public is not None:
        return _refused(public, name)
    if _is_known(function):
        return (
            f"{name}(...)",
            f"A list in it holds tensors: {_STACK}, as in {name}(np.stack([...]))",
        )
    if name.startswith("np.testing."):
        return f"{name}(...)", "Pass t.numpy()"
    module = getattr(function, "__module__", None) or ""
    if module.startswith("numpy.random"):
        return f"{name}(...)", of_draws(last)
    return None


def _is_known(function: Any) -> bool:
    """Whether a function of NumPy takes tensors."""
    protocols = sys.modules.get("minigrad.numpy_api.protocols")
    try:
        return protocols is not None and function in protocols.numpy_functions
    except TypeError:
        return False
