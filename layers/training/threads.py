"""How many threads NumPy's matrix products use."""

import os
from collections.abc import Iterable
from typing import Any

from minigrad.io.packages import require
from minigrad.restoring import Shared

__all__ = ["one_blas_thread"]


class one_blas_thread(Shared):
    """A block in which NumPy's matrix products use one thread, unless the user chose a number.

    The matrices of a small model are too small to be shared: two threads gain a third at best on
    an idle machine, and on a busy one they wait for each other and lose a factor of ten.

    Blocks may overlap in threads: the last one that ends puts the number back.
    """

    def read(self) -> list[tuple[Any, int]]:
        """The libraries of matrix products, each with its number of threads."""
        if any(name in os.environ for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")):
            return []
        library = require("threadpoolctl", "all", "choosing the number of threads")
        found = library.ThreadpoolController().select(user_api="blas").lib_controllers
        return [(pool, pool.num_threads) for pool in found]

    def change(self) -> None:
        """Use one thread."""
        _set_threads([(pool, 1) for pool, _ in self._before])

    @classmethod
    def put_back(cls, before: list[tuple[Any, int]]) -> None:
        """Use as many as before."""
        _set_threads(before)


def _set_threads(pools: Iterable[tuple[Any, int]]) -> None:
    for pool, count in pools:
        pool.set_num_threads(count)
