"""The machine: its name, and how fast it multiplies matrices."""

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

__all__ = ["describe", "product_rate"]

PRODUCT: Final = """
import json, os, time
import numpy as np
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
a, b = np.random.default_rng(0).standard_normal((2, SIZE, SIZE)).astype(np.float32)
best = float("inf")
for _ in range(15):
    start = time.perf_counter()
    a @ b
    best = min(best, time.perf_counter() - start)
print(json.dumps(2 * SIZE**3 / best))
"""


def product_rate(threads: int, environment: dict[str, str], size: int = 1536) -> float:
    """The best rate of NumPy's products of large float32 matrices, in operations per second."""
    program = PRODUCT.replace("THREADS", str(threads)).replace("SIZE", str(size))
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return float(json.loads(done.stdout))


def describe() -> dict[str, Any]:
    """Processor, system, Python, and the load of the last minute."""
    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", information.read_text(), re.MULTILINE)
        processor = found[1] if found else processor
    return {
        "processor": processor,
        "processors": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }
