"""What every layer must do, on drawn shapes and memory layouts.

Derivatives of order 1 and 2, by inputs and parameters; dtypes that stay; values that depend
neither on the layout of the memory nor, beyond rounding, on the dtype.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import layers
import minigrad as mg
from minigrad.testing import Input, check_gradients, examples, strategies


@dataclass(frozen=True)
class Case:
    """A layer with the inputs that it takes.

    Attributes:
        make: makes the layer.
        inputs: one description per floating input.
        shapes: of all inputs, a strategy.
        classes: draws a target of class numbers for the shape of the scores; None for none.
    """

    make: Callable[[], layers.Module]
    shapes: Any
    inputs: tuple[Input, ...] = (Input(),)
    classes: Callable[[tuple[int, ...], Any], Any] | None = None


def before(*last: int, most: int = 2) -> Any:
    """Shapes that end so, with 0 to `most` axes in front of these."""
    return strategies.shapes(max_dims=most).map(lambda first: ((*first, *last),))


def batches(*last: int, sizes: Any = None) -> Any:
    """Shapes that end so, with a batch axis in front."""
    return (st.integers(0, 3) if sizes is None else sizes).map(lambda n: ((n, *last),))


def spatial(channels: int, *lengths: int) -> Any:
    """Shapes (batch, channels, ...) with at least these lengths, or without batch."""
    longer = st.tuples(*(st.integers(n, n + 3) for n in lengths))
    first = st.sampled_from([(), (0,), (1,), (3,)])
    return st.tuples(first, longer).map(lambda parts: ((*parts[0], channels, *parts[1]),))


def spatial_batches(channels: int, *lengths: int) -> Any:
    """Shapes (batch, channels, ...) with at least these lengths, or none in the batch."""
    return st.tuples(
        st.sampled_from([0, 2, 3]), st.just(channels), *(st.integers(n, n + 2) for n in lengths)
    ).map(lambda shape: (shape,))


def spatial_rows(channels: int) -> Any:
    """Shapes (batch, channels, ...) with up to two more axes."""
    return strategies.shapes(max_dims=2).map(lambda last: ((2, channels, *last),))


def twice(shapes: Any) -> Any:
    return shapes.map(lambda drawn: drawn * 2)


def codes(axis: int) -> Callable[[tuple[int, ...], Any], Any]:
    """Draws class numbers for scores with the classes along an axis."""

    def draw(shape: tuple[int, ...], generator: Any) -> Any:
        rest = list(shape)
        classes = rest.pop(axis)
        return generator.integers(classes, size=rest)

    return draw


def signs(shape: tuple[int, ...], generator: Any) -> Any:
    """Draws a target of 1 and -1."""
    return 2 * generator.integers(2, size=shape) - 1


ANY = strategies.shapes().map(lambda shape: (shape,))
PAIR = twice(ANY)
POSITIVE = Input(0.1, 0.9)
CONE = Input(0.2, 2)  # vectors whose cosines are far above 0
BATCHES = st.sampled_from([0, 3, 4])  # of two rows, normalised ones are +-1 and nothing else
EPS = {"eps": 0.1}  # keeps second derivatives of few numbers small enough to be compared

CASES = {
    "Linear": Case(lambda: layers.Linear(3, 2), before(3)),
    "Linear without bias": Case(lambda: layers.Linear(3, 2, bias=False), before(3)),
    "Bilinear": Case(lambda: layers.Bilinear(3, 3, 2), twice(before(3)), (Input(), Input())),
    "Identity": Case(layers.Identity, ANY),
    "Flatten": Case(layers.Flatten, before(3, 2)),
    "Unflatten": Case(lambda: layers.Unflatten(-1, (2, -1)), before(6)),
    "LayerNorm": Case(lambda: layers.LayerNorm(4, **EPS), before(4)),
    "LayerNorm two axes": Case(lambda: layers.LayerNorm((2, 3), bias=False, **EPS), before(2, 3)),
    "LayerNorm plain": Case(
        lambda: layers.LayerNorm(4, elementwise_affine=False, **EPS), before(4)
    ),
    "RMSNorm": Case(lambda: layers.RMSNorm(4, **EPS), before(4)),
    "RMSNorm two axes": Case(lambda: layers.RMSNorm((2, 3), **EPS), before(2, 3)),
    "BatchNorm1d": Case(lambda: layers.BatchNorm1d(3, **EPS), batches(3, sizes=BATCHES)),
    "BatchNorm1d sequences": Case(lambda: layers.BatchNorm1d(2, **EPS), batches(2, 4)),
    "BatchNorm1d plain": Case(
        lambda: layers.BatchNorm1d(2, affine=False, track_running_stats=False, **EPS),
        batches(2, 4),
    ),
    "BatchNorm1d eval": Case(lambda: layers.BatchNorm1d(3).eval(), batches(3)),
    "BatchNorm2d": Case(lambda: layers.BatchNorm2d(2, **EPS), spatial_batches(2, 2, 2)),
    "BatchNorm2d eval": Case(lambda: layers.BatchNorm2d(2).eval(), spatial_batches(2, 2, 2)),
    "InstanceNorm1d": Case(lambda: layers.InstanceNorm1d(2, affine=True, **EPS), spatial(2, 3)),
    "InstanceNorm1d eval": Case(
        lambda: layers.InstanceNorm1d(2, track_running_stats=True).eval(), spatial(2, 1)
    ),
    "InstanceNorm2d": Case(lambda: layers.InstanceNorm2d(2, **EPS), spatial(2, 2, 2)),
    "GroupNorm": Case(lambda: layers.GroupNorm(2, 4, **EPS), batches(4, 2)),
    "GroupNorm rows": Case(lambda: layers.GroupNorm(1, 4, affine=False, **EPS), batches(4)),
    "Dropout eval": Case(lambda: layers.Dropout(0.5).eval(), ANY),
    "Conv1d": Case(lambda: layers.Conv1d(2, 4, 3, padding=1), spatial(2, 2)),
    "Conv1d stride": Case(
        lambda: layers.Conv1d(2, 4, 2, stride=2, dilation=2, groups=2, bias=False), spatial(2, 3)
    ),
    "Conv1d same": Case(lambda: layers.Conv1d(2, 2, 4, padding="same"), spatial(2, 1)),
    "Conv1d reflect": Case(
        lambda: layers.Conv1d(2, 2, 3, padding="same", padding_mode="reflect"), spatial(2, 2)
    ),
    "Conv1d circular": Case(
        lambda: layers.Conv1d(2, 2, 3, padding=2, padding_mode="circular"), spatial(2, 2)
    ),
    "Conv2d": Case(lambda: layers.Conv2d(2, 2, (2, 3), padding=(0, 1)), spatial(2, 2, 2)),
    "Conv2d replicate": Case(
        lambda: layers.Conv2d(1, 2, 3, padding=1, padding_mode="replicate"), spatial(1, 1, 2)
    ),
    "ConvTranspose1d": Case(
        lambda: layers.ConvTranspose1d(2, 4, 3, stride=2, padding=1, groups=2), spatial(2, 2)
    ),
    "ConvTranspose2d": Case(
        lambda: layers.ConvTranspose2d(2, 1, 2, stride=2, output_padding=1), spatial(2, 1, 2)
    ),
    "MaxPool1d": Case(
        lambda: layers.MaxPool1d(2, padding=1), spatial(2, 2), (Input(distinct=True),)
    ),
    "MaxPool2d": Case(lambda: layers.MaxPool2d((2, 1)), spatial(1, 2, 2), (Input(distinct=True),)),
    "AvgPool1d": Case(lambda: layers.AvgPool1d(3, stride=1, padding=1), spatial(2, 2)),
    "AvgPool2d": Case(
        lambda: layers.AvgPool2d(2, padding=1, count_include_pad=False), spatial(1, 2, 2)
    ),
    "ReLU": Case(layers.ReLU, ANY, (Input(avoid=(0.0,)),)),
    "ReLU6": Case(layers.ReLU6, ANY, (Input(-2, 8, avoid=(0.0, 6.0)),)),
    "LeakyReLU": Case(lambda: layers.LeakyReLU(0.2), ANY, (Input(avoid=(0.0,)),)),
    "ELU": Case(lambda: layers.ELU(0.7), ANY, (Input(avoid=(0.0,)),)),
    "CELU": Case(lambda: layers.CELU(0.7), ANY, (Input(avoid=(0.0,)),)),
    "SELU": Case(layers.SELU, ANY, (Input(avoid=(0.0,)),)),
    "Hardtanh": Case(lambda: layers.Hardtanh(-1, 0.5), ANY, (Input(avoid=(-1.0, 0.5)),)),
    "GELU": Case(layers.GELU, ANY),
    "GELU tanh": Case(lambda: layers.GELU("tanh"), ANY),
    "SiLU": Case(layers.SiLU, ANY),
    "Mish": Case(layers.Mish, ANY),
    "Sigmoid": Case(layers.Sigmoid, ANY),
    "LogSigmoid": Case(layers.LogSigmoid, ANY),
    "Tanh": Case(layers.Tanh, ANY),
    "Softplus": Case(lambda: layers.Softplus(2.0), ANY),
    "Softplus threshold": Case(lambda: layers.Softplus(2.0, 1.0), ANY, (Input(avoid=(0.5,)),)),
    "Softsign": Case(layers.Softsign, ANY, (Input(avoid=(0.0,)),)),
    "Hardswish": Case(layers.Hardswish, ANY, (Input(-5, 5, avoid=(-3.0, 3.0)),)),
    "PReLU": Case(layers.PReLU, ANY, (Input(avoid=(0.0,)),)),
    "PReLU channels": Case(lambda: layers.PReLU(3), spatial_rows(3), (Input(avoid=(0.0,)),)),
    "GLU": Case(layers.GLU, before(4)),
    "GLU first": Case(lambda: layers.GLU(0), batches(3, sizes=st.sampled_from([0, 2, 4]))),
    "Softmin": Case(layers.Softmin, before(3)),
    "Softmax": Case(lambda: layers.Softmax(0), before(3)),
    "LogSoftmax": Case(layers.LogSoftmax, before(3)),
    "MSELoss": Case(lambda: layers.MSELoss("none"), PAIR, (Input(), Input())),
    "L1Loss": Case(lambda: layers.L1Loss("sum"), PAIR, (Input(0.5, 1), Input(-1, 0.4))),
    "HuberLoss inside": Case(lambda: layers.HuberLoss("sum", 2.0), PAIR, (POSITIVE, POSITIVE)),
    "HuberLoss outside": Case(
        lambda: layers.HuberLoss("none", 0.1), PAIR, (Input(0.5, 1), Input(-1, 0.3))
    ),
    "SmoothL1Loss": Case(lambda: layers.SmoothL1Loss("sum", 2.0), PAIR, (POSITIVE, POSITIVE)),
    "BCELoss": Case(lambda: layers.BCELoss(reduction="sum"), PAIR, (POSITIVE, POSITIVE)),
    "BCEWithLogitsLoss": Case(
        lambda: layers.BCEWithLogitsLoss(reduction="none"), PAIR, (Input(), POSITIVE)
    ),
    "BCEWithLogitsLoss weights": Case(
        lambda: layers.BCEWithLogitsLoss([2.0], "sum", pos_weight=[1.0, 0.5, 3.0]),
        twice(before(3)),
        (Input(), POSITIVE),
    ),
    "KLDivLoss": Case(lambda: layers.KLDivLoss("sum"), PAIR, (Input(-2, -0.1), POSITIVE)),
    "KLDivLoss log": Case(
        lambda: layers.KLDivLoss("none", log_target=True), PAIR, (Input(-2, 0), Input(-2, 0))
    ),
    "CrossEntropyLoss": Case(
        lambda: layers.CrossEntropyLoss([0.5, 1.0, 2.0], 2, "none", 0.1),
        before(3),
        classes=codes(-1),
    ),
    "CrossEntropyLoss axis": Case(
        lambda: layers.CrossEntropyLoss(reduction="sum", axis=1), batches(3, 2), classes=codes(1)
    ),
    "CrossEntropyLoss probabilities": Case(
        lambda: layers.CrossEntropyLoss(reduction="sum"), twice(before(3)), (Input(), POSITIVE)
    ),
    "GaussianNLLLoss": Case(
        lambda: layers.GaussianNLLLoss(full=True, reduction="sum"),
        ANY.map(lambda shapes: shapes * 3),
        (Input(), Input(), Input(0.3, 2)),
    ),
    "PoissonNLLLoss": Case(
        lambda: layers.PoissonNLLLoss(reduction="none"), PAIR, (Input(), Input())
    ),
    "PoissonNLLLoss rates": Case(
        lambda: layers.PoissonNLLLoss(False, full=True, reduction="sum"),
        PAIR,
        (Input(0.5, 2), Input(1.5, 3)),
    ),
    "CosineSimilarity": Case(layers.CosineSimilarity, twice(before(3)), (CONE, CONE)),
    "PairwiseDistance": Case(
        lambda: layers.PairwiseDistance(3.0, keepdim=True),
        twice(before(3)),
        (Input(0.5, 2), Input(-2, -0.5)),
    ),
    "MarginRankingLoss": Case(
        lambda: layers.MarginRankingLoss(0.5, "sum"), PAIR, (Input(-2, -0.3), Input(0.3, 2)), signs
    ),
    "HingeEmbeddingLoss": Case(
        lambda: layers.HingeEmbeddingLoss(3.0, "none"), ANY, (Input(0, 2),), signs
    ),
    "SoftMarginLoss": Case(lambda: layers.SoftMarginLoss("sum"), ANY, classes=signs),
    "CosineEmbeddingLoss": Case(
        lambda: layers.CosineEmbeddingLoss(-0.5, "sum"),
        twice(batches(3)),
        (CONE, CONE),
        lambda shape, generator: signs(shape[:-1], generator),
    ),
    "MultiMarginLoss": Case(
        lambda: layers.MultiMarginLoss(2, 0.5, [1.0, 2.0, 0.5], "sum"),
        batches(3),
        (Input(-0.2, 0.2),),
        codes(-1),
    ),
    "TripletMarginLoss": Case(
        lambda: layers.TripletMarginLoss(1.0, reduction="sum"),
        before(3).map(lambda shapes: shapes * 3),
        (Input(0, 0.2), Input(0.5, 0.8), Input(-0.4, -0.2)),
    ),
    "NLLLoss": Case(lambda: layers.NLLLoss(reduction="sum"), before(3), classes=codes(-1)),
}


@pytest.mark.parametrize("name", CASES)
@examples(0.25)  # there are many layers, and the operations have tests of their own
@given(data=st.data())
def test_derivatives_dtypes_and_layouts(name, data):
    case = CASES[name]
    shapes = data.draw(case.shapes)
    arrays = [
        data.draw(
            strategies.arrays(shape, spec.low, spec.high, avoid=spec.avoid, distinct=spec.distinct)
        )
        for spec, shape in zip(case.inputs, shapes, strict=True)
    ]
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    rest = () if case.classes is None else (case.classes(shapes[0], generator),)
    with mg.default_dtype(np.float64):
        module = case.make()
    for parameter in module.parameters():  # weights of 1 and biases of 0 would hide mistakes
        layers.init.uniform_(parameter, 0.3, 1.0, generator)
    parameters = dict(module.named_parameters())
    check_gradients(lambda *inputs: module(*inputs, *rest), *arrays, parameters=parameters)

    exact = module(*map(mg.Tensor, arrays), *rest).detach().numpy()
    dense = module(*(mg.Tensor(np.ascontiguousarray(a)) for a in arrays), *rest).detach().numpy()
    np.testing.assert_allclose(dense.reshape(exact.shape), exact, rtol=1e-12, atol=1e-12)

    dtype = data.draw(st.sampled_from([np.float16, np.float32]))
    module.to(dtype)
    inputs = [mg.Tensor(a.astype(dtype), requires_grad=True) for a in arrays]
    y = module(*inputs, *rest)
    assert y.dtype == dtype
    assert y.shape == exact.shape
    digits = 50 * np.finfo(dtype).eps
    np.testing.assert_allclose(
        y.detach().numpy(), exact, rtol=digits, atol=digits * max(1, np.abs(exact).max(initial=0))
    )
    y.backward(np.ones(y.shape, dtype))
    for leaf in (*inputs, *module.parameters()):
        assert leaf.grad.dtype == dtype
        assert leaf.grad.shape == leaf.shape


def test_every_class_is_there():
    modules = ("activations", "batch_normalization", "convolution", "linear", "losses")
    modules += ("margin_losses", "normalization", "pooling")
    names = {name for module in modules for name in getattr(layers.basic, module).__all__}
    assert names <= {name.split()[0] for name in CASES}


@given(shape=strategies.shapes(), padding=st.sampled_from([None, 0, -1]), data=st.data())
def test_embedding(shape, padding, data):
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    index = data.draw(strategies.layouts(generator.integers(4, size=shape)))
    table = layers.Embedding(4, 3, padding_idx=padding)
    y = table(index)
    assert y.shape == (*shape, 3)
    np.testing.assert_array_equal(y.detach().numpy(), table.weight.numpy()[index])
    y.backward(np.ones(y.shape, np.float32))
    counts = np.bincount(index.reshape(-1), minlength=4).astype(np.float32)
    if padding is not None:
        counts[padding] = 0
    np.testing.assert_array_equal(table.weight.grad.numpy(), np.tile(counts[:, None], 3))
    if padding is None:
        check_gradients(lambda: table(index), parameters=[table.weight])
