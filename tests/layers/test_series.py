"""Files that `read_series` must not misread: gaps, missing headers and broken quotation marks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.datasets import read_series


@pytest.fixture
def write(tmp_path):
    def go(content):
        path = tmp_path / "data.csv"
        path.write_text(content, encoding="utf-8", newline="")
        return path

    return go


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("2020-01-01,5\n2020-01-02,6\n2020-01-03,7\n", "line 1: '5' stands where the name"),
        ("nan\n1\n2\n", "line 1: 'nan' stands where .* no header; write one as the first line"),
        ("\n1900,\n1901,4\n1902,5\n", "line 2: '' stands where"),
    ],
)
def test_a_first_line_of_values_is_not_taken_for_a_header(write, content, message):
    with pytest.raises(ValueError, match=message):
        read_series(write(content))


def test_a_column_may_have_a_number_for_a_name_when_it_is_asked_for(write):
    path = write("town,2019,2020\nBern,1,2\nThun,3,4\n")
    with pytest.raises(ValueError, match="or pass column='2020' if that is the name"):
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
        ("d;v\nx;1,5\ny;2,5\n", "v", "line 2: '1,5' is not .* write decimals with a point"),
        ("d;v\nx;1,5\ny;2,5\n", None, "by name: d, v; the last one has '1,5' in line 2"),
        ("d,v\nx,1\ny,\n", None, "by name: d, v; the last one has '' in line 3"),
        ("1,2\nx,y\n", None, "no column of numbers alone; the last one has 'y' in line 2"),
        ("v\n1\ninf\n", "v", "line 3: 'inf' is not a finite number"),
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
