"""minigrad: reverse-mode automatic differentiation for NumPy arrays.

This page is the table of contents of the public API.
"""

from minigrad import linalg, operators, ops  # operators binds the methods of Tensor
from minigrad.checkpoints import checkpoint, checkpoint_sequence
from minigrad.custom import custom_vjp, stop_gradient
from minigrad.errors import (
    AnomalyError,
    DetachError,
    DtypeError,
    GradientError,
    MissingPackageError,
    ShapeError,
)
from minigrad.graphs import graph, paused_gc
from minigrad.jacobians import hessian, jacobian
from minigrad.kernels import fused
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
from minigrad.transforms import grad, gradients, hvp, jvp, value_and_grad, vjp

tensor = Tensor

__all__ = [
    # tensors and what is recorded
    "Tensor",
    "anomaly_mode",
    "default_dtype",
    "enable_grad",
    "graph",
    "is_recording",
    "label_state",
    "no_grad",
    "paused_gc",
    "recording",
    "scope",
    "seed",
    "set_default_dtype",
    "step",
    "tensor",
    # derivatives
    "checkpoint",
    "checkpoint_sequence",
    "grad",
    "gradients",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "stop_gradient",
    "value_and_grad",
    "vjp",
    # operations of your own
    "custom_vjp",
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
    "linalg",
    "operators",
    "ops",
]
__all__ += ops.__all__
