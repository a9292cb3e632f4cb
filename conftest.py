"""Settings of every test run: threads, display and Hypothesis profiles."""

import os
import sys

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

from hypothesis import HealthCheck, settings

# How long an example takes depends on what else the machine does, so time is never a failure.
_untimed = {
    "deadline": None,
    "print_blob": True,
    "suppress_health_check": [HealthCheck.too_slow],
}
# The everyday profiles draw the same examples at every run of the same test: a red run is then the
# change's fault, and anyone can repeat it. The thorough one draws fresh examples, to find new bugs.
settings.register_profile("quick", max_examples=10, derandomize=True, **_untimed)
settings.register_profile("default", max_examples=50, derandomize=True, **_untimed)
settings.register_profile("thorough", max_examples=1000, derandomize=False, **_untimed)
# pytest --hypothesis-profile=NAME chooses another one afterwards.
settings.load_profile("default")
