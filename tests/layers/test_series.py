"""Series of one's own: values, times and refusals; for dialects see test_series_dialects.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.datasets import read_series
from layers.models import Autoregressive, AutoregressiveConfig


@pytest.fixture
def write(tmp_path):
    def go(content):
        path = tmp_path / "data.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return go


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("nan\n1\n2\n", "line 1: 'nan' stands where .* no header; write one as the first line"),
        ("\n1900,\n1901,4\n1902,5\n", "line 2: '' stands where"),
        ("1900,NA\n1901,4\n1902,5\n", "line 1: 'NA' stands where"),
        (",0\n0,3.5\n1,4.5\n", "line 1: '0' stands where .* pass column='0' if that is the name"),
    ],
)
def test_a_first_line_of_values_is_not_taken_for_a_header(write, content, message):
    with pytest.raises(ValueError, match=message):
        read_series(write(content))


def test_dates_and_numbers_need_no_header(write):
    series = read_series(write("2020-01-01,5\n2020-01-02,6\n2020-01-03,7\n"))
    assert series.values.tolist() == [5, 6, 7]
    assert series.times == ("2020-01-01", "2020-01-02", "2020-01-03")


def test_a_column_may_have_a_number_for_a_name_when_it_is_asked_for(write):
    path = write("town,2019,2020\nBern,1,2\nThun,3,4\n")
    with pytest.raises(ValueError, match=r"2 columns that may be the series.*column='2020'"):
        read_series(path)
    series = read_series(path, "2020")
    assert (series.name, series.values.tolist()) == ("2020", [2, 4])
    assert series.times == ("Bern", "Thun")


def test_empty_rows_below_a_table_are_no_gap_but_one_inside_is(write):
    assert read_series(write("a,b\n1,2\n3,4\n,\n,\n  \n")).values.tolist() == [2, 4]
    with pytest.raises(ValueError, match="line 3: '' is not a finite number; fill the gap"):
        read_series(write("a,b\n1,2\n,\n3,4\n"), "b")


@pytest.mark.parametrize(
    ("content", "column", "message"),
    [
        ("d,v\nx,1\ny,\n", None, "line 3: '' is not a finite number; fill the gap in column 'v'"),
        ("1,2\nx,y\n", None, "2 columns that may be the series: 'column 1'"),
        ("v\n1\ninf\n", "v", "line 3: 'inf' is not a finite number"),
        ("v\n1\n1e999\n", "v", "line 3: '1e999' is not a finite number"),
        ("v\n1\n1_000\n", "v", "line 3: '1_000' is not a finite number"),
        ("a,b\n", None, "has 0 values; a series needs at least 2"),
        ("a,b\n", "b", "has 0 values"),
        ("7\n", None, "has 1 values"),
        ('a,b\n1,"2\n' + "3,4\n" * 40_000, None, "is no CSV .* quotation mark that is never"),
    ],
)
def test_the_message_says_the_line_and_what_to_do(write, content, column, message):
    with pytest.raises(ValueError, match=rf"data\.csv.*{message}"):
        read_series(write(content), column)


@given(cells=st.lists(st.sampled_from(["1", "-2.5", "nan", "", "x"]), min_size=2, max_size=8))
def test_a_series_has_every_row_or_is_refused(tmp_path_factory, cells):
    path = tmp_path_factory.mktemp("series") / "data.csv"
    path.write_text("time,value\n" + "".join(f"t{i},{cell}\n" for i, cell in enumerate(cells)))
    bad = [i for i, cell in enumerate(cells) if cell in ("nan", "", "x")]
    if bad:
        with pytest.raises(ValueError, match=f"line {bad[0] + 2}: {cells[bad[0]]!r} is not"):
            read_series(path, "value")
    else:
        series = read_series(path)
        assert series.values.tolist() == [float(cell) for cell in cells]
        assert series.times == tuple(f"t{i}" for i in range(len(cells)))


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
        ("a,b\n1,2\n3\n", None, "line 3: 1 cell, and the first line has 2"),
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


def test_a_table_may_begin_far_below(write):
    series = read_series(write("\n" * 3000 + "year;rain\n1900;3\n1901;4\n"))
    assert series.values.tolist() == [3, 4]
    assert series.times == ("1900", "1901")


@pytest.mark.parametrize("name", ["weight", "bias", "mean", "scale"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_model_that_is_not_finite_says_so(name, bad):
    model = Autoregressive(AutoregressiveConfig(1)).fit_least_squares(np.sin(np.arange(9.0)))
    tensor = getattr(model, name)
    tensor.write(np.full(tensor.shape, bad))
    for ask in (lambda: model.forecast(steps=3), lambda: model.one_step(np.arange(4.0))):
        with pytest.raises(ValueError, match=f"of no use, as it is not finite: {name};"):
            ask()
