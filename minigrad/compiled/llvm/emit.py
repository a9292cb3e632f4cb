"""The main function of a program: level by level, kernels, products, loops and the rest.

With several threads, each runs the main function, does its share, and waits for the others where
something is read that another one may have written. How sums are cut into parts depends on shapes
alone, so results have the same bits with any number of threads.
"""

from collections.abc import Callable
from typing import Final

from minigrad.compiled.graph import Loop, Unsupported, Value, View, is_in_order, size_of
from minigrad.compiled.llvm.kernels.multiply import Product
from minigrad.compiled.llvm.kernels.rows import RowKernel
from minigrad.compiled.llvm.kernels.runtime import (
    define_combine,
    define_gather,
    define_scatter,
)
from minigrad.compiled.llvm.kernels.tiles import Products, panels_size
from minigrad.compiled.llvm.native import Host, Layout, arguments, enter, leave
from minigrad.compiled.llvm.planning.fuse import Kernel
from minigrad.compiled.llvm.planning.places import Buffer, seen_from
from minigrad.compiled.llvm.planning.plan import Plan, Scope, bytes_of, uncovered
from minigrad.compiled.llvm.vectors.ir import BYTES, Index
from minigrad.compiled.llvm.vectors.memory import memory_kind, register_kind
from minigrad.compiled.llvm.writer import COUNTERS, Writer, padded

__all__ = ["Emitter"]

_PARTS: Final = 8
"""Into how many parts a long sum is cut."""

_SHARED_ELEMENTS: Final = 16384
_SHARED_STEPS: Final = 200_000
"""From how many elements, or steps of a product, on threads share the work."""

_CHUNK: Final = 4096
_CHUNKS: Final = 8
"""At least so many elements are a chunk of a kernel, and at most so many chunks are one."""

_SHARED_LOOP: Final = 1_000_000
"""From how many steps of products in a step of a loop on."""


class Emitter(Writer):
    """Writes the main function of a program.

    Args:
        plan: what is where.
        target: the machine.
        layout: of the frame.
        flush: whether subnormal numbers become zero.
        threads: how many may run the program; 1 leaves out what only more of them need.
    """

    def __init__(
        self, plan: Plan, target: Host, layout: Layout | None, flush: bool, threads: int
    ) -> None:
        super().__init__(target, threads)
        self.plan, self._layout, self._flush = plan, layout, flush
        self._products = {
            kind: Products(self.module, kind, target.vector_bytes) for kind in ("float", "double")
        }
        self._packed: dict[Value, Buffer] = {}
        self._planned: dict[Value, list[Product]] = {}
        self._kernels: dict[int, RowKernel] = {}
        self._pending: list[Callable[[], None]] = []

    def write(self, count: int) -> tuple[int, int]:
        """Write the program of `count` arguments.

        Returns:
            The bytes of its workspace without counters, which must be 0 before each call, and with.
        """
        scopes = [self.plan.scope, *self.plan.scope.bodies.values()]
        # kernels first: they say how much scratch they need
        for scope in scopes:
            self._rooms.update(self._prepare(scope))
        self._counters = size = self.plan.finish()
        code = self._code
        saved = enter(code, self._target, self._flush)
        self._arguments = arguments(code, count, self._layout)
        self._region(self.plan.scope)
        code.do(f"ret i32 {leave(code, self._target, saved)}")
        threads = "" if self._threads == 1 else ", i64 %thread, i64 %threads"
        head = f"define i32 @main(ptr %frame, ptr %workspace{threads})"
        self.module.define("main", code.finish(head))
        return size, size + COUNTERS * self._jobs

    # -- room -------------------------------------------------------------------------------------

    def _prepare(self, scope: Scope) -> dict[object, Buffer]:
        """Kernels of a scope, and room for scratch, partial sums and panels."""
        rooms: dict[object, Buffer] = {}
        region = scope.region
        for kernel in region.kernels:
            rows = RowKernel(
                self.module, kernel, region, self.plan.place_of, self._target.vector_bytes
            )
            self._kernels[id(kernel)] = rows
            if rows.scratch_bytes:
                size = rows.scratch_bytes * self._threads
                rooms[rows] = scope.buffer(size, kernel.level, kernel.level)
            if self._parts(rows) > 1:
                for one in rows.sums:
                    size = _PARTS * padded(bytes_of(one.value))
                    rooms[one] = scope.buffer(size, kernel.level, kernel.level)
        for value in region.values:
            level = region.level.get(value, 0)
            if value.op == "matmul":
                if value not in self._packed:
                    room = max(product.room for product in self._sum(value))
                    if room:
                        size = padded(room * BYTES[register_kind(value.dtype)])
                        rooms[value] = scope.buffer(size * self._threads, level, level)
            elif value.op == "loop":
                for inner in self._packed_before(value):
                    product = self._plan_product(inner)
                    products = self._products[register_kind(inner.dtype)]
                    size = panels_size(product.k, product.n, products.columns)
                    size *= BYTES[products.kind]
                    self._packed[inner] = scope.buffer(size, level, level)
        return rooms

    def _plan_product(self, value: Value) -> Product:
        return self._sum(value)[0]

    def _sum(self, value: Value) -> list[Product]:
        """The products that a value is the sum of."""
        if value not in self._planned:
            kind = register_kind(value.dtype)
            if kind not in self._products:
                raise Unsupported(f"products of {value.dtype}")
            self._planned[value] = [
                Product(value, self.plan, self._products[kind], number)
                for number in range(len(value.operands) // 2)
            ]
        return self._planned[value]

    def _packed_before(self, value: Value) -> list[Value]:
        """The products in a loop whose second operand is the same at every step."""
        loop: Loop = value.options[0]
        body = set(loop.body)
        found = []
        for inner in loop.body:
            if inner.op == "matmul" and len(inner.shape) == 2:
                _, b = inner.views
                if b.value not in body and b.value.op not in ("moving", "previous"):
                    found.append(inner)
        return found

    def _parts(self, rows: RowKernel) -> int:
        if not rows.sums or rows.elements < _SHARED_ELEMENTS or rows.length < _PARTS:
            return 1
        return _PARTS

    # -- regions ----------------------------------------------------------------------------------

    def _region(self, scope: Scope) -> None:
        region = scope.region
        by_level: dict[int, list[Value]] = {}
        cleared: dict[int, list[Value]] = {}
        for value in region.values:
            if value.op in ("matmul", "gather", "scatter_add", "loop"):
                by_level.setdefault(region.level[value], []).append(value)
            elif value.op == "assemble" and uncovered(value):
                first = min((region.level[part] for part in region.parts[value]), default=0)
                cleared.setdefault(first, []).append(value)
        kernels: dict[int, list[Kernel]] = {}
        for kernel in region.kernels:
            kernels.setdefault(kernel.level, []).append(kernel)
        for level in sorted({*by_level, *cleared, *kernels}):
            self._clear(cleared.get(level, []), kernels.get(level, []))
            if level in kernels:
                for kernel in kernels[level]:
                    self._kernel(self._kernels[id(kernel)])
                self._combine()
            for value in by_level.get(level, []):
                if value.op == "matmul":
                    self._product(value)
                elif value.op == "loop":
                    self._loop(value, scope)
                elif value.op == "gather":
                    self._by_one(lambda value=value: self._gather(value))  # type: ignore[misc]
                else:
                    self._by_one(lambda value=value: self._scatter_add(value))  # type: ignore[misc]
            if level in by_level:
                self._barrier()

    def _clear(self, values: list[Value], kernels: list[Kernel]) -> None:
        """Zeros for what parts do not cover, and for sums."""

        def body() -> None:
            for value in values:
                place, kind = self.plan.place_of(value), memory_kind(value.dtype)
                self._zero(self._pointer(place, kind), bytes_of(value))
            for kernel in kernels:
                rows = self._kernels[id(kernel)]
                for one in rows.sums:
                    if self._parts(rows) > 1:
                        size = _PARTS * padded(bytes_of(one.value))
                        self._zero(self._base(self._rooms[one]), size)
                    else:
                        kind = memory_kind(one.value.dtype)
                        self._zero(
                            self._pointer(rows.places[one.pointer], kind), bytes_of(one.value)
                        )

        if values or any(self._kernels[id(kernel)].sums for kernel in kernels):
            self._by_one(body)
            self._barrier()

    def _kernel(self, rows: RowKernel) -> None:
        if not rows.elements:
            return
        pointers = [
            self._pointer(place, kind) for place, kind in zip(rows.places, rows.kinds, strict=True)
        ]
        scratch = self._room(rows, rows.scratch_bytes)
        parts = self._parts(rows)

        def call(start: Index, end: Index, instead: dict[int, str]) -> None:
            given = [f"ptr {instead.get(i, pointer)}" for i, pointer in enumerate(pointers)]
            self._code.call(
                "void", rows.name, *given, f"ptr {scratch}", f"i64 {start}", f"i64 {end}"
            )

        large = rows.elements >= _SHARED_ELEMENTS
        if parts == 1:
            large = large and not rows.sums
            chunks = min(_CHUNKS, max(rows.elements // _CHUNK, 1))
            self._shared(rows.length, large, chunks, lambda start, end: call(start, end, {}))
            return

        def some(first: Index, last: Index) -> None:
            def one(part: Index, _values: list[str]) -> None:
                code = self._code
                instead = {}
                for total in rows.sums:
                    offset = code.multiply(part, padded(bytes_of(total.value)))
                    instead[total.pointer] = code.at(self._base(self._rooms[total]), offset, "i8")
                start = code.value(f"udiv i64 {code.multiply(part, rows.length)}, {_PARTS}")
                after = code.multiply(code.add(part, 1), rows.length)
                call(start, code.value(f"udiv i64 {after}, {_PARTS}"), instead)

            self._code.loop(first, last, 1, one)

        self._shared(parts, True, _PARTS, some)
        self._pending.append(lambda: self._add_parts(rows))

    def _combine(self) -> None:
        """Wait for the kernels of a level, and add the parts of sums."""
        self._barrier()
        if self._pending:
            pending, self._pending = self._pending, []

            def add_all() -> None:
                for add in pending:
                    add()

            self._by_one(add_all)
            self._barrier()

    def _add_parts(self, rows: RowKernel) -> None:
        for one in rows.sums:
            kind = memory_kind(one.value.dtype)
            name = define_combine(self.module, kind, self._target.vector_bytes)
            target = self._pointer(rows.places[one.pointer], kind)
            source = self._base(self._rooms[one])
            stride = padded(bytes_of(one.value)) // BYTES[kind]
            self._code.call(
                "void", name, f"ptr {target}", f"ptr {source}", f"i64 {one.value.size}",
                f"i64 {stride}", f"i64 {_PARTS}",
            )  # fmt: skip

    # -- what runs alone --------------------------------------------------------------------------

    def _product(self, value: Value) -> None:
        (plan, *others), code = self._sum(value), self._code
        kind = register_kind(value.dtype)
        products = self._products[kind]
        if not value.size:
            return
        if not plan.k:
            self._by_one(lambda: self._zero(self._pointer(plan.c, kind), bytes_of(value)))
            return
        c, a, b = (self._pointer(place, kind) for place in (plan.c, plan.a, plan.b))
        room = self._room(value, padded(max(p.room for p in (plan, *others)) * BYTES[kind]))
        large = sum(p.steps for p in (plan, *others)) >= _SHARED_STEPS
        if plan.lead:

            def some(start: Index, end: Index) -> None:
                def one(index: Index, _values: list[str]) -> None:
                    plan.write(code, plan.pointers(code, (c, a, b), index), room, 0, plan.n)

                code.loop(start, end, 1, one)

            self._shared(plan.count, large, 2 * _CHUNKS, some)
            return
        whole = plan.pointers(code, (c, a, b), 0)
        added = []
        for p in others:
            a, b = self._pointer(p.a, kind), self._pointer(p.b, kind)
            added.append((p, p.pointers(code, (c, a, b), 0)))
        panels = -(-plan.n // products.columns)

        def columns(start: Index, end: Index) -> None:
            first = code.multiply(start, products.columns)
            last = code.minimum(code.multiply(end, products.columns), plan.n)
            if value in self._packed:
                plan.write_packed(code, whole, self._base(self._packed[value]), first, last)
            else:
                plan.write(code, whole, room, first, last)
            for p, one in added:
                p.write(code, one, room, first, last)

        self._shared(panels, large, 2 * self._threads, columns)

    def _loop(self, value: Value, scope: Scope) -> None:
        loop: Loop = value.options[0]
        body = scope.bodies[value]
        matmuls = [inner for inner in loop.body if inner.op == "matmul"]
        steps = sum(self._plan_product(inner).steps for inner in matmuls)

        def pack() -> None:
            for inner in matmuls:
                if inner in self._packed:
                    plan = self._plan_product(inner)
                    kind = register_kind(inner.dtype)
                    first = (self._pointer(place, kind) for place in (plan.c, plan.a, plan.b))
                    one = plan.pointers(self._code, tuple(first), 0)  # type: ignore[arg-type]
                    room = self._base(self._packed[inner])
                    self._products[kind].pack(self._code, room, one.b, plan.k, plan.n)

        def run() -> None:
            def step(i: Index, _values: list[str]) -> None:
                down = self._code.subtract(loop.count - 1, i)
                self._counter = down if loop.down else i
                self._epoch = i
                self._region(body)
                self._barrier()
                self._counter = self._epoch = 0

            self._code.loop(0, loop.count, 1, step)

        self._by_one(pack)
        if steps >= _SHARED_LOOP:
            self._barrier()
            run()
        else:
            self._by_one(run)

    def _gather(self, value: Value) -> None:
        table, indices = value.views
        at = seen_from(table, self.plan.place_of(table.value))
        row = table.shape[1:]
        if not is_in_order(row, at.strides[1:]):
            raise Unsupported("rows of a table that are not contiguous")
        kind = memory_kind(table.dtype)
        to, source = self._pointer(self.plan.place_of(value), kind), self._pointer(at, kind)
        each = BYTES[kind]
        name = define_gather(self.module, size_of(row) * each)
        where = self._in_order(indices, "i64")
        self._code.call(
            "void", name, f"ptr {to}, ptr {source}, i64 {at.strides[0] * each}",
            f"i64 {table.shape[0]}, ptr {where}, i64 {size_of(indices.shape)}, ptr %workspace",
        )  # fmt: skip

    def _scatter_add(self, value: Value) -> None:
        indices, rows = value.views
        kind = memory_kind(value.dtype)
        to = self._pointer(self.plan.place_of(value), kind)
        source, where = self._in_order(rows, kind), self._in_order(indices, "i64")
        row = size_of(value.shape[1:])
        name = define_scatter(self.module, kind, self._target.vector_bytes, row)
        self._zero(to, bytes_of(value))
        self._code.call(
            "void", name, f"ptr {to}, ptr {source}, i64 {value.shape[0]}, ptr {where}",
            f"i64 {size_of(indices.shape)}, ptr %workspace",
        )  # fmt: skip

    def _in_order(self, view: View, kind: str) -> str:
        """A pointer to elements that lie one after the other."""
        at = seen_from(view, self.plan.place_of(view.value))
        if not is_in_order(view.shape, at.strides):
            raise Unsupported("rows or numbers of rows that are not contiguous")
        return self._pointer(at, kind)
