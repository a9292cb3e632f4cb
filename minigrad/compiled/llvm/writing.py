"""Graphs planned and written as native code, for programs that no earlier process has built.

With all that it takes, this is most of the compiler, and imported only where it is needed.
"""

from minigrad.compiled.graph import Graph, Value
from minigrad.compiled.llvm import native
from minigrad.compiled.llvm.emit import Emitter
from minigrad.compiled.llvm.planning.plan import Plan
from minigrad.compiled.llvm.planning.sums import sum_products
from minigrad.compiled.llvm.planning.work import kernel_work
from minigrad.compiled.llvm.recalled import Recalled
from minigrad.compiled.llvm.stages import StagedProgram, is_native
from minigrad.profiling.tables import KernelWork

__all__ = ["StagedProgram", "is_whole", "kernels_of", "work_of", "written"]


def is_whole(graph: Graph) -> bool:
    """Whether there is native code for all of a graph."""
    return all(is_native(value) for value in graph.values)


def written(
    graph: Graph, target: native.Host, layout: native.Layout | None, flush: bool, threads: int
) -> tuple[Recalled, str]:
    """What a program is besides its graph, and its text."""
    plan = Plan(sum_products(graph))
    emitter = Emitter(plan, target, layout, flush, threads)
    counters, size = emitter.write(len(graph.outputs) + len(graph.inputs) + len(plan.constants))
    text = emitter.module.text()
    places = {value: i for i, value in enumerate(graph.constants)}
    constants = [places[value] for value in plan.constants]
    return Recalled(native.key_of(text, target), counters, size, plan.copied, constants), text


def kernels_of(graph: Graph, count: int) -> dict[Value, int]:
    """See `minigrad.compiled.llvm.program.kernels_of`."""
    found: dict[Value, int] = {}
    if not is_whole(graph):
        return found
    scopes = [Plan(graph).scope]
    for scope in scopes:
        scopes.extend(scope.bodies.values())
        for kernel in scope.region.kernels:
            count += 1
            found |= dict.fromkeys(kernel.values, count)
    return found


def work_of(graph: Graph) -> list[KernelWork]:
    """What native code for a graph consists of, with an estimate of the work."""
    return kernel_work(Plan(sum_products(graph)).scope)
