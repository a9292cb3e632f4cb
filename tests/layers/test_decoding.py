"""Decoding against brute force, on models whose logits are a table."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.models.generation.decoding import (
    Decoding,
    Rereading,
    beam_search,
    choose,
    decode,
    probabilities,
)
from layers.models.generation.stopping import Growing


class Table:
    """A decoder whose logits depend on the last two tokens; its state is the last one."""

    def __init__(self, seed, vocabulary=4):
        self.logits = 2 * np.random.default_rng(seed).standard_normal((vocabulary,) * 3)

    def begin(self, token_ids):
        before = token_ids[:, -2] if token_ids.shape[1] > 1 else np.zeros(len(token_ids), int)
        return self.logits[before, token_ids[:, -1]], token_ids[:, -1]

    def advance(self, token_ids, state):
        return self.logits[state, token_ids], token_ids

    def reorder(self, state, index):
        return state[index]


def total(table, prompt, text):
    """The log-probability of a text after a prompt."""
    token_ids, found = list(prompt), 0.0
    for code in text:
        logits, _ = table.begin(np.array([token_ids]))
        found += logits[0, code] - np.log(np.exp(logits[0]).sum())
        token_ids.append(code)
    return found


@given(st.integers(0, 1000), st.integers(1, 4))
def test_wide_beam_search_finds_the_likeliest_text(seed, length):
    table, prompt = Table(seed), [1, 2]
    (found,) = beam_search(table, np.array([prompt]), Decoding(length, beams=4**length))
    best = max(
        itertools.product(range(4), repeat=length), key=lambda text: total(table, prompt, text)
    )
    assert total(table, prompt, found) == pytest.approx(total(table, prompt, best))


@given(
    st.integers(0, 1000),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.7, 1.0]),
    st.sampled_from([(3,), (3, 2), (3, 2, 1)]),
)
def test_wide_beam_search_with_stops_finds_the_best_mean(seed, length, penalty, stops):
    table, prompt, going = Table(seed), [1], 4 - len(stops)
    how = Decoding(length, beams=going**length + 1, stop=stops, length_penalty=penalty)
    found = [int(c) for c in beam_search(table, np.array([prompt]), how)[0] if c >= 0]

    def value(text, stop=None):
        ended = [] if stop is None else [stop]
        count = len(text) + len(ended)
        return total(table, prompt, [*text, *ended]) / max(count, 1) ** penalty

    def best_end(text):
        return max(value(text, stop) for stop in stops)

    texts = [itertools.product(range(going), repeat=n) for n in range(length)]
    every = [best_end(text) for part in texts for text in part]
    every += [value(text) for text in itertools.product(range(going), repeat=length)]
    mine = best_end(found) if len(found) < length else value(found)
    assert mine == pytest.approx(max(every))


@given(st.integers(0, 1000), st.integers(2, 5), st.integers(1, 3))
def test_beams_of_a_batch_are_those_of_its_sequences(seed, beams, batch):
    table = Table(seed)
    prompts = np.random.default_rng(seed).integers(4, size=(batch, 2))
    how = Decoding(5, beams=beams, stop=(0,))
    together = beam_search(table, prompts, how)
    for row, prompt in zip(together, prompts, strict=True):
        (alone,) = beam_search(table, prompt[None], how)
        assert [c for c in row if c >= 0] == [c for c in alone if c >= 0]


@given(
    st.integers(0, 1000),
    st.sampled_from([
        {"temperature": 0.0}, {}, {"temperature": 0.5, "top_k": 2}, {"top_p": 0.7}, {"beams": 3},
    ]),
)  # fmt: skip
def test_without_cache_is_the_same(seed, how):
    table = Table(seed)
    prompts = np.random.default_rng(seed).integers(4, size=(2, 3))
    runs = [
        list(
            decode(table, prompts, Decoding(8, stop=(3,), **how), cache=cache,
                   generator=np.random.default_rng(seed))
        )
        for cache in (True, False)
    ]  # fmt: skip
    np.testing.assert_array_equal(*runs)


def test_greedy_takes_the_highest_score():
    logits = np.array([[0.0, 3.0, 1.0], [5.0, 1.0, 2.0], [1.0, np.inf, np.inf], [-np.inf, 0, 0]])
    chosen = choose(logits, Decoding(1, temperature=0), np.random.default_rng(0))
    assert chosen.tolist() == [1, 0, 1, 1]


@pytest.mark.parametrize(
    "how", [{}, {"temperature": 0.5}, {"temperature": 2.0, "top_k": 3}, {"top_p": 0.6}]
)
def test_draws_follow_the_distribution(how):
    logits = np.log([[0.4, 0.3, 0.2, 0.1]])
    expected = np.array([0.4, 0.3, 0.2, 0.1]) ** (1 / how.get("temperature", 1))
    expected /= expected.sum()
    if "top_k" in how:
        expected[3:] = 0
    if "top_p" in how:
        expected[2:] = 0  # 0.4 + 0.3 are above 0.6
    expected /= expected.sum()
    decoding = Decoding(1, **how)
    np.testing.assert_allclose(probabilities(logits, decoding)[0], expected)
    drawn = choose(np.repeat(logits, 20_000, axis=0), decoding, np.random.default_rng(0))
    shares = np.bincount(drawn, minlength=4) / len(drawn)
    np.testing.assert_allclose(shares, expected, atol=0.015)


@given(st.integers(0, 100), st.integers(1, 6), st.floats(0.05, 1.0))
def test_cuts_keep_the_likeliest(seed, top_k, top_p):
    logits = np.random.default_rng(seed).standard_normal((3, 6)).astype(np.float32)
    plain = probabilities(logits, Decoding(1))
    cut = probabilities(logits, Decoding(1, top_k=top_k))
    assert ((cut > 0).sum(axis=1) == top_k).all()
    dearest_left_out = np.where(cut == 0, plain, 0.0).max(axis=1)
    assert (np.where(cut > 0, plain, 1.0).min(axis=1) >= dearest_left_out).all()
    nucleus = probabilities(logits, Decoding(1, top_p=top_p))
    kept = np.where(nucleus > 0, plain, 0.0)
    assert (kept.sum(axis=1) >= top_p - 1e-9).all()
    smallest = np.where(nucleus > 0, plain, 2.0).min(axis=1)
    assert ((kept.sum(axis=1) - smallest < top_p) | ((nucleus > 0).sum(axis=1) == 1)).all()
    np.testing.assert_allclose(nucleus.sum(axis=1), 1.0)


def test_sequences_of_a_batch_stop_on_their_own():
    class Counting:
        """Always likes the next number; 3 ends."""

        def begin(self, token_ids):
            return np.eye(4)[(token_ids[:, -1] + 1) % 4] * 50, token_ids[:, -1]

        def advance(self, token_ids, state):
            return self.begin(token_ids[:, None])

        def reorder(self, state, index):
            return state[index]

    token_ids = decode(Counting(), np.array([[0], [1]]), Decoding(9, temperature=0, stop=(3,)))
    assert np.stack(list(token_ids), axis=1).tolist() == [[1, 2], [2, -1]]
    again = Rereading(Counting())
    assert again.begin(np.array([[1, 2]]))[0].argmax() == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": -1}, "length"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"beams": 0}, "beams"),
        ({"beams": 2, "top_k": 3}, "beams=2 draws nothing"),
        ({"beams": 2, "top_p": 0.5}, "beams=2 draws nothing"),
        ({"beams": 2, "temperature": 0.5}, "beams=2 draws nothing"),
        ({"length_penalty": float("nan")}, "length_penalty must be finite"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Decoding(**{"length": 5, **options})


@pytest.mark.parametrize("temperature", [0, 1])
@pytest.mark.parametrize("bad", [[np.nan, 1.0], [1.0, np.nan], [-np.inf, -np.inf]])
def test_scores_that_are_not_finite_are_refused(bad, temperature):
    for logits in ([[0.0, 1.0], bad], [bad]):
        with pytest.raises(ValueError, match="not finite"):
            choose(np.array(logits), Decoding(1, temperature), np.random.default_rng(0))


def test_likely_stops_do_not_crowd_out_what_still_grows():
    class Late:
        """After one token three stops are likely; what goes on all the same is then certain."""

        def begin(self, token_ids):
            return np.log([[0.4, 0.4, 0.1, 0.05, 0.05]] * len(token_ids)), np.zeros(
                len(token_ids), int
            )

        def advance(self, token_ids, state):
            rows = {0: [0.05, 0.05, 0.3, 0.3, 0.3], 1: [0.98, 0.005, 0.005, 0.005, 0.005]}
            return np.log([rows[min(step, 1)] for step in state.tolist()]), state + 1

        def reorder(self, state, index):
            return state[index]

    how = Decoding(4, beams=2, stop=(2, 3, 4), length_penalty=3.0)
    assert beam_search(Late(), np.array([[0]]), how)[0, 2:].tolist() == [0, 0]


# -- stops of several tokens -----------------------------------------------------------------------


def cut(text, stops):
    """A text up to where a stop begins that ends first; the longest one of several."""
    for end in range(1, len(text) + 1):
        found = [len(s) for s in stops if tuple(text[:end][-len(s) :]) == s and len(s) <= end]
        if found:
            return text[: end - max(found)]
    return text


STOPS = st.lists(
    st.lists(st.integers(0, 2), min_size=1, max_size=4).map(tuple), min_size=1, max_size=4
)


@given(st.integers(0, 10_000), STOPS, st.integers(1, 3))
def test_a_text_ends_where_a_stop_begins(seed, stops, batch):
    table = Table(seed, vocabulary=3)
    prompts = np.random.default_rng(seed).integers(3, size=(batch, 2))

    def written(stop):
        how = Decoding(12, stop=tuple(stop))
        return list(decode(table, prompts, how, generator=np.random.default_rng(seed)))

    whole, columns = np.stack(written([]), axis=1), written(stops)
    for row in range(batch):
        token_ids = [int(column[row]) for column in columns]
        kept = [token for token in token_ids if token >= 0]
        assert token_ids == kept + [-1] * (len(token_ids) - len(kept))
        assert kept == cut(whole[row].tolist(), stops)


@given(st.integers(0, 10_000), STOPS)
def test_nothing_is_given_that_becomes_a_stop_and_nothing_is_held_longer(seed, stops):
    tokens = np.random.default_rng(seed).integers(3, size=14).tolist()
    growing, given_ = Growing(stops, 1), []
    for count, code in enumerate(tokens, start=1):
        growing.add(np.array([code]))
        given_ += [int(column[0]) for column in growing.columns()]
        if growing.all_ended:
            break
        held = tokens[len(given_) : count]
        assert any(not held or tuple(held) == stop[: len(held)] for stop in stops)
        for start in range(len(given_)):  # what was given could not have become a stop
            assert tuple(tokens[start:count]) not in {s[: count - start] for s in stops}
    given_ += [int(column[0]) for column in growing.columns(whole=True)]
    assert given_ == cut(tokens, stops)


@given(st.integers(0, 1000), st.integers(1, 5), STOPS, st.sampled_from([0.0, 1.0]))
def test_wide_beam_search_ends_with_sequences_too(seed, length, stops, penalty):
    table, prompt = Table(seed, vocabulary=3), [1, 2]
    how = Decoding(length, beams=3**length + 1, stop=tuple(stops), length_penalty=penalty)
    found = [int(c) for c in beam_search(table, np.array([prompt]), how)[0] if c >= 0]
    texts = {}  # what is left of each text: its best value
    for text in itertools.product(range(3), repeat=length):
        kept = cut(list(text), stops)
        ends = [n for n in range(1, length + 1) if cut(list(text[:n]), stops) != list(text[:n])]
        whole = text[: ends[0]] if ends else text
        value = total(table, prompt, whole) / len(whole) ** penalty
        texts[tuple(kept)] = max(value, texts.get(tuple(kept), -np.inf))
    assert texts[tuple(found)] == pytest.approx(max(texts.values()))


def test_an_empty_stop_is_refused():
    with pytest.raises(ValueError, match="empty sequence"):
        Decoding(3, stop=(1, ()))
    with pytest.raises(ValueError, match="empty sequence"):
        Decoding(3, stop=[np.array([], int)])


@pytest.mark.parametrize(
    "stop", [[(2, 0)], [[2, 0]], (np.array([2, 0]), 1), [(np.int64(2), np.int64(0))]]
)
def test_stops_may_be_any_sequences(stop):
    class Counting:
        def begin(self, token_ids):
            return np.eye(4)[np.array([2, 0, 0, 0])[token_ids[:, -1]]] * 50, token_ids[:, -1]

        def advance(self, token_ids, state):
            return self.begin(token_ids[:, None])

    how = Decoding(9, temperature=0, stop=stop)
    assert list(decode(Counting(), np.array([[0]]), how)) == []


# -- infinite logits -------------------------------------------------------------------------------

INF = np.inf


@pytest.mark.parametrize(
    "how",
    [{}, {"temperature": 0.0}, {"temperature": 1e-300}, {"temperature": 7.0}, {"top_k": 1},
     {"top_k": 3}, {"top_p": 0.2}, {"top_p": 1.0}],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_score_of_infinity_is_certain(how, dtype):
    logits = np.array([[0.0, 5.0, INF, -INF], [INF, 1.0, 2.0, 3.0]], dtype)
    expected = [[0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]]
    np.testing.assert_array_equal(probabilities(logits, Decoding(1, **how)), expected)
    for seed in range(20):
        drawn = choose(logits, Decoding(1, **how), np.random.default_rng(seed))
        assert drawn.tolist() == [2, 0]


def test_several_infinite_scores_share_evenly():
    logits = np.array([[INF, 1.0, INF, 1e300]])
    np.testing.assert_array_equal(probabilities(logits, Decoding(1)), [[0.5, 0.0, 0.5, 0.0]])
    drawn = choose(np.repeat(logits, 4000, axis=0), Decoding(1), np.random.default_rng(0))
    assert set(drawn.tolist()) == {0, 2}
    assert abs((drawn == 0).mean() - 0.5) < 0.04
    cut_off = probabilities(logits, Decoding(1, top_k=1))
    np.testing.assert_array_equal(cut_off, [[1.0, 0.0, 0.0, 0.0]])


@pytest.mark.parametrize("beams", [1, 3])
def test_infinite_scores_force_a_text(beams):
    class Forced:
        """2 is certain after 1, and 0 after 2."""

        def begin(self, token_ids):
            following = np.array([1, 2, 0])[token_ids[:, -1]]
            logits = np.tile([0.5, 0.1, 0.2], (len(token_ids), 1))
            logits[np.arange(len(token_ids)), following] = INF
            return logits, token_ids[:, -1]

        def advance(self, token_ids, state):
            return self.begin(token_ids[:, None])

        def reorder(self, state, index):
            return state[index]

    how = Decoding(5, beams=beams)
    written = list(decode(Forced(), np.array([[1]]), how, generator=np.random.default_rng(0)))
    assert np.stack(written, axis=1).tolist() == [[2, 0, 1, 2, 0]]


@pytest.mark.parametrize("how", [{}, {"temperature": 0}, {"top_k": 1}, {"top_p": 0.5}])
@pytest.mark.parametrize(
    "bad", [[np.nan, 1.0], [np.nan, INF], [-INF, -INF], [np.nan, -INF], [np.nan, np.nan]]
)
def test_scores_without_a_likeliest_symbol_are_refused(how, bad):
    logits = np.array([[0.0, 1.0], bad])
    for decide in (probabilities, lambda s, h: choose(s, h, np.random.default_rng(0))):
        with pytest.raises(ValueError, match="no token can be chosen"):
            decide(logits, Decoding(1, **how))

    class Broken:
        def begin(self, token_ids):
            return np.array([bad] * len(token_ids)), None

        advance = begin

        def reorder(self, state, index):
            return state

    with pytest.raises(ValueError, match="no token can be chosen"):
        list(decode(Broken(), np.array([[0]]), Decoding(2, beams=2)))


def test_temperature_0_is_a_distribution_on_the_likeliest():
    logits = np.array([[1.0, 3.0, 3.0], [0.0, -INF, -1.0]])
    found = probabilities(logits, Decoding(1, temperature=0))
    np.testing.assert_array_equal(found, [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])


def test_a_symbol_of_probability_0_is_never_drawn(monkeypatch):
    def highest(generator, method, shape, *, name):
        """A draw as close to 1 as there is."""
        return np.full(shape, np.nextafter(1.0, 0.0))

    monkeypatch.setattr("layers.models.generation.choosing.draw_numbers", highest)
    generator = np.random.default_rng(0)
    logits = np.array([[0.1, 0.2, 0.3, -INF], [0.7, -INF, -INF, -INF]])
    assert choose(logits, Decoding(1), generator).tolist() == [2, 0]
