"""Products of operands that stay in the cache, which are read where they are, and of others."""

from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad.compiled.llvm.kernels import multiply, tiles
from minigrad.compiled.llvm.program import build
from minigrad.testing import examples
from tests.minigrad.compiled.test_programs import F4, F8, Maker, check


def product(m, n, k, turned, dtype=F4, lead=()):
    """The graph of A B, in which the operands that are named come as their transposes."""
    maker = Maker()
    a = maker.input((*lead, k, m) if "a" in turned else (*lead, m, k), dtype)
    b = maker.input((*lead, n, k) if "b" in turned else (*lead, k, n), dtype)
    a = a.seen_through(lambda x: x.swapaxes(-1, -2)) if "a" in turned else a
    b = b.seen_through(lambda x: x.swapaxes(-1, -2)) if "b" in turned else b
    return maker.graph(maker.matmul(a, b))


@settings(examples(0.3))
@given(
    m=st.sampled_from([1, 5, 13, 50]),
    n=st.sampled_from([1, 2, 31, 67]),
    k=st.sampled_from([1, 7, 64, 401]),
    turned=st.sampled_from(["", "a", "b", "ab"]),
    dtype=st.sampled_from([F4, F8]),
    lead=st.sampled_from([(), (3,)]),
    near=st.sampled_from([0, multiply._NEAR]),
)
def test_both_ways_are_right(m, n, k, turned, dtype, lead, near):
    graph = product(m, n, k, turned, dtype, lead)
    with (
        mock.patch.object(multiply, "_NEAR", near),
        mock.patch.dict("os.environ", MINIGRAD_CACHE="0"),  # else the other way may be found there
    ):
        check(graph)


@pytest.mark.parametrize(
    ("sizes", "turned", "ways"),
    [
        ((32, 64, 256), "", ""),
        ((32, 64, 256), "a", ""),
        ((32, 64, 256), "b", "pack"),
        ((64, 512, 512), "", ""),
        ((64, 512, 640), "", "pack rows"),  # B is larger
        ((512, 64, 640), "", "pack rows"),  # A is
        ((32, 64, 1024), "", "pack rows"),  # rows of A are a page apart
        ((32, 64, 1025), "", ""),
        ((64, 1024, 128), "", ""),
        ((65, 1024, 128), "", "pack"),  # so many rows read those of B, a page apart
        ((4, 64, 1024), "", ""),  # too few to push each other out
    ],
)
def test_what_is_packed(sizes, turned, ways, monkeypatch):
    monkeypatch.setenv("MINIGRAD_CACHE", "0")  # a program found on disk is not written anew
    with (
        mock.patch.object(tiles, "define_pack", wraps=tiles.define_pack) as pack,
        mock.patch.object(tiles, "define_pack_rows", wraps=tiles.define_pack_rows) as rows,
    ):
        build(product(*sizes, turned), threads=1)
    assert pack.called == ("pack" in ways)
    assert rows.called == ("rows" in ways)


def test_a_part_of_a_wide_matrix_is_packed(monkeypatch):
    monkeypatch.setenv("MINIGRAD_CACHE", "0")
    maker = Maker()
    wide = maker.input((48, 8192))  # of which a tile would find few rows in the cache
    b = wide.seen_through(lambda x: x[:, 64:128])
    graph = maker.graph(maker.matmul(maker.input((20, 48)), b))
    with mock.patch.object(tiles, "define_pack", wraps=tiles.define_pack) as pack:
        check(graph)
    assert pack.called
