"""One million nodes: time and memory to build a chain, go back through it, and free it.

Runs in the main thread, and again in a thread with a stack of 1 MB, since nothing recurses.

    python benchmarks/million_nodes.py [--nodes 1000000]
"""

import argparse
import gc
import threading
import time
import weakref
from pathlib import Path

import minigrad as mg


def resident() -> int:
    """Bytes of memory that this process holds now."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


def measure(nodes: int, where: str) -> None:
    gc.collect()
    x = mg.Tensor(1.0, dtype="float64", requires_grad=True)
    before = resident()
    start = time.perf_counter()
    with mg.paused_gc():
        y = x
        for _ in range(nodes):
            y = y * 1.0000001
        built, held = time.perf_counter(), resident()
        first = weakref.ref(mg.graph(y).nodes[1])
        looked = time.perf_counter()
        y.backward()
        done, after = time.perf_counter(), resident()
        del y
        freed = time.perf_counter()
    assert first() is None
    print(
        f"{where}: {nodes:,} nodes; build {built - start:.2f} s, backward {done - looked:.2f} s, "
        f"free {freed - done:.2f} s; held {(held - before) / 2**20:.0f} MiB after building "
        f"({(held - before) / nodes:.0f} bytes a node), {(after - before) / 2**20:.0f} MiB after "
        f"backward; dy/dx = {x.grad.item():.6f}"
    )


def peak() -> float:
    """The largest memory that this process has held, in MiB."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=1_000_000)
    nodes = parser.parse_args().nodes
    start = peak()
    measure(nodes, "main thread")
    threading.stack_size(2**20)
    thread = threading.Thread(target=measure, args=(nodes, "thread with a stack of 1 MB"))
    thread.start()
    thread.join()
    print(f"peak of the process: {peak():.0f} MiB ({start:.0f} MiB when it started)")


if __name__ == "__main__":
    main()
