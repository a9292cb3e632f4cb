"""Sentences with *it*, and the model that finds out what it stands for."""

import numpy as np
import pytest

from layers.datasets import PRONOUN_TWINS, PRONOUN_VOCABULARY, pronoun_sentences
from layers.datasets.pronouns import ANIMALS, OF_ANIMALS, OF_WAYS, WAYS
from layers.systems import Setting
from layers.systems.pronouns import PRONOUN, PronounModel, learn_pronouns, pronoun_figures
from layers.systems.results import Figure


def pair_of(sentence):
    return frozenset((sentence.words[sentence.referent], sentence.words[sentence.other]))


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_no_pair_of_nouns_is_in_both_parts(seed):
    training, held_out = pronoun_sentences(seed=seed)
    assert len(training) + len(held_out) == len(set(training + held_out)) == 19_200
    assert len(held_out) == 0.2 * 19_200
    assert not {pair_of(one) for one in training} & {pair_of(one) for one in held_out}
    assert set(PRONOUN_TWINS) <= set(held_out)


def test_held_out_nouns_and_all_words_are_known_from_other_sentences():
    training, held_out = pronoun_sentences()
    known = {word for sentence in training for word in sentence.words}
    assert known == set(PRONOUN_VOCABULARY)
    assert {word for sentence in held_out for word in sentence.words} <= known


def test_the_last_word_decides_and_no_rule_about_places_does():
    for part in pronoun_sentences():
        for sentence in part[:: len(part) // 500]:
            kind = ANIMALS if sentence.words[-1] in OF_ANIMALS else WAYS
            assert sentence.answer in kind
            assert sentence.words[sentence.pronoun] == "it"
            assert {sentence.referent, sentence.other} == {1, 5}
        assert np.mean([one.referent == 1 for one in part]) == 0.5
        assert np.mean([one.answer in ANIMALS for one in part]) == 0.5


def test_every_sentence_has_a_twin_with_the_other_reading():
    _, held_out = pronoun_sentences()
    readings = {}
    for sentence in held_out:
        readings.setdefault(sentence.words[:-1], set()).add(sentence.answer)
    assert all(len(nouns) == 2 for nouns in readings.values())
    assert not set(OF_ANIMALS) & set(OF_WAYS)


def test_token_ids_are_places_in_the_vocabulary():
    (sentence, *_), _ = pronoun_sentences()
    assert [PRONOUN_VOCABULARY[token_id] for token_id in sentence.token_ids] == [*sentence.words]
    assert sentence.token_ids[sentence.pronoun] == PRONOUN


@pytest.mark.parametrize("share", [0.0001, 0.9999])
def test_each_part_has_at_least_one_pair(share):
    training, held_out = pronoun_sentences(share)
    assert min(len(training), len(held_out)) == 192


@pytest.mark.parametrize(("share", "error"), [(0, ValueError), (1.0, ValueError), ("a", TypeError),
                                              (True, TypeError)])  # fmt: skip
def test_a_share_that_is_none_is_refused(share, error):
    with pytest.raises(error, match="held_out"):
        pronoun_sentences(share)


def test_only_the_weights_tell_the_nouns_apart():
    """The values are made of the bare words: twins have the same ones, up to the last word."""
    steps = PronounModel().steps(np.stack([one.token_ids for one in PRONOUN_TWINS]))
    value, weights = steps.value.numpy(), steps.weights.numpy()
    # Some processors round a product by the place of its row.
    np.testing.assert_allclose(value[0, :, :-1], value[1, :, :-1], rtol=1e-5, atol=1e-6)
    assert (weights[0] != weights[1]).any()


def test_a_short_training_is_the_same_again():
    training, held_out = pronoun_sentences()
    first, again = (learn_pronouns(training, steps=3, seed=5)[0] for _ in range(2))
    assert (first.looks(held_out[:4]) == again.looks(held_out[:4])).all()
    np.testing.assert_allclose(first.looks(held_out[:4]).sum(axis=1), 1, rtol=1e-5)


def test_held_out_sentences_of_both_readings_are_understood(tmp_path):
    setting = Setting(tmp_path, seed=1, progress=False)
    figures = pronoun_figures(setting)
    assert [figure.passed for figure in figures if isinstance(figure, Figure)][:3] == [True] * 3
    assert (tmp_path / "pronouns.svg").exists()
