"""How many threads NumPy's matrix products use."""

import os
from contextlib import AbstractContextManager, nullcontext

from minigrad.io.packages import require

__all__ = ["one_blas_thread"]


def one_blas_thread() -> AbstractContextManager[object]:
    """A block in which NumPy's matrix products use one thread, unless the user chose a number.

    The matrices of a small model are too small to be shared: two threads gain a third at best on
    an idle machine, and on a busy one they wait for each other and lose a factor of ten.
    """
    if any(name in os.environ for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")):
        return nullcontext()
    library = require("threadpoolctl", "all", "choosing the number of threads")
    limits: AbstractContextManager[object] = library.threadpool_limits(1, user_api="blas")
    return limits
