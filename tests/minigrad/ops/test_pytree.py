"""Containers made again with other leaves, by a function that is written for them."""

import dataclasses
from collections import OrderedDict, namedtuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.ops.pytree import labelled_leaves, rebuilding, replace_leaves

Pair = namedtuple("Pair", "one two")


@dataclasses.dataclass
class Both:
    one: object
    two: object


class Key:
    """A key without a text that Python could read."""


LEAF = st.none() | st.integers()
TREES = st.recursive(
    LEAF,
    lambda parts: (
        st.lists(parts, max_size=3)
        | st.lists(parts, max_size=3).map(tuple)
        | st.dictionaries(st.sampled_from(["a", "b'\n", 3, None, Key()]), parts, max_size=3)
        | st.tuples(parts, parts).map(lambda two: Pair(*two))
        | st.tuples(parts, parts).map(lambda two: Both(*two))
        | st.dictionaries(st.sampled_from("xy"), parts, max_size=2).map(OrderedDict)
    ),
    max_leaves=8,
)


def same(one, other):
    assert type(one) is type(other)
    assert one == other
    if isinstance(one, dict):
        assert list(one) == list(other)
    before, after = labelled_leaves(one), labelled_leaves(other)
    for (place, x), (other_place, y) in zip(before, after, strict=True):
        assert place == other_place
        assert x is y


@given(TREES)
def test_containers_are_those_of_the_general_way(tree):
    leaves = [object() for _ in labelled_leaves(tree)]
    same(rebuilding(tree)(leaves), replace_leaves(tree, leaves))


@pytest.mark.parametrize("tree", [(), [], {}, ((),), [{}], (1,), [2], {"a": ()}])
def test_containers_that_are_empty_or_nearly(tree):
    make = rebuilding(tree)
    leaves = [leaf for _, leaf in labelled_leaves(tree)]
    same(make(leaves), tree)
    if type(tree) in (list, dict):
        assert make(leaves) is not make(leaves)
