"""minigrad: reverse-mode automatic differentiation for NumPy arrays.

The table of contents of the public API. Names are imported `as` themselves, which tells type
checkers that they are public.
"""

import sys
from typing import TYPE_CHECKING

from minigrad import moved as moved
from minigrad import ops as ops
from minigrad.compiled.guarding.comparing import CompileError as CompileError
from minigrad.compiled.operation import CompileWarning as CompileWarning
from minigrad.compiled.operation import compile as compile
from minigrad.core.blocks import enable_grad as enable_grad
from minigrad.core.blocks import is_recording as is_recording
from minigrad.core.blocks import no_grad as no_grad
from minigrad.core.errors import AnomalyError as AnomalyError
from minigrad.core.errors import AxisError as AxisError
from minigrad.core.errors import DetachError as DetachError
from minigrad.core.errors import DtypeError as DtypeError
from minigrad.core.errors import GradientError as GradientError
from minigrad.core.errors import ReadOnlyError as ReadOnlyError
from minigrad.core.errors import ShapeError as ShapeError
from minigrad.core.tensors import Tensor as Tensor
from minigrad.debug.anomaly import anomaly_mode as anomaly_mode
from minigrad.debug.calls import recording as recording
from minigrad.debug.graph_view import graph as graph
from minigrad.debug.graph_view import paused_gc as paused_gc
from minigrad.debug.labels import label_state as label_state
from minigrad.debug.labels import scope as scope
from minigrad.debug.labels import step as step
from minigrad.io import serialize as serialize
from minigrad.io.checkpoint_files import load_checkpoint as load_checkpoint
from minigrad.io.checkpoint_files import save_checkpoint as save_checkpoint
from minigrad.io.packages import MissingPackageError as MissingPackageError
from minigrad.io.serialize import load as load
from minigrad.io.serialize import save as save
from minigrad.numpy_api import linalg as linalg
from minigrad.numpy_api import operators as operators
from minigrad.ops import *  # noqa: F403 - the operations, as listed in the modules of minigrad.ops
from minigrad.ops.default_dtypes import default_dtype as default_dtype
from minigrad.ops.default_dtypes import set_default_dtype as set_default_dtype
from minigrad.ops.fusing import fused as fused
from minigrad.ops.primitives import primitive as primitive
from minigrad.ops.randomness import seed as seed
from minigrad.profiling.profiles import profile as profile
from minigrad.transforms.custom_rules import custom_vjp as custom_vjp
from minigrad.transforms.custom_rules import stop_gradient as stop_gradient
from minigrad.transforms.derivatives import grad as grad
from minigrad.transforms.derivatives import gradients as gradients
from minigrad.transforms.derivatives import hvp as hvp
from minigrad.transforms.derivatives import jvp as jvp
from minigrad.transforms.derivatives import value_and_grad as value_and_grad
from minigrad.transforms.derivatives import vjp as vjp
from minigrad.transforms.jacobians import hessian as hessian
from minigrad.transforms.jacobians import jacobian as jacobian
from minigrad.transforms.rematerialize import checkpoint as checkpoint
from minigrad.transforms.rematerialize import checkpoint_sequence as checkpoint_sequence

tensor = Tensor
sys.modules["minigrad.linalg"] = linalg  # `import minigrad.linalg as la`, as with NumPy
sys.modules["minigrad.serialize"] = serialize

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
        "profile",
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
        # programs
        "compile",
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
        "CompileError",
        "CompileWarning",
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

    __getattr__ = moved.submodules_of("minigrad")  # draw, optim and testing are not loaded here
