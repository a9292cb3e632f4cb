"""How a product of the graph is computed: which functions of `tiles`, and who does which share."""

from dataclasses import dataclass
from typing import Final

from minigrad.compiled.graph import Unsupported, Value, size_of
from minigrad.compiled.llvm.kernels.tiles import Matrix, Products, Share, panels_size
from minigrad.compiled.llvm.planning.places import seen_from
from minigrad.compiled.llvm.planning.plan import Plan
from minigrad.compiled.llvm.vectors.ir import BYTES, Code, Index

__all__ = ["Product"]

_NEAR: Final = 5 << 18
"""Up to how many bytes operands stay near enough for tiles to read them where they are: about as
many as a second-level cache has."""

_WAY: Final = 4096
"""Rows a multiple of so many bytes apart push each other out of the first-level cache."""

_OFTEN: Final = 64
"""Up to how many rows of A such rows of B are still read where they are."""

_FEW_ROWS: Final = 4
"""Up to how many rows B is read where it is, for every element of it is used that often: row by
row, or by scalar products if its columns are contiguous."""


@dataclass(frozen=True)
class Batch:
    """The pointers of one product, and its strides."""

    c: Matrix
    a: Matrix
    b: Matrix


class Product:
    """The plan of one `matmul`, or of one product of a sum of them.

    Args:
        value: the product.
        plan: where its operands are.
        products: of its type.
        number: which pair of operands; all but the first add to what the ones before have written.

    Attributes:
        m, n, k: the sizes, and `count`, how many products there are.
        c, a, b: places, of the first elements and with all strides.
        steps: multiplications in all.
        room: how many elements of room a thread needs for it.
    """

    def __init__(self, value: Value, plan: Plan, products: Products, number: int = 0) -> None:
        self.value, self._products, self._adds = value, products, number > 0
        first, second = list(value.views)[2 * number : 2 * number + 2]
        *self.lead, self.m, self.n = value.shape
        self.k = first.shape[-1]
        self.count = size_of(tuple(self.lead))
        self.c = plan.place_of(value)
        self.a = seen_from(first, plan.place_of(first.value))
        self.b = seen_from(second, plan.place_of(second.value))
        self.steps = self.m * self.n * self.k * self.count
        if self.n > 1 and self.c.strides[-1] != 1:
            raise Unsupported("a product whose columns do not lie side by side")
        self.room = self._choose()

    def _choose(self) -> int:
        m, n, k, products = self.m, self.n, self.k, self._products
        each = BYTES[products.kind]
        row, column = self.b.strides[-2:]
        beside = column == 1 or n == 1
        few = m <= _FEW_ROWS
        # A counts twice, for every panel of B reads it again
        near = (2 * m + n) * k * each <= _NEAR and self.a.strides[-2] * each % _WAY != 0
        often = m > _OFTEN and row * each % _WAY == 0
        self.way = "blocked"
        # dots replace what is there
        if few and not beside and self.a.strides[-1] == row == 1 and not self._adds:
            self.way = "dots"
            return 0
        if beside and (few or (near and k * abs(row) * each <= _NEAR and not often)):
            self.way = "direct"
            return 0
        if few or near:
            self.way = "panels"
            return panels_size(k, n, products.columns)
        return products.blocked(m, n, k, self._adds)[1]

    def pointers(self, code: Code, first: tuple[str, str, str], index: Index) -> Batch:
        """Where the product number `index` of a batch is; `first` are the pointers of number 0."""
        kind = self._products.kind
        parts: list[Index] = []
        for length in reversed(self.lead):
            if isinstance(index, int):
                index, at = divmod(index, length)
                parts.append(at)
            else:
                parts.append(code.value(f"urem i64 {index}, {length}"))
                index = code.value(f"udiv i64 {index}, {length}")
        found = []
        for pointer, place in zip(first, (self.c, self.a, self.b), strict=True):
            offset: Index = 0
            for part, stride in zip(reversed(parts), place.strides[:-2], strict=True):
                offset = code.add(offset, code.multiply(part, stride))
            found.append(Matrix(code.at(pointer, offset, kind), *place.strides[-2:]))
        return Batch(*found)

    def write(self, code: Code, one: Batch, room: str, start: Index, end: Index) -> None:
        """The columns `start` to `end` of one product; `start` is a multiple of a panel's width."""
        m, n, k, products = self.m, self.n, self.k, self._products
        share = Share(start, end)
        if self.way == "direct":
            products.sweep(code, one.c, one.a, one.b, (m, n, k), share, self._adds, packed=False)
        elif self.way == "dots":
            code.call(
                "void", products.dots(m), f"ptr {one.c.pointer}, i64 {one.c.row}",
                f"ptr {one.a.pointer}, i64 {one.a.row}, ptr {one.b.pointer}",
                f"i64 {one.b.column}, i64 {k}, i64 {start}, i64 {end}",
            )  # fmt: skip
        elif self.way == "panels":
            at = code.at(one.b.pointer, code.multiply(start, one.b.column), products.kind)
            b = Matrix(at, one.b.row, one.b.column)
            products.pack(code, room, b, k, code.subtract(end, start))
            packed = Matrix(room, 0, 1)
            products.sweep(code, one.c, one.a, packed, (m, n, k), share, self._adds)
        else:
            name, _ = products.blocked(m, n, k, self._adds)
            a, b, c = one.a, one.b, one.c
            code.call(
                "void", name, f"ptr {c.pointer}, i64 {c.row}, ptr {a.pointer}, i64 {a.row}",
                f"i64 {a.column}, ptr {b.pointer}, i64 {b.row}, i64 {b.column}, ptr {room}",
                f"i64 {start}, i64 {end}",
            )  # fmt: skip

    def write_packed(self, code: Code, one: Batch, panels: str, start: Index, end: Index) -> None:
        """The columns of a product whose second operand was packed whole."""
        products = self._products
        at = code.at(panels, code.multiply(start, self.k), products.kind)
        sizes = (self.m, self.n, self.k)
        products.sweep(code, one.c, one.a, Matrix(at, 0, 1), sizes, Share(start, end))
