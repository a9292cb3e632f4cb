"""Tables, and the records of the nodes of the tape."""

import numpy as np
import pytest

import minigrad as mg
from tests.minigrad.profiling.costs import (
    F,
    costly,
    leaf,
)


def test_rows_come_in_the_order_that_is_asked_for(clock):
    a, b, c = (costly(clock, *cost) for cost in ((10, 500, "a"), (300, 2, "b"), (40, 40, "c")))
    x = leaf(10)
    with mg.profile() as p:
        c(a(b(c(x)))).backward(np.ones(10, F))

    def order(**options):
        lines = p.table(**options).splitlines()[1:]
        return [line.split()[0] for line in lines[: lines.index("")]]

    assert order() == ["a", "b", "c"]
    assert order(sort="forward") == ["b", "c", "a"]
    assert order(sort="backward") == ["a", "c", "b"]
    assert order(sort="count") == ["c", "a", "b"]
    assert order(sort="name") == ["a", "b", "c"]
    assert order(sort="self") == order(sort="total")
    assert order(sort="allocated") == ["c", "a", "b"]
    assert order(limit=2) == ["a", "b", "(1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "layer"}, 'by must be "operation" or "module", got \'layer\''),
        ({"sort": "speed"}, "sort must be one of total, self, .*got 'speed'"),
        ({"limit": 0}, "limit must be at least 1, or None, got 0"),
    ],
)
def test_a_table_says_what_it_cannot_do(options, message):
    with pytest.raises(ValueError, match=message):
        mg.profile().table(**options)


def test_an_empty_profile_is_an_empty_table():
    with mg.profile() as p:
        pass
    assert p.records == []
    assert p.table().splitlines()[0].split()[:2] == ["operation", "count"]


def test_the_nodes_that_are_alive_tell_their_time(clock):
    operation, x = costly(clock), leaf(2)
    with mg.profile() as p:
        y = operation(x)
        operation(x)
        y.backward(np.ones(2, F))
    assert [(node, round(1e9 * s)) for node, s in p.node_seconds()] == [
        (y._node, 1000),
        (y._node, 300),
    ]
