"""Matrix products: a tile of C is held in registers while k runs, and B comes in packed panels.

A panel is k rows of as many columns as a tile has, side by side; so a tile reads it from beginning
to end. `Products` writes the functions, each once for its sizes. The sum of each element of C runs
over k in the same order wherever the element lies, so shares of rows and columns may be computed by
any number of threads.
"""

from dataclasses import dataclass
from typing import Final

from minigrad.compiled.llvm.kernels.dots import define_dots
from minigrad.compiled.llvm.kernels.packing import define_pack, define_pack_rows
from minigrad.compiled.llvm.vectors.elements import Elements
from minigrad.compiled.llvm.vectors.ir import BYTES, Code, Index, Module

__all__ = ["Matrix", "Products", "Share", "panels_size"]

DEPTH: Final = 384
"""How many steps of k are packed at a time."""

ROWS_AT_ONCE: Final = 240
"""How many rows of A are packed at a time, about; a block of A stays in the second-level cache."""


_SUMS: Final = 4
"""How many sums of a panel are taken side by side where there are fewer rows than that: each waits
for its last multiplication."""


@dataclass(frozen=True)
class Matrix:
    """A pointer to the first element, and the strides of rows and columns, in elements."""

    pointer: str
    row: Index
    column: Index


@dataclass(frozen=True)
class Share:
    """Which columns of a product are computed, from a multiple of the panels' width."""

    start: Index
    end: Index


def panels_size(k: int, n: int, columns: int) -> int:
    """How many elements the panels of a matrix (k, n) have."""
    return -(-n // columns) * columns * k


def _repeated(elements: Elements, x: str, kind: str, lanes: int) -> str:
    """A vector whose first column is in the place of those that there are not.

    Zeros there times an infinity would be invalid, and nobody's numbers may raise flags.
    """
    if lanes == elements.width:
        return x
    full = elements.type(kind)
    order = ", ".join(f"i32 {lane if lane < lanes else 0}" for lane in range(elements.width))
    return elements.code.value(
        f"shufflevector {full} {x}, {full} poison, <{elements.width} x i32> <{order}>"
    )


class Products:
    """The functions of products for one floating type.

    Args:
        module: where they are added.
        kind: `float` or `double`.
        vector_bytes: of the widest vectors.

    Attributes:
        width: of the vectors.
        columns: of a panel, two vectors.
        rows: of a tile: what the registers hold.
    """

    def __init__(self, module: Module, kind: str, vector_bytes: int) -> None:
        self._module, self.kind = module, kind
        self.width = vector_bytes // BYTES[kind]
        self.columns = 2 * self.width
        self.rows = {64: 12, 32: 6}.get(vector_bytes, 4)

    # -- tiles ------------------------------------------------------------------------------------

    def tile(self, rows: int, columns: int, adds: bool, packed: bool, parts: int = 1) -> str:
        """A function C = A B, or C += A B, of a tile: c, ldc, a, am, ak, b, ldb, k.

        `columns` need not be a whole number of vectors. If `packed`, a and b are, and am, ak and
        ldb are not looked at. Sums in several parts, of every so many steps of k, need not wait for
        each other.
        """
        name = f"tile_{self.kind}_{rows}_{columns}_{int(adds)}{int(packed)}_{parts}"
        if name in self._module:
            return name
        code = Code(self._module)
        elements, v = Elements(code, self.width), Elements(code, self.width).floats(self.kind)
        vectors = -(-columns // self.width)
        lanes = [min(self.width, columns - j * self.width) for j in range(vectors)]
        am, ak, ldb = (1, rows, self.columns) if packed else ("%am", "%ak", "%ldb")
        a_rows = [code.multiply(i, am) for i in range(rows)]

        count = rows * vectors  # of the sums of a part

        def step(carried: list[str], part: int) -> list[str]:
            (a_at, b_at), sums = carried[:2], carried[2 + part * count :][:count]
            b = []
            for j in range(vectors):
                at = code.at(b_at, j * self.width, self.kind)
                row = elements.load(at, self.kind, 1, lanes[j])
                b.append(_repeated(elements, row, self.kind, lanes[j]))
            result = []
            for i in range(rows):
                x = code.value(f"load {self.kind}, ptr {code.at(a_at, a_rows[i], self.kind)}")
                splat = v.splat(x)
                result += [v.add(v.mul(splat, b[j]), sums[i * vectors + j]) for j in range(vectors)]
            moved = [code.at(a_at, ak, self.kind), code.at(b_at, ldb, self.kind)]
            carried = [*moved, *carried[2:]]
            first = 2 + part * count
            carried[first : first + count] = result
            return carried

        def steps(_i: Index, carried: list[str]) -> list[str]:
            for part in range(parts):
                carried = step(carried, part)
            return carried

        types = ["ptr", "ptr", *[v.type] * (count * parts)]
        zeros = ["zeroinitializer"] * (count * parts)
        left, carried = "%k", ["%a", "%b", *zeros]
        if parts > 1:
            left = code.value(f"urem i64 %k, {parts}")
            start = list(zip(types, carried, strict=True))
            carried = code.loop(0, code.subtract("%k", left), parts, steps, start)
        start = list(zip(types, carried, strict=True))
        sums = code.loop(0, left, 1, lambda _i, values: step(values, 0), start)[2:]
        while len(sums) > count:
            half = len(sums) // 2
            sums = [v.add(x, y) for x, y in zip(sums[:half], sums[half:], strict=True)]
        for i in range(rows):
            row = code.at("%c", code.multiply(i, "%ldc") if i else 0, self.kind)
            for j in range(vectors):
                at, x = code.at(row, j * self.width, self.kind), sums[i * vectors + j]
                if adds:
                    x = v.add(elements.load(at, self.kind, 1, lanes[j]), x)
                elements.store(x, at, self.kind, 1, lanes[j])
        code.do("ret void")
        head = "ptr noalias %c, i64 %ldc, ptr noalias %a, i64 %am, i64 %ak, "
        head += "ptr noalias %b, i64 %ldb, i64 %k"
        self._module.define(name, code.finish(f"define internal void @{name}({head}) noinline"))
        return name

    def pack(self, code: Code, to: str, b: Matrix, k: Index, n: Index) -> None:
        """Make panels of B at `to`."""
        arguments = f"ptr {to}, ptr {b.pointer}, i64 {b.row}, i64 {b.column}, i64 {k}, i64 {n}"
        name = define_pack(self._module, self.kind, self.width, self.columns)
        code.call("void", name, arguments)

    def dots(self, rows: int) -> str:
        """A function for few rows and contiguous columns of B; see `define_dots`."""
        return define_dots(self._module, self.kind, self.width * BYTES[self.kind], rows)

    # -- products ---------------------------------------------------------------------------------

    def strip(self, m: int, columns: int, adds: bool, packed_rows: bool) -> str:
        """A function for all rows and the columns of one panel: c, ldc, a, am, ak, b, ldb, k."""
        name = f"strip_{self.kind}_{m}_{columns}_{int(adds)}{int(packed_rows)}"
        parts = _SUMS // m if m < _SUMS and not packed_rows else 1
        if name in self._module:
            return name
        code = Code(self._module)
        rows = self.rows if columns > self.width else self.rows * 4 // 3
        if packed_rows:
            rows = self.rows
        whole, rest = divmod(m, rows)

        def call(i: Index, count: int) -> None:
            c = code.at("%c", code.multiply(i, "%ldc"), self.kind)
            along = "%k" if packed_rows else "%am"
            a = code.at("%a", code.multiply(i, along), self.kind)
            am, ak = ("1", str(count)) if packed_rows else ("%am", "%ak")
            code.call(
                "void",
                self.tile(count, columns, adds, packed_rows, parts),
                f"ptr {c}, i64 %ldc, ptr {a}, i64 {am}, i64 {ak}, ptr %b, i64 %ldb, i64 %k",
            )

        def body(i: Index, _values: list[str]) -> None:
            call(i, rows)

        code.loop(0, whole * rows, rows, body)
        if rest:
            call(whole * rows, rest)
        code.do("ret void")
        head = "ptr %c, i64 %ldc, ptr %a, i64 %am, i64 %ak, ptr %b, i64 %ldb, i64 %k"
        self._module.define(name, code.finish(f"define internal void @{name}({head}) noinline"))
        return name

    def sweep(
        self, code: Code, c: Matrix, a: Matrix, b: Matrix, sizes: tuple[int, int, Index],
        share: Share, adds: bool = False, packed: bool = True, packed_rows: bool = False,
    ) -> None:  # fmt: skip
        """C = A B, or C += A B, for the columns of a share.

        Args:
            code: where the calls go.
            c, a, b: c has its columns side by side. b is panels from the share's start on, if
                `packed`; or else it has its columns side by side, too.
            sizes: m, n, k; n is where the last panel ends.
            share: of the columns.
            adds: whether C is added to.
            packed, packed_rows: whether b is panels, and whether a was packed, too.
        """
        m, n, k = sizes

        def strip(j: Index, columns: int) -> None:
            within = code.subtract(j, share.start)
            at = code.multiply(within, k) if packed else j
            b_at, ldb = code.at(b.pointer, at, self.kind), self.columns if packed else b.row
            c_at = code.at(c.pointer, j, self.kind)
            code.call(
                "void",
                self.strip(m, columns, adds, packed_rows),
                f"ptr {c_at}, i64 {c.row}, ptr {a.pointer}, i64 {a.row}, i64 {a.column}, "
                f"ptr {b_at}, i64 {ldb}, i64 {k}",
            )

        def body(j: Index, _values: list[str]) -> None:
            strip(j, self.columns)

        full = n // self.columns * self.columns
        code.loop(share.start, code.minimum(share.end, full), self.columns, body)
        if n > full:
            if isinstance(share.end, int):
                if share.end > full:
                    strip(full, n - full)
            else:
                last = code.value(f"icmp sgt i64 {share.end}, {full}")
                code.when(last, lambda: strip(full, n - full))

    def blocked(self, m: int, n: int, k: int, adds: bool) -> tuple[str, int]:
        """A function for large products, and how many elements of room it needs for n columns.

        c, ldc, a, am, ak, b, bk, bn, room, start, end: the columns of a share, `start` a multiple
        of `columns`; with `adds`, C += A B. B is packed `DEPTH` steps of k at a time, A by blocks
        of rows within that.
        """
        blocks = -(-k // DEPTH)
        depth = -(-k // blocks)
        high = -(-ROWS_AT_ONCE // self.rows) * self.rows
        if m <= high * 3 // 2:
            high = -(-m // self.rows) * self.rows
        room = panels_size(depth, n, self.columns) + high * depth + self.columns
        name = f"product_{self.kind}_{m}_{n}_{k}_{int(adds)}"
        if name in self._module:
            return name, room
        code = Code(self._module)
        share = Share("%start", "%end")
        width = code.subtract("%end", "%start")
        packed_width = code.multiply(-(-n // self.columns) * self.columns, depth)
        a_room = code.at("%room", packed_width, self.kind)

        def deep(k0: Index, size: Index, adds: bool) -> None:
            b_row = code.add(code.multiply(k0, "%bk"), code.multiply("%start", "%bn"))
            b = Matrix(code.at("%b", b_row, self.kind), "%bk", "%bn")
            self.pack(code, "%room", b, size, width)

            def rows(i: Index, count: int) -> None:
                at = code.add(code.multiply(i, "%am"), code.multiply(k0, "%ak"))
                a = code.at("%a", at, self.kind)
                arguments = f"ptr {a_room}, ptr {a}, i64 %am, i64 %ak, i64 {count}, i64 {size}"
                pack_rows = define_pack_rows(self._module, self.kind, self.width, self.rows)
                code.call("void", pack_rows, arguments)
                c = Matrix(code.at("%c", code.multiply(i, "%ldc"), self.kind), "%ldc", 1)
                packed_a, packed_b = Matrix(a_room, 0, 0), Matrix("%room", 0, 1)
                sizes = (count, n, size)
                self.sweep(code, c, packed_a, packed_b, sizes, share, adds, packed_rows=True)

            whole = m // high * high

            def body(i: Index, _values: list[str]) -> None:
                rows(i, high)

            code.loop(0, whole, high, body)
            if m > whole:
                rows(whole, m - whole)

        deep(0, depth, adds)
        whole = k // depth * depth

        def more(k0: Index, _values: list[str]) -> None:
            deep(k0, depth, adds=True)

        code.loop(depth, whole, depth, more)
        if k > whole:
            deep(whole, k - whole, adds=True)
        code.do("ret void")
        head = "ptr %c, i64 %ldc, ptr %a, i64 %am, i64 %ak, ptr %b, i64 %bk, i64 %bn, "
        head += "ptr %room, i64 %start, i64 %end"
        self._module.define(name, code.finish(f"define internal void @{name}({head}) noinline"))
        return name, room
