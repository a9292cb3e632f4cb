"""CSV files as programs and people write them: heads, separators, decimal marks, gaps and times."""

import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.datasets import read_series


def read(content, *arguments, **options):
    data = content if isinstance(content, bytes) else content.encode()
    return read_series(io.BytesIO(data), *arguments, **options)


RAIN = [3.5, 4.0]


@pytest.mark.parametrize(
    "content",
    [
        "sep=;\nyear;rain\n1900;3,5\n1901;4\n",
        '"sep=,"\nyear,rain\n1900,3.5\n1901,4\n',
        "# made by hand\n\nsep=;\nyear;rain\n1900;3,5\n1901;4\n",
        "sep=\t\nyear\train\n1900\t3.5\n1901\t4\n",
        "\n\n  \nyear,rain\n1900,3.5\n1901,4\n",
        "# made by hand\n# 1900, 1901\nyear,rain\n1900,3.5\n# a note\n1901,4\n",
        "% made by hand\nyear,rain\n1900,3.5\n1901,4\n",
        "# year,rain\n1900,3.5\n1901,4\n",
        "year,rain,\n1900,3.5,\n1901,4,\n",
        "year;rain;;\n1900;3.5;;\n1901;4;;\n",
        "year,rain\n1900,3.5,\n1901,4,\n",
        "year,rain,\n1900,3.5\n1901,4\n",
        "year , rain\n 1900 , 3.5\n 1901 ,4 \n",
        'year, "rain"\n1900, "3.5"\n1901, "4"\n',
        "'year','rain'\n'1900','3.5'\n'1901','4'\n",
        "year rain\n1900  3.5\n1901    4\n",
        "  year \t rain\n  1900 \t 3.5\n",
        "year|rain\n1900|3.5\n1901|4\n",
        "year,rain\r1900,3.5\r1901,4\r",
        "\ufeffyear,rain\r\n1900,3.5\r\n1901,4\r\n",
        "year,rain\n1900,3.5\n1901,4\n".encode("utf-16"),
        "rain,year\n3.5,1900\n4,1901\n",
        "date;rain\n2020-01-01;3,5\n2020-01-02;4,0\n",
        "date;rain, mm\n2020-01-01;3,5\n2020-01-02;4,0\n",
        "day,note,rain\n2020-01-01,dry,3.5\n2020-01-02,wet,4\n",
        "station,day,rain\n17,2020-01-01,3.5\n17,2020-01-02,4\n17,2020-01-03,5\n",
        "year,month,rain\n1900,11,3.5\n1900,12,4\n1901,1,5\n",
        "year,month,day,rain\n1900,12,30,3.5\n1900,12,31,4\n1901,1,1,5\n",
        "date,time,rain\n2020-01-01,22:00,3.5\n2020-01-01,23:00,4\n2020-01-02,00:00,5\n",
        "date,rain\n2020-01-02,4\n2020-01-01,3.5\n",
        'n,"rain\nin mm"\n1,3.5\n2,4\n',
    ],
)
def test_heads_and_separators(content):
    if isinstance(content, str) and content.startswith("  year"):
        content += "  1901 \t 4\n"
    series = read(content)
    assert series.values[:2].tolist() == RAIN
    assert series.name.startswith("rain")


@pytest.mark.parametrize(
    "cell", ["", "NA", "N/A", "nan", "NaN", "-", "null", "None", "?", "#N/A", "—", " "]
)
def test_a_gap_never_makes_another_column_the_series(cell):
    content = f"year,rain\n1900,3.5\n1901,{cell}\n1902,4.5\n1903,5.5\n"
    with pytest.raises(ValueError, match=r"line 3: .* is not a finite number; .* column 'rain'"):
        read(content)
    dropped = read(content, missing="drop")
    assert dropped.name == "rain"
    assert dropped.values.tolist() == [3.5, 4.5, 5.5]
    assert dropped.times == ("1900", "1902", "1903")
    assert "1 gap: 1901 (line 3)" in dropped.notes[0]
    assert "breaks the even spacing" in dropped.notes[1]
    filled = read(content, missing="interpolate")
    assert filled.values.tolist() == [3.5, 4.0, 4.5, 5.5]
    assert filled.times == ("1900", "1901", "1902", "1903")


def test_even_months_are_filled_evenly_though_they_differ_in_days():
    text = "date,rate\n2020-01-01,3.5\n2020-02-01,.\n2020-03-01,4.5\n"
    assert read(text, missing="interpolate").values.tolist() == [3.5, 4, 4.5]


@pytest.mark.parametrize("cell", ["x", "5%", "$5", "5 mm", "1,234.5x", "inf", "12:30", "(3)"])
def test_a_bad_cell_is_named_with_its_line(cell):
    with pytest.raises(ValueError, match=r"line 3: '.*column"):
        read(f'year,rain\n1900,3.5\n1901,"{cell}"\n1902,4\n')


def test_numbers_with_the_other_decimal_mark_than_was_said_are_refused_with_the_option():
    with pytest.raises(ValueError, match=r"'50\.13' is not .*decimal=','; .*--decimal \.\) it is"):
        read("year;rain\n1900;50.13\n1901;7\n", decimal=",")
    with pytest.raises(ValueError, match=r"'50,13' is not .*decimal='\.'; .*--decimal ,\) it is"):
        read("year;rain\n1900;50,13\n1901;7\n", decimal=".")


def test_gaps_at_the_ends_are_left_out_and_those_inside_filled_by_time():
    series = read("year,x\n1899,\n1900,1\n1901,\n1905,5\n1906,NA\n", missing="interpolate")
    assert series.values.tolist() == [1, 1.8, 5]
    assert series.times == ("1900", "1901", "1905")
    assert "3 gaps: 1899 (line 2), 1901 (line 4), 1906 (line 6)" in series.notes[0]
    ends = read("year,x\n1899,\n1900,1\n1901,2\n", missing="drop")
    assert ends.notes[1] == "the gap is dropped"


@pytest.mark.parametrize(
    ("cells", "options", "values"),
    [
        (["1,5", "2,25"], {}, [1.5, 2.25]),
        (["1.234,5", "2"], {}, [1234.5, 2]),
        (["1,234.5", "2,000"], {}, [1234.5, 2000]),
        (["1,234,567", "2,000"], {}, [1234567, 2000]),
        (["1.234.567", "2.000"], {}, [1234567, 2000]),
        (["1'234.5", "2"], {}, [1234.5, 2]),
        (["1\u202f234,5", "2"], {}, [1234.5, 2]),
        (["12,34,567.5", "2"], {}, [1234567.5, 2]),
        (["1,234", "2,345"], {"decimal": ","}, [1.234, 2.345]),
        (["1,234", "2,345"], {"decimal": "."}, [1234, 2345]),
        (["1,234", "0,345"], {}, [1.234, 0.345]),
        (["1.234", "2.345"], {"decimal": ","}, [1234, 2345]),
        (["1.234", "2.345"], {"decimal": "."}, [1.234, 2.345]),
        (["-1,5e3", "+.5e1"], {"decimal": ","}, None),
        (["\u22123,5", "2,5"], {}, [-3.5, 2.5]),
        (["5%", "6.5 %"], {}, [5, 6.5]),
        (["1e3", "1E-3"], {}, [1000, 0.001]),
        ([".5", "5."], {}, [0.5, 5]),
    ],
)
def test_numbers_as_they_are_written_in_a_semicolon_file(cells, options, values):
    content = "day;rain\n" + "".join(f"t{i};{cell}\n" for i, cell in enumerate(cells))
    if values is None:
        with pytest.raises(ValueError, match="is not a finite number"):
            read(content, **options)
    else:
        assert read(content, **options).values.tolist() == values


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("value\n1,234\n2,345\n", r"decimal='\.' or decimal=','"),
        ('year,rain\n1900,"1,234"\n1901,"2,345"\n', r"--decimal \. or --decimal ,"),
        ("year;rain\n1900;1.234\n1901;2.345\n", r"'1\.234' may be 1\.234 or 1234"),
        ("1,5\n2,7\n2,5\n", r"separator=',' or decimal=','"),
        ("temp, C\n1,5\n2,5\n4,5\n", r"separator=',' or decimal=','"),
        ("temp, C\n1,2\n2,5\n3,1\n", r"separator=',' or decimal=','"),
        ("1 234\n2 345\n3 100\n", r"separator=' '"),
        ("x\n1.5\n2,5\n", r"'1\.5' in line 2 and '2,5' in line 3 have different decimal marks"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused_with_the_option(content, options):
    with pytest.raises(ValueError, match=options):
        read(content)


@pytest.mark.parametrize(
    ("content", "separator", "right"),
    [
        ("year,rain\n1900,1\n1901,2\n", ";", ","),
        ("1900,1\n1901,2\n", ";", ","),
        ("year;rain\n1900;1\n1901;2\n", ",", ";"),
        ("year|rain|t\n1900|1|2\n1901|2|3\n", "tab", r"\|"),
        ("id;year,rain\n1;1900,1\n2;1901,2\n", ";", ","),
    ],
)
def test_another_separator_than_was_asked_for_is_named(content, separator, right):
    with pytest.raises(ValueError, match=f"is one cell with .* pass separator='{right}'"):
        read(content, separator=separator)
    assert read("temp,C\n1,5\n2,5\n", separator=";", decimal=",").values.tolist() == [1.5, 2.5]
    assert read("temp, C\n1,5\n2,5\n", separator=";").values.tolist() == [1.5, 2.5]
    assert read("temp\n1,5\n2,5\n", separator=";").values.tolist() == [1.5, 2.5]
    rows = "year;rain, mm\n1900;3,5\n1901;4,5\n"
    assert read(rows, separator=";").values.tolist() == [3.5, 4.5]


def test_the_options_decide():
    assert read("temp, C\n1,5\n2,5\n4,5\n", decimal=",").values.tolist() == [1.5, 2.5, 4.5]
    assert read("1,5\n2,7\n2,5\n", 2, separator=",").values.tolist() == [5, 7, 5]
    assert read("a\\b\n1\\2\n2\\5\n", separator="\\").values.tolist() == [2, 5]
    assert read("a b\n1 2\n2 5\n", separator="space").values.tolist() == [2, 5]
    assert read("a,b\n1,2\n2,5\n", separator="comma", encoding="ascii").values.tolist() == [2, 5]
    for option in ({"separator": "ab"}, {"decimal": "'"}, {"missing": "zero"}, {"encoding": "x"}):
        (name,) = option
        with pytest.raises(ValueError, match=f"{name}="):
            read("a,b\n1,2\n2,5\n", **option)


def test_several_columns_are_listed_and_chosen_by_name_or_number():
    content = "year,rain,temp,rain\n1900,3.5,1,7\n1901,4,2,8\n"
    with pytest.raises(ValueError, match=r"3 columns .*'rain' \(number 2: 3\.5, 4.*'temp'"):
        read(content)
    assert read(content, "temp").values.tolist() == [1, 2]
    assert read(content, "TEMP").values.tolist() == [1, 2]
    assert read(content, 4).values.tolist() == [7, 8]
    assert read(content, "4").values.tolist() == [7, 8]
    with pytest.raises(ValueError, match="2 columns 'rain'; pass the number of one: 2, 4"):
        read(content, "rain")
    for wrong in (0, 5, "9"):
        with pytest.raises(ValueError, match="its 4 columns are numbered from 1"):
            read(content, wrong)
    assert read("year\n1900\n1905\n").values.tolist() == [1900, 1905]
    assert read("year,rain\n1900,1\n1901,2\n", "year").values.tolist() == [1900, 1901]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("date,v\n2020-01-01,1\n2020-01-03,2\n2020-01-02,3\n", "line 4: '2020-01-02' .* sort the"),
        ("date,v\n2020-01-01,1\n2020-01-01,2\n2020-01-02,3\n", "line 3: '2020-01-01'.* one row"),
        ("year,v\n1900,1\n1902,2\n1901,3\n", "line 4: '1901' in column 'year' comes after '1902'"),
        ("year,rain\n1900,3.5\n,4\n1902,5\n", "line 3: the time is missing"),
        ("year,v\n1900,a\n1.91,b\n", "numbers in column 'year' alone, which seems to be of times"),
        ("month,v\n2020-01,1\n2020-02,2\nTotal,3\n", "line 4: 'Total' stands where others"),
        ("year,rain\n1900,a\n1901,b\n", "besides the times in 'year'.*'a' in line 2"),
        ("year,rain\n1900,NA\n1901,NA\n", "no column of numbers alone besides the times in 'year'"),
        ("year,rain\n1900,3.5\n1901,1,234.5\n", "line 3: 3 cells, and the first line has 2"),
        ("Rain\n1900,3.5\n1901,4.5\n", "put # before lines that are not of the table"),
    ],
)
def test_times_are_in_order_and_never_the_series(content, message):
    with pytest.raises(ValueError, match=message):
        read(content)


@pytest.mark.parametrize(
    ("content", "values"),
    [
        ("income per year,year\n10,1900\n20,1901\n30,1902\n", [10, 20, 30]),
        ("date,index\n2020-01-01,5\n2020-01-02,7\n", [5, 7]),
        ("id,income\n1,10\n2,20\n3,30\n", [10, 20, 30]),
        ("jaar,mensen\n1900,1000\n1901,1013\n1902,1020\n", [1000, 1013, 1020]),
        ("mensen,jaar\n1000,1900\n1013,1901\n1020,1902\n", [1000, 1013, 1020]),
        ("obs_date,x\n1900.0,3\n1900.5,4\n1901.0,5\n", [3, 4, 5]),
        ("trial,time\n1,3.5\n2,2.9\n3,4.1\n", [3.5, 2.9, 4.1]),
    ],
)
def test_which_of_two_columns_of_numbers_is_the_time(content, values):
    assert read(content).values.tolist() == values


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1000,1900\n1010,1901\n1020,1902\n",
        "id,year,rain\n1,1900,3\n2,1901,4\n3,1902,6\n",
        "depth,temp\n5,9\n3,4\n1,8\n",
    ],
)
def test_where_nothing_tells_which_column_is_the_time_all_are_listed(content):
    with pytest.raises(ValueError, match=r"2 columns|may be 2 cells"):
        read(content)


def test_uneven_times_are_told():
    (_, note) = read("year,x\n1900,1\n1901,2\n1902,3\n1904,5\n").notes
    assert note == "the times are not evenly spaced: 1904 follows 1902 (line 5)"
    days = "".join(f"2024-01-{day:02d},{day}\n" for day in (4, 5, 8, 9, 10, 11, 12, 15))
    assert len(read("day,x\n" + days).notes) == 1  # working days


@given(
    gaps=st.sets(st.integers(0, 5), max_size=4),
    separator=st.sampled_from(",;\t|"),
    decimal=st.sampled_from(".,"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    trailing=st.booleans(),
)
def test_every_dialect_gives_the_same_series(gaps, separator, decimal, end, trailing):
    cells = ["" if i in gaps else f"{i}.25".replace(".", decimal) for i in range(6)]
    quote = '"' if separator == decimal else ""
    rows = [("year", "rain"), *((str(1900 + i), quote + c + quote) for i, c in enumerate(cells))]
    last = separator if trailing else ""
    text = "".join(separator.join(row) + last + end for row in rows)
    assert read(text, missing="drop").values.tolist() == [
        i + 0.25 for i in range(6) if i not in gaps
    ]
    if gaps:
        with pytest.raises(ValueError, match=f"line {min(gaps) + 2}: '' is not a finite number"):
            read(text)


def test_a_time_that_repeats_is_found_in_one_pass():
    begun = time.process_time()
    with pytest.raises(ValueError, match="line 3: '2020-01' in column 't' comes after '2020-01'"):
        read("t,v\n" + "".join(f"2020-01,{row % 7}\n" for row in range(12_000)))
    assert time.process_time() - begun < 4  # to look for the least step at each row took 9 s


LONG = "x" * 100_000
WIDE = ",".join(f"name{place}" for place in range(3_000))


@pytest.mark.parametrize(
    ("content", "column", "message"),
    [
        (f"v\n{LONG}\n", None, "no column of numbers alone"),
        (f"v\n1\n2\n{LONG}\n", None, "is not a finite number"),
        (f"{WIDE}\n" + (",".join(["1"] * 3_000) + "\n") * 12, None,
         r"3000 columns .*'name9'.* and 2990 more; choose one"),
        (f"{WIDE}\n" + (",".join(["1"] * 3_000) + "\n") * 3, "snow", "name9 and 2990 more"),
        (f"{LONG},{LONG}\n1,2\n3,4\n", LONG, "has 2 columns 'xxx"),
        ((",".join(["1"] * 3_000) + "\n") * 3, "snow", "has no header"),
    ],
)  # fmt: skip
def test_messages_quote_the_beginning_of_long_cells_and_lists(content, column, message):
    with pytest.raises(ValueError, match=message) as raised:
        read(content, column)
    assert len(str(raised.value)) < 1_000


def test_many_columns_of_years_are_read_in_one_pass():
    rows = [",".join([str(2000 + row // 5)] * 400 + ["x"] * 400) + "\n" for row in range(12)]
    names = ",".join(f"c{place}" for place in range(800)) + "\n"
    begun = time.process_time()
    with pytest.raises(ValueError, match="400 columns that may be the series"):
        read(names + "".join(rows))
    assert time.process_time() - begun < 1.5  # each with each took 3 s
