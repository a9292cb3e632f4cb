"""Names of the version before go on working, with a warning that says the new name."""

import inspect

import numpy as np
import pytest

import minigrad as mg
from layers.base.renamed import OldName, renamed_arguments
from layers.datasets import CharacterTokenizer, copy_memory, copy_memory_baseline
from layers.models import (
    DALLE,
    GPT,
    CharacterConfig,
    CharacterModel,
    DALLEConfig,
    GPTConfig,
    NGram,
    NGramConfig,
    NGramModel,
    TranslationConfig,
    TranslationModel,
)
from layers.models.generation.beams import beam_search
from layers.models.generation.choosing import choose, log_probabilities, probabilities
from layers.models.generation.decoding import Decoding, decode

IDS = np.array([[0, 1, 2, 0, 1, 2]])
LETTERS = CharacterTokenizer("abc")


def gpt():
    mg.seed(0)
    return GPT(GPTConfig.preset("tiny", vocabulary_size=3), LETTERS)


def character():
    mg.seed(0)
    return CharacterModel(CharacterConfig(3, hidden_size=4), LETTERS)


def counts():
    return NGram(2, 3).fit(IDS[0])


def dalle():
    mg.seed(0)
    return DALLE(DALLEConfig.preset("tiny", caption_size=3, caption_length=4), LETTERS)


def copied(**names):
    return copy_memory(2, 3, np.random.default_rng(0), **names)


def decoded(**names):
    return list(decode(gpt().decoder(), how=Decoding(3, temperature=0), **names))


def searched(**names):
    return beam_search(gpt().decoder(), how=Decoding(3, beams=2), **names)


TOKENS_OF_CAPTIONS = [[0, 1, 3, 3]]
ARGUMENTS = {
    "GPT.forward": (lambda **names: gpt()(**names), "codes", "token_ids", IDS),
    "GPT.loss": (lambda **names: gpt().loss(targets=IDS, **names), "codes", "token_ids", IDS),
    "CharacterModel.forward": (lambda **n: character()(**n)[0], "codes", "token_ids", IDS),
    "CharacterModel.loss": (
        lambda **names: character().loss(targets=IDS, **names), "codes", "token_ids", IDS,
    ),
    "TextModel.loss_weight": (
        lambda **names: gpt().loss_weight(targets=IDS, **names), "codes", "token_ids", IDS,
    ),
    "NGram.fit": (
        lambda **names: NGram(2, 3).fit(**names).probabilities([0]), "codes", "token_ids", IDS[0],
    ),
    "NGram.log_probabilities": (
        lambda **names: counts().log_probabilities(**names), "codes", "token_ids", IDS[0],
    ),
    "NGram.cross_entropy": (
        lambda **names: counts().cross_entropy(**names), "codes", "token_ids", IDS[0],
    ),
    "NGramModel.fit": (
        lambda **names: NGramModel(NGramConfig(3)).fit(**names).cross_entropy(IDS[0]),
        "codes", "token_ids", IDS[0],
    ),
    "NGramModel.cross_entropy": (
        lambda **names: NGramModel(NGramConfig(3)).fit(IDS[0]).cross_entropy(**names),
        "codes", "token_ids", IDS[0],
    ),
    "CharacterTokenizer.decode": (
        lambda **names: LETTERS.decode(**names), "codes", "token_ids", IDS[0],
    ),
    "decode": (decoded, "codes", "token_ids", IDS),
    "beam_search": (searched, "codes", "token_ids", IDS),
    "copy_memory": (copied, "symbols", "tokens", 5),
    "copy_memory_baseline": (
        lambda **names: copy_memory_baseline(3, **names), "symbols", "tokens", 5,
    ),
    "choose": (
        lambda **n: choose(how=Decoding(1, temperature=0), generator=None, **n),
        "scores", "logits", np.eye(3),
    ),
    "probabilities": (
        lambda **names: probabilities(how=Decoding(1), **names), "scores", "logits", np.eye(3),
    ),
    "log_probabilities": (
        lambda **names: log_probabilities(**names), "scores", "logits", np.eye(3),
    ),
    "DALLE.forward": (
        lambda **names: dalle()(**names), "symbols", "token_ids", np.array(TOKENS_OF_CAPTIONS),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_go_by_their_old_names_too(name):
    call, old, new, value = ARGUMENTS[name]
    message = f"^{name}: the argument {old} is called {new} now"
    with pytest.warns(DeprecationWarning, match=message) as caught:
        before = call(**{old: value})
    assert [warning.filename for warning in caught] == [__file__]
    now = call(**{new: value})
    for one, other in zip(as_arrays(before), as_arrays(now), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(TypeError, match=f"{old} is the old name of {new}; pass one of them"):
        call(**{old: value, new: value})


def as_arrays(found):
    parts = found if isinstance(found, (list, tuple)) else [found]
    return [part.numpy() if isinstance(part, mg.Tensor) else part for part in parts]


ATTRIBUTES = {
    "TranslationModel.begin_code": (
        lambda: TranslationModel(TranslationConfig.preset("tiny", source_size=3, target_size=4)),
        "begin_token_id", lambda found: found == 4,
    ),
    "TranslationModel.end_code": (
        lambda: TranslationModel(TranslationConfig.preset("tiny", source_size=3, target_size=4)),
        "end_token_id", lambda found: found == 5,
    ),
    "DiscreteVAE.scores": (
        lambda: dalle().vae, "logits",
        lambda found: found(np.zeros((1, 8, 8), np.float32)).shape == (1, 16, 8),
    ),
    "DALLE.symbols": (
        dalle, "token_ids", lambda found: found(["ab"]).tolist() == TOKENS_OF_CAPTIONS,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes_go_by_their_old_names_too(name):
    make, new, right = ATTRIBUTES[name]
    model, old = make(), name.partition(".")[2]
    with pytest.warns(DeprecationWarning, match=f"{name} is called {new} now") as caught:
        found = getattr(model, old)
    assert caught[0].filename == __file__
    assert right(found)
    assert right(getattr(model, new))
    assert isinstance(getattr(type(model), old), OldName)


def test_a_decorated_function_keeps_its_signature():
    @renamed_arguments(old="new")
    def function(new: int, other: int = 2) -> int:
        return new + other

    assert function(1) == 3
    assert list(inspect.signature(function).parameters) == ["new", "other"]
    with pytest.raises(TypeError, match="older"):
        function(older=1)
