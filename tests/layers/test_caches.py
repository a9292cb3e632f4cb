"""A cache holds what was written, whenever it is asked."""

import copy

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minigrad as mg
from layers import KeyValueCache
from minigrad.core.errors import ShapeError

EVENTS = st.lists(
    st.sampled_from(["write", "write", "extend", "recorded", "ask", "reorder", "detach", "copy"]),
    max_size=12,
)


def parts_of(rng, places=1, requires_grad=False):
    """Keys and values of some places, of three sequences with two heads of four features."""
    made = [rng.standard_normal((3, 2, places, 4)).astype(np.float32) for _ in range(2)]
    return [mg.Tensor(part, requires_grad=requires_grad) for part in made]


def check(cache, expected):
    assert len(cache) == cache.counts() == expected[0].shape[2]
    np.testing.assert_array_equal(cache.keys.numpy(), expected[0])
    np.testing.assert_array_equal(cache.values.numpy(), expected[1])


@given(EVENTS, st.integers(0, 2**32 - 1))
def test_whatever_is_done_in_whatever_order(events, seed):
    rng, cache = np.random.default_rng(seed), KeyValueCache()
    first = parts_of(rng, 31)  # soon the room is full
    cache.extend(*first)
    expected = [part.numpy() for part in first]
    asked, recorded = None, False
    for event in events:
        if recorded and event in ("write", "copy"):  # gradients do not flow there
            cache.detach()
        recorded = event == "recorded" or (recorded and event in ("ask", "reorder", "extend"))
        if event == "ask":
            check(cache, expected)
            asked = cache.keys, cache.keys.numpy().copy()
        elif event == "reorder":
            index = rng.integers(3, size=3)
            cache.reorder(index)
            expected = [part[index] for part in expected]
        elif event == "detach":
            cache.detach()
            assert not cache.keys.requires_grad
        elif event == "copy":
            cache = copy.deepcopy(cache)
        else:
            new = parts_of(rng, 1, event == "recorded")
            joined = zip(expected, new, strict=True)
            expected = [np.concatenate([held, one.numpy()], axis=2) for held, one in joined]
            if event == "write":
                cache.write(*(part.numpy() for part in new))
            else:
                found = cache.extend(*new)
                for one, other in zip(found, expected, strict=True):
                    np.testing.assert_array_equal(one.numpy(), other)
        assert len(cache) == expected[0].shape[2]
    cache.detach()
    for held, one in zip(cache.room(len(cache)), expected, strict=True):
        np.testing.assert_array_equal(held[:, :, : one.shape[2]], one)
    check(cache, expected)
    if asked is not None:
        np.testing.assert_array_equal(asked[0].numpy(), asked[1])


def test_keys_and_values_can_be_set_one_by_one():
    rng, cache = np.random.default_rng(0), KeyValueCache()
    cache.extend(*parts_of(rng))
    cache.write(*(part.numpy() for part in parts_of(rng)))
    keys, values = cache.keys.numpy(), cache.values.numpy()
    cache.keys = cache.keys * 2
    np.testing.assert_array_equal(cache.keys.numpy(), 2 * keys)
    np.testing.assert_array_equal(cache.values.numpy(), values)
    cache.values = cache.values * 3
    np.testing.assert_array_equal(cache.keys.numpy(), 2 * keys)
    np.testing.assert_array_equal(cache.values.numpy(), 3 * values)


def test_an_empty_cache_has_no_room():
    cache = KeyValueCache()
    assert len(cache) == 0
    assert cache.keys is cache.values is None
    with pytest.raises(ValueError, match="knows no shapes"):
        cache.room(3)


def test_other_heads_do_not_go_on():
    rng, cache = np.random.default_rng(0), KeyValueCache()
    cache.extend(*parts_of(rng))
    cache.write(*(part.numpy() for part in parts_of(rng)))
    other = mg.Tensor(np.zeros((3, 1, 1, 4), np.float32))
    with pytest.raises(ShapeError, match=r"do not continue those of before f32\[3, 2, 2, 4\]"):
        cache.extend(other, other)
