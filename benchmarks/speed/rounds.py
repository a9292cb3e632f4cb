"""Workers of one case take turns, so that whatever else the machine does strikes all alike."""

import compileall
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.speed.cases import CASES
from benchmarks.speed.checks import difference
from benchmarks.speed.contestants import CONTESTANTS

__all__ = ["Worker", "compile_modules", "measure_case"]

ROOT: Final = Path(__file__).resolve().parents[2]
LIMIT: Final = 300.0  # seconds that a worker may take for an answer
NOT_FOR_WORKERS: Final = frozenset(
    [
        "PYTHONDONTWRITEBYTECODE",
        "OPENBLAS_CORETYPE",
        "OPENBLAS_L2_SIZE",
        "MKL_CBWR",
        "MKL_DEBUG_CPU_TYPE",
        "MKL_ENABLE_INSTRUCTIONS",
        "ATEN_CPU_CAPABILITY",
        "DNNL_MAX_CPU_ISA",
        "ONEDNN_MAX_CPU_ISA",
        "NPY_DISABLE_CPU_FEATURES",
    ]
)
"""What a shell may set and workers do not inherit. What is imported from a checkout has bytecode,
too; and each library chooses the instructions for the processor by itself, where some machines set
older ones, so that results have the same bits on all: half of the rate of NumPy's products."""


def environment(threads: int, cache: Path) -> dict[str, str]:
    """Of a worker: its threads, and a folder of its own for compiled code."""
    count = str(threads)
    found = {k: v for k, v in os.environ.items() if k not in NOT_FOR_WORKERS}
    for name in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "NUMEXPR"):
        found[f"{name}_NUM_THREADS"] = count
    found["MINIGRAD_THREADS"] = count
    if threads == 1:
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        found["XLA_FLAGS"] = flags
    found |= {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), found.get("PYTHONPATH", "")])),
        "MINIGRAD_CACHE": str(cache / "minigrad"),
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "torch"),
        "JAX_COMPILATION_CACHE_DIR": str(cache / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    return found


def compile_modules() -> None:
    """Write the bytecode of our modules, as pip does for the libraries that it installs."""
    for name in ("minigrad", "layers", "benchmarks"):
        compileall.compile_dir(ROOT / name, quiet=2)


class Worker:
    """A process that computes one case for one contestant.

    Attributes:
        started: its first answer: "first" and "peak of first", or "absent", or "failed".
    """

    def __init__(self, name: str, case: str, size: str, threads: int, cache: Path) -> None:
        command = [sys.executable, "-m", "benchmarks.speed.worker", name, case, size, str(threads)]
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the process
        self.process = subprocess.Popen(
            command, env=environment(threads, cache), cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
        )  # fmt: skip
        self.started = self.answer()

    def answer(self) -> dict[str, Any]:
        """The next line of the worker, or why there is none."""
        assert self.process.stdout is not None
        timer = threading.Timer(LIMIT, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        late = not timer.is_alive()
        timer.cancel()
        if line:
            found: dict[str, Any] = json.loads(line)
            return found
        if late:
            return {"failed": f"took more than {LIMIT:.0f} seconds"}
        self.errors.seek(0)
        said = self.errors.read().strip().splitlines()
        return {"failed": (said[-1] if said else "the process ended")[:300]}

    def ask(self, **order: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended: the answer says so
            print(json.dumps(order), file=self.process.stdin, flush=True)
        return self.answer()

    def close(self) -> None:
        """Let the process end, and end it if it does not."""
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self.process.communicate(timeout=10)
        self.process.kill()
        self.process.wait()
        self.errors.close()


def measure_case(
    case: str, size: str, names: Sequence[str], threads: int, rounds: int, seconds: float
) -> list[dict[str, Any]]:
    """A row for each contestant: what was measured, or why nothing was."""
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        caches = {name: Path(folder) / f"cache-{i}" for i, name in enumerate(names)}
        workers = {name: Worker(name, case, size, threads, caches[name]) for name in names}
        try:
            return measured(case, size, workers, Path(folder), rounds, seconds, threads, caches)
        finally:
            for worker in workers.values():
                worker.process.terminate()
                worker.close()


def measured(
    case: str,
    size: str,
    workers: dict[str, Worker],
    folder: Path,
    rounds: int,
    seconds: float,
    threads: int,
    caches: dict[str, Path],
) -> list[dict[str, Any]]:
    rows = {
        name: {"case": case, "size": size, "contestant": name} | worker.started
        for name, worker in workers.items()
    }

    def running() -> list[str]:
        return [name for name, row in rows.items() if not {"failed", "absent"} & row.keys()]

    reference: dict[str, Any] | None = None
    for index, name in enumerate(running()):
        path = folder / f"results-{index}.npz"
        rows[name] |= workers[name].ask(results=str(path))
        if "failed" in rows[name]:
            continue
        with np.load(path) as found:
            results = dict(found)
        reference = results if reference is None else reference
        far = difference(results, reference)
        rows[name]["difference"] = far
        if not far <= CASES[case].tolerance:
            rows[name]["failed"] = f"computes something else: {far:.1e} away"
    taken: dict[str, list[dict[str, Any]]] = {name: [] for name in rows}
    for _ in range(rounds):
        for name in running():
            found = workers[name].ask(measure=seconds)
            if "failed" in found:
                rows[name] |= found
            else:
                rows[name]["notes"] = found.pop("notes")
                taken[name].append(found)
    for name in running():
        times = [found["median"] for found in taken[name]]
        rows[name]["rounds"] = times
        rows[name]["median"] = statistics.median(times)
        rows[name]["min"] = min(found["min"] for found in taken[name])
        rows[name]["peak"] = max(found.get("peak", 0.0) for found in taken[name])
        if CONTESTANTS[name].compiles:
            again = Worker(name, case, size, threads, caches[name])
            again.close()
            rows[name]["second"] = again.started.get("first")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return [row | {"load": load} for row in rows.values()]
