"""Data of one's own: series from CSV files and pairs of texts; and the numbers in words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.datasets import number_words, read_pairs, read_series, split_number_words


@pytest.fixture
def write(tmp_path):
    def go(content, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return go


@pytest.mark.parametrize(
    ("content", "column", "name", "values", "times"),
    [
        ("1\n2\n4\n", None, "value", [1, 2, 4], ("0", "1", "2")),
        ("rain\n1\n2.5\n", None, "rain", [1, 2.5], ("0", "1")),
        ("day,rain\nMon,1\nTue,2\n", None, "rain", [1, 2], ("Mon", "Tue")),
        ("day;rain\nMon;1e3\nTue;-2\n", "rain", "rain", [1000, -2], ("Mon", "Tue")),
        ("a\tb\tc\n1\t2\tx\n3\t4\ty\n", None, "b", [2, 4], ("1", "3")),
        ("a,b\n1,2\n3,4\n", "a", "a", [1, 3], ("0", "1")),
        ('"year, old",n\r\n"1,0",5\r\n"2,0",6\r\n', None, "n", [5, 6], ("1,0", "2,0")),
        ("\ufeffn\n\n5\n6\n\n", None, "n", [5, 6], ("0", "1")),
        ("1900,3\n1901,4\n", None, "value", [3, 4], ("1900", "1901")),
    ],
)
def test_series_are_read(write, content, column, name, values, times):
    series = read_series(write(content), column)
    assert series.name == name
    assert series.values.tolist() == values
    assert series.values.dtype == np.float64
    assert series.times == times


@given(values=st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=20))
def test_numbers_come_back_exactly(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("series") / "x.csv"
    path.write_text("t,x\n" + "".join(f"{i},{value!r}\n" for i, value in enumerate(values)))
    assert read_series(path, "x").values.tolist() == values


@pytest.mark.parametrize(
    ("content", "column", "message"),
    [
        ("", None, "is empty"),
        (b"\x00\x01\x02", None, "not text"),
        ("\n\n", None, "has no rows"),
        ("a,rain\n1,2\n3,4\n", "rian", "no column 'rian', only a, rain; did you mean 'rain'"),
        ("1,2\n3,4\n", "rain", "has no header, so it has no column 'rain'"),
        ("a,b\n1,2\n3\n", None, "line 3: 1 cells, and the first line has 2"),
        ("a,b\n1,2\n3,\n", "b", "line 3: '' is not a finite number"),
        ("a,b\n1,2\n3,nan\n", "b", "line 3: 'nan' is not a finite number"),
        ("a,b\nx,y\nz,w\n", None, "no column of numbers alone; choose one by name: a, b"),
        ("a\n1\nx\n", None, "line 3: 'x' is not"),
        ("a\n1\n", None, "has 1 values"),
    ],
)
def test_what_is_wrong_with_a_series_is_said(write, content, column, message):
    with pytest.raises(ValueError, match=message):
        read_series(write(content), column)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_series(tmp_path / "no.csv")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_pairs(tmp_path / "no.tsv")


def test_pairs_are_read(write):
    assert read_pairs(write("one\t1\n\ntwo words\t2\r\n")) == [("one", "1"), ("two words", "2")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("one\t1\ntwo 2\n", "line 2: 'two 2' is not a source, a tab"),
        ("one\t1\t2\n", "line 1"),
        ("\t1\n", "line 1"),
        ("\n", "has no pairs"),
    ],
)
def test_what_is_wrong_with_pairs_is_said(write, content, message):
    with pytest.raises(ValueError, match=message):
        read_pairs(write(content))


def test_numbers_in_words():
    items = number_words()
    assert len(items) == 17_500
    assert {item.language for item in items} == {"de", "en", "es", "fr", "ko"}
    words = {(item.language, item.digits): item.words for item in items}
    assert words["en", "342"] == "three hundred and forty-two"
    assert words["fr", "80"] == "quatre-vingts"
    assert words["ko", "21"] == "이십일"
    assert words["es", "16"] == "dieciséis"
    by_language = [
        {item.digits for item in items if item.language == language} for language in ("de", "ko")
    ]
    assert by_language[0] == by_language[1]


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_held_out_numbers_are_unseen_in_every_language(share):
    training, test = split_number_words(share, seed=3)
    assert not {item.digits for item in training} & {item.digits for item in test}
    assert len(test) == round(share * 3500) * 5
    assert len(training) + len(test) == 17_500
    with pytest.raises(ValueError, match="held_out"):
        split_number_words(1.0)
