"""Synthetic tasks, captions, and batches of sequences of different lengths."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.datasets import (
    CAPTION_TEMPLATES,
    DIGIT_NAMES,
    adding_problem,
    addition_problems,
    copy_memory,
    copy_memory_baseline,
    digit_captions,
    draw_captions,
    length_batches,
    pad,
    reversal,
    sorting,
)

seeds = st.integers(0, 10_000)


@given(seeds, st.integers(1, 20), st.integers(2, 60))
def test_adding_marks_one_place_in_each_half(seed, batch, length):
    x, y = adding_problem(batch, length, np.random.default_rng(seed))
    assert x.shape == (batch, length, 2)
    assert y.shape == (batch, 1)
    assert x.dtype == y.dtype == np.float32
    marks = x[:, :, 1]
    assert (marks[:, : length // 2].sum(axis=1) == 1).all()
    assert (marks[:, length // 2 :].sum(axis=1) == 1).all()
    assert set(np.unique(marks)) <= {0.0, 1.0}
    assert 0 <= x[:, :, 0].min() <= x[:, :, 0].max() < 1
    np.testing.assert_allclose((x[:, :, 0] * marks).sum(axis=1), y[:, 0], rtol=1e-6)


class AlmostOne(np.random.Generator):
    """Draws the largest number below 1 every time."""

    def random(self, size):
        return np.full(size, np.nextafter(1.0, 0.0))


def test_no_number_to_add_is_rounded_to_one():
    x, _ = adding_problem(2, 5, AlmostOne(np.random.PCG64(0)))
    assert x[:, :, 0].max() < 1


def test_predicting_one_has_the_known_error():
    _, y = adding_problem(100_000, 10, np.random.default_rng(0))
    assert float(np.mean((y - 1) ** 2)) == pytest.approx(1 / 6, abs=2e-3)


@given(seeds, st.integers(1, 30), st.integers(2, 9), st.integers(1, 12))
def test_copy_memory_asks_for_what_was_shown(seed, delay, tokens, length):
    inputs, targets = copy_memory(
        4, delay, np.random.default_rng(seed), tokens=tokens, length=length
    )
    assert inputs.shape == targets.shape == (4, delay + 2 * length)
    np.testing.assert_array_equal(inputs[:, :length], targets[:, -length:])
    assert (targets[:, :-length] == tokens).all()
    assert (inputs[:, :length] < tokens).all()
    rest = inputs[:, length:]
    assert (rest[:, delay - 1] == tokens + 1).all()  # the sign, one step before the first token
    assert (np.delete(rest, delay - 1, axis=1) == tokens).all()


def test_the_baseline_is_that_of_guessing():
    assert copy_memory_baseline(100) == pytest.approx(10 * math.log(8) / 120)


@given(seeds, st.integers(1, 10), st.integers(1, 20), st.integers(1, 12))
def test_reversal_and_sorting(seed, batch, length, size):
    inputs, targets = reversal(batch, length, np.random.default_rng(seed), size)
    np.testing.assert_array_equal(inputs, targets[:, ::-1])
    assert inputs.dtype == targets.dtype == np.int64
    again, ordered = sorting(batch, length, np.random.default_rng(seed), size)
    np.testing.assert_array_equal(inputs, again)
    for one, other in zip(again.tolist(), ordered.tolist(), strict=True):
        assert sorted(one) == other
    assert inputs.max() < size


@given(seeds, st.integers(1, 9999))
def test_additions_are_right_and_none_is_in_both_parts(seed, held_out):
    training, test = addition_problems(held_out, seed=seed)
    assert len(test) == held_out
    assert len(set(training) | set(test)) == 10_000
    for problem in test[:50]:
        question, total = problem.rstrip("\n").split("=")
        one, other = question.split("+")
        assert int(one) + int(other) == int(total[::-1])
        assert len(problem) == 10


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda g: adding_problem(2, 1, g), ValueError, "length must be at least 2"),
        (lambda g: adding_problem(0, 5, g), ValueError, "batch_size"),
        (lambda g: adding_problem(2, 5, 7), TypeError, "numpy.random.Generator"),
        (lambda g: copy_memory(2, 0, g), ValueError, "delay"),
        (lambda g: reversal(2, 2.5, g), TypeError, "length"),
        (lambda g: sorting(2, 2, g, 0), ValueError, "vocabulary_size"),
        (lambda g: addition_problems(0), ValueError, "held_out must be at least 1"),
        (lambda g: addition_problems(10_000), ValueError, "held_out must be at most 9999"),
        (lambda g: addition_problems(2.5), TypeError, "held_out must be a whole number"),
        (lambda g: copy_memory_baseline(0), ValueError, "delay must be at least 1, got 0"),
        (lambda g: copy_memory_baseline(5, tokens=0), ValueError, "tokens must be at least 1"),
        (lambda g: digit_captions(10), ValueError, "label must be a digit, got 10; pass an int"),
        (lambda g: digit_captions(-1), ValueError, "label must be a digit, got -1"),
        (lambda g: digit_captions("7"), TypeError, "label must be a whole number, got '7' of"),
        (lambda g: draw_captions([2.7], g), TypeError, "label must be a whole number, got 2.7"),
        (lambda g: draw_captions([1], 3), TypeError, "generator"),
        (lambda g: pad([]), ValueError, "sequences is empty"),
        (lambda g: pad([[1], [[2]]]), ValueError, r"sequences\[1\] has shape"),
        (lambda g: pad([[1], 2]), ValueError, r"sequences\[1\] is array\(2\), not a sequence"),
        (lambda g: pad([[1, 2], [3]], 0.5), ValueError, "value=0.5 cannot fill .* dtype int64"),
        (lambda g: pad([[1, 2], [3]], math.nan), ValueError, "value=nan cannot .* into floats"),
        (lambda g: pad([np.ones(2, np.uint8)], -1), ValueError, "number from 0 to 255"),
        (lambda g: length_batches([1, 2], 0), ValueError, "batch_size"),
        (lambda g: length_batches([1, 2], 1, 3), TypeError, "generator must be"),
        (lambda g: length_batches([1.5], 1), TypeError, "lengths must be whole numbers"),
    ],
)
def test_wrong_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call(np.random.default_rng(0))


def test_captions_are_short_and_lower_case():
    assert DIGIT_NAMES[0] == "zero"
    assert DIGIT_NAMES[9] == "nine"
    everything = [caption for label in range(10) for caption in digit_captions(label)]
    assert len(set(everything)) == 10 * len(CAPTION_TEMPLATES)  # none is that of two digits
    assert max(map(len, everything)) == 13
    assert set("".join(everything)) <= set("abcdefghijklmnopqrstuvwxyz0123456789 ")


def test_captions_say_the_digit():
    for label in range(10):
        captions = digit_captions(label)
        assert len(captions) == len(set(captions)) == len(CAPTION_TEMPLATES)
        assert all(len(caption) <= 16 for caption in captions)
    labels = np.arange(1000) % 10
    drawn = draw_captions(labels, np.random.default_rng(0))
    assert all(caption in digit_captions(n) for caption, n in zip(drawn, labels, strict=True))
    assert {caption for caption, n in zip(drawn, labels, strict=True) if n == 3} == set(
        digit_captions(3)
    )


@given(st.lists(st.lists(st.integers(-5, 5), max_size=6), min_size=1, max_size=8),
       st.integers(-9, 9))  # fmt: skip
def test_padding_keeps_every_sequence(sequences, value):
    batch, lengths = pad(sequences, value)
    assert lengths.tolist() == [len(sequence) for sequence in sequences]
    assert batch.shape == (len(sequences), max(map(len, sequences)))
    for row, sequence in zip(batch, sequences, strict=True):
        assert row[: len(sequence)].tolist() == sequence
        assert (row[len(sequence) :] == value).all()


def test_padding_keeps_dtype_and_features():
    batch, lengths = pad([np.ones((2, 3), np.float32), np.zeros((0, 3), np.float32)])
    assert batch.shape == (2, 2, 3)
    assert batch.dtype == np.float32
    assert lengths.tolist() == [2, 0]
    assert pad([[], [1, 2]])[0].dtype == np.int64
    assert np.isnan(pad([[1.0, 2.0], [3.0]], math.nan)[0][1, 1])


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 9), st.none() | seeds)
def test_batches_by_length_have_every_sequence_once(lengths, size, seed):
    generator = None if seed is None else np.random.default_rng(seed)
    batches = length_batches(lengths, size, generator)
    assert sorted(np.concatenate([[], *batches]).tolist()) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= size for batch in batches)
    counts = np.array(lengths)
    ranges = sorted((counts[batch].min(), counts[batch].max()) for batch in batches)
    for (_, longest), (shortest, _) in itertools.pairwise(ranges):
        assert longest <= shortest  # no batch has sequences that would fit better into another


def test_the_generator_mixes_equal_lengths_and_the_order_of_the_batches():
    lengths = np.repeat([3, 1, 2], 20)
    plain = length_batches(lengths, 10)
    assert [lengths[batch].max() for batch in plain] == [1, 1, 2, 2, 3, 3]
    assert plain[0].tolist() == list(range(20, 30))
    assert plain[0].dtype == np.int64
    mixed = length_batches(lengths, 10, np.random.default_rng(0))
    assert [lengths[batch].max() for batch in mixed] != [1, 1, 2, 2, 3, 3]
    first = next(batch for batch in mixed if lengths[batch].max() == 1)
    assert set(first.tolist()) not in ({*range(20, 30)}, {*range(30, 40)})
    again = length_batches(lengths, 10, np.random.default_rng(0))
    np.testing.assert_array_equal(mixed, again)
