"""The page for users is true: its examples give what it says."""

import doctest
from pathlib import Path

import pytest
from hypothesis import settings

PAGE = Path(__file__).parents[3] / "docs" / "guides" / "checking-gradients.md"


@pytest.fixture(autouse=True)
def own_profile():
    before = settings.get_current_profile_name()
    yield
    settings.load_profile(before)  # the page loads one


def test_the_examples_of_the_page_give_what_it_says():
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    results = doctest.testfile(str(PAGE), module_relative=False, optionflags=flags)
    assert results.attempted >= 40
    assert results.failed == 0
