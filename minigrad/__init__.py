"""minigrad: reverse-mode automatic differentiation for NumPy arrays.

The table of contents of the public API. Names are imported `as` themselves, which tells type
checkers that they are public.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from minigrad import linalg as linalg
from minigrad import operators as operators
from minigrad import ops as ops
from minigrad.checkpoints import checkpoint as checkpoint
from minigrad.checkpoints import checkpoint_sequence as checkpoint_sequence
from minigrad.custom import custom_vjp as custom_vjp
from minigrad.custom import stop_gradient as stop_gradient
from minigrad.errors import AnomalyError as AnomalyError
from minigrad.errors import AxisError as AxisError
from minigrad.errors import DetachError as DetachError
from minigrad.errors import DtypeError as DtypeError
from minigrad.errors import GradientError as GradientError
from minigrad.errors import MissingPackageError as MissingPackageError
from minigrad.errors import ReadOnlyError as ReadOnlyError
from minigrad.errors import ShapeError as ShapeError
from minigrad.graphs import graph as graph
from minigrad.graphs import paused_gc as paused_gc
from minigrad.jacobians import hessian as hessian
from minigrad.jacobians import jacobian as jacobian
from minigrad.kernels import fused as fused
from minigrad.mode import anomaly_mode as anomaly_mode
from minigrad.mode import default_dtype as default_dtype
from minigrad.mode import enable_grad as enable_grad
from minigrad.mode import is_recording as is_recording
from minigrad.mode import no_grad as no_grad
from minigrad.mode import recording as recording
from minigrad.mode import scope as scope
from minigrad.mode import set_default_dtype as set_default_dtype
from minigrad.mode import step as step
from minigrad.ops import *  # noqa: F403 - the operations, as listed in the modules of minigrad.ops
from minigrad.primitives import primitive as primitive
from minigrad.randomness import seed as seed
from minigrad.resuming import load_checkpoint as load_checkpoint
from minigrad.resuming import save_checkpoint as save_checkpoint
from minigrad.serialize import load as load
from minigrad.serialize import save as save
from minigrad.state_labels import label_state as label_state
from minigrad.tensors import Tensor as Tensor
from minigrad.transforms import grad as grad
from minigrad.transforms import gradients as gradients
from minigrad.transforms import hvp as hvp
from minigrad.transforms import jvp as jvp
from minigrad.transforms import value_and_grad as value_and_grad
from minigrad.transforms import vjp as vjp

tensor = Tensor

if not TYPE_CHECKING:  # type checkers follow the imports; a list that they cannot read hides them
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
        # files
        "load",
        "load_checkpoint",
        "save",
        "save_checkpoint",
        # errors
        "AnomalyError",
        "AxisError",
        "DetachError",
        "DtypeError",
        "GradientError",
        "MissingPackageError",
        "ReadOnlyError",
        "ShapeError",
        # modules
        "linalg",
        "operators",
        "ops",
    ]
    __all__ += ops.__all__

    def __getattr__(name):
        """A submodule that is not needed by the engine, such as `draw`, `optim` or `testing`."""
        try:
            return import_module(f"minigrad.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"minigrad.{name}":
                raise
            raise AttributeError(f"module 'minigrad' has no attribute {name!r}") from None
