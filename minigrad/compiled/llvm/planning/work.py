"""What native code consists of, with an estimate of its work, for people who measure it."""

from collections.abc import Iterator

from minigrad.compiled.graph import Value, size_of
from minigrad.compiled.llvm.planning.fuse import Kernel, Region
from minigrad.compiled.llvm.planning.plan import Scope, bytes_of
from minigrad.profiling.tables import KernelWork

__all__ = ["kernel_work"]

_NAMED = 4  # operations of a kernel that its name tells


def kernel_work(scope: Scope) -> list[KernelWork]:
    """The kernels, products and lookups of a program in the order in which they first run.

    Every operation on an element counts as one, an addition as well as an `exp`; a product of
    matrices as a multiplication and an addition for each of its steps.
    """
    found: dict[str, KernelWork] = {}
    for one in _within(scope, 1):
        known = found.get(one.name, KernelWork(one.name, 0, 0, 0))
        found[one.name] = KernelWork(
            one.name,
            known.count + one.count,
            known.flops + one.count * one.flops,
            known.nbytes + one.count * one.nbytes,
        )
    return list(found.values())


def _within(scope: Scope, count: int) -> Iterator[KernelWork]:
    """The pieces of a scope that runs so many times, each with its work at one time."""
    region = scope.region
    pieces: list[tuple[int, bool, Value | Kernel]] = [
        (kernel.level, False, kernel) for kernel in region.kernels
    ]
    alone = ("matmul", "gather", "scatter_add", "loop")
    pieces += [(region.level[value], True, value) for value in region.values if value.op in alone]
    for _, _, piece in sorted(pieces, key=lambda item: item[:2]):
        if isinstance(piece, Kernel):
            yield _of_kernel(piece, region, count)
        elif piece.op == "loop":
            yield from _within(scope.bodies[piece], count * int(piece.options[0].count))
        else:
            yield _alone(piece, count)


def _of_kernel(kernel: Kernel, region: Region, count: int) -> KernelWork:
    names = [value.op for value in kernel.values]
    listed = ", ".join(names[:_NAMED])
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    read: dict[Value, int] = {}
    for value in kernel.values:
        for view in region.reads(value):
            if not region.in_registers(value, view):
                nbytes = min(size_of(view.shape), view.value.size) * view.dtype.itemsize
                read[view.value] = max(read.get(view.value, 0), nbytes)
    written = sum(bytes_of(value) for value in kernel.values if value in region.stored)
    flops = len(names) * size_of(kernel.space)
    name = f"{listed}{more} over {list(kernel.space)}"
    return KernelWork(name, count, flops, sum(read.values()) + written)


def _alone(value: Value, count: int) -> KernelWork:
    shapes = " by ".join(str(list(view.shape)) for view in value.views)
    if value.op == "matmul":
        flops = 2 * value.size * next(value.views).shape[-1]
        nbytes = bytes_of(value) + sum(bytes_of(view.value) for view in value.views)
    else:  # rows that are copied, or added up
        moved = max(size_of(view.shape) for view in value.views) if value.op != "gather" else 0
        flops = moved
        nbytes = 2 * max(moved * value.dtype.itemsize, bytes_of(value))
    return KernelWork(f"{value.op} {shapes}", count, flops, nbytes)
