"""Narrow beam search against a plain one, and how often decoding asks a model."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.datasets import CharacterTokenizer
from layers.models import GPT, CharacterConfig, CharacterModel, GPTConfig, TextModel
from layers.models.generation.decoding import Decoding, beam_search, decode, probabilities
from layers.models.generation.stopping import Growing, beginning, sequences
from tests.layers.test_decoding import Table


def plain_search(table, prompt, how):
    """Beam search of one prompt with stops of one symbol, sequence by sequence."""

    def next_logs(text):
        scores, _ = table.begin(np.array([[*prompt, *text]]))
        return scores[0] - math.log(np.exp(scores[0]).sum())

    growing, finished = [(0.0, [])], []
    for count in range(1, how.length + 1):
        longer = [
            (total + log, [*text, code])
            for total, text in growing
            for code, log in enumerate(next_logs(text))
        ]
        longer.sort(key=lambda pair: -pair[0])
        finished += [
            (total / count**how.length_penalty, text[:-1])
            for total, text in longer[: how.beams]
            if text[-1] in how.stop
        ]
        growing = [pair for pair in longer if pair[1][-1] not in how.stop][: how.beams]
        if len(finished) >= how.beams:
            can_come = growing[0][0] / max(n**how.length_penalty for n in (count, how.length))
            if can_come <= max(finished)[0]:
                return max(finished)[1]
    total, text = growing[0]
    return max([*finished, (total / len(text) ** how.length_penalty, text)])[1]


@given(
    st.integers(0, 10_000),
    st.integers(1, 7),
    st.integers(2, 4),
    st.sampled_from([(), (3,), (3, 0)]),
    st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]),
    st.integers(1, 3),
)
def test_narrow_beam_search_is_that_of_single_sequences(seed, length, beams, stop, penalty, batch):
    table = Table(seed, vocabulary=5)
    prompts = np.random.default_rng(seed).integers(5, size=(batch, 2))
    how = Decoding(length, beams=beams, stop=stop, length_penalty=penalty)
    found = [[int(c) for c in row if c >= 0] for row in beam_search(table, prompts, how)]
    assert found == [plain_search(table, prompt.tolist(), how) for prompt in prompts]


class Counted(Table):
    """A table that counts how often it is asked what comes next."""

    asked = 0

    def begin(self, token_ids):
        self.asked += 1
        return super().begin(token_ids)

    def advance(self, token_ids, state):
        self.asked += 1
        return super().advance(token_ids, state)


class Certain(Counted):
    """After 0 comes 1, then 2, then 3, and so on, almost for certain."""

    def begin(self, token_ids):
        self.asked += 1
        return 30.0 * np.eye(6)[(token_ids[:, -1] + 1) % 6], token_ids[:, -1]

    def advance(self, token_ids, state):
        return self.begin(token_ids[:, None])


@pytest.mark.parametrize("beams", [1, 2])
@pytest.mark.parametrize("length", [0, 1, 4])
def test_a_model_is_asked_once_for_each_symbol(beams, length):
    model = Counted(1)
    written = list(decode(model, np.array([[1, 2], [0, 1]]), Decoding(length, beams=beams)))
    assert len(written) == length
    assert model.asked == length


def test_tokens_are_given_as_they_are_known():
    model = Counted(1)
    written = decode(model, np.array([[1, 2]]), Decoding(3))
    for count in range(1, 4):
        next(written)
        assert model.asked == count
    assert list(Growing((), batch=0).columns()) == []


@pytest.mark.parametrize("beams", [1, 2])
def test_a_model_is_not_asked_when_all_have_ended(beams):
    model = Certain(0)
    how = Decoding(20, beams=beams, stop=(3,), length_penalty=0.0)
    written = np.stack(list(decode(model, np.array([[0], [1]]), how)), axis=1)
    assert written.tolist() == [[1, 2], [2, -1]]
    # Beam search goes on until it has two texts that ended, or none that could win.
    assert model.asked == 3 if beams == 1 else model.asked <= 6


class Listed:
    """A decoder with given probabilities for each step."""

    def __init__(self, *steps):
        self.steps, self.asked = steps, 0

    def begin(self, token_ids):
        return self.advance(token_ids[:, -1], None)

    def advance(self, token_ids, state):
        self.asked += 1
        with np.errstate(divide="ignore"):
            return np.log(np.tile(self.steps[self.asked - 1], (len(token_ids), 1))), None

    def reorder(self, state, index):
        return state


def test_an_end_that_is_not_among_the_best_is_not_set_aside():
    """At 0.25 it would be likelier than any text of two symbols."""
    decoder = Listed([0.4, 0.35, 0.25], [0.55, 0.45, 0.0])
    how = Decoding(2, beams=2, stop=(2,), length_penalty=0.0)
    assert beam_search(decoder, np.zeros((1, 1), int), how).tolist() == [[0, 0]]


def test_a_search_is_over_when_nothing_that_grows_can_overtake():
    decoder = Listed([0.5, 0.0, 0.5], [0.5, 0.0, 0.5], [0.9, 0.1, 0.0])
    how = Decoding(3, beams=2, stop=(2,), length_penalty=1.0)
    # Ended: log(0.5), and log(0.25) / 2, the same; what grows has log(0.25) / 3 in sight.
    assert beam_search(decoder, np.zeros((1, 1), int), how).tolist() == [[0, 0, 0]]
    assert decoder.asked == 3
    decoder = Listed(*decoder.steps)
    how = Decoding(3, beams=2, stop=(2,), length_penalty=0.0)
    assert beam_search(decoder, np.zeros((1, 1), int), how).size == 0
    assert decoder.asked == 2


def test_a_search_is_over_when_what_grows_is_only_as_good_or_nothing_grows():
    prompt = np.zeros((1, 1), int)
    decoder = Listed([1 / 3, 1 / 3, 1 / 3], [1.0, 0.0, 0.0])
    how = Decoding(2, beams=2, stop=(0, 1), length_penalty=0.0)
    assert beam_search(decoder, prompt, how).size == 0
    assert decoder.asked == 1
    decoder = Listed([0.0, 0.0, 0.25, 0.75], [1.0, 0.0, 0.0, 0.0])
    how = Decoding(2, beams=3, stop=(2, 3), length_penalty=0.0)
    assert beam_search(decoder, prompt, how).size == 0
    assert decoder.asked == 1


@pytest.mark.parametrize("beams", [1, 2])
def test_a_batch_of_no_sequences_is_nothing_to_go_on_from(beams):
    none = np.zeros((0, 2), int)
    assert list(decode(Table(0), none, Decoding(3, beams=beams))) == []
    assert beam_search(Table(0), none, Decoding(3, beams=beams)).shape == (0, 0)


@pytest.mark.parametrize("seed", range(3))
def test_one_beam_takes_the_likeliest_token_each_time(seed):
    table, prompts = Table(seed), np.array([[1, 2], [3, 0]])
    expected = np.stack([*decode(table, prompts, Decoding(6, temperature=0))], axis=1)
    np.testing.assert_array_equal(beam_search(table, prompts, Decoding(6)), expected)


def test_a_penalty_below_0_does_not_end_a_search_early():
    decoder = Listed([0.75, 0.0, 0.25], [0.99, 0.0, 0.01], [0.0, 0.0, 1.0])
    how = Decoding(10, beams=2, stop=(2,), length_penalty=-1.0)
    # Ended: log(0.25) and 2 log(0.0075); then 3 log(0.7425), which is more than both.
    assert beam_search(decoder, np.zeros((1, 1), int), how).tolist() == [[0, 0]]


def test_a_penalty_below_0_ends_a_search_in_time():
    decoder = Listed([0.8, 0.0, 0.2], [0.5, 0.0, 0.5])
    how = Decoding(10, beams=2, stop=(2,), length_penalty=-1.0)
    # Ended: log(0.2), and 2 log(0.4), which is also the most that can come of what grows.
    assert beam_search(decoder, np.zeros((1, 1), int), how).size == 0
    assert decoder.asked == 2


def test_all_symbols_may_be_stops():
    how = Decoding(4, beams=3, stop=(0, 1, 2, 3))
    assert beam_search(Table(0), np.array([[1, 2], [3, 3]]), how).shape == (2, 0)


def test_large_numbers_have_the_distribution_of_their_differences():
    for shift in (1e4, -1e4, 1e300):
        found = probabilities(np.array([[1.0, 0.0, -1.0]]) * 8 + shift, Decoding(1))
        exact = np.array([[1.0, 0.0, -1.0]]) * 8 + shift
        expected = np.exp(exact - exact.max())
        np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-12)


def test_tokens_that_have_exactly_the_probability_are_enough():
    found = probabilities(np.zeros((1, 4)), Decoding(1, top_p=0.5))
    np.testing.assert_array_equal(found, [[0.5, 0.5, 0.0, 0.0]])
    logits = np.array([[0.0, -50.0, -60.0]])  # the first one alone has 1, but only rounded
    both, k_alone = (probabilities(logits, Decoding(1, top_k=2, top_p=p)) for p in (1.0, None))
    np.testing.assert_array_equal(both, k_alone)


def test_a_whole_stop_is_not_the_beginning_of_one():
    stops = sequences([(3, 3), (1, 2)])
    assert [beginning(text, stops) for text in ([3, 3], [1, 2], [2, 1])] == [1, 0, 1]


def test_beams_may_be_greedy():
    table, prompt = Table(0), np.array([[1, 2]])
    found = beam_search(table, prompt, Decoding(4, temperature=0, beams=3))
    np.testing.assert_array_equal(found, beam_search(table, prompt, Decoding(4, beams=3)))


class Numbers(TextModel):
    """A text model whose next character is drawn evenly."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def decoder(self):
        return Table(0, len(self.tokenizer))


@pytest.mark.parametrize(("known", "first"), [("ab\nc", "\n"), ("xabc", None)])
def test_without_a_prompt_a_text_begins_with_a_new_line_or_the_first_character(known, first):
    tokenizer = CharacterTokenizer.from_text(known)
    model = Numbers(tokenizer)
    first = tokenizer.characters[0] if first is None else first

    def written(prompt):
        return "".join(model.generate(prompt, 12, generator=np.random.default_rng(0)))

    assert written(None) == written(first)
    others = [written(c) for c in tokenizer.characters if c != first]
    assert any(other != written(None) for other in others)


@pytest.mark.parametrize("make", [
    lambda: GPT(GPTConfig(5, 4, 1, 1, 4)), lambda: CharacterModel(CharacterConfig(5, 3, 4)),
])  # fmt: skip
def test_the_weight_of_a_loss_is_the_number_of_targets_that_count(make):
    model, targets = make(), np.array([[1, 2, -100], [-100, -100, 3]])
    token_ids = np.zeros((2, 3), int)
    assert model.loss_weight(token_ids, targets) == 3
    each = [model.loss(token_ids[i : i + 1], targets[i : i + 1]).item() for i in range(2)]
    whole = model.loss(token_ids, targets).item()
    assert whole == pytest.approx((2 * each[0] + each[1]) / 3, rel=1e-5)
