"""Tools to check derivatives: of your own functions and operations, and of minigrad's.

`check_gradients` checks one function at given arguments and needs nothing but NumPy; all else
needs hypothesis: strategies for shapes, arrays, tensors and whole programs, `property_test` and
`fused_test`, which test an operation from one line, `EngineMachine`, which tests the engine, and
profiles that say how many examples are drawn.
"""

import importlib
from typing import TYPE_CHECKING

from minigrad.testing.checking import GradientMismatch, NotDifferentiable, check_gradients

if TYPE_CHECKING:  # hypothesis is imported when one of these is used
    from minigrad.testing.profiles import examples, register_profiles
    from minigrad.testing.property_tests import Input, fused_test, property_test
    from minigrad.testing.random_programs import check_program, programs
    from minigrad.testing.state_machine import EngineMachine
    from minigrad.testing.strategies import arrays, broadcastable_shapes, shapes, tensors
    from minigrad.testing.tables.specifications import Specification

__all__ = [
    "EngineMachine",
    "GradientMismatch",
    "Input",
    "NotDifferentiable",
    "Specification",
    "arrays",
    "broadcastable_shapes",
    "check_gradients",
    "check_program",
    "examples",
    "fused_test",
    "programs",
    "property_test",
    "register_profiles",
    "shapes",
    "tensors",
]

_WITH_HYPOTHESIS = {
    "EngineMachine": "state_machine",
    "Input": "property_tests",
    "Specification": "tables.specifications",
    "arrays": "strategies",
    "broadcastable_shapes": "strategies",
    "check_program": "random_programs",
    "examples": "profiles",
    "fused_test": "property_tests",
    "programs": "random_programs",
    "property_test": "property_tests",
    "register_profiles": "profiles",
    "shapes": "strategies",
    "tensors": "strategies",
}


if not TYPE_CHECKING:  # it would hide misspelt names

    def __getattr__(name: str) -> object:
        if name in _WITH_HYPOTHESIS:
            module = importlib.import_module(f"minigrad.testing.{_WITH_HYPOTHESIS[name]}")
            return getattr(module, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
