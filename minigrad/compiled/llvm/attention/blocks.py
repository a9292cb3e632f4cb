"""What both passes of attention share: the walk over heads, and what masks and dropout do.

A pass takes a block of queries at a time, as many as fill some tiles of a product, and a block of
keys within it. The scores of a block lie in a scratch whose rows are as far apart as no power of
two, so that they do not crowd one set of a cache. Memory beside that is linear in the keys: those
of one head, packed for the products.

Every array is described in the same way: the distance of its rows, and where each head begins, both
in elements. So heads that are broadcast, or lie between others', are read where they are.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from minigrad.compiled.llvm import native
from minigrad.compiled.llvm.kernels.runtime import define_take
from minigrad.compiled.llvm.kernels.tiles import Products
from minigrad.compiled.llvm.native import Host, Layout
from minigrad.compiled.llvm.planning.places import LINE
from minigrad.compiled.llvm.vectors.elements import Elements
from minigrad.compiled.llvm.vectors.functions import define
from minigrad.compiled.llvm.vectors.ir import BYTES, Code, Index, Module, Vectors
from minigrad.compiled.llvm.vectors.memory import select_lanes

__all__ = ["COUNTERS", "HEADER", "KEYS", "NUMBERS", "Form", "Pass", "multiple"]

KEYS: Final = 480
"""Keys of a block: whole panels and whole tiles, on every processor."""

QUERIES: Final = 60
"""Queries of a block, about."""

HEADER: Final = ("heads", "queries", "keys", "packed_keys", "room", "threshold")
"""The integers that a kernel is called with; the rows and heads of arrays follow."""

NUMBERS: Final = ("scale", "kept_scale")
"""The floats that a kernel is called with: of the scores, and of what dropout keeps."""

COUNTERS: Final = LINE
"""Bytes at the beginning of the workspace, for the count of heads that were taken."""


class Form(NamedTuple):
    """What a kernel is made for.

    Attributes:
        kind: `float` or `double`.
        features, values: the lengths of keys and of values.
        causal: whether queries attend to keys up to their own place.
        masks: how many boolean arrays say where attention may go.
        biased, dropped: whether there is a bias, and dropout.
        backward: whether it is the backward pass, and `needed`, which gradients that computes: of
            queries, keys, values and bias.
        summed: whether the bias has one number for all keys.
    """

    kind: str
    features: int
    values: int
    causal: bool
    masks: int
    biased: bool
    dropped: bool
    backward: bool = False
    needed: tuple[bool, ...] = ()
    summed: bool = False

    @property
    def arrays(self) -> list[str]:
        """The names of the arrays that a call gives, after those of numbers."""
        names = ["q", "k", "v", "y", "logs"]
        if self.biased:
            names.append("bias")
        names += [f"mask{number}" for number in range(self.masks)]
        if self.dropped:
            names += ["drop_rows", "drop_columns"]
        if self.backward:
            names.append("g")
            gradients = zip(("d_q", "d_k", "d_v", "d_bias"), self.needed, strict=True)
            names += [name for name, needed in gradients if needed]
        return names


def multiple(size: int, of: int) -> int:
    """The least multiple that is not smaller."""
    return -(-size // of) * of


class Pass:
    """The kernel of a pass while it is written.

    Args:
        form: what it is made for.
        target, layout: the machine, and where the memory of arrays is.

    Attributes:
        queries: how many there are in a block.
        text: of the module, when it is written.
        row: how far apart the rows of scores are; `feature_row` and `value_row`, of queries and
            values in scratch.
    """

    def __init__(self, form: Form, target: Host, layout: Layout | None) -> None:
        self.form, self._target, self._layout = form, target, layout
        self.module = Module(target.scales, target.fences)
        self.code = Code(self.module)
        self.products = Products(self.module, form.kind, target.vector_bytes)
        self.width = self.products.width
        self.elements = Elements(self.code, self.width)
        self.v: Vectors = self.elements.floats(form.kind)
        self.queries = max(QUERIES // self.products.rows, 1) * self.products.rows
        self.row = KEYS + 16
        self.feature_row = multiple(form.features, self.width)
        self.value_row = multiple(form.values, self.width)
        self.text = ""
        self._room = 0  # elements of scratch whose number is known
        self._sections: dict[str, int] = {}
        self._pointers: dict[str, str] = {}
        self._heads: dict[str, str] = {}
        self._integers: dict[str, str] = {}
        self.numbers: dict[str, str] = {}

    # -- scratch ----------------------------------------------------------------------------------

    def reserve(self, **sections: int) -> None:
        """Sections of scratch, in elements, each from a cache line on."""
        for name, size in sections.items():
            self._sections[name] = self._room
            self._room += multiple(size, LINE // BYTES[self.form.kind])

    def room(self, packed_keys: int) -> int:
        """Bytes of scratch for each thread."""
        panels = self.form.features + (self.form.values if self.form.backward else 0)
        size = (self._room + panels * packed_keys) * BYTES[self.form.kind]
        return multiple(size, LINE) + LINE

    def scratch(self, name: str) -> str:
        """Where a section begins."""
        return self.at("%scratch", self._sections[name])

    # -- the whole function -----------------------------------------------------------------------

    def write(self, head: Callable[[], None]) -> None:
        """A function `main` that does for all heads what `head` does for one."""
        code, form = self.code, self.form
        names = ["integers", "numbers", *form.arrays]
        pointers = native.arguments(code, len(names), self._layout)
        self._pointers = dict(zip(names, pointers, strict=True))
        rows = (f"row of {name}" for name in form.arrays)
        for place, name in enumerate((*HEADER, *rows)):
            at = code.at(self._pointers["integers"], place, "i64")
            self._integers[name] = code.value(f"load i64, ptr {at}")
        for place, name in enumerate(NUMBERS):
            at = self.at(self._pointers["numbers"], place)
            self.numbers[name] = self.v.splat(code.value(f"load {form.kind}, ptr {at}"))
        saved = native.enter(code, self._target, flush=form.kind == "float")
        define_take(self.module)
        room = code.multiply("%thread", self.integer("room"))
        scratch = code.at(code.at("%workspace", COUNTERS, "i8"), room, "i8")
        code.do(f"%scratch = getelementptr i8, ptr {scratch}, i64 0")
        taken = ""

        def another() -> str:
            nonlocal taken
            heads = self.integer("heads")
            taken = code.call("i64", "take", f"ptr %workspace, i64 {heads}")
            return code.value(f"icmp sge i64 {taken}, 0")

        def one() -> None:
            for name in form.arrays:
                self._heads[name] = self._head(name, taken)
            head()

        code.repeat(another, one)
        status = native.leave(code, self._target, saved)
        code.do(f"ret i32 {status}")
        arguments = "ptr %frame, ptr %workspace, i64 %thread, i64 %threads"
        self.module.define("main", code.finish(f"define i32 @main({arguments})"))
        self.text = self.module.text()

    def _head(self, name: str, number: str) -> str:
        """Where an array of this head begins."""
        code, count = self.code, len(self.form.arrays)
        place = code.add(code.multiply(number, count), self.form.arrays.index(name))
        at = code.at(self._pointers["integers"], code.add(place, len(HEADER) + count), "i64")
        offset = code.value(f"load i64, ptr {at}")
        return code.at(self._pointers[name], offset, self.memory(name))

    def memory(self, name: str) -> str:
        """The type of an array's elements."""
        if name.startswith("mask"):
            return "i8"
        return "i32" if name.startswith("drop") else self.form.kind

    # -- pointers ---------------------------------------------------------------------------------

    def integer(self, name: str) -> str:
        """One of `HEADER`."""
        return self._integers[name]

    def distance(self, name: str) -> str:
        """How far apart the rows of an array are."""
        return self._integers[f"row of {name}"]

    def at(self, pointer: str, index: Index) -> str:
        """The pointer so many numbers further."""
        return self.code.at(pointer, index, self.form.kind)

    def row_of(self, name: str, index: Index) -> str:
        """A row of an array of the present head."""
        offset = self.code.multiply(index, self.distance(name))
        return self.code.at(self._heads[name], offset, self.memory(name))

    def load(self, pointer: str, lanes: int | None = None) -> str:
        """A vector, or its first lanes and zeros."""
        mask = ""
        if lanes is not None and lanes < self.width:
            mask = select_lanes([lane < lanes for lane in range(self.width)])
        return self.elements.load_some(pointer, self.form.kind, 1, mask)

    def store(self, x: str, pointer: str, lanes: int | None = None) -> None:
        """Write a vector."""
        self.elements.store(x, pointer, self.form.kind, 1, lanes or self.width)

    def load_one(self, pointer: str) -> str:
        """One number, in all lanes."""
        return self.v.splat(self.code.value(f"load {self.form.kind}, ptr {pointer}"))

    def store_one(self, x: str, pointer: str) -> None:
        """Write the number in lane 0."""
        self.code.do(f"store {self.form.kind} {self.v.first(x)}, ptr {pointer}")

    def exp(self, x: str) -> str:
        """e ** x."""
        name = define(self.module, "exp", self.form.kind, self.width)
        return self.code.call(self.v.type, name, f"{self.v.type} {x}")

    def fill(self, pointer: str, size: Index) -> None:
        """Zeros."""
        size = self.code.multiply(size, BYTES[self.form.kind])
        self.code.intrinsic(
            "void", "llvm.memset.p0.i64", f"ptr {pointer}", "i8 0", f"i64 {size}", "i1 false"
        )

    def maximum(self, a: Index, b: Index) -> Index:
        """The larger one."""
        return self.code.subtract(0, self.code.minimum(*(self.code.subtract(0, x) for x in (a, b))))

    def parts(self, length: int) -> list[tuple[int, int]]:
        """The vectors of a row of known length: where each begins, and its lanes."""
        return [(at, min(self.width, length - at)) for at in range(0, length, self.width)]

    # -- blocks -----------------------------------------------------------------------------------

    def blocks(self, body: Callable[[Index, str, str], None]) -> None:
        """`body(first, count, end)` for every block of queries, and before which key it ends."""
        code, form = self.code, self.form
        queries, keys = self.integer("queries"), self.integer("keys")

        def block(first: Index, _values: list[str]) -> None:
            count = code.minimum(code.subtract(queries, first), self.queries)
            end: Index = keys
            if form.causal:
                last = code.add(code.add(first, count), code.subtract(keys, queries))
                end = self.maximum(last, 0)
            body(first, str(count), str(end))

        code.loop("0", queries, self.queries, block)

    def keys(self, end: str, body: Callable[[Index, str], None]) -> None:
        """`body(first, width)` for every block of keys."""

        def block(first: Index, _values: list[str]) -> None:
            body(first, str(self.code.minimum(self.code.subtract(end, first), KEYS)))

        self.code.loop("0", end, KEYS, block)

    def seen(self, query: Index, first: Index, width: str) -> str:
        """To how many keys of a block from the key `first` on a query may attend at most."""
        if not self.form.causal:
            return width
        code = self.code
        place = code.add(query, code.subtract(self.integer("keys"), self.integer("queries")))
        count = code.subtract(code.add(place, 1), first)
        return str(code.minimum(self.maximum(count, 0), width))

    def take_rows(
        self, to: str, row: int, name: str, first: Index, count: str, length: int, scale: str = ""
    ) -> None:
        """Copy rows of an array to scratch, and zeros behind the last one."""
        code = self.code
        missing = code.value(f"icmp slt i64 {count}, {self.queries}")
        code.when(missing, lambda: self.fill(to, self.queries * row))

        def one(r: Index, _values: list[str]) -> None:
            source, target = (
                self.row_of(name, code.add(first, r)),
                self.at(to, code.multiply(r, row)),
            )
            for at, lanes in self.parts(length):
                x = self.load(self.at(source, at), lanes)
                self.store(self.v.mul(x, scale) if scale else x, self.at(target, at))

        code.loop("0", count, 1, one)

    def multiply_panels(
        self, to: str, rows: str, row: int, panels: str, depth: int, width: str
    ) -> None:
        """Scores of a block: rows in scratch times panels of keys, from a whole panel on."""
        code, products = self.code, self.products
        strip = products.strip(self.queries, products.columns, False, False)

        def panel(j: Index, _values: list[str]) -> None:
            b = self.at(panels, code.multiply(j, depth))
            code.call(
                "void", strip, f"ptr {self.at(to, j)}, i64 {self.row}, ptr {rows}, i64 {row}",
                f"i64 1, ptr {b}, i64 {products.columns}, i64 {depth}",
            )  # fmt: skip

        code.loop("0", width, products.columns, panel)

    def add_product(
        self, to: str, row: int, weights: str, name: str, first: Index, width: str, length: int
    ) -> None:
        """Add weights of a block times rows of an array, from the row `first` on."""
        products = self.products
        rows, distance = self.row_of(name, first), self.distance(name)
        for at in range(0, length, products.columns):
            strip = products.strip(self.queries, min(products.columns, length - at), True, False)
            self.code.call(
                "void", strip, f"ptr {self.at(to, at)}, i64 {row}, ptr {weights}, i64 {self.row}",
                f"i64 1, ptr {self.at(rows, at)}, i64 {distance}, i64 {width}",
            )  # fmt: skip

    # -- rows of scores ---------------------------------------------------------------------------

    def score(self, x: str, query: Index, key: Index, mask: str) -> str:
        """Scores after bias and masks; `mask` says which lanes there are, "" for all."""
        form, v = self.form, self.v
        if form.biased:
            at = self.code.at(self.row_of("bias", query), key, form.kind)
            x = v.add(x, self.elements.load_some(at, form.kind, 1, mask))
        allowed = mask
        for number in range(form.masks):
            at = self.code.at(self.row_of(f"mask{number}", query), key, "i8")
            found = self.elements.load_some(at, "i8", 1, mask)
            one = self.code.value(f"icmp ne {self.elements.type('i8')} {found}, zeroinitializer")
            if allowed:
                one = self.code.value(f"and {v.mask} {allowed}, {one}")
            allowed = one
        return v.select(allowed, x, v.number(-float("inf"))) if allowed else x

    def kept(self, query: Index, key: Index, mask: str) -> str:
        """Which weights dropout keeps: `minigrad.ops.nn.attention_plain.AttentionDropout.tile`."""
        code, full = self.code, f"<{self.width} x i32>"
        one = code.value(f"load i32, ptr {self.row_of('drop_rows', query)}")
        row, bound = (
            self._splat(x)
            for x in (one, code.value(f"trunc i64 {self.integer('threshold')} to i32"))
        )
        at = code.at(self.row_of("drop_columns", 0), key, "i32")
        x = code.value(f"add {full} {row}, {self.elements.load_some(at, 'i32', 1, mask)}")
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
            moved = code.value(f"lshr {full} {x}, splat (i32 {shift})")
            x = code.value(f"xor {full} {x}, {moved}")
            if factor != 1:
                x = code.value(f"mul {full} {x}, splat (i32 {factor})")
        return code.value(f"icmp uge {full} {x}, {bound}")

    def _splat(self, x: str) -> str:
        full = f"<{self.width} x i32>"
        one = self.code.value(f"insertelement {full} poison, i32 {x}, i64 0")
        zeros = f"<{self.width} x i32> zeroinitializer"
        return self.code.value(f"shufflevector {full} {one}, {full} poison, {zeros}")

    def whole_vectors(self, count: str) -> tuple[str, str]:
        """Up to where vectors of a row are full, and up to where there are any."""
        code, low = self.code, -self.width
        up = code.add(count, self.width - 1)
        return code.value(f"and i64 {count}, {low}"), code.value(f"and i64 {up}, {low}")

    def clear(self, pointers: Sequence[str], start: str, width: str) -> None:
        """Zeros in rows of scores from a whole vector on, up to the width of the block."""

        def one(j: Index, _values: list[str]) -> None:
            for pointer in pointers:
                self.store("zeroinitializer", self.at(pointer, j))

        self.code.loop(start, width, self.width, one)
