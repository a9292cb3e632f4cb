"""Witten-Bell n-grams against a naive dictionary of counts, and against the published figures."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.datasets import CharacterTokenizer, shakespeare, split
from layers.models.ngram import NGram


class NaiveWittenBell:
    """The definition, word for word, with a dictionary from contexts to counters."""

    def __init__(self, order, vocabulary_size, token_ids):
        self.order, self.vocabulary_size = order, vocabulary_size
        self.counts = defaultdict(Counter)
        for position, token in enumerate(token_ids):
            for length in range(min(order - 1, position) + 1):
                self.counts[tuple(token_ids[position - length : position])][token] += 1

    def probability(self, token, context):
        context = tuple(context)[max(0, len(context) - self.order + 1) :]
        shorter = self.probability(token, context[1:]) if context else 1 / self.vocabulary_size
        followers = self.counts.get(context)
        if not followers:
            return shorter
        types = len(followers)
        return (followers[token] + types * shorter) / (followers.total() + types)


@st.composite
def problems(draw):
    """Draw an order, a vocabulary, a training sequence and one to measure on."""
    vocabulary_size = draw(st.integers(1, 5))
    tokens = st.integers(0, vocabulary_size - 1)
    training = draw(st.lists(tokens, min_size=1, max_size=40))
    measured = draw(st.lists(tokens, min_size=1, max_size=12))
    return draw(st.integers(1, 6)), vocabulary_size, training, measured


@given(problems())
def test_every_probability_equals_the_definition(problem):
    order, vocabulary_size, training, measured = problem
    naive = NaiveWittenBell(order, vocabulary_size, training)
    model = NGram(order, vocabulary_size).fit(training)
    expected = [
        naive.probability(token, measured[:position]) for position, token in enumerate(measured)
    ]
    np.testing.assert_allclose(np.exp(model.log_probabilities(measured)), expected, rtol=1e-12)
    assert model.cross_entropy(measured) == pytest.approx(-np.log(expected).mean(), rel=1e-12)
    np.testing.assert_allclose(
        model.probabilities(measured),
        [naive.probability(token, measured) for token in range(vocabulary_size)],
        rtol=1e-12,
    )


@given(problems())
def test_probabilities_are_a_distribution_that_leaves_nothing_out(problem):
    order, vocabulary_size, training, context = problem
    probabilities = NGram(order, vocabulary_size).fit(training).probabilities(context)
    assert probabilities.shape == (vocabulary_size,)
    assert (probabilities > 0).all()
    assert probabilities.sum() == pytest.approx(1, rel=1e-12)


@given(problems(), st.integers(0, 2**32))
def test_generated_symbols_follow_the_distributions(problem, seed):
    order, vocabulary_size, training, context = problem
    model = NGram(order, vocabulary_size).fit(training)
    drawn = model.generate(5, np.random.default_rng(seed), context=context)
    again = model.generate(5, np.random.default_rng(seed), context=context)
    assert (drawn.shape, drawn.dtype) == ((5,), np.int64)
    np.testing.assert_array_equal(drawn, again)
    # The same uniform numbers, put through the distributions that the model itself names.
    generator = np.random.default_rng(seed)
    history = list(context)
    for token in drawn.tolist():
        edges = np.concatenate([[0], np.cumsum(model.probabilities(history))])
        number = generator.random()
        assert edges[token] - 1e-12 <= number <= edges[token + 1] + 1e-12
        history.append(token)


def test_temperature_sharpens_and_flattens():
    model = NGram(1, 3).fit([0] * 6 + [1] * 3 + [2])
    plain = model.probabilities()

    def frequencies(temperature):
        drawn = model.generate(4000, np.random.default_rng(1), temperature=temperature)
        return np.bincount(drawn, minlength=3) / 4000

    np.testing.assert_allclose(frequencies(1.0), plain, atol=0.03)
    np.testing.assert_allclose(frequencies(0.5), plain**2 / (plain**2).sum(), atol=0.03)
    np.testing.assert_allclose(frequencies(1e9), 1 / 3, atol=0.03)
    assert frequencies(1e-6)[0] == 1


def test_a_large_alphabet_and_order_do_not_overflow():
    generator = np.random.default_rng(0)
    training = generator.integers(0, 10**9, size=200)  # (10^9)^8 is far beyond 64 bits
    model = NGram(8, 10**9).fit(training)
    naive = NaiveWittenBell(8, 10**9, training.tolist())
    measured = training[50:80]
    expected = [naive.probability(s, measured[:i].tolist()) for i, s in enumerate(measured)]
    np.testing.assert_allclose(np.exp(model.log_probabilities(measured)), expected, rtol=1e-12)


def test_the_figures_on_shakespeare():
    text = shakespeare()
    tokenizer = CharacterTokenizer.from_text(text)
    training, validation = split(tokenizer.encode(text))
    figures = [
        round(NGram(order, len(tokenizer)).fit(training).cross_entropy(validation), 3)
        for order in range(1, 7)
    ]
    assert figures == [3.343, 2.486, 2.044, 1.762, 1.648, 1.674]
    assert math.log(len(tokenizer)) == pytest.approx(4.159, abs=5e-4)  # knowing nothing at all


def test_fitting_again_forgets_what_was_counted_before():
    model = NGram(2, 3).fit([0, 1, 2, 0, 1, 2])
    assert model.fit([2, 2, 1]) is model
    np.testing.assert_array_equal(
        model.probabilities([2]), NGram(2, 3).fit([2, 2, 1]).probabilities([2])
    )


def test_measuring_nothing_gives_no_log_probabilities():
    assert NGram(3, 2).fit([0, 1, 0]).log_probabilities([]).shape == (0,)


@pytest.mark.parametrize(
    ("action", "error", "message"),
    [
        (lambda m: NGram(0, 2), ValueError, "order must be at least 1, got 0"),
        (lambda m: NGram(2.5, 2), TypeError, "order must be a whole number, got 2.5"),
        (lambda m: NGram(2, 0), ValueError, "vocabulary_size must be at least 1, got 0"),
        (lambda m: NGram(2, 2).probabilities(), RuntimeError, r"call fit\(token_ids\) first"),
        (lambda m: NGram(2, 2).cross_entropy([0]), RuntimeError, "no counts yet"),
        (lambda m: m.fit([]), ValueError, "token_ids is empty; fit"),
        (lambda m: m.fit([0, 2]), ValueError, r"token_ids\[1\] is 2, outside 0\.\.1"),
        (lambda m: m.fit("ab"), TypeError, r"token_ids = tokenizer\.encode\(text\)"),
        (lambda m: m.cross_entropy([]), ValueError, "token_ids is empty; measure"),
        (lambda m: m.cross_entropy([-1]), ValueError, r"token_ids\[0\] is -1"),
        (lambda m: m.probabilities([5]), ValueError, r"context\[0\] is 5"),
        (lambda m: m.generate(0, np.random.default_rng()), ValueError, "length must be at least"),
        (lambda m: m.generate(1, 0), TypeError, r"make one from a seed: .*default_rng\(0\)"),
        (
            lambda m: m.generate(1, np.random.default_rng(), temperature=0),
            ValueError,
            "temperature must be a finite number above 0, got 0",
        ),
    ],
)
def test_errors_say_what_is_wrong(action, error, message):
    with pytest.raises(error, match=message):
        action(NGram(2, 2).fit([0, 1, 1]))


def test_the_short_form_names_the_arguments():
    assert repr(NGram(3, 64)) == "NGram(order=3, vocabulary_size=64)"


def test_what_is_certain_costs_nothing_and_not_less():
    model = NGram(order=1, vocabulary_size=1).fit([0, 0])
    assert str(model.cross_entropy([0, 0])) == "0.0"
