"""What the tests of profiles share."""

import pytest

from tests.minigrad.profiling.costs import Clock, on_clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that profiles read, and that stands still unless somebody spends time."""
    return on_clock(monkeypatch)
