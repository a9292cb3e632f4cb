"""The backward pass of attention: weights are computed again, from the logarithms of totals."""

from minigrad.compiled.llvm.attention.blocks import Form, Pass
from minigrad.compiled.llvm.kernels.tiles import Matrix
from minigrad.compiled.llvm.native import Host, Layout
from minigrad.compiled.llvm.vectors.ir import Code, Index

__all__ = ["Backward"]


class Backward(Pass):
    """Gradients are added to arrays that begin as zeros (Dao et al. 2022, appendix B.2).

    Of each query, `mean` is the sum over keys of weight times gradient, which is that over features
    of output times gradient.
    """

    def __init__(self, form: Form, target: Host, layout: Layout | None) -> None:
        super().__init__(form, target, layout)
        self._wants = dict(zip(("q", "k", "v", "bias"), form.needed, strict=True))
        self._scored = any(self._wants[name] for name in ("q", "k", "bias"))
        self.reserve(
            q=self.queries * self.feature_row,
            g=self.queries * self.value_row,
            weights=self.queries * self.row,
            d_scores=self.queries * self.row,
            d_q=self.queries * self.feature_row,
            mean=self.queries,
            panels=0,
        )
        self.write(self._one_head)

    def _one_head(self) -> None:
        form, keys = self.form, self.integer("keys")
        k = Matrix(self.row_of("k", 0), 1, self.distance("k"))
        self.products.pack(self.code, self.scratch("panels"), k, form.features, keys)
        if self._scored:
            v = Matrix(self.row_of("v", 0), 1, self.distance("v"))
            self.products.pack(self.code, self._value_panels(0), v, form.values, keys)
        self.blocks(self._block)

    def _value_panels(self, key: Index) -> str:
        """The panels of values from a key on: they lie behind those of keys."""
        code, form = self.code, self.form
        start = code.multiply(self.integer("packed_keys"), form.features)
        offset = code.add(start, code.multiply(key, form.values))
        return self.at(self.scratch("panels"), offset)

    def _block(self, first: Index, count: str, end: str) -> None:
        form, code = self.form, self.code
        q, g, weights, d_scores, d_q = (
            self.scratch(name) for name in ("q", "g", "weights", "d_scores", "d_q")
        )
        scale = self.numbers["scale"]
        self.take_rows(q, self.feature_row, "q", first, count, form.features, scale)
        self.take_rows(g, self.value_row, "g", first, count, form.values)
        code.loop("0", count, 1, lambda r, _values: self._mean(r, first))
        if self._wants["q"]:
            self.fill(d_q, self.queries * self.feature_row)

        def block(key: Index, width: str) -> None:
            panels = self.at(self.scratch("panels"), code.multiply(key, form.features))
            self.multiply_panels(weights, q, self.feature_row, panels, form.features, width)
            if self._scored:
                panels = self._value_panels(key)
                self.multiply_panels(d_scores, g, self.value_row, panels, form.values, width)

            def row(r: Index, _values: list[str]) -> None:
                self._row(r, first, key, width)

            code.loop("0", count, 1, row)
            if self._wants["q"]:
                self.add_product(d_q, self.feature_row, d_scores, "k", key, width, form.features)
            if self._wants["k"]:
                self._add_turned("d_k", key, d_scores, q, self.feature_row, width, count)
            if self._wants["v"]:
                self._add_turned("d_v", key, weights, g, self.value_row, width, count)

        self.keys(end, block)
        if self._wants["q"]:
            code.loop("0", count, 1, lambda r, _values: self._add_query(r, first))

    def _mean(self, r: Index, first: Index) -> None:
        v = self.v
        y = self.row_of("y", self.code.add(first, r))
        g = self.at(self.scratch("g"), self.code.multiply(r, self.value_row))
        total = v.number(0.0)
        for at, lanes in self.parts(self.form.values):
            # behind the last element, both are zeros
            product = v.mul(self.load(self.at(g, at), lanes), self.load(self.at(y, at), lanes))
            total = v.add(total, product)
        total = self.elements.across("row_sum", total, self.form.kind)
        self.store_one(total, self.at(self.scratch("mean"), r))

    def _row(self, r: Index, first: Index, key: Index, width: str) -> None:
        """From scores to weights and gradients of scores."""
        code, v, form, query = self.code, self.v, self.form, self.code.add(first, r)
        weights, d_scores = (
            self.at(self.scratch(name), code.multiply(r, self.row))
            for name in ("weights", "d_scores")
        )
        seen = self.seen(query, key, width)
        whole, up = self.whole_vectors(seen)
        logs = self.load_one(self.row_of("logs", query))
        mean = self.load_one(self.at(self.scratch("mean"), r))

        def vector(j: Index, _values: list[str], mask: str = "") -> None:
            at, place = self.at(weights, j), code.add(key, j)
            weight = self.exp(v.sub(self.score(self.load(at), query, place, mask), logs))
            factor = ""
            if form.dropped:
                keep = self.kept(query, place, mask)
                factor = v.select(keep, self.numbers["kept_scale"], v.number(0.0))
            self.store(v.mul(weight, factor) if factor else weight, at)
            if not self._scored:
                return
            at = self.at(d_scores, j)
            d_weight = self.load(at)
            if factor:
                d_weight = v.mul(d_weight, factor)
            d_score = v.mul(weight, v.sub(d_weight, mean))
            if mask:
                d_score = v.select(mask, d_score, v.number(0.0))
            self.store(d_score, at)
            if self._wants["bias"]:
                self._add_bias(d_score, query, place, mask)

        code.loop("0", whole, self.width, vector)
        left = code.subtract(seen, whole)
        vector(whole, [], self.elements.lanes_below(left))
        self.clear([weights, d_scores] if self._scored else [weights], up, width)

    def _add_bias(self, d_score: str, query: Index, place: Index, mask: str) -> None:
        kind, v = self.form.kind, self.v
        if self.form.summed:
            at = self.row_of("d_bias", query)
            total = self.elements.across("row_sum", d_score, kind)
            self.store_one(v.add(self.load_one(at), total), at)
            return
        at = self.at(self.row_of("d_bias", query), place)
        total = v.add(self.elements.load_some(at, kind, 1, mask), d_score)
        if not mask:
            self.store(total, at)
            return
        name = f"llvm.masked.store.{v.suffix}.p0"
        self.module.declare(f"void @{name}({v.type}, ptr, i32, {v.mask})")
        size = 4 if kind == "float" else 8
        self.code.do(f"call void @{name}({v.type} {total}, ptr {at}, i32 {size}, {v.mask} {mask})")

    def _add_query(self, r: Index, first: Index) -> None:
        v = self.v
        found = self.at(self.scratch("d_q"), self.code.multiply(r, self.feature_row))
        d_q = self.row_of("d_q", self.code.add(first, r))
        for at, lanes in self.parts(self.form.features):
            x = v.mul(self.load(self.at(found, at)), self.numbers["scale"])
            place = self.at(d_q, at)
            self.store(v.add(self.load(place, lanes), x), place, lanes)

    def _add_turned(
        self, name: str, key: Index, scores: str, rows: str, row: int, width: str, count: str
    ) -> None:
        """Add the transposed scores of a block times rows in scratch to rows of an array."""
        code, products, form = self.code, self.products, self.form
        length = form.features if name == "d_k" else form.values
        to, distance = self.row_of(name, key), self.distance(name)
        for at in range(0, length, products.columns):
            strip = self._strip(min(products.columns, length - at))
            code.call(
                "void", strip, f"ptr {self.at(to, at)}, i64 {distance}, ptr {scores}, i64 1",
                f"i64 {self.row}, ptr {self.at(rows, at)}, i64 {row}, i64 {count}, i64 {width}",
            )  # fmt: skip

    def _strip(self, columns: int) -> str:
        """`strip(c, ldc, a, am, ak, b, ldb, k, m)`: C += A B for m rows, as many as there are."""
        products, kind = self.products, self.form.kind
        name = f"rows_{kind}_{columns}"
        if name in self.module:
            return name
        code = Code(self.module)
        done: Index = 0
        rows = products.rows
        for size in sorted({rows, max(rows // 3, 1), 1}, reverse=True):
            tile = products.tile(size, columns, True, False)
            count = code.multiply(code.value(f"udiv i64 %m, {size}"), size)

            def body(i: Index, _values: list[str], tile: str = tile) -> None:
                c = code.at("%c", code.multiply(i, "%ldc"), kind)
                a = code.at("%a", code.multiply(i, "%am"), kind)
                code.call(
                    "void", tile, f"ptr {c}, i64 %ldc, ptr {a}, i64 %am, i64 %ak, ptr %b",
                    "i64 %ldb, i64 %k",
                )  # fmt: skip

            code.loop(done, count, size, body)
            done = count
        code.do("ret void")
        head = "ptr %c, i64 %ldc, ptr %a, i64 %am, i64 %ak, ptr %b, i64 %ldb, i64 %k, i64 %m"
        self.module.define(name, code.finish(f"define internal void @{name}({head}) noinline"))
        return name
