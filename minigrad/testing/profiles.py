"""How many examples the tests draw: hypothesis profiles, for this project and for yours."""

from typing import Any

from minigrad.io.packages import require

require("hypothesis", "testing", "minigrad.testing.register_profiles")

from hypothesis import HealthCheck, settings  # noqa: E402 - after the check that it is installed

__all__ = ["examples", "register_profiles"]

EXAMPLES = {"quick": 10, "default": 20, "thorough": 1000}


def register_profiles(load: str | None = "default") -> None:
    """Register the hypothesis profiles "quick", "default" and "thorough", and load one.

    They draw 10, 20 and 1000 examples for each test. The first two draw the same ones at every
    run, so a test that turned red did so by a change, and anyone can repeat it; "thorough" draws
    fresh ones, to find new faults. Time is never a failure. Put the call into a `conftest.py`, and
    choose another one with ``pytest --hypothesis-profile=thorough``.

    Args:
        load: the profile to use from now on; None changes nothing yet.

    >>> register_profiles(load=None)
    >>> settings.get_profile("thorough").max_examples
    1000
    """
    for name, count in EXAMPLES.items():
        settings.register_profile(
            name,
            max_examples=count,
            derandomize=name != "thorough",
            deadline=None,  # how long an example takes depends on what else the machine does
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow],
        )
    if load is not None:
        settings.load_profile(load)


def examples(factor: float) -> Any:
    """Decorates a hypothesis test to draw `factor` times as many examples as the profile says.

    >>> from hypothesis import given, strategies
    >>> @examples(2)
    ... @given(strategies.integers())
    ... def test_square(n):
    ...     assert n * n >= 0
    >>> test_square()
    """
    return settings(max_examples=max(1, round(factor * settings().max_examples)))
