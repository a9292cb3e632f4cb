"""The dtype of what a layer is given: one rule for all layers with parameters."""

import itertools
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.core.applying import operand
from minigrad.core.errors import DtypeError, describe

__all__ = ["cast_input", "check_floating", "parameter_dtype"]


def cast_input(layer: str, argument: str, x: Any, dtype: Any = None) -> Any:
    """An input in the dtype of a layer's parameters.

    Floating input of another dtype is converted by a recorded cast, so its gradient comes back in
    the dtype of the input; a layer computes, and returns, in the dtype of its parameters.

    Args:
        layer, argument: the names of the layer and of the input, for messages.
        x: a tensor, an array, or numbers in lists.
        dtype: that of the parameters; None for a layer without any, which keeps that of `x`.

    Returns:
        A tensor or an array; `x` itself where nothing is to be converted.

    Raises:
        DtypeError: for integers, booleans, complex numbers and what is no array of numbers.
    """
    if not isinstance(x, (Tensor, np.ndarray)):
        x = operand(x, layer, argument)
    if dtype is not None and x.dtype == dtype:  # nearly always, so it comes first
        return x
    check_floating(layer, argument, x, dtype)
    return x if dtype is None else mg.astype(x, dtype)


def parameter_dtype(module: Any) -> Any:
    """The dtype in which a module computes, that of its first floating parameter; None without."""
    own = module.parameters(recurse=False)  # nearly always one of them tells
    every = itertools.chain(own, module.parameters())
    return next((p.dtype for p in every if p.dtype.kind in "fc"), None)


def check_floating(layer: str, argument: str, x: Any, dtype: Any = None) -> None:
    """Refuse input that is not floating, with what to write instead.

    Complex numbers pass where the parameters are complex (in checks of derivatives), or where
    there are none.

    Raises:
        DtypeError: naming the argument.
    """
    kind = x.dtype.kind
    if kind == "f" or (kind == "c" and (dtype is None or np.dtype(dtype).kind == "c")):
        return
    wanted = "float32" if dtype is None else np.dtype(dtype).name
    if kind == "c":
        advice = (
            f"Make two real features of each complex one, with np.concatenate([{argument}.real, "
            f"{argument}.imag], axis=-1), or take np.abs({argument})."
        )
    else:
        advice = (
            f"Convert numbers with {argument}.astype(np.{wanted}); token ids are turned into "
            "vectors by an Embedding."
        )
    raise DtypeError(f"{layer}: {argument} must be floating, got {describe(x)}. {advice}")
