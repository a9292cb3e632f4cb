"""Tools to check derivatives: of your own functions and operations, and of minigrad's.

`check_gradients` checks one function at given arguments and needs nothing but NumPy; the
strategies and `property_test` need hypothesis.
"""

from minigrad.testing.checking import GradientMismatch, check_gradients

__all__ = ["GradientMismatch", "Input", "check_gradients", "fused_test", "property_test"]

_WITH_HYPOTHESIS = ("Input", "fused_test", "property_test")


def __getattr__(name: str) -> object:
    if name in _WITH_HYPOTHESIS:
        from minigrad.testing import factory

        return getattr(factory, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
