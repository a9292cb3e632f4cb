"""Times that lie in several columns: which part of a date each is, and how they go on."""

import io
from datetime import date, datetime, timedelta

import pytest

from layers.datasets import read_series
from layers.datasets.columns.time_labels import following


def read(header, rows, *arguments):
    lines = [*([header] if header else []), *(",".join(map(str, row)) for row in rows)]
    return read_series(io.BytesIO("\n".join(lines).encode()), *arguments)


def years_with(length, first=2018, count=6):
    """Rows of year, part and a value."""
    return [
        (first + i // length, i % length + 1, f"{(i * 7) % 5}.5") for i in range(length * count)
    ]


@pytest.mark.parametrize(
    "name",
    ["quarter", "Quarter", "Quartal", "q", "Q", "qtr", "fiscal_quarter", "quarter no", "trimestre"],
)
@pytest.mark.parametrize("cell", ["{}", "Q{}", "{}Q", "{}.0"])
def test_quarters(name, cell):
    rows = [(year, cell.format(q), value) for year, q, value in years_with(4)]
    series = read(f"year,{name},v", rows)
    assert series.name == "v"
    assert series.times[:5] == ("2018-Q1", "2018-Q2", "2018-Q3", "2018-Q4", "2019-Q1")
    assert following(series.times, 2) == ["2024-Q1", "2024-Q2"]
    assert len(series.notes) == 1  # they are even


@pytest.mark.parametrize(
    ("names", "length", "first", "expected"),
    [
        (("half", "h", "semester", "Halbjahr", "H"), 2, "2018-H1", "2024-H1"),
        (("month", "Monat", "mois", "m", "MM", "mon", "month_number"), 12, "2018-01", "2024-01"),
        (("week", "Woche", "kw", "KW", "w", "iso week", "WeekOfYear"), 52, "2016-W01", None),
        (("day", "doy", "day of year", "DayOfYear", "yday", "d"), 365, "2018-01-01", None),
    ],
)
def test_parts_of_a_year(names, length, first, expected):
    for name in names:
        count = 6 if length < 52 else 2
        rows = years_with(length, int(first[:4]), count)
        series = read(f"year,{name},v", rows)
        assert (series.name, series.times[0]) == ("v", first), name
        if length == 365:
            assert following(series.times, 2) == ["2020-01-01", "2020-01-02"]
        elif length == 52:
            assert series.times[51:53] == ("2016-W52", "2017-W01")
            assert following(series.times, 2) == ["2018-W01", "2018-W02"]
        else:
            assert following(series.times, 1) == [expected]


@pytest.mark.parametrize(
    ("length", "expected"), [(2, "2024-H1"), (4, "2024-Q1"), (12, "2024-01"), (52, "2024-W01")]
)
@pytest.mark.parametrize("header", ["", "jaargang,p,v", "year,period,v"])
def test_where_no_name_tells_the_way_that_numbers_wrap_does(length, expected, header):
    series = read(header, years_with(length))
    assert following(series.times, 1) == [expected]


def test_days_of_leap_years_wrap_at_366():
    days = [date(2019, 1, 1) + timedelta(i) for i in range(3 * 365 + 1)]
    rows = [(day.year, day.timetuple().tm_yday, f"{day.day}.5") for day in days]
    for header in ("", "year,day,v"):
        assert read(header, rows).times == tuple(day.isoformat() for day in days)


@pytest.mark.parametrize(
    "rows",
    [
        [(2018, i, f"{i % 3}.5") for i in range(1, 4)],  # no year ends
        [(2018 + i // 3, i % 3 + 1, f"{i % 4}.5") for i in range(9)],  # none has 3
        [(2018 + i // 4, i % 4, f"{i % 3}.5") for i in range(9)],  # from 0 on
    ],
)
@pytest.mark.parametrize("header", ["", "year,period,v"])
def test_what_no_name_and_no_wrap_tells_is_refused(rows, header):
    with pytest.raises(ValueError, match=r"may be a month, quarter, week, day or half.* name the"):
        read(header, rows)


@pytest.mark.parametrize("cells", ["Q3 Q4 Q1", "3Q 4Q 1Q"])
def test_marked_cells_need_no_name(cells):
    rows = zip((2020, 2020, 2021), cells.split(), (1, 5, 2), strict=True)
    assert read("year,x,v", rows).times == ("2020-Q3", "2020-Q4", "2021-Q1")


@pytest.mark.parametrize(
    ("header", "rows", "times"),
    [
        ("month,year,v", ["11,2020,1", "12,2020,2", "1,2021,3"], "2020-11 2020-12 2021-01"),
        ("month,year,v", ["1,2020,1", "1,2021,2", "1,2022,5"], "2020-01 2021-01 2022-01"),
        ("day,month,year,v", ["30,12,2020,1", "31,12,2020,2", "1,1,2021,3"],
         "2020-12-30 2020-12-31 2021-01-01"),
        ("v,month,day,year", ["1,12,30,2020", "2,12,31,2020", "3,1,1,2021"],
         "2020-12-30 2020-12-31 2021-01-01"),
        ("year,v,month", ["2020,1,11", "2020,2,12", "2021,3,1"], "2020-11 2020-12 2021-01"),
        ("year,month,v", ["2020,Nov,1", "2020,Dec,2", "2021,Jan,3"], "2020-11 2020-12 2021-01"),
        ("year,month,v", ["2020,November,1", "2020,December,2"], "2020-11 2020-12"),
        ("month,year,v", ["Nov,2020,1", "Dec,2020,2", "Jan,2021,3"], "2020-11 2020-12 2021-01"),
        ("year,week,v", ["2020,52,1", "2020,53,2", "2021,1,3"], "2020-W52 2020-W53 2021-W01"),
        ("year,KW,v", ["2019,51,1", "2019,52,2", "2020,1,3"], "2019-W51 2019-W52 2020-W01"),
        ("year,week,day,v", ["2020,53,7,1", "2021,1,1,2"], "2021-01-03 2021-01-04"),
        ("year,quarter,month,v", ["2020,4,12,1", "2021,1,1,2", "2021,1,2,4"],
         "2020-12 2021-01 2021-02"),
        ("year,quarter,v", ["2021,1,3", "2020,4,2", "2020,3,1"], "2020-Q3 2020-Q4 2021-Q1"),
        ("date,hour,v", ["2020-12-31,22,1", "2020-12-31,23,2", "2021-01-01,0,3"],
         "2020-12-31+22:00 2020-12-31+23:00 2021-01-01+00:00"),
        ("date,hour,v", ["2020-12-31,23,1", "2020-12-31,24,2", "2021-01-01,1,3"],
         "2020-12-31+23:00 2021-01-01+00:00 2021-01-01+01:00"),
        ("hour,date,v", ["22,31.12.2020,1", "23,31.12.2020,2", "0,1.1.2021,3"],
         "31.12.2020+22:00 31.12.2020+23:00 1.1.2021+00:00"),
        ("date,hour,v", ["20201231,22,1", "20201231,23,2", "20210101,0,3"],
         "20201231+22:00 20201231+23:00 20210101+00:00"),
        ("date,time,v", ["20201231,22:00,1", "20201231,23:00,2", "20210101,00:00,3"],
         "20201231+22:00 20201231+23:00 20210101+00:00"),
        ("year,month,day,hour,v", ["2020,12,31,22,1", "2020,12,31,23,2", "2021,1,1,0,3"],
         "2020-12-31+22:00 2020-12-31+23:00 2021-01-01+00:00"),
        ("", ["2020,12,31,22,1", "2020,12,31,23,2", "2021,1,1,0,3"],
         "2020-12-31+22:00 2020-12-31+23:00 2021-01-01+00:00"),
        ("", ["2020-12-31,22,1", "2020-12-31,23,2", "2021-01-01,0,3"],
         "2020-12-31+22:00 2020-12-31+23:00 2021-01-01+00:00"),
        ("yyyy,mm,dd,hh,v", ["2020,12,31,22,1", "2020,12,31,23,2", "2021,1,1,0,3"],
         "2020-12-31+22:00 2020-12-31+23:00 2021-01-01+00:00"),
        ("year,month,day,hour,minute,v", ["2020,12,31,23,30,1", "2020,12,31,23,45,2",
         "2021,1,1,0,0,3"], "2020-12-31+23:30 2020-12-31+23:45 2021-01-01+00:00"),
        ("year,month,day,time,v", ["2020,12,31,22:00,1", "2020,12,31,23:00,2"],
         "2020-12-31+22:00 2020-12-31+23:00"),
        ("year,doy,hour,v", ["2020,366,23,1", "2021,1,0,2"], "2020-12-31+23:00 2021-01-01+00:00"),
        ("date,year,month,day,v", ["2020-12-31,2020,12,31,1", "2021-01-01,2021,1,1,2"],
         "2020-12-31 2021-01-01"),
        ("Year,Period,v", ["2020,M11,1", "2020,M12,2", "2021,M01,3"], "2020-11 2020-12 2021-01"),
        ("Year,Period,v", ["2020,S01,1", "2020,S02,2", "2021,S01,3"], "2020-H1 2020-H2 2021-H1"),
        ("Year,Period,v", ["2020,Q03,1", "2020,Q04,2", "2021,Q01,3"], "2020-Q3 2020-Q4 2021-Q1"),
        (",year,quarter,v", ["0,2020,3,1", "1,2020,4,2", "2,2021,1,3"], "2020-Q3 2020-Q4 2021-Q1"),
        (",date,v", ["0,2020-12-31,1", "1,2021-01-01,2"], "2020-12-31 2021-01-01"),
        ("year,half,quarter,v", ["2020,2,3,1", "2020,2,4,2", "2021,1,1,3"],
         "2020-Q3 2020-Q4 2021-Q1"),
        ("date,time,v", ["2020-12-31,2200,1", "2020-12-31,2330,2", "2021-01-01,0,3"],
         "2020-12-31+22:00 2020-12-31+23:30 2021-01-01+00:00"),
        ("date,hour,v", ["2020-12-31,2200,1", "2020-12-31,2300,2", "2021-01-01,0000,3"],
         "2020-12-31+22:00 2020-12-31+23:00 2021-01-01+00:00"),
        ("date,hour,v", ["2020-12-31,10 PM,1", "2020-12-31,11PM,2", "2021-01-01,12 am,3"],
         "2020-12-31+22:00 2020-12-31+23:00 2021-01-01+00:00"),
        ("year,quarter,v", ["2020,III,1", "2020,IV,2", "2021,I,3"], "2020-Q3 2020-Q4 2021-Q1"),
        ("month,v", ["11,1", "12,2", "1,3"], "0 1 2"),
        ("week,v", ["51,1", "52,2", "1,3"], "0 1 2"),
        ("date,month,v", ["2020-11-01,11,1", "2020-12-01,12,2", "2021-01-01,1,3"],
         "2020-11-01 2020-12-01 2021-01-01"),
    ],
)  # fmt: skip
def test_columns_are_put_together_in_any_order(header, rows, times):
    series = read(header, [row.split(",") for row in rows])
    assert series.times == tuple(time.replace("+", " ") for time in times.split())
    assert sorted(series.values) == list(series.values)


def test_a_day_of_hours_goes_on_with_the_next_hour():
    start = datetime(2020, 12, 30)
    times = [start + timedelta(hours=i) for i in range(48)]
    rows = [(t.date().isoformat(), t.hour, f"{t.hour % 5}.5") for t in times]
    for header in ("date,hour,v", "Datum,Stunde,v", "date,h,v", "day,hour,v"):
        assert following(read(header, rows).times, 2) == ["2021-01-01 00:00", "2021-01-01 01:00"]


@pytest.mark.parametrize(
    "name", ["month", "day", "hour", "week", "quarter", "weekday", "Day of week", "minute"]
)
def test_a_part_of_a_date_is_never_the_series_unless_asked_for(name):
    rows = [("2020-11-01", 3, 1), ("2020-12-01", 4, 2), ("2021-01-01", 1, 3)]
    assert read(f"date,{name},v", rows).name == "v"
    assert read(f"date,{name},v", rows, name).values.tolist() == [3, 4, 1]
    with pytest.raises(ValueError, match=rf"seems to be of times.*column='{name}'"):
        read(f"date,{name}", [row[:2] for row in rows])


def test_amounts_of_time_are_a_series():
    for name in ("hours", "days", "min", "m", "d", "time"):
        rows = [("2020-11-01", 3), ("2020-12-01", 4), ("2021-01-01", 1)]
        assert read(f"date,{name}", rows).values.tolist() == [3, 4, 1], name
        rows = [(2018, 3), (2019, 4), (2020, 1)]  # weights and heights may be called so
        assert read(f"year,{name}", rows).values.tolist() == [3, 4, 1], name


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("year,month,v", ["2020,1,1", "2020,3,2", "2020,2,3"],
         "line 4: '2020-02' in column 'year' and 'month' comes after '2020-03'"),
        ("year,month,v", ["2020,1,1", ",2,2", "2020,3,3"], "line 3: the time is missing"),
        ("year,week,v", ["2020,53,1", "2021,53,2", "2021,1,3"],
         "line 3: '2021-W53' in the columns 'year' and 'week' is no time"),
        ("Jahr,Monat,v", ["2020,Oktober,1", "2020,November,2", "2020,Dezember,3"],
         "comes after '2020' \\('November' in column 'Monat' is not read as a part of it"),
        ("year,week,v", ["2020,52,1", "2021,0,2", "2021,1,3"],
         "'2021' in column 'year' comes after '2021' \\('1' in column 'week' is not read"),
        ("date,hour,v", ["2020-01-01,1,1", "2020-01-01,1,2", "2020-01-01,2,3"],
         "line 3: '2020-01-01 01:00' in column 'date' and 'hour' comes after"),
    ],
)  # fmt: skip
def test_times_that_do_not_go_on_are_refused_with_their_line(header, rows, message):
    with pytest.raises(ValueError, match=message):
        read(header, [row.split(",") for row in rows])


def test_a_second_series_beside_months_is_not_taken_for_their_days():
    rows = [(2018 + i // 12, i % 12 + 1, i % 5 + 1, i % 7 + 2) for i in range(30)]
    for header in ("", "year,month,a,b"):
        with pytest.raises(ValueError, match="2 columns that may be the series"):
            read(header, rows)
        assert read(header, rows, 3).times[-1] == "2020-06"
