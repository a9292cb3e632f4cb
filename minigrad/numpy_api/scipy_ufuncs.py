"""Universal functions of `scipy.special` on tensors, without importing SciPy."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad import ops
from minigrad.numpy_api.call_sites import calling_function

__all__ = ["SCIPY_UFUNCS", "scipy_ufunc", "ufunc_name"]


SCIPY_UFUNCS: dict[str, Callable[..., Any]] = {
    "cbrt": ops.cbrt,
    "erf": ops.erf,
    "erfc": ops.erfc,
    "erfinv": ops.erfinv,
    "exp2": ops.exp2,
    "expit": ops.sigmoid,
    "expm1": ops.expm1,
    "gammaln": ops.gammaln,
    "log1p": ops.log1p,
    "log_expit": ops.log_sigmoid,
    "logit": ops.logit,
    "psi": ops.digamma,  # which `scipy.special.digamma` is, too
    "xlog1py": ops.xlog1py,
    "xlogy": ops.xlogy,
}
"""What replaces a function of `scipy.special`, by its name there."""


def _is_of_scipy(ufunc: Any) -> bool:
    """Whether a ufunc is the one of its name in `scipy.special`, if that was imported at all."""
    special = sys.modules.get("scipy.special")
    return special is not None and getattr(special, ufunc.__name__, None) is ufunc


def scipy_ufunc(ufunc: Any) -> Callable[..., Any] | None:
    """What replaces a ufunc of SciPy on tensors; None for others."""
    return SCIPY_UFUNCS.get(ufunc.__name__) if _is_of_scipy(ufunc) else None


def ufunc_name(ufunc: Any) -> str:
    """The name under which users know a ufunc: "np.exp", "scipy.special.jv".

    A private one of SciPy's has the name of the function that calls it: "scipy.special.zeta".
    """
    name: str = ufunc.__name__
    public = calling_function() if name.startswith("_") else None
    if public is not None:
        return public
    if getattr(np, name, None) is ufunc:
        return f"np.{name}"
    public = name.removeprefix("_")  # `lambertw` is a function in front of `_lambertw`
    if _is_of_scipy(ufunc) or (
        public != name and hasattr(sys.modules.get("scipy.special"), public)
    ):
        return f"scipy.special.{public}"
    return f"the ufunc {name}"
