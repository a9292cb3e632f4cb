"""The shipped data, the tokenizer, and the way from a text to windows."""

import io
import json

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from layers.datasets import (
    CharacterTokenizer,
    digits,
    names,
    random_windows,
    read_text,
    shakespeare,
    split,
    sunspots,
    validation_batches,
)
from layers.datasets.text_files import PIECE
from minigrad.io import memory

# ---------------------------------------------------------------------------- shipped data


def test_shakespeare_has_the_lines_and_characters_that_its_source_states():
    text = shakespeare()
    assert (len(text), len(set(text)), text.count("\n")) == (1_120_277, 64, 39_999)
    assert text.isascii()
    assert text.startswith("First Citizen:\n")


def test_names_are_distinct_lower_case_words():
    result = names()
    assert len(result) == len(set(result)) == 5163
    assert all(name.isascii() and name.isalpha() and name.islower() for name in result)


def test_sunspots_are_one_number_a_year():
    years, activity = sunspots()
    assert years.dtype == np.int64
    assert activity.dtype == np.float64
    np.testing.assert_array_equal(years, np.arange(1700, 2009))
    assert activity.shape == years.shape
    assert (activity >= 0).all()


@pytest.mark.parametrize(
    ("order", "expected"), [(1, [8.787, 0.8238]), (2, [14.907, 1.3918, -0.6903])]
)
def test_sunspots_give_the_known_autoregressive_coefficients(order, expected):
    _, activity = sunspots()
    lags = [activity[order - lag : -lag] for lag in range(1, order + 1)]
    design = np.stack([np.ones(len(activity) - order), *lags], axis=1)  # (years, 1 + order)
    coefficients, *_ = np.linalg.lstsq(design, activity[order:], rcond=None)
    np.testing.assert_allclose(coefficients, expected, atol=6e-4)


def test_digits_have_grey_levels_and_all_ten_labels():
    x, y = digits()
    assert (x.shape, x.dtype, int(x.min()), int(x.max())) == ((1797, 8, 8), np.uint8, 0, 16)
    assert (y.shape, y.dtype) == ((1797,), np.int64)
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    # A mean digit is a poor guess: the figure that a model of these pictures has to beat.
    pictures = x / 16.0
    assert ((pictures - pictures.mean(axis=0)) ** 2).mean() == pytest.approx(0.0738, abs=2e-3)


def test_arrays_belong_to_the_caller():
    for read in (sunspots, digits):
        first, second = read()
        first[:] = 0
        second[:] = 0
        assert read()[0].any()
        assert read()[1].any()


# ---------------------------------------------------------------------------- reading a file


def test_read_text_drops_the_byte_order_mark_and_unifies_line_ends(tmp_path):
    file = tmp_path / "text.txt"
    file.write_bytes("\ufeffeins\r\nzwei\rdrei\n한글".encode())
    assert read_text(file) == read_text(str(file)) == "eins\nzwei\ndrei\n한글"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"text\.txt' is empty"),
        (b"\xef\xbb\xbf", r"text\.txt' is empty"),
        (b"abc\xff", r"not text in UTF-8: byte 3 is 0xff; save it as UTF-8"),
        (b"\xef\xbb\xbfa\xe9b", r"byte 4 is 0xe9"),
        (b"year,v\n1900,1\n1901,2\x00\n1902,3\n", r"0x00 \(a NUL\), .*damaged; write or export"),
        ("hello".encode("utf-16-le"), r"byte 1 is 0x00 \(a NUL\), so it is binary or UTF-16"),
    ],
)
def test_read_text_says_what_is_wrong_with_a_file(tmp_path, content, message):
    file = tmp_path / "text.txt"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_text(file)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_byte_order_mark_says_the_encoding(tmp_path, encoding):
    file = tmp_path / "text.txt"
    file.write_bytes("Größe\r\n한글".encode(encoding))
    assert read_text(file) == "Größe\n한글"


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Où est le garçon ? L'été est là, déjà."),
        ("cp1252", "“Hello” – he said"),
        ("mac_roman", "Où est le garçon ? L'été est là, déjà."),
        ("cp1250", "Příliš žluťoučký kůň úpěl"),
        ("cp1251", "Съешь ещё этих мягких булок"),
        ("koi8-r", "Съешь ещё этих мягких булок"),
        ("cp1253", "Καλημέρα κόσμε, τι κάνεις"),
        ("shift_jis", "吾輩は猫である。名前はまだ無い。"),
        ("euc_jp", "吾輩は猫である。名前はまだ無い。"),
        ("gb18030", "我是中国人，我在这里的时候不会来"),
        ("big5", "我是中國人，我在這裡的時候不會來"),
        ("euc_kr", "나는 학교에 갑니다. 이것은 책이다."),
        ("utf-16-le", "hello there"),
        ("utf-16-be", "hello there"),
    ],
)
def test_the_likely_encoding_is_named_and_reads_the_text(tmp_path, encoding, text):
    file = tmp_path / "text.txt"
    file.write_bytes(text.encode(encoding))
    with pytest.raises(ValueError, match=rf"encoding='{encoding}' \(--encoding {encoding}\)"):
        read_text(file)
    assert read_text(file, encoding) == text


def test_binary_data_have_no_likely_encoding_and_unknown_ones_are_refused(tmp_path):
    file = tmp_path / "data.bin"
    file.write_bytes(np.random.default_rng(0).bytes(3000))
    with pytest.raises(ValueError, match=r"or pass its encoding: encoding='\.\.\.'"):
        read_text(file)
    for unknown in ("klingon", "hex"):
        with pytest.raises(ValueError, match=f"encoding='{unknown}' is no encoding of text"):
            read_text(file, unknown)
    with pytest.raises(ValueError, match="is not text in ascii: byte"):
        read_text(file, "ascii")


def test_a_text_may_come_from_an_open_file():
    assert read_text(io.BytesIO(b"one\r\ntwo")) == "one\ntwo"
    with pytest.raises(ValueError, match="the file is empty"):
        read_text(io.BytesIO(b""))
    with pytest.raises(TypeError, match="gives characters, not bytes; open it with mode 'rb'"):
        read_text(io.StringIO("one"))


class Endless(io.RawIOBase):
    """As /dev/zero, or a pipe that somebody goes on writing to."""

    name = "<stdin>"

    def read(self, size=-1):
        assert size >= 0
        return b"a" * size


def test_a_file_without_end_is_refused_when_there_is_no_memory_for_more(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "available_memory", lambda: 5 * PIECE)
    said = r"as far as it was read, takes 0\.05 GB, .* can have 0\.08 GB more\. Pass a part of it"
    with pytest.raises(MemoryError, match=f"standard input, {said}"):
        read_text(Endless())
    long = tmp_path / "long.txt"
    long.write_bytes(b"a" * (2 * PIECE + 1))
    assert len(read_text(long)) == 2 * PIECE + 1
    long.write_bytes(b"a" * (3 * PIECE))
    with pytest.raises(MemoryError, match=f"long.txt', {said}"):
        read_text(long)


def test_read_text_says_what_is_wrong_with_a_path(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder; pass one text file inside it"):
        read_text(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt' does not exist \(looked in "):
        read_text(tmp_path / "nowhere.txt")


# ---------------------------------------------------------------------------- tokenizer

# Every code point counts, lone surrogates too: a tokenizer must not fail on odd text.
any_text = st.text(st.characters(exclude_categories=()), min_size=1, max_size=60)


@given(any_text)
def test_decoding_what_was_encoded_gives_the_text_back(text):
    tokenizer = CharacterTokenizer.from_text(text)
    token_ids = tokenizer.encode(text)
    assert token_ids.dtype == np.int64
    assert token_ids.shape == (len(text),)
    assert token_ids.tolist() == [sorted(set(text)).index(character) for character in text]
    assert tokenizer.decode(token_ids) == tokenizer.decode(token_ids.tolist()) == text


@given(any_text.map(lambda text: "".join(dict.fromkeys(text))))
def test_a_tokenizer_keeps_the_order_it_was_given_and_survives_json(characters):
    tokenizer = CharacterTokenizer(characters)
    assert tokenizer.characters == characters
    assert len(tokenizer) == len(characters)
    assert tokenizer.encode(characters).tolist() == list(range(len(characters)))
    again = CharacterTokenizer.from_dict(json.loads(json.dumps(tokenizer.to_dict())))
    assert again == tokenizer
    assert hash(again) == hash(tokenizer)


@given(any_text, st.characters(exclude_categories=()), st.data())
def test_an_unknown_character_is_named_with_its_first_position(text, stranger, data):
    known = text.replace(stranger, "")
    assume(known)
    position = data.draw(st.integers(0, len(known)))
    spoilt = known[:position] + stranger + known[position:] + stranger
    with pytest.raises(ValueError, match=rf"^text\[{position}\] is .*replace it first") as raised:
        CharacterTokenizer.from_text(known).encode(spoilt)
    assert f"{stranger!r} (U+{ord(stranger):04X})" in str(raised.value)


def test_empty_texts_and_codes_pass_through_an_existing_tokenizer():
    tokenizer = CharacterTokenizer("ab")
    assert tokenizer.encode("").shape == (0,)
    assert tokenizer.decode([]) == tokenizer.decode(tokenizer.encode("")) == ""


def test_tokenizers_are_equal_when_their_characters_are():
    assert CharacterTokenizer("ab") != CharacterTokenizer("ba")
    assert CharacterTokenizer("ab") != "ab"
    assert repr(CharacterTokenizer("a\n")) == r"CharacterTokenizer('a\n')"


@pytest.mark.parametrize(
    ("action", "error", "message"),
    [
        (lambda t: CharacterTokenizer(""), ValueError, "characters is empty"),
        (lambda t: CharacterTokenizer("abca"), ValueError, "characters has 'a' twice"),
        (lambda t: CharacterTokenizer(["a"]), TypeError, "got list; join them first"),
        (lambda t: CharacterTokenizer.from_text(""), ValueError, "text is empty"),
        (lambda t: CharacterTokenizer.from_text(["a"]), TypeError, "join a list of texts first"),
        (lambda t: t.encode(["a"]), TypeError, "encode one string at a time"),
        (
            lambda t: t.decode("ab"),
            TypeError,
            r"token_ids must be whole numbers.*encode a text first",
        ),
        (lambda t: t.decode([0.0]), TypeError, "of dtype float64"),
        (lambda t: t.decode([True]), TypeError, "of dtype bool"),
        (lambda t: t.decode([[0], [1]]), ValueError, r"got shape \(2, 1\); pass one sequence"),
        (lambda t: t.decode([0, 1, 2]), ValueError, r"token_ids\[2\] is 2, outside 0\.\.1"),
        (lambda t: t.decode([0, -1]), ValueError, r"token_ids\[1\] is -1, outside 0\.\.1"),
        (lambda t: t.from_dict({"letters": "ab"}), ValueError, r"got \['letters'\]"),
        (
            lambda t: t.from_dict({"characters": "ab", "size": 2}),
            ValueError,
            r"'characters' and nothing else, got \['characters', 'size'\]",
        ),
        (lambda t: t.from_dict(["ab"]), TypeError, "must be a dictionary, got list"),
        (lambda t: t.from_dict({"characters": 3}), TypeError, "must be a string, got int"),
    ],
)
def test_the_tokenizer_says_what_is_wrong(action, error, message):
    with pytest.raises(error, match=message):
        action(CharacterTokenizer("ab"))


# ---------------------------------------------------------------------------- split and windows


@given(st.integers(1, 99), st.integers(1, 300))
def test_split_cuts_at_the_written_share_and_loses_nothing(percent, length):
    data = list(range(length))
    expected = -(-percent * length // 100)  # the ceiling, in whole numbers
    if not 0 < expected < length:
        with pytest.raises(ValueError, match=f"data of length {length} is too short"):
            split(data, percent / 100)
        return
    training, validation = split(data, percent / 100)
    assert len(training) == expected
    assert training + validation == data


def test_split_takes_the_first_nine_tenths_of_strings_and_arrays():
    assert split("0123456789" * 2) == ("012345678901234567", "89")
    training, validation = split(np.arange(30).reshape(10, 3))
    assert (training.shape, validation.shape) == ((9, 3), (1, 3))


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 90, float("nan")])
def test_split_refuses_a_fraction_that_is_no_share(fraction):
    with pytest.raises(ValueError, match=r"between 0 and 1, got .*write 90 % as fraction=0\.9"):
        split("abc", fraction)


@given(st.integers(2, 40), st.integers(1, 5), st.integers(0, 2**32), st.data())
def test_windows_are_stretches_of_the_data_and_targets_are_one_later(size, batch, seed, data):
    length = data.draw(st.integers(1, size - 1))
    sequence = np.random.default_rng(seed).permutation(size)  # each token once: a place is known
    inputs, targets = random_windows(sequence, batch, length, np.random.default_rng(seed))
    assert inputs.shape == targets.shape == (batch, length)
    assert inputs.dtype == targets.dtype == np.int64
    for row, following in zip(inputs, targets, strict=True):
        start = int(np.flatnonzero(sequence == row[0])[0])
        np.testing.assert_array_equal(row, sequence[start : start + length])
        np.testing.assert_array_equal(following, sequence[start + 1 : start + length + 1])


def test_every_place_of_a_window_is_drawn_from_the_first_to_the_last():
    inputs, targets = random_windows(np.arange(6), 6000, 2, np.random.default_rng(0))
    counts = np.bincount(inputs[:, 0], minlength=6)
    assert counts[4:].tolist() == [0, 0]
    np.testing.assert_allclose(counts[:4], 1500, atol=150)  # four standard deviations
    assert targets.max() == 5


def test_windows_depend_on_the_generator_alone():
    data = np.arange(1000)
    first = random_windows(data, 4, 8, np.random.default_rng(3))
    again = random_windows(data.tolist(), 4, 8, np.random.default_rng(3))
    np.testing.assert_array_equal(first, again)


def test_validation_batches_are_twenty_of_64_windows_and_never_change():
    data = np.arange(5000)
    batches = validation_batches(data)
    assert len(batches) == 20
    assert {part.shape for batch in batches for part in batch} == {(64, 64)}
    np.testing.assert_array_equal(batches, validation_batches(data))
    assert not np.array_equal(batches, validation_batches(data, seed=1))
    small = validation_batches(data, count=2, batch_size=3, length=4)
    assert [inputs.shape for inputs, _ in small] == [(3, 4), (3, 4)]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1, 2, 3], 1, 3), ValueError, "has 3 tokens, but windows of length=3 .* at least 4"),
        (([1, 2, 3], 1, 9), ValueError, "need at least 10; .*, or a length of at most 2$"),
        (([], 1, 1), ValueError, "data has 0 tokens.* pass a longer sequence$"),
        (([[1], [2]], 1, 1), ValueError, r"data must have one axis \(time,\), got shape \(2, 1\)"),
        (("text", 1, 1), TypeError, r"data must be whole numbers, got str.*tokenizer\.encode"),
        (([1, 2], 0, 1), ValueError, "batch_size must be at least 1, got 0"),
        (([1, 2], 1, 1.0), TypeError, "length must be a whole number, got 1.0 of type float"),
    ],
)
def test_windows_say_what_is_wrong(arguments, error, message):
    with pytest.raises(error, match=message):
        random_windows(*arguments, np.random.default_rng(0))


def test_windows_want_a_generator_and_not_a_seed():
    with pytest.raises(TypeError, match=r"got int; make one from a seed: .*default_rng\(0\)"):
        random_windows([1, 2, 3], 1, 1, 0)
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        validation_batches(np.arange(100), count=0)
