"""What to write instead of a call that would turn a tensor into plain numbers."""

import math
import sys
from typing import Any

import numpy as np

from minigrad.call_sites import Site, running_site

__all__ = ["SCIPY_FUNCTIONS", "advice"]

_NUMPY_NAMES = {
    "acos": "arccos",
    "acosh": "arccosh",
    "asin": "arcsin",
    "asinh": "arcsinh",
    "atan": "arctan",
    "atan2": "arctan2",
    "atanh": "arctanh",
    "fabs": "abs",
    "fsum": "sum",
}
_OF_MATH = {
    "dist": "np.linalg.norm(x - y)",
    "erf": "mg.erf(t)",
    "erfc": "mg.erfc(t)",
    "gamma": "np.exp(mg.gammaln(t)), for t > 0",
    "lgamma": "mg.gammaln(t)",
    "pow": "t ** exponent",
    "sumprod": "x @ y",
}
_ARRAY_METHODS = {
    "dot": "{array} @ t",
    "fill": "mg.full_like({array}, t)",
    "put": "{array}[index] = t, after {array} = mg.Tensor({array})",
}
SCIPY_FUNCTIONS = {
    "scipy.special.log_softmax": "mg.log_softmax(t, axis=...)",
    "scipy.special.logsumexp": "mg.logsumexp(t, axis=...)",
    "scipy.special.polygamma": "mg.polygamma(n, t)",
    "scipy.special.softmax": "mg.softmax(t, axis=...)",
    "scipy.special.sinc": "np.sinc(t)",
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
_DRAW = (
    "Draw numbers that do not depend on the tensor, and shift and scale them: "
    "mean + scale * generator.standard_normal(mean.shape)"
)


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


def _advice_for(site: Site) -> tuple[str, str] | None:
    if site.kind == "store":
        array = site.name or "the array"
        return (
            f"{array}[...] = t",
            "An array cannot remember how a value was computed. Make it a tensor, "
            f"{site.name or 'buffer'} = mg.Tensor({array}), and assign as before; or collect the "
            "parts in a list and join them with np.stack",
        )
    if site.kind == "operator":
        if site.name.startswith("%"):
            return "% with a text", "Write f'{t.item():.3f}'"
        return f"operator {site.name}", f"The list beside it holds tensors: {_STACK}"
    return _advice_for_call(site)


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
        instead = _OF_MATH.get(last) or (f"np.{other}(t)" if hasattr(np, other) else None)
        return None if instead is None else (f"{name}(...)", f"Write {instead}")
    if function is np.matrix:
        return f"{name}(...)", "Use the tensor itself and @"
    if isinstance(function, type) and issubclass(function, np.generic):
        return f"{name}(...)", f"Write t.astype({last!r})"
    if isinstance(getattr(function, "__self__", None), _GENERATORS):
        return f"{name}(...)", _DRAW
    return _advice_for_numpy(name, last, function)


def _advice_for_method(site: Site, last: str) -> tuple[str, str] | None:
    """Of a method whose receiver is known, or that arrays alone have."""
    receiver, written = site.receiver, site.name
    if isinstance(receiver, _GENERATORS):
        return f"{written}(...)", _DRAW
    if not isinstance(receiver, np.ndarray) and not (receiver is None and last in _ARRAY_METHODS):
        return None
    array = written.rpartition(".")[0].replace("(...)", "array")
    instead = _ARRAY_METHODS.get(last)
    if instead is None:
        if not _is_known(getattr(np, last, None)):
            return None
        instead = f"np.{last}({{array}}, ...)"
    return f"{written}(...)", f"Write {instead.format(array=array)}"


def _advice_for_numpy(name: str, last: str, function: Any) -> tuple[str, str] | None:
    from minigrad.refusals import UNREACHED

    public = next((n for n in UNREACHED if getattr(np, n[3:], None) is function), None)
    if public is not None:
        text = UNREACHED[public]
        return f"{name}(...)", text[0].upper() + text[1:]
    if _is_known(function):
        return (
            f"{name}(...)",
            f"A list in it holds tensors: {_STACK}, as in {name}(np.stack([...]))",
        )
    if name.startswith("np.testing."):
        return f"{name}(...)", "Pass t.numpy()"
    module = getattr(function, "__module__", None) or ""
    if module.startswith("numpy.random"):
        return f"{name}(...)", _DRAW
    return None


def _is_known(function: Any) -> bool:
    """Whether a function of NumPy takes tensors."""
    protocols = sys.modules.get("minigrad.protocols")
    try:
        return protocols is not None and function in protocols.numpy_functions
    except TypeError:
        return False
