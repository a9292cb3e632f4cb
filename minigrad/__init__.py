"""minigrad: reverse-mode automatic differentiation for NumPy arrays.

This page is the table of contents of the public API.
"""

from minigrad import operators, ops  # operators binds the methods of Tensor
from minigrad.errors import (
    AnomalyError,
    DetachError,
    DtypeError,
    GradientError,
    MissingPackageError,
    ShapeError,
)
from minigrad.fused import fused
from minigrad.mode import (
    anomaly_mode,
    default_dtype,
    enable_grad,
    is_recording,
    no_grad,
    recording,
    scope,
    set_default_dtype,
    step,
)
from minigrad.ops import *  # noqa: F403 - the operations, as listed in the modules of minigrad.ops
from minigrad.primitives import primitive
from minigrad.randomness import seed
from minigrad.tensors import Tensor, label_state
from minigrad.transforms import gradients

tensor = Tensor

__all__ = [
    # tensors and what is recorded
    "Tensor",
    "anomaly_mode",
    "default_dtype",
    "enable_grad",
    "is_recording",
    "label_state",
    "no_grad",
    "recording",
    "scope",
    "seed",
    "set_default_dtype",
    "step",
    "tensor",
    # derivatives
    "gradients",
    # operations of your own
    "fused",
    "primitive",
    # errors
    "AnomalyError",
    "DetachError",
    "DtypeError",
    "GradientError",
    "MissingPackageError",
    "ShapeError",
    # modules
    "operators",
    "ops",
]
__all__ += ops.__all__
