"""The parts of system 17 that the lesson calls."""

import numpy as np
import pytest

import minigrad as mg
from layers.datasets import CAPTION_TEMPLATES, digit_captions, draw_captions
from layers.models import DALLE, DALLEConfig, DiscreteVAE, DiscreteVAEConfig
from layers.systems.drawing_digits import (
    Reader,
    caption_tokenizer,
    digit_pictures,
    learn_codes,
    learn_to_draw,
    nats_by_place,
    perplexity,
    place_errors,
    share_read,
)


@pytest.fixture(scope="module")
def model():
    mg.seed(0)
    tokenizer = caption_tokenizer()
    return DALLE(DALLEConfig.preset("tiny", caption_size=len(tokenizer)), tokenizer)


def test_captions_that_are_left_out_are_never_drawn():
    without = ["a seven", "7", "number two"]
    labels = [7, 2] * 300
    drawn = draw_captions(labels, np.random.default_rng(0), without)
    assert set(drawn) == {*digit_captions(7), *digit_captions(2)} - set(without)


def test_without_anything_left_out_captions_are_those_of_one_draw_for_all():
    drawn = draw_captions([3] * 50, np.random.default_rng(5))
    chosen = np.random.default_rng(5).integers(len(CAPTION_TEMPLATES), size=50)
    assert drawn == [digit_captions(3)[place] for place in chosen]


def test_no_labels_have_no_captions():
    assert draw_captions([], np.random.default_rng(0)) == []


def test_a_label_keeps_one_caption_at_least():
    with pytest.raises(ValueError, match="leaves no caption"):
        draw_captions([7], np.random.default_rng(0), digit_captions(7))


def test_perplexity_is_the_number_of_codes_used_alike():
    assert perplexity(np.arange(8).repeat(3).reshape(4, 6)) == pytest.approx(8)
    shares = np.array([0.75, 0.25])
    expected = np.exp(-(shares * np.log(shares)).sum())
    assert perplexity(np.array([[1, 1, 1, 4]])) == pytest.approx(expected)


def test_errors_of_a_place_are_those_of_pictures_with_another_code():
    mg.seed(0)
    vae = DiscreteVAE(DiscreteVAEConfig.preset("tiny"))
    picture = digit_pictures()[0][0]
    codes = np.repeat(vae.encode(picture[None]), 8, axis=0)
    codes[:, 5] = np.arange(8)
    with mg.no_grad():
        pictures = vae.picture(vae.book[codes]).numpy()
        found = place_errors(vae, picture, 5, np.eye(8, dtype=np.float32)).numpy()
    np.testing.assert_allclose(found, ((pictures - picture) ** 2).mean(axis=(1, 2)), rtol=1e-5)


def test_nats_by_place_add_up_to_the_loss(model):
    captions = ["a seven", "draw a three"]
    codes = np.random.default_rng(0).integers(8, size=(2, 16))
    nats, border = nats_by_place(model, captions, codes), model.config.caption_length - 1
    assert np.isnan(nats[border - 3 : border]).all()  # no caption is so long
    # The loss counts a filler as a place without error; the mean of a place leaves it out.
    letters = (model.token_ids(captions)[:, 1:] != model.filler).mean(axis=0)
    caption = (np.nan_to_num(nats[:border]) * letters).mean()
    expected = caption / 8 + nats[border:].mean() * 7 / 8
    assert model.loss(model.token_ids(captions), codes).item() == pytest.approx(expected, rel=1e-5)


def test_the_share_read_counts_drawings_that_are_read_as_asked(model):
    mg.seed(0)
    reader, asked = Reader(), np.arange(10)
    share, drawn = share_read(model, reader, [str(n) for n in asked], asked, 1.0, seed=3)
    again, same = share_read(model, reader, [str(n) for n in asked], reader.read(drawn), 1.0, 3)
    assert share == (reader.read(drawn) == asked).mean()
    assert again == 1
    assert np.array_equal(same, drawn)


def test_sizes_batch_and_captions_left_out_reach_the_training():
    pictures, labels = digit_pictures()
    few = slice(0, 40)
    vae = learn_codes(pictures[few], 2, batch=8, channels=4, book_size=6)
    assert (vae.config.channels, vae.config.book_size) == (4, 6)
    without = [c for n in range(10) for c in digit_captions(n) if not c.startswith("a ")]
    model, history = learn_to_draw(
        vae, pictures[few], labels[few], 3, without=without, batch=8, num_layers=1, width=8,
        num_heads=1, caption_length=12,
    )  # fmt: skip
    assert len(history.losses) == 3
    assert (model.config.num_layers, model.config.width, model.config.gpt.block_size) == (1, 8, 27)
