"""Deep Transformers: what goes along the residual stream, and what comes back on it."""

import numpy as np
import pytest

import minigrad as mg
from layers.examples.depth import DeepModel, residual_stream, stream_gradients
from layers.models import GPT, GPTConfig

TOKEN_IDS = np.random.default_rng(0).integers(0, 9, (2, 6))
TARGETS = np.random.default_rng(1).integers(0, 9, (2, 6))


def deep(norm_first, num_layers=6):
    mg.seed(0)
    with mg.default_dtype("float64"):
        return DeepModel(9, num_layers, norm_first=norm_first, width=8)


@pytest.mark.parametrize("norm_first", [True, False])
def test_the_gradients_are_those_of_finite_differences(norm_first):
    """Of the loss as a function of the size of what goes into the first layer."""
    model = deep(norm_first, 3)
    found = stream_gradients(model, TOKEN_IDS, TARGETS)
    x = model.place(TOKEN_IDS).numpy()

    def loss(start):
        last = residual_stream(model.stack.layers, mg.Tensor(start))[-1]
        return mg.cross_entropy(model.read_out(last), TARGETS).item()

    step = 1e-6
    gradient = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        moved = np.zeros_like(x)
        moved[place] = step
        gradient[place] = (loss(x + moved) - loss(x - moved)) / (2 * step)
    np.testing.assert_allclose(found.stream[0], np.linalg.norm(gradient), rtol=1e-6)


def test_the_direct_gradient_is_whole_with_pre_norm_and_shrinks_with_post_norm():
    np.testing.assert_allclose(
        np.ptp(stream_gradients(deep(True), TOKEN_IDS, TARGETS).direct), 0, atol=1e-12
    )
    direct = stream_gradients(deep(False), TOKEN_IDS, TARGETS).direct
    assert (np.diff(direct) > 0).all()


def test_measuring_leaves_the_model_as_it_was():
    model = deep(False)
    before = model.loss(TOKEN_IDS, TARGETS).item()
    stream_gradients(model, TOKEN_IDS, TARGETS)
    assert model.loss(TOKEN_IDS, TARGETS).item() == before
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_stream_of_a_gpt_ends_in_its_logits():
    mg.seed(0)
    model = GPT(GPTConfig.preset("tiny", vocabulary_size=9))
    stream = residual_stream(model.blocks, model.positions(model.embedding(TOKEN_IDS)))
    assert len(stream) == model.config.num_layers + 1
    logits = model.stack["norm"](stream[-1]) @ model.embedding.weight.T
    np.testing.assert_allclose(logits.numpy(), model(TOKEN_IDS).numpy(), rtol=1e-5, atol=1e-7)
