"""The profiles, which this project's own tests use as well."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad.testing
from minigrad.testing import examples, register_profiles


def test_each_profile_draws_more_than_the_one_before():
    register_profiles(load=None)
    counts = [settings.get_profile(name).max_examples for name in ("quick", "default", "thorough")]
    assert counts == [10, 20, 1000]
    assert settings.get_profile("default").derandomize
    assert not settings.get_profile("thorough").derandomize


def test_loading_is_left_to_the_caller():
    before = settings().max_examples
    register_profiles(load=None)
    assert settings().max_examples == before


@pytest.mark.parametrize(("factor", "count"), [(2, 2), (0.5, 0.5)])
def test_a_test_may_draw_a_multiple_of_the_profile(factor, count):
    drawn = []

    @examples(factor)
    @given(st.integers())
    def test(number):
        drawn.append(number)

    test()
    assert len(drawn) <= count * settings().max_examples
    assert test._hypothesis_internal_use_settings.max_examples == count * settings().max_examples


def test_all_that_is_listed_is_there():
    for name in minigrad.testing.__all__:
        assert getattr(minigrad.testing, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        minigrad.testing.nothing  # noqa: B018
