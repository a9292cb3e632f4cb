"""Counts of elements that float16 cannot hold: it ends at 65504."""

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad import Tensor

COUNT = 70_000
PLACES = np.linspace(0.5, 1.0, COUNT)
ONES = np.ones(COUNT)


def like(x, value):
    return np.full(x.shape, value, x.dtype)


def classes(x):
    return np.stack([x, x * 2], axis=-1), np.zeros(COUNT, int)


def batch_norm(x):
    layer = layers.BatchNorm1d(1, affine=False)
    return layer(x.reshape(-1, 1))[0]


FUNCTIONS = {
    "mean": lambda x: x.mean(),
    "mean of columns": lambda x: x.reshape(-1, 2).mean(axis=0),
    "mean where": lambda x: np.mean(x, where=np.arange(COUNT) > 2),
    "average": np.average,
    "weighted average": lambda x: np.average(x, weights=like(x, 1)),
    "var": lambda x: x.var(),
    "sample var": lambda x: x.var(ddof=1),
    "std": lambda x: x.std(),
    "nanmean": np.nanmean,
    "nanvar": np.nanvar,
    "nanstd": np.nanstd,
    "max": lambda x: x.max(),
    "amin": np.amin,
    "nanmax": np.nanmax,
    "ptp": np.ptp,
    "maximum.accumulate": lambda x: np.maximum.accumulate(x)[-1],
    "norm of order inf": lambda x: np.linalg.norm(x, np.inf),
    "norm of order -inf": lambda x: np.linalg.vector_norm(x, ord=-np.inf),
    "matrix norm of order inf": lambda x: np.linalg.norm(x.reshape(-1, 1), np.inf),
    "median": np.median,
    "nanmedian": np.nanmedian,
    "quantile": lambda x: np.quantile(x, 0.3),
    "cov": np.cov,
    "corrcoef": lambda x: np.corrcoef(x, x * x)[0, 1],
    "logsumexp": mg.logsumexp,
    "softmax": lambda x: mg.softmax(x)[:3] * 100,
    "log_softmax": lambda x: mg.log_softmax(x).mean(),
    "log_softmax of a column": lambda x: mg.log_softmax(x.reshape(-1, 1), axis=0).mean(),
    "mse_loss": lambda x: mg.mse_loss(x, like(x, 0)),
    "l1_loss": lambda x: mg.l1_loss(x, like(x, 0)),
    "huber_loss": lambda x: mg.huber_loss(x, like(x, 0)),
    "smooth_l1_loss": lambda x: mg.smooth_l1_loss(x, like(x, 0)),
    "binary_cross_entropy": lambda x: mg.binary_cross_entropy(x * 0.5, like(x, 0.5)),
    "with_logits": lambda x: mg.binary_cross_entropy_with_logits(x, like(x, 0)),
    "kl_div": lambda x: mg.kl_div(-x, like(x, 0.5)),
    "kl_div, batchmean": lambda x: mg.kl_div(-x, like(x, 0.5), reduction="batchmean"),
    "cross_entropy": lambda x: mg.cross_entropy(*classes(x)),
    "cross_entropy, smooth": lambda x: mg.cross_entropy(*classes(x), label_smoothing=0.1),
    "cross_entropy of probabilities": lambda x: mg.cross_entropy(
        classes(x)[0], np.full((COUNT, 2), 0.5, x.dtype)
    ),
    "nll_loss": lambda x: mg.nll_loss(*classes(x)),
    "layer_norm": lambda x: mg.layer_norm(x)[:2],
    "rms_norm": lambda x: mg.rms_norm(x)[:2],
    "batch norm": batch_norm,
    "avg_pool1d": lambda x: mg.avg_pool1d(x[None], COUNT),
    "avg_pool1d, padded": lambda x: mg.avg_pool1d(
        x[None], COUNT, padding=5, count_include_pad=False
    ),
    "scatter_reduce": lambda x: mg.scatter_reduce(
        x[:1], 0, np.zeros(COUNT, int), x, "mean", include_self=False
    ),
    "padding with means": lambda x: np.pad(x, 1, mode="mean")[:1],
}


def derivative(f, values, dtype, order):
    x = Tensor(values.astype(dtype), requires_grad=True)
    y = f(x)
    y = y if y.dtype == dtype else y.astype(dtype)
    if order == 0:
        return y.detach().numpy().astype(float)
    g = mg.gradients(y.sum(), x, create_graph=order == 2)
    if order == 2:
        # Scaled, because the second derivatives themselves are below the numbers of float16.
        g = mg.gradients((g * (8 * PLACES).astype(dtype)).sum(), x)
    return g.numpy().astype(float)


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_float16_agrees_with_float64(name, order):
    f = FUNCTIONS[name]
    for values in (np.random.default_rng(0).uniform(0.5, 1, COUNT), ONES):
        values = values.astype(np.float16)
        try:
            exact = derivative(f, values, np.float64, order)
        except mg.GradientError:  # the first derivative is constant
            continue
        if not np.isfinite(exact).all():
            continue
        near = 0.02 * np.abs(exact).max() + 1.2e-7  # two steps of its smallest numbers
        assert np.abs(derivative(f, values, np.float16, order) - exact).max() <= near


def test_the_gradient_of_a_mean_of_squares():
    w = Tensor(np.float16(0), requires_grad=True)
    ((np.ones(COUNT, np.float16) * w - 1) ** 2).mean().backward()
    assert w.grad.item() == pytest.approx(-2, rel=2e-3)


@pytest.mark.parametrize(
    "repeated",
    [
        lambda b: b + np.zeros((60_000, 2), np.float16),
        lambda b: np.tile(b, (60_000, 1)),
        lambda b: np.repeat(b[None], 60_000, axis=0),
        lambda b: np.broadcast_to(b, (60_000, 2)),
        lambda b: np.take(b[None], np.zeros(60_000, int), axis=0),
    ],
)
def test_gradients_of_repeated_numbers_are_added_up_in_float32(repeated):
    b = Tensor(np.ones(2, np.float16), requires_grad=True)
    (repeated(b) * np.float16(0.01)).sum().backward()
    np.testing.assert_allclose(b.grad.numpy().astype(float), 600, rtol=2e-3)


def test_the_gradient_of_running_sums_is_added_up_in_float32():
    x = Tensor(np.zeros(5000, np.float16), requires_grad=True)
    np.cumsum(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy()[::999], np.arange(5000, 0, -1)[::999], rtol=1e-3)
