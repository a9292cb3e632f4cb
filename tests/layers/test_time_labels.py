"""Times go on as a calendar does."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.datasets.time_labels import following, is_time, read_times


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ("20201230 20201231", "20210101 20210102"),
        ("2020-12-30 2020-12-31", "2021-01-01 2021-01-02"),
        ("2020-02-28 2020-02-29", "2020-03-01 2020-03-02"),
        ("2020/12/31 2021/01/01", "2021/01/02 2021/01/03"),
        ("31.12.2020 01.01.2021", "02.01.2021 03.01.2021"),
        ("30/12/2020 31/12/2020", "01/01/2021 02/01/2021"),
        ("12/30/2020 12/31/2020", "01/01/2021 01/02/2021"),
        ("1/30/2020 1/31/2020", "2/1/2020 2/2/2020"),
        ("30.12.20 31.12.20", "01.01.21 02.01.21"),
        ("12/30/99 12/31/99", "01/01/00 01/02/00"),
        ("30-Dec-20 31-Dec-20", "01-Jan-21 02-Jan-21"),
        ("01/11/20 01/12/20", "+1 +2"),
        ("2020-01-31 2020-02-29", "2020-03-31 2020-04-30"),
        ("2020-11-30 2020-12-31", "2021-01-31 2021-02-28"),
        ("2020-01-30 2020-02-29 2020-03-30", "2020-04-30 2020-05-30"),
        ("2020-11-15 2020-12-15", "2021-01-15 2021-02-15"),
        ("2020-06-30 2020-09-30", "2020-12-31 2021-03-31"),
        ("2019-12-31 2020-12-31", "2021-12-31 2022-12-31"),
        ("2020-12-18 2020-12-25", "2021-01-01 2021-01-08"),
        ("2024-01-03 2024-01-04 2024-01-05 2024-01-08", "2024-01-09 2024-01-10"),
        ("2024-01-08 2024-01-09 2024-01-10 2024-01-11 2024-01-12 2024-01-15 2024-01-16 2024-01-17"
         " 2024-01-18 2024-01-19", "2024-01-22 2024-01-23"),
        ("2020-11 2020-12", "2021-01 2021-02"),
        ("202011 202012", "202101 202102"),
        ("2020.11 2020.12", "2021.01 2021.02"),
        ("2020M11 2020M12", "2021M01 2021M02"),
        ("11/2020 12/2020", "01/2021 02/2021"),
        ("2020Q3 2020Q4", "2021Q1 2021Q2"),
        ("2020-Q3 2020-Q4", "2021-Q1 2021-Q2"),
        ("Q3/2020 Q4/2020", "Q1/2021 Q2/2021"),
        ("2020H1 2020H2", "2021H1 2021H2"),
        ("2020-W52 2020-W53", "2021-W01 2021-W02"),
        ("2018/19 2019/20", "2020/21 2021/22"),
        ("1998 1999", "2000 2001"),
        ("1900 1910", "1920 1930"),
        ("1900.0 1900.5", "1901.0 1901.5"),
        ("1900,5 1901,0", "1901,5 1902,0"),
        ("1749.042 1749.123 1749.204 1749.288", "1749.370 1749.452"),
        ("2020-12-31T22:00 2020-12-31T23:00", "2021-01-01T00:00 2021-01-01T01:00"),
        ("2020-12-31T23:30:00Z 2020-12-31T23:45:00Z", "2021-01-01T00:00:00Z 2021-01-01T00:15:00Z"),
        ("2020123122 2020123123", "2021010100 2021010101"),
        ("22:00 23:00", "00:00 01:00"),
        ("Nov-99 Dec-99", "Jan-00 Feb-00"),
        ("Fri Sat", "Sun Mon"),
        ("April May", "June July"),
        ("NOV DEC", "JAN FEB"),
        ("8 9", "10 11"),
        ("008 009", "010 011"),
        ("t9 t10", "t11 t12"),
        ("-2 -1", "0 1"),
        ("1577836800 1577840400", "1577844000 1577847600"),
        ("2000 2001 2003 2004", "2005 2006"),
        ("01/02/2020 01/03/2020", "+1 +2"),
        ("1900 1902 1905", "+1 +2"),
        ("Bern Thun", "+1 +2"),
        ("9998-12-31 9999-12-31", "+1 +2"),
        ("2020", "+1 +2"),
        ("", "+1 +2"),
    ],
)  # fmt: skip
def test_the_next_two(times, expected):
    assert following(times.split(), 2) == expected.split()


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["2020-12-31 22:00", "2020-12-31 23:00"], ["2021-01-01 00:00", "2021-01-01 01:00"]),
        (["Nov 2020", "Dec 2020"], ["Jan 2021", "Feb 2021"]),
        (["30 Dec 2020", "31 Dec 2020"], ["01 Jan 2021", "02 Jan 2021"]),
        (["December 30, 2020", "December 31, 2020"], ["January 01, 2021", "January 02, 2021"]),
        (["2020-10-25 01:00+02:00", "2020-10-25 02:00+02:00", "2020-10-25 02:00+01:00"],
         ["2020-10-25 03:00+01:00", "2020-10-25 04:00+01:00"]),
        (["2020-12-31 10:00 PM", "2020-12-31 11:00 PM"],
         ["2021-01-01 12:00 AM", "2021-01-01 01:00 AM"]),
        (["10:00 am", "11:00 am"], ["12:00 pm", "01:00 pm"]),
        (["week 9", "week 10"], ["week 11", "week 12"]),
    ],
)  # fmt: skip
def test_the_next_two_of_labels_with_spaces(times, expected):
    assert following(times, 2) == expected


@given(
    start=st.dates(date(1600, 1, 1), date(2100, 1, 1)),
    step=st.integers(1, 400),
    layout=st.sampled_from(["%Y-%m-%d", "%Y%m%d", "%d.%m.%Y", "%Y/%m/%d"]),
)
def test_days_go_on_by_their_step(start, step, layout):
    times = [(start + timedelta(days=step * i)).strftime(layout) for i in range(8)]
    axis = read_times(times[:5])
    assert axis.rises
    assert axis.uneven() is None
    # A step of whole months is kept as such, and so is one of working days.
    if step not in (1, 3, 28, 29, 30, 31, 59, 60, 61, 62) and step < 89:
        assert following(times[:5], 3) == times[5:]


@given(first=st.integers(1700 * 12, 2100 * 12), step=st.integers(1, 30))
def test_months_go_on_by_their_step(first, step):
    def name(month):
        return f"{month // 12:04d}-{month % 12 + 1:02d}"

    times = [name(first + step * i) for i in range(9)]
    assert following(times[:6], 3) == times[6:]
    days = [f"{time}-15" for time in times]
    assert following(days[:6], 3) == days[6:]


def test_what_is_a_time_by_itself():
    assert is_time("2020-01-31")
    assert is_time("2020Q1")
    assert is_time("23:59")
    for cell in ("2020-02-30", "x1", "May", "1.5", "Bern", "", "24:00", "2020Q5", "2020-13"):
        assert not is_time(cell), cell


def test_order_and_evenness():
    axis = read_times(["2000", "2001", "2003"])
    assert (axis.rises, axis.falls, axis.uneven()) == (True, False, 2)
    assert read_times(["2001", "2000"]).falls
    assert read_times(["2001", "2001", "2002"]).disordered() == 1
    assert read_times(["x", "2001"]) is None
