"""Products of a few rows with a matrix whose columns are contiguous: one scalar product for each.

Every element of the matrix is read once, where it is. Packed for tiles, it would be written and
read again, which takes longer than all multiplications of a few rows.
"""

from typing import Final

from minigrad.compiled.llvm.vectors.elements import Elements
from minigrad.compiled.llvm.vectors.ir import BYTES, Code, Index, Module

__all__ = ["define_dots"]

_COLUMNS: Final = 4
"""How many columns are read side by side, so that additions need not wait for each other."""


def define_dots(module: Module, kind: str, vector_bytes: int, rows: int) -> str:
    """`dots(c, ldc, a, am, b, bn, k, start, end)`: C = A B for some of the columns, whatever C was.

    The rows of A, `am` apart, and the columns of B, `bn` apart, have their elements side by side;
    so have the rows of C. There are `rows` of A.
    """
    name = f"dots_{kind}_{rows}"
    if name in module:
        return name
    code = Code(module)
    elements = Elements(code, vector_bytes // BYTES[kind])
    v = elements.floats(kind)
    whole = code.multiply(code.value(f"udiv i64 %k, {v.width}"), v.width)
    left = elements.lanes_below(code.subtract("%k", whole))
    a = [code.at("%a", code.multiply(i, "%am"), kind) for i in range(rows)]

    def columns(j: Index, count: int) -> None:
        b = [
            code.at("%b", code.multiply(code.add(j, number), "%bn"), kind)
            for number in range(count)
        ]

        def step(at: Index, sums: list[str], mask: str = "") -> list[str]:
            left_ones = [elements.load_some(code.at(x, at, kind), kind, 1, mask) for x in a]
            right_ones = [elements.load_some(code.at(y, at, kind), kind, 1, mask) for y in b]
            pairs = ((x, y) for x in left_ones for y in right_ones)
            return [v.add(v.mul(x, y), s) for (x, y), s in zip(pairs, sums, strict=True)]

        zeros = [(v.type, "zeroinitializer")] * (rows * count)
        sums = step(whole, code.loop("0", whole, v.width, step, zeros), left)
        for number, total in enumerate(sums):
            i, column = divmod(number, count)
            row = code.at("%c", code.add(code.multiply(i, "%ldc"), j), kind)
            x = v.first(elements.across("row_sum", total, kind))
            code.do(f"store {kind} {x}, ptr {code.at(row, column, kind)}")

    width = code.subtract("%end", "%start")
    several = code.multiply(code.value(f"udiv i64 {width}, {_COLUMNS}"), _COLUMNS)
    middle = code.add("%start", several)
    code.loop("%start", middle, _COLUMNS, lambda j, _values: columns(j, _COLUMNS))
    code.loop(middle, "%end", 1, lambda j, _values: columns(j, 1))
    code.do("ret void")
    head = "ptr noalias %c, i64 %ldc, ptr noalias %a, i64 %am, ptr noalias %b, i64 %bn, i64 %k, "
    head += "i64 %start, i64 %end"
    module.define(name, code.finish(f"define internal void @{name}({head}) noinline"))
    return name
