"""The forward pass of attention: the softmax is carried on from block to block of keys."""

import math

from minigrad.compiled.llvm.attention.blocks import Form, Pass
from minigrad.compiled.llvm.kernels.tiles import Matrix
from minigrad.compiled.llvm.native import Host, Layout
from minigrad.compiled.llvm.vectors.functions import log
from minigrad.compiled.llvm.vectors.ir import Index

__all__ = ["Forward"]


class Forward(Pass):
    """Outputs, and the logarithm of each query's total (Dao et al. 2022, algorithm 1).

    Of each query, `top` is the largest score so far, and `total` the sum of exponentials.
    """

    def __init__(self, form: Form, target: Host, layout: Layout | None) -> None:
        super().__init__(form, target, layout)
        self.reserve(
            q=self.queries * self.feature_row,
            scores=self.queries * self.row,
            out=self.queries * self.value_row,
            top=self.queries,
            total=self.queries,
            panels=0,
        )
        self.write(self._one_head)

    def _one_head(self) -> None:
        form, panels = self.form, self.scratch("panels")
        keys = Matrix(self.row_of("k", 0), 1, self.distance("k"))
        self.products.pack(self.code, panels, keys, form.features, self.integer("keys"))
        self.blocks(self._block)

    def _block(self, first: Index, count: str, end: str) -> None:
        form, code = self.form, self.code
        q, scores, out = (self.scratch(name) for name in ("q", "scores", "out"))
        top, total = self.scratch("top"), self.scratch("total")
        scale = self.numbers["scale"]
        self.take_rows(q, self.feature_row, "q", first, count, form.features, scale)
        self.fill(out, self.queries * self.value_row)
        self.fill(total, self.queries)

        def lowest(r: Index, _values: list[str]) -> None:
            self.store_one(self.v.number(-math.inf), self.at(top, r))

        code.loop("0", count, 1, lowest)

        def block(key: Index, width: str) -> None:
            panels = self.at(self.scratch("panels"), code.multiply(key, form.features))
            self.multiply_panels(scores, q, self.feature_row, panels, form.features, width)

            def row(r: Index, _values: list[str]) -> None:
                self._row(r, first, key, width)

            code.loop("0", count, 1, row)
            self.add_product(out, self.value_row, scores, "v", key, width, form.values)

        self.keys(end, block)
        code.loop("0", count, 1, lambda r, _values: self._finish(r, first))

    def _row(self, r: Index, first: Index, key: Index, width: str) -> None:
        """From scores to weights, times the exponential of the largest score so far."""
        code, v, query = self.code, self.v, self.code.add(first, r)
        scores = self.at(self.scratch("scores"), code.multiply(r, self.row))
        top, total = (self.at(self.scratch(name), r) for name in ("top", "total"))
        seen = self.seen(query, key, width)
        whole, up = self.whole_vectors(seen)

        def largest(j: Index, values: list[str], mask: str = "") -> list[str]:
            at = self.at(scores, j)
            x = self.score(self.load(at), query, code.add(key, j), mask)
            if mask or self.form.biased or self.form.masks:
                self.store(x, at)
            return [v.most(x, values[0])]

        lowest = (v.type, v.number(-math.inf))
        (most,) = code.loop("0", whole, self.width, largest, [lowest])
        left = self.elements.lanes_below(code.subtract(seen, whole))
        (most,) = largest(whole, [most], left)
        most = self.elements.across("row_max", most, self.form.kind)
        before = self.load_one(top)
        now = v.most(most, before)
        none = v.compare("oeq", now, v.number(-math.inf))
        shift = v.select(none, v.number(0.0), now)

        def weigh(j: Index, values: list[str]) -> list[str]:
            at = self.at(scores, j)
            weight = self.exp(v.sub(self.load(at), shift))
            kept = weight
            if self.form.dropped:
                mask = self.elements.lanes_below(code.subtract(seen, j))
                keep = self.kept(query, code.add(key, j), mask)
                kept = v.select(keep, weight, v.number(0.0))
            self.store(kept, at)
            return [v.add(values[0], weight)]

        (found,) = code.loop("0", up, self.width, weigh, [(v.type, v.number(0.0))])
        found = self.elements.across("row_sum", found, self.form.kind)
        self.clear([scores], up, width)
        fade = self.exp(v.sub(before, shift))
        self.store_one(v.add(v.mul(self.load_one(total), fade), found), total)
        self.store_one(now, top)
        out = self.at(self.scratch("out"), code.multiply(r, self.value_row))
        for at, _ in self.parts(self.form.values):
            place = self.at(out, at)
            self.store(v.mul(self.load(place), fade), place)

    def _finish(self, r: Index, first: Index) -> None:
        """Write what a query gives: zeros where it may attend to nothing."""
        code, v, query = self.code, self.v, self.code.add(first, r)
        total = self.load_one(self.at(self.scratch("total"), r))
        none = v.compare("oeq", total, v.number(0.0))
        total = v.select(none, v.number(1.0), total)
        out = self.at(self.scratch("out"), code.multiply(r, self.value_row))
        y = self.row_of("y", query)
        for at, lanes in self.parts(self.form.values):
            x = v.div(self.load(self.at(out, at)), total)
            if self.form.dropped:
                x = v.mul(x, self.numbers["kept_scale"])
            self.store(x, self.at(y, at), lanes)
        logs = v.add(self.load_one(self.at(self.scratch("top"), r)), log(v, total))
        # Infinity makes all weights zero in the backward pass.
        self.store_one(v.select(none, v.number(math.inf), logs), self.row_of("logs", query))
