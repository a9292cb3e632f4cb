"""Tests that cannot hold with every call compiled, and why: see `tests/compiled_suite.py`."""

EXCEPTIONS: dict[str, list[str]] = {}
"""By the reason: beginnings of the names of tests."""


def reason_of(test):
    """Why a test need not hold, or None."""
    for reason, beginnings in EXCEPTIONS.items():
        if test.startswith(tuple(beginnings)):
            return reason
    return None
