"""Pairs of texts, and the numbers in words with their split."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.datasets import number_words, read_pairs, split_number_words

# Separators of lines other than \\n stay inside a text.
cell = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\t\n\r\0\ufeff"), min_size=1
)


@given(pairs=st.lists(st.tuples(cell, cell), min_size=1, max_size=10))
def test_pairs_come_back_as_they_were_written(tmp_path_factory, pairs):
    path = tmp_path_factory.mktemp("pairs") / "own.tsv"
    text = "".join(f"{source}\t{target}\n" for source, target in pairs)
    path.write_bytes(text.encode())
    assert read_pairs(path) == pairs


def test_a_file_that_is_no_pairs_is_named_with_its_line(tmp_path):
    path = tmp_path / "own.tsv"
    path.write_text("one\t1\n\nthree\t\n")
    with pytest.raises(ValueError, match=r"own\.tsv, line 3: 'three' is not a source, a tab"):
        read_pairs(path)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        read_pairs(tmp_path)


def test_words_are_lower_case_and_every_language_has_the_same_numbers():
    items = number_words()
    assert all(item.words == item.words.lower().strip() for item in items)
    numbers = {}
    for item in items:
        numbers.setdefault(item.language, []).append(int(item.digits))
    first = numbers["en"]
    assert all(others == first for others in numbers.values())
    assert first[:1000] == list(range(1000))
    assert len(set(first)) == 3500
    assert 1000 <= min(first[1000:]) <= max(first[1000:]) <= 9999
    assert len({(item.language, item.words) for item in items}) == len(items)


@pytest.mark.parametrize(("share", "expected"), [(1e-9, 1), (0.5, 1750), (0.99999, 3499)])
def test_neither_part_of_the_split_is_empty(share, expected):
    training, test = split_number_words(share)
    assert len(test) == 5 * expected
    assert len(training) == 5 * (3500 - expected)


def test_the_split_depends_on_the_seed_alone():
    assert split_number_words(seed=4) == split_number_words(0.1, seed=4)
    assert split_number_words(seed=4) != split_number_words(seed=5)


@pytest.mark.parametrize("share", [0, 1, -0.1, 10, float("nan")])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match=r"held_out must lie between 0 and 1, .* held_out=0\.1"):
        split_number_words(share)


def test_a_share_that_is_no_number_is_refused():
    with pytest.raises(TypeError, match="held_out must be a number, got '10' of type str"):
        split_number_words("10")


@pytest.fixture
def write(tmp_path):
    def go(content):
        path = tmp_path / "own.tsv"
        path.write_text(content, encoding="utf-8", newline="")
        return path

    return go


def test_pairs_are_read(write):
    assert read_pairs(write("one\t1\n\ntwo words\t2\r\n")) == [("one", "1"), ("two words", "2")]


@pytest.mark.parametrize(
    "content",
    [
        "Go.\tVa !\tCC-BY 2.0 #1\nHi.\tSalut !\tCC-BY 2.0 #2\n",
        "Go.\tVa !\tCC-BY 2.0 #1\nHi.\tSalut !\tCC-BY 2.0 #2\nX\tY\n",
        "Go.\tVa !\t\nHi.\tSalut !\t\n",
        "Go.\tVa !\t\t\n\t\t\nHi.\tSalut !\n",
        "1276\tGo.\t2481\tVa !\n1277\tHi.\t2482\tSalut !\n",
        "\ufeffGo.\tVa !\r\nHi.\tSalut !\r\n",
        "Go.\tVa !\tx\tmore\nHi.\tSalut !\ty\n",
    ],
)
def test_published_pairs_have_further_columns_and_tabs_at_line_ends(write, content):
    pairs = read_pairs(write(content))
    assert pairs[:2] == [("Go.", "Va !"), ("Hi.", "Salut !")]


def test_pairs_in_another_encoding(tmp_path):
    path = tmp_path / "own.tsv"
    path.write_bytes("Où ?\tWhere?\n".encode("cp1252"))
    with pytest.raises(ValueError, match=r"seems to be cp1252: encoding='cp1252' \(--encoding"):
        read_pairs(path)
    assert read_pairs(path, "cp1252") == [("Où ?", "Where?")]
    path.write_bytes("Où ?\tWhere?\n".encode("utf-16"))
    assert read_pairs(path) == [("Où ?", "Where?")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("one\t1\ntwo 2\n", "line 2: 'two 2' is not a source, a tab"),
        ("one\t1\ntwo\t2\tx\nthree\t3\n", "line 2: .* text after a second tab"),
        ("one\t1\tx\ntwo\t\tx\n", "line 2"),
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
