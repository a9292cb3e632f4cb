"""What all models have in common: saving, generation with and without cache, and clear errors."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import layers.models
import minigrad as mg
from layers.datasets import CharacterTokenizer
from layers.models import (
    DALLE,
    GPT,
    KINDS,
    Autoregressive,
    AutoregressiveConfig,
    CharacterConfig,
    CharacterModel,
    DALLEConfig,
    DiscreteVAE,
    DiscreteVAEConfig,
    GPTConfig,
    LatentAutoregressive,
    LatentConfig,
    NGramConfig,
    NGramModel,
    TranslationConfig,
    TranslationModel,
)
from tests.older_folders import as_before

LETTERS = CharacterTokenizer("\n abcdef")
DIGITS = CharacterTokenizer("0123456789")
SERIES = np.sin(np.arange(40.0)) + 2


def character(cell):
    return CharacterModel(CharacterConfig(8, 4, 6, num_layers=2, cell=cell), LETTERS)


def gpt(**changes):
    sizes = {"block_size": 12, "num_layers": 2, "num_heads": 2, "width": 8, **changes}
    return GPT(GPTConfig(8, **sizes), LETTERS)


def ngram():
    token_ids = np.random.default_rng(0).integers(8, size=200)
    return NGramModel(NGramConfig(8, order=3), LETTERS).fit(token_ids)


def translation():
    config = TranslationConfig.preset("tiny", source_size=8, target_size=10, longest=6)
    return TranslationModel(config, LETTERS, DIGITS)


def dalle():
    config = DALLEConfig.preset("tiny", caption_size=8, caption_length=6)
    return DALLE(config, LETTERS)


MAKERS = {
    "ar": lambda: Autoregressive(AutoregressiveConfig(3)).fit_least_squares(SERIES),
    "latent": lambda: LatentAutoregressive(LatentConfig(4, skip=2)).standardize(SERIES),
    "ngram": ngram,
    "rnn": lambda: character("rnn"),
    "gru": lambda: character("gru"),
    "lstm": lambda: character("lstm"),
    "gpt": gpt,
    "gpt untied": lambda: gpt(tied=False),
    "translation": translation,
    "vae": lambda: DiscreteVAE(DiscreteVAEConfig.preset("tiny")),
    "dalle": dalle,
}
TEXT = ("ngram", "rnn", "gru", "lstm", "gpt", "gpt untied")


def made(name, seed=0):
    mg.seed(seed)
    model = MAKERS[name]()
    if hasattr(model, "eval"):
        model.eval()
        # The first weights of a GPT are so small that all its texts are alike.
        for parameter in model.parameters():
            if name.startswith(("gpt", "dalle", "translation")):
                parameter.write(parameter.numpy() * np.asarray(3, parameter.dtype))
    return model


@pytest.mark.parametrize("name", MAKERS)
def test_a_saved_model_comes_back_whole(name, tmp_path):
    model = made(name)
    model.save(tmp_path / "m")
    again = layers.models.load(tmp_path / "m")
    assert type(again) is type(model)
    assert again.config == model.config
    assert {path.name for path in (tmp_path / "m").iterdir()} == {
        "config.json", "model.safetensors",
    }  # fmt: skip
    for key, array in model._arrays().items():
        np.testing.assert_array_equal(again._arrays()[key], array, err_msg=key)
    for attribute in model.TOKENIZERS:
        assert getattr(again, attribute) == getattr(model, attribute)
    if name in TEXT:
        written = "".join(model.generate("a", 15, 0.0))
        assert len(written) == 15
        assert again.complete("a", 15) == model.complete("a", 15) == written
    if name in ("ar", "latent"):
        np.testing.assert_array_equal(again.forecast(steps=5), model.forecast(SERIES, 5))


@settings(max_examples=8)
@given(
    seed=st.integers(0, 10_000),
    name=st.sampled_from(TEXT),
    how=st.sampled_from([
        {"temperature": 0.0}, {"temperature": 1.0}, {"top_k": 3}, {"top_p": 0.8}, {"beams": 3},
        {"stop": "b"}, {"stop": ["ab", "c"]},
    ]),
    prompt=st.text("abcdef \n", min_size=1, max_size=20),
)  # fmt: skip
def test_texts_with_cache_equal_those_without(seed, name, how, prompt):
    model = made(name, seed)
    texts = [
        "".join(
            model.generate(prompt, 20, cache=cache, generator=np.random.default_rng(seed), **how)
        )
        for cache in (True, False)
    ]
    assert texts[0] == texts[1]
    assert len(texts[0]) <= 20
    assert not any(stop in texts[0] for stop in how.get("stop", ()))


@settings(max_examples=8)
@given(
    seed=st.integers(0, 10_000),
    how=st.sampled_from([{}, {"temperature": 1.0}, {"top_k": 3, "temperature": 0.9}, {"beams": 3}]),
    texts=st.lists(st.text("abcdef", min_size=1, max_size=9), min_size=1, max_size=3),
)
def test_translations_with_cache_equal_those_without(seed, how, texts):
    model = made("translation", seed)
    first, second = (
        model.translate(texts, cache=cache, generator=np.random.default_rng(seed), **how)
        for cache in (True, False)
    )
    assert first == second
    assert model.translate([]) == []
    if "temperature" not in how:  # nothing is drawn: a batch is its sequences, padding or not
        assert first == [model.translate([text], **how)[0] for text in texts]


@settings(max_examples=6)
@given(
    st.integers(0, 10_000),
    st.sampled_from([{"temperature": 0.0}, {}, {"top_p": 0.9}, {"beams": 2}]),
)
def test_drawings_with_cache_equal_those_without(seed, how):
    model = made("dalle", seed)
    first, second = (
        model.generate(["abc", "d"], cache=cache, generator=np.random.default_rng(seed), **how)
        for cache in (True, False)
    )
    np.testing.assert_array_equal(first, second)
    assert first.shape == (2, 8, 8)
    assert 0 <= first.min() <= first.max() <= 1


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.sampled_from(["ar", "latent"]), st.integers(3, 40))
def test_forecasts_with_cache_equal_those_without(seed, name, length):
    model = made(name, seed)
    values = np.random.default_rng(seed).standard_normal(length) + 5
    np.testing.assert_allclose(
        model.forecast(values, 9), model.forecast(values, 9, cache=False), rtol=1e-10
    )


def test_forecasts_one_step_ahead_see_the_true_values():
    model = made("latent")
    ahead = model.one_step(SERIES)
    assert ahead.shape == (len(SERIES) - model.context,)
    np.testing.assert_allclose(ahead[10], model.forecast(SERIES[: model.context + 10])[0])
    far = model.k_step(SERIES, 4)
    np.testing.assert_allclose(far[3], model.forecast(SERIES[: model.context + 3], 4)[-1])
    np.testing.assert_allclose(model.k_step(SERIES, 1), ahead)


@given(st.integers(0, 1000), st.integers(1, 4))
def test_least_squares_has_no_gradient_left(seed, order):
    values = np.cumsum(np.random.default_rng(seed).standard_normal(60))
    model = Autoregressive(AutoregressiveConfig(order)).fit_least_squares(values)
    model.loss(values).backward()
    np.testing.assert_allclose(model.weight.grad.numpy(), 0, atol=1e-9)
    np.testing.assert_allclose(model.bias.grad.numpy(), 0, atol=1e-9)
    lags = np.column_stack(
        [np.ones(60 - order), *(values[order - k : 60 - k] for k in range(1, order + 1))]
    )
    expected, *_ = np.linalg.lstsq(lags, values[order:], rcond=None)
    np.testing.assert_allclose(model.coefficients, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "gpt", "gpt untied"])
def test_gradients_of_text_models_against_finite_differences(name):
    with mg.default_dtype("float64"):
        model = made(name)
    token_ids = np.random.default_rng(0).integers(8, size=(2, 7))
    model.loss(token_ids[:, :-1], token_ids[:, 1:]).backward()
    generator = np.random.default_rng(1)
    for path, parameter in model.named_parameters():
        direction = generator.standard_normal(parameter.shape)
        value = parameter.numpy().astype(np.float64)
        losses = []
        for sign in (1, -1):
            parameter.write((value + sign * 1e-6 * direction).astype(parameter.dtype))
            losses.append(model.loss(token_ids[:, :-1], token_ids[:, 1:]).item())
        parameter.write(value.astype(parameter.dtype))
        slope = (losses[0] - losses[1]) / 2e-6
        assert float((parameter.grad.numpy() * direction).sum()) == pytest.approx(
            slope, rel=2e-4, abs=1e-8
        ), path


def test_a_gpt_reads_the_last_block_of_a_long_text():
    model = made("gpt")
    prompt = "abcdef" * 5
    assert model.complete(prompt, 1) == model.complete(prompt[-12:], 1)
    with pytest.raises(mg.ShapeError, match="block_size=12"):
        model(np.zeros((1, 13), int))


def test_a_gpt_does_not_see_the_future():
    model = made("gpt")
    token_ids = np.random.default_rng(0).integers(8, size=(1, 12))
    other = token_ids.copy()
    other[:, 7:] = (other[:, 7:] + 1) % 8
    np.testing.assert_array_equal(model(token_ids).numpy()[:, :7], model(other).numpy()[:, :7])


def test_text_streams_and_leaves_the_mode_alone():
    model = made("lstm")
    stream = model.generate("a", 5, temperature=0)
    first = next(stream)
    assert mg.is_recording()  # a paused generator leaves the caller's mode alone
    logits, _ = model(LETTERS.encode("a")[None])
    assert first == LETTERS.decode([int(logits.numpy()[0, -1].argmax())])
    assert len(list(stream)) == 4


@pytest.mark.parametrize("name", TEXT)
@pytest.mark.parametrize(
    ("prompt", "options", "message"),
    [
        ("", {}, "prompt is empty"),
        ("7", {}, "'7'"),
        ("a", {"temperature": -1.0}, "temperature"),
        ("a", {"top_k": 0}, "top_k"),
    ],
)
def test_generate_refuses_at_once(name, prompt, options, message):
    with pytest.raises(ValueError, match=message):
        made(name).generate(prompt, 3, **options)


@pytest.mark.parametrize("name", TEXT)
@pytest.mark.parametrize("beams", [1, 3])
def test_strings_end_a_text_and_no_part_of_one_is_given(name, beams):
    model = made(name)
    options = {"temperature": 1.0, "beams": beams}

    def written(stop):
        generator = np.random.default_rng(2)
        return list(model.generate("a", 30, stop=stop, generator=generator, **options))

    whole = "".join(written([]))
    stop = whole[4:7]
    pieces = written([stop, "\u2603 unknown"])
    if beams == 1:
        assert "".join(pieces) == whole[: whole.index(stop)]
        assert all(len(piece) == 1 for piece in pieces)
        assert "".join(written([stop, whole[:2]])) == ""
        assert "".join(written(stop)) == whole[: whole.index(stop)]  # one string, not three
    else:
        assert stop not in "".join(pieces)
    with pytest.raises(ValueError, match="empty sequence"):
        model.generate("a", 3, stop=[""])


def test_without_tokenizer_no_text():
    model = GPT(GPTConfig.preset("tiny", vocabulary_size=8))
    with pytest.raises(ValueError, match="no tokenizer; pass one to GPT"):
        model.generate("a")
    with pytest.raises(ValueError, match="no tokenizer"):
        DALLE(DALLEConfig.preset("tiny", caption_size=8)).generate(["a"])
    with pytest.raises(ValueError, match="no tokenizers"):
        TranslationModel(TranslationConfig.preset("tiny", source_size=2, target_size=2)).translate(
            ["a"]
        )


def test_padding_of_sources_changes_nothing():
    model = made("translation")
    batch = model.batch([("abc", "12"), ("abcdefa", "345")])
    alone = model.batch([("abc", "12")])
    together = model(*batch[:3]).numpy()[0, : alone[2].shape[1]]
    np.testing.assert_allclose(together, model(*alone[:3]).numpy()[0], atol=1e-5)


def test_codes_and_pictures_of_wrong_shape_are_refused():
    model = made("vae")
    with pytest.raises(mg.ShapeError, match=r"\(batch, 8, 8\)"):
        model.encode(np.zeros((2, 7, 8), np.float32))
    with pytest.raises(mg.ShapeError, match=r"\(batch, 16\)"):
        model.decode(np.zeros((2, 9), int))
    with pytest.raises(ValueError, match=r"0\.\.7"):
        model.decode(np.full((1, 16), 8))
    with pytest.raises(ValueError, match="caption_length=6"):
        made("dalle").generate(["abcdefa"])


def test_a_code_is_drawn_as_the_softmax_says():
    model = made("vae")
    images = np.random.default_rng(0).random((1, 8, 8), np.float32)
    probabilities = mg.softmax(model.logits(images), axis=-1).numpy()[0, 0]
    logits = model.logits(images).numpy()[0, 0]
    noise = np.random.default_rng(1).gumbel(size=(20_000, len(logits)))
    shares = np.bincount((logits + noise).argmax(axis=1), minlength=len(logits)) / 20_000
    np.testing.assert_allclose(shares, probabilities, atol=0.02)
    model.anneal(1.0)
    assert model.temperature.item() == pytest.approx(0.1)


# -- folders ---------------------------------------------------------------------------------------


def test_loading_says_what_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors is missing; `minigrad"):
        layers.models.load(tmp_path)
    (tmp_path / "config.json").write_text('{"kind": "oracle", "config": {}}')
    with pytest.raises(ValueError, match="'oracle', which is unknown here"):
        layers.models.load(tmp_path)
    with pytest.raises(ValueError, match="describes a 'oracle', not a 'GPT'"):
        GPT.load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        layers.models.load(tmp_path)
    made("gpt").save(tmp_path)
    config = dataclasses.asdict(made("gpt").config)
    as_before(tmp_path, config=config | {"width": 16})
    with pytest.raises(ValueError, match="does not fit"):
        layers.models.load(tmp_path)
    as_before(tmp_path, config=config | {"wings": 2})
    with pytest.raises(ValueError, match=r"damaged.*wings"):
        layers.models.load(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="no weights"):
        layers.models.load(tmp_path)


def test_a_model_in_a_folder_within_is_pointed_to(tmp_path):
    made("ar").save(tmp_path / "model")
    with pytest.raises(FileNotFoundError, match="in a folder of its own"):
        layers.models.load(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_configurations_have_presets_and_come_back_from_json(kind):
    config = KINDS[kind].CONFIG
    needed = {
        field.name: 7
        for field in dataclasses.fields(config)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    assert config.PRESETS
    for name in config.PRESETS:
        made_of = config.preset(name, **needed)
        assert config.from_dict(json.loads(json.dumps(dataclasses.asdict(made_of)))) == made_of
    with pytest.raises(ValueError, match="no preset 'huge'"):
        config.preset("huge")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (lambda: CharacterConfig(0), "vocabulary_size must be an integer of 1 or more, got 0"),
        (lambda: CharacterConfig(5, cell="moon"), "one of rnn, gru, lstm, got 'moon'"),
        (lambda: GPTConfig(5, width=9, num_heads=2), "multiple of num_heads=2"),
        (lambda: TranslationConfig(5, 5, width=9), "width=9"),
        (lambda: DiscreteVAEConfig(image_size=7), "even"),
        (lambda: LatentConfig(hidden_size=0), "hidden_size"),
        (lambda: AutoregressiveConfig(0), "order"),
    ],
)
def test_wrong_sizes_are_named(config, message):
    with pytest.raises(ValueError, match=message):
        config()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0]], "one axis"),
        ([1.0, np.nan, 2.0, 3.0, 4.0, 5.0], r"values\[1\] is nan"),
        ([1.0], "at least"),
        ([2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0], "all 2.0"),
    ],
)
def test_series_that_cannot_be_learned_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Autoregressive(AutoregressiveConfig(2)).fit_least_squares(values)


@pytest.mark.parametrize("kind", ["gpt", "translation", "dalle"])
def test_reading_drops_nothing_out_and_leaves_training_on(kind):
    mg.seed(0)
    if kind == "gpt":
        model = gpt(dropout=0.5)
        texts = [model.complete("ab", 8) for _ in range(2)]
    elif kind == "translation":
        config = TranslationConfig.preset("tiny", source_size=8, target_size=10, dropout=0.5)
        model = TranslationModel(config, LETTERS, DIGITS)
        texts = [model.translate(["ab"]) for _ in range(2)]
    else:
        config = DALLEConfig.preset("tiny", caption_size=8, caption_length=6, dropout=0.5)
        model = DALLE(config, LETTERS)
        model.vae.eval()  # as a user may have frozen a part
        texts = [model.generate(["ab"], temperature=0).tolist() for _ in range(2)]
        assert not model.vae.training
        assert model.generate([]).shape == (0, 8, 8)
    assert texts[0] == texts[1]
    assert model.training
