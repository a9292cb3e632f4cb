"""Operands of products as tiles read them: panels of B, blocks of rows of A.

A panel is k rows of as many columns as a tile has, side by side. Behind the last column is what
no tile reads.
"""

from minigrad.compiled.llvm.vectors.elements import Elements
from minigrad.compiled.llvm.vectors.ir import Code, Index, Module

__all__ = ["define_pack", "define_pack_rows"]


def define_pack(module: Module, kind: str, width: int, columns: int) -> str:
    """`pack(to, b, row, column, k, n)`: panels of B, whose strides are `row` and `column`."""
    name = f"pack_{kind}"
    if name in module:
        return name
    code = Code(module)
    pack = _Panel(code, kind, width, columns)

    def panel(j: Index, _values: list[str]) -> None:
        to = code.at("%to", code.multiply(j, "%k"), kind)
        start = code.at("%b", code.multiply(j, "%column"), kind)
        left = code.subtract("%n", j)
        full = code.value(f"icmp sge i64 {left}, {columns}")
        rows_beside = code.value("icmp eq i64 %column, 1")
        columns_beside = code.value("icmp eq i64 %row, 1")
        code.choose(
            rows_beside,
            lambda: code.choose(
                full,
                lambda: pack.by_rows(start, to, 0, 1, ["", ""]),
                lambda: pack.by_rows(start, to, 0, 1, pack.masks(left)),
            ),
            lambda: code.choose(
                columns_beside,
                lambda: pack.transposed(start, to, left),
                lambda: pack.by_rows(start, to, 0, "%column", pack.masks(left)),
            ),
        )

    code.loop(0, "%n", columns, panel)
    code.do("ret void")
    head = "ptr noalias %to, ptr noalias %b, i64 %row, i64 %column, i64 %k, i64 %n"
    module.define(name, code.finish(f"define internal void @{name}({head}) noinline"))
    return name


class _Panel:
    """The ways to pack one panel."""

    def __init__(self, code: Code, kind: str, width: int, columns: int) -> None:
        self._code, self._kind, self._width, self._columns = code, kind, width, columns
        self._elements = Elements(code, width)

    def masks(self, left: Index) -> list[str]:
        """Which of the columns of a panel there are."""
        code, width = self._code, self._width
        return [
            self._elements.lanes_below(code.subtract(left, p * width))
            for p in range(self._columns // width)
        ]

    def by_rows(self, start: str, to: str, first: Index, column: Index, masks: list[str]) -> None:
        """Row by row from the row `first` on; what does not lie side by side is gathered."""
        code, kind = self._code, self._kind

        def one(i: Index, _values: list[str]) -> None:
            source = code.at(start, code.multiply(i, "%row"), kind)
            target = code.at(to, code.multiply(i, self._columns), kind)
            for p, mask in enumerate(masks):
                at = code.at(source, code.multiply(p * self._width, column), kind)
                x = self._elements.load_some(at, kind, column, mask)
                place = code.at(target, p * self._width, kind)
                self._elements.store(x, place, kind, 1, self._width)

        code.loop(first, "%k", 1, one)

    def transposed(self, start: str, to: str, left: Index) -> None:
        """A panel whose columns are contiguous: squares of vectors are turned in registers."""
        code, kind, width = self._code, self._kind, self._width
        whole = code.multiply(code.value(f"udiv i64 %k, {width}"), width)
        for p in range(self._columns // width):
            last = code.subtract(left, 1)
            pointers = []
            for lane in range(width):
                index = code.minimum(last, p * width + lane)
                pointers.append(code.at(start, code.multiply(index, "%column"), kind))

            def square(
                i: Index, _values: list[str], pointers: list[str] = pointers, p: int = p
            ) -> None:
                rows = [
                    self._elements.load(code.at(pointer, i, kind), kind, 1, width)
                    for pointer in pointers
                ]
                for k, x in enumerate(_transpose(self._elements, rows, kind)):
                    step = code.multiply(code.add(i, k), self._columns)
                    place = code.at(to, code.add(step, p * width), kind)
                    self._elements.store(x, place, kind, 1, width)

            code.loop("0", whole, width, square)
        self.by_rows(start, to, whole, "%column", self.masks(left))


def define_pack_rows(module: Module, kind: str, width: int, rows: int) -> str:
    """`pack_rows(to, a, am, ak, m, k)`: `rows` rows of A at a time, side by side for each k.

    The last block has as many rows as are left, and is as much narrower.
    """
    name = f"pack_rows_{kind}"
    if name in module:
        return name
    code = Code(module)
    elements = Elements(code, width)

    def block(i: Index, _values: list[str]) -> None:
        to = code.at("%to", code.multiply(i, "%k"), kind)
        start = code.at("%a", code.multiply(i, "%am"), kind)
        left = code.subtract("%m", i)
        full = code.value(f"icmp sge i64 {left}, {rows}")
        beside = code.value("icmp eq i64 %am, 1")
        in_turn = code.value("icmp eq i64 %ak, 1")

        def copied() -> None:
            def one(j: Index, _values: list[str]) -> None:
                source = code.at(start, code.multiply(j, "%ak"), kind)
                target = code.at(to, code.multiply(j, rows), kind)
                for first in range(0, rows, width):
                    lanes = min(width, rows - first)
                    x = elements.load(code.at(source, first, kind), kind, 1, lanes)
                    elements.store(x, code.at(target, first, kind), kind, 1, lanes)

            code.loop("0", "%k", 1, one)

        def turned() -> None:
            whole = code.multiply(code.value(f"udiv i64 %k, {width}"), width)
            for first in range(0, rows, width):
                lanes = min(width, rows - first)
                pointers = [
                    code.at(start, code.multiply(min(first + lane, rows - 1), "%am"), kind)
                    for lane in range(width)
                ]

                def square(
                    j: Index,
                    _values: list[str],
                    pointers: list[str] = pointers,
                    first: int = first,
                    lanes: int = lanes,
                ) -> None:
                    found = [
                        elements.load(code.at(pointer, j, kind), kind, 1, width)
                        for pointer in pointers
                    ]
                    for k, x in enumerate(_transpose(elements, found, kind)):
                        step = code.multiply(code.add(j, k), rows)
                        place = code.at(to, code.add(step, first), kind)
                        elements.store(x, place, kind, 1, lanes)

                code.loop("0", whole, width, square)
            _pack_singly(code, kind, start, to, whole, rows)

        code.choose(
            code.value(f"and i1 {full}, {beside}"),
            copied,
            lambda: code.choose(
                code.value(f"and i1 {full}, {in_turn}"),
                turned,
                lambda: _pack_singly(code, kind, start, to, "0", code.minimum(left, rows)),
            ),
        )

    code.loop("0", "%m", rows, block)
    code.do("ret void")
    head = "ptr noalias %to, ptr noalias %a, i64 %am, i64 %ak, i64 %m, i64 %k"
    module.define(name, code.finish(f"define internal void @{name}({head}) noinline"))
    return name


def _pack_singly(code: Code, kind: str, start: str, to: str, first: Index, count: Index) -> None:
    """`count` rows from the element `first` of each on, one by one."""

    def row(r: Index, _values: list[str]) -> None:
        source = code.at(start, code.multiply(r, "%am"), kind)
        target = code.at(to, r, kind)

        def one(j: Index, _values: list[str]) -> None:
            x = code.value(f"load {kind}, ptr {code.at(source, code.multiply(j, '%ak'), kind)}")
            code.do(f"store {kind} {x}, ptr {code.at(target, code.multiply(j, count), kind)}")

        code.loop(first, "%k", 1, one)

    code.loop("0", count, 1, row)


def _transpose(elements: Elements, rows: list[str], kind: str) -> list[str]:
    """The columns of a square: halves change places, then quarters, and so on to single lanes."""
    width, step = elements.width, elements.width // 2
    full = elements.type(kind)
    while step:
        result = list(rows)
        for i in range(width):
            if i & step:
                continue
            one, other = rows[i], rows[i + step]
            low = [n if not n & step else width + n - step for n in range(width)]
            high = [n + step if not n & step else width + n for n in range(width)]
            for place, order in ((i, low), (i + step, high)):
                lanes = ", ".join(f"i32 {lane}" for lane in order)
                result[place] = elements.code.value(
                    f"shufflevector {full} {one}, {full} {other}, <{width} x i32> <{lanes}>"
                )
        rows, step = result, step // 2
    return rows
