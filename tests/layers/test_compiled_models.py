"""Every model compiles: losses and gradients are the model's own."""

import numpy as np
import pytest

import minigrad as mg
from layers.datasets import CharacterTokenizer
from layers.models import (
    DALLE,
    GPT,
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
    TranslationConfig,
    TranslationModel,
)

LETTERS = CharacterTokenizer("\n abcdef")
DIGITS = CharacterTokenizer("0123456789")
F = np.float32


def tokens(seed, *shape, high=8):
    return np.random.default_rng(seed).integers(high, size=shape)


def standardized(seed):
    return (np.sin(np.arange(12) * 0.3 + seed) * (1 + seed / 9),)


def on_series(model):
    """The loss of a series in its own units: the check of the units before it needs the numbers."""
    return lambda series: mg.mse_loss(model.predict_all(series)[:-1], series[model.context :])


def character(cell, **options):
    return CharacterModel(CharacterConfig(8, 4, 6, num_layers=2, cell=cell, **options), LETTERS)


def pair(seed):
    return tokens(seed, 3, 7), tokens(seed + 100, 3, 7)


def translation_batch(seed):
    lengths = np.random.default_rng(seed).integers(1, 7, size=3)
    return tokens(seed, 3, 6), lengths, tokens(seed + 1, 3, 5), tokens(seed + 2, 3, 5)


def images(seed):
    return (np.random.default_rng(seed).random((2, 8, 8)).astype(F),)


def gpt():
    return GPT(GPTConfig(8, block_size=12, num_layers=2, num_heads=2, width=8), LETTERS)


def captioned(seed):
    config = DALLEConfig.preset("tiny", caption_size=8, caption_length=6)
    codes = tokens(seed, 3, config.vae.codes, high=config.vae.book_size)
    captions = tokens(seed, 3, 6)
    captions[:, 6 - seed :] = 8  # fillers
    return captions, codes


def vae():
    return DiscreteVAE(DiscreteVAEConfig.preset("tiny"))


MODELS = {
    "rnn": (lambda: character("rnn"), pair),
    "lstm": (lambda: character("lstm"), pair),
    "gru": (lambda: character("gru"), pair),
    "gpt": (
        lambda: GPT(GPTConfig(8, block_size=12, num_layers=2, num_heads=2, width=8), LETTERS),
        pair,
    ),
    "translation": (
        lambda: TranslationModel(
            TranslationConfig.preset("tiny", source_size=8, target_size=10, longest=6),
            LETTERS,
            DIGITS,
        ),
        translation_batch,
    ),
    "dalle": (
        lambda: DALLE(DALLEConfig.preset("tiny", caption_size=8, caption_length=6), LETTERS),
        captioned,
    ),
    "vae": (vae, images),
    "autoregressive": (
        lambda: Autoregressive(AutoregressiveConfig(3)),
        standardized,
    ),
    "latent": (lambda: LatentAutoregressive(LatentConfig(4, skip=2)), standardized),
}


def outcome(model, loss, batch, seed):
    mg.seed(seed)
    for parameter in model.parameters():
        parameter.grad = None
    value = loss(*batch)
    value.backward()
    slopes = {n: None if p.grad is None else p.grad.numpy() for n, p in model.named_parameters()}
    return value.item(), slopes


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("training", [True, False])
def test_every_model_compiles(name, training):
    make, batch = MODELS[name]
    mg.seed(0)
    model = make().train(training)
    loss = model.loss if hasattr(model, "loss") and batch is not standardized else on_series(model)
    compiled = mg.compile(loss)
    for seed in range(3):
        found, slopes = outcome(model, compiled, batch(seed), seed)
        expected, others = outcome(model, loss, batch(seed), seed)
        np.testing.assert_allclose(found, expected, rtol=1e-4)
        for key, other in others.items():
            one = slopes[key]
            if other is None:
                assert one is None or not one.any(), key
                continue
            scale = np.abs(other).max()
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4 * scale, err_msg=key)
    assert compiled.refusals == []
