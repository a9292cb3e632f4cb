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

from minigrad.testing import register_profiles

# Quick, default and thorough; pytest --hypothesis-profile=NAME chooses another one afterwards.
register_profiles()
