"""To PyTorch and back. PyTorch is imported only when `to_torch` is called."""

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from layers.base.module import Module
from minigrad import Tensor
from minigrad.core.errors import DtypeError, describe
from minigrad.io.packages import MissingPackageError

__all__ = ["from_torch", "to_torch"]


def to_torch(value: Any) -> Any:
    """Tensors of PyTorch with copies of the values.

    Args:
        value: a tensor or an array; or a dict of them; or a module, which stands for its state
            dict: ``torch_model.load_state_dict(to_torch(model))``.

    Returns:
        One tensor, or a dict of tensors by name.

    Raises:
        MissingPackageError: when PyTorch is not installed.
        DtypeError: for what is neither.
    """
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise MissingPackageError(
            f"to_torch needs PyTorch, which cannot be imported ({error}). Install it with: "
            "python -m pip install torch"
        ) from error
    if isinstance(value, Module):
        value = value.state_dict()
    if isinstance(value, Mapping):
        return {name: to_torch(entry) for name, entry in value.items()}
    if not isinstance(value, (Tensor, np.ndarray, np.generic)):
        raise DtypeError(
            f"to_torch: value must be a tensor, an array, a dict of them or a module, got "
            f"{describe(value)}"
        )
    array = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
    # A copy: PyTorch writes in place, and arrays of tensors never change.
    return torch.from_numpy(np.array(array, array.dtype.newbyteorder("="), order="C"))


def from_torch(value: Any) -> Any:
    """Arrays with copies of the values of PyTorch's tensors, on whatever device they are.

    bfloat16, which NumPy does not have, becomes float32.

    Args:
        value: a tensor; or a dict of them; or a module of PyTorch, which stands for its state
            dict: ``model.load_state_dict(from_torch(torch_model))``.

    Returns:
        One array, or a dict of arrays by name.

    Raises:
        DtypeError: for what is neither.
    """
    if not isinstance(value, Mapping) and hasattr(value, "state_dict"):
        value = value.state_dict()
    if isinstance(value, Mapping):
        return {name: from_torch(entry) for name, entry in value.items()}
    if not all(hasattr(value, name) for name in ("detach", "cpu", "numpy")):
        raise DtypeError(
            "from_torch: value must be a tensor of PyTorch, a dict of them or a module, got "
            f"{describe(value)}"
        )
    tensor = value.detach().cpu()
    if str(tensor.dtype) == "torch.bfloat16":
        tensor = tensor.float()
    return np.array(tensor.numpy())
