"""Settings of every test run: threads, display and Hypothesis profiles."""

import gc
import os
import signal
import sys
from collections.abc import Iterator

# BLAS libraries read these once, when NumPy is loaded. One thread each: the tests already run in
# parallel, and sums come out the same on every machine. Worker processes inherit them.
for variable in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
):
    if "numpy" in sys.modules and os.environ.get(variable) != "1":
        raise RuntimeError(
            "NumPy was imported before conftest.py could pin its BLAS to one thread, perhaps by a "
            f"pytest plugin; set {variable}=1 in the environment of pytest"
        )
    os.environ[variable] = "1"

# Pictures are drawn into memory, as on a machine without a display.
os.environ["MPLBACKEND"] = "Agg"
os.environ.pop("DISPLAY", None)
os.environ.pop("WAYLAND_DISPLAY", None)

import numpy as np
import pytest

from minigrad.testing import register_profiles

HERE = ("127.0.0.1", "::1", "localhost", None)


def refuse_network(event: str, arguments: tuple[object, ...]) -> None:
    """Refuse every connection that leaves this machine: nothing may need, or use, a network."""
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        if isinstance(address, tuple) and address[0] not in HERE:
            raise RuntimeError(f"network: {event} to {address}")
    if event == "socket.getaddrinfo" and arguments[0] not in HERE:
        raise RuntimeError(f"network: looks up {arguments[0]!r}")


sys.addaudithook(refuse_network)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, on older versions of NumPy, what compares our signatures with the present ones."""
    if np.lib.NumpyVersion(np.__version__) >= "2.4.0":
        return
    of_later = [item for item in items if item.get_closest_marker("present_numpy")]
    items[:] = [item for item in items if item not in of_later]
    config.hook.pytest_deselected(items=of_later)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Take the millions of objects that the tests consist of out of the collector's way."""
    gc.collect()
    gc.freeze()


# Quick, default and thorough; pytest --hypothesis-profile=NAME chooses another one afterwards.
register_profiles()


@pytest.fixture
def hearing_ctrl_c() -> Iterator[None]:
    """Ctrl-C raises, also where the tests run in the background, with interrupts ignored."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)
