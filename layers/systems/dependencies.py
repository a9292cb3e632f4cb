"""Systems 5 and 6: long-term dependencies, and gradients that vanish or explode."""

import math
from typing import Any, Final

import numpy as np

import minigrad as mg
from layers.base.init import orthogonal_
from layers.base.module import Module
from layers.basic.embedding import Embedding
from layers.basic.linear import Linear
from layers.cells.gated_cells import RNNCell
from layers.datasets import adding_problem, copy_memory, copy_memory_baseline
from layers.recurrent.layers import GRU, LSTM, RNN
from layers.systems.results import Figure, Setting, at_least, at_most, noted, within
from layers.systems.whole_runs import fit
from layers.training import History, TrainingOptions, mean_loss
from layers.training.loss_plots import plot_losses
from layers.training.plots import plot_curves
from minigrad import Tensor
from minigrad.core.errors import GradientError
from minigrad.optim import SGD
from minigrad.restoring import errstate

__all__ = ["AddingModel", "CopyModel", "gradient_by_lag", "run_dependencies", "run_gradients"]

LENGTH: Final = 50  # of the adding problem
UNITS: Final = 64
BATCH: Final = 50
DELAY: Final = 10  # of the copy memory
ONE_ALWAYS: Final = 1 / 6
"""The mean squared error of predicting 1 in the adding problem: the variance of two draws."""


class AddingModel(Module):
    """Reads numbers and markers, and predicts the sum of the marked ones.

    Shapes: x (batch, time, 2) -> (batch, 1).

    Args:
        kind: a recurrent layer's class.
        options: of the layer.
    """

    def __init__(self, kind: Any, units: int = UNITS, **options: Any) -> None:
        super().__init__()
        self.recurrent = kind(2, units, **options)
        self.readout = Linear(units, 1)

    def forward(self, x: Any) -> Tensor:
        """The prediction after the last step."""
        output, _ = self.recurrent(x)  # (batch, time, units)
        prediction: Tensor = self.readout(output[:, -1])  # (batch, 1)
        return prediction

    def loss(self, x: Any, y: Any) -> Tensor:
        """The mean squared error."""
        return mg.mse_loss(self(x), y)


class CopyModel(Module):
    """Reads tokens, waits, and writes them.

    Shapes: token_ids (batch, time) -> logits (batch, time, tokens + 1).
    """

    def __init__(self, kind: Any, units: int = UNITS, tokens: int = 8, **options: Any) -> None:
        super().__init__()
        self.embedding = Embedding(tokens + 2, 16)
        self.recurrent = kind(16, units, **options)
        self.readout = Linear(units, tokens + 1)

    def forward(self, token_ids: Any) -> Tensor:
        """Logits at every step."""
        output, _ = self.recurrent(self.embedding(token_ids))  # (batch, time, units)
        logits: Tensor = self.readout(output)
        return logits

    def loss(self, token_ids: Any, targets: Any) -> Tensor:
        """The mean cross-entropy in nats per step."""
        return mg.cross_entropy(self(token_ids), targets)


# name: (layer, its options, rate, steps of the adding problem)
CONTESTANTS: Final[dict[str, tuple[Any, dict[str, Any], float, int]]] = {
    "RNN": (RNN, {}, 1e-3, 2000),
    "LSTM": (LSTM, {"forget_bias": 1.0}, 5e-3, 2000),
    "GRU": (GRU, {}, 5e-3, 1000),
}


def plain_adam(setting: Setting, rate: float, steps: int, **more: Any) -> TrainingOptions:
    """Adam at a constant rate with its usual betas, and clipping at 1."""
    return TrainingOptions(
        steps=setting.steps(steps),
        rate=rate,
        schedule="constant",
        warmup=0,
        betas=(0.9, 0.999),
        seed=setting.seed,
        **more,
    )


def run_dependencies(setting: Setting) -> list[Figure]:
    """System 5: the adding problem and the copy memory.

    >>> generator = np.random.default_rng(0)
    >>> x, y = adding_problem(4, LENGTH, generator)
    >>> model = AddingModel(LSTM, forget_bias=1.0)
    >>> model.loss(x, y).shape
    ()
    """
    figures, losses = [], {}
    for name, (kind, options, rate, steps) in CONTESTANTS.items():
        mg.seed(setting.seed)
        model = AddingModel(kind, **options)
        history = run_adding(setting, model, rate, steps)
        losses[name] = history
        errors = [value for _, value in history.validations]
        if name == "RNN":
            figures.append(
                at_least(f"adding problem, {name}: lowest error in {steps} steps", min(errors),
                         0.12, "predicting 1: 0.167")
            )  # fmt: skip
        else:
            figures.append(
                at_most(f"adding problem, {name}: lowest error in {steps} steps", min(errors), 0.01)
            )
    setting.picture(
        "adding.png",
        "the loss curves of the adding problem",
        lambda path: plot_losses(
            path, losses, title=f"The adding problem over {LENGTH} steps", log="y",
            y="mean squared error", lines={"predicting 1: 0.167": ONE_ALWAYS, "bar: 0.01": 0.01},
        ),
    )  # fmt: skip
    return figures + copy_figures(setting)


def run_adding(setting: Setting, model: AddingModel, rate: float, steps: int) -> History:
    """Train on the adding problem, with new sequences at each step."""
    test = [adding_problem(1000, LENGTH, np.random.default_rng(setting.seed + 1000))]
    return fit(
        model,
        lambda generator: adding_problem(BATCH, LENGTH, generator),
        plain_adam(setting, rate, steps, validate_every=setting.steps(100)),
        validate=lambda: mean_loss(model, test),
        progress=setting.progress,
    )


def copy_figures(setting: Setting) -> list[Figure]:
    """The copy memory: gated networks get below the baseline, the vanilla one stays there."""
    baseline = copy_memory_baseline(DELAY)
    test = [copy_memory(200, DELAY, np.random.default_rng(setting.seed + 1000))]
    figures, losses = [noted(f"copy memory over {DELAY} steps, baseline", baseline)], {}
    for name, (kind, options, rate, _) in CONTESTANTS.items():
        mg.seed(setting.seed)
        model = CopyModel(kind, **options)
        history = fit(
            model,
            lambda generator: copy_memory(BATCH, DELAY, generator),
            plain_adam(setting, rate, 1500),
            progress=setting.progress,
        )
        losses[name] = history
        found = mean_loss(model, test)
        if name == "RNN":
            figures.append(at_least(f"copy memory, {name}", found, 0.95 * baseline, "the baseline"))
        else:
            figures.append(at_most(f"copy memory, {name}", found, 0.8 * baseline))
    setting.picture(
        "copy.png",
        "the loss curves of the copy memory",
        lambda path: plot_losses(
            path, losses, title=f"Copying ten tokens after {DELAY} steps",
            y="nats per step", lines={f"baseline: {baseline:.3f}": baseline},
        ),
    )  # fmt: skip
    return figures


# -- gradients -------------------------------------------------------------------------------------

LAG: Final = 50
DRAWS: Final = 20

# name: (non-linearity, gain, log10 of the norm at lag 50, tolerance)
RECURRENCES: Final[dict[str, tuple[str, float, float, float]]] = {
    "sigmoid": ("sigmoid", 1.0, -34.3, 1.0),
    "tanh": ("tanh", 1.0, -10.3, 0.6),
    "ReLU, gain 1": ("relu", 1.0, -7.7, 0.8),
    "ReLU, gain sqrt 2": ("relu", math.sqrt(2), 0.0, 1.0),
    "ReLU, gain 2": ("relu", 2.0, 7.5, 1.2),
}


def gradient_by_lag(
    nonlinearity: str,
    gain: float,
    generator: np.random.Generator,
    lag: int = LAG,
    *,
    orthogonal: bool = False,
    inputs: float = 1.0,
) -> np.ndarray[Any, Any]:
    """log10 of the gradient's norm at lags 0 to `lag`, relative to that at lag 0.

    The network has 64 units and recurrent weights N(0, gain^2 / 64); normal inputs are added to
    the units. It reads as many steps before those that are measured, in float64.

    Args:
        nonlinearity: "tanh", "relu" or "sigmoid".
        gain: multiplies the recurrent weights.
        generator: draws weights, inputs and the loss's direction.
        lag: the longest.
        orthogonal: take an orthogonal matrix times the gain for the recurrent weights (Saxe et al.
            2014).
        inputs: the standard deviation of the inputs.

    Returns:
        (lag + 1,).

    Source: Pascanu, Mikolov and Bengio (2013), section 2; Hochreiter (1991).

    >>> gradient_by_lag("tanh", 1.0, np.random.default_rng(0), lag=5).shape
    (6,)
    """
    with mg.default_dtype("float64"):
        cell = RNNCell(UNITS, UNITS, nonlinearity=nonlinearity)
    cell.weight_ih.write(np.eye(UNITS))
    if orthogonal:
        orthogonal_(cell.weight_hh, gain, generator)
    else:
        cell.weight_hh.write(generator.normal(0.0, gain / math.sqrt(UNITS), (UNITS, UNITS)))
    cell.bias_ih.write(np.zeros(UNITS))
    cell.bias_hh.write(np.zeros(UNITS))
    x = inputs * generator.standard_normal((1, 2 * lag + 1, UNITS))
    h, states = mg.Tensor(np.zeros((1, UNITS))), []
    for t in range(x.shape[1]):
        h = cell(x[:, t], h)
        states.append(h)
    direction = generator.standard_normal((1, UNITS))
    seen = states[: -lag - 2 : -1]  # from the last one back
    gradients = mg.gradients((h * direction).sum(), seen)
    norms = np.array([np.linalg.norm(gradient.numpy()) for gradient in gradients])
    logarithms: np.ndarray[Any, Any] = np.log10(norms / norms[0])
    return logarithms


def run_gradients(setting: Setting) -> list[Figure]:
    """System 6: the gradient's norm against the lag, for sigmoid, tanh and ReLU; and clipping.

    >>> generator = np.random.default_rng(0)
    >>> bool(gradient_by_lag("sigmoid", 1.0, generator)[-1] < -30)  # vanishes
    True
    >>> bool(gradient_by_lag("relu", 2.0, generator)[-1] > 3)  # explodes
    True
    """
    figures, curves = [], {}
    for name, (nonlinearity, gain, target, tolerance) in RECURRENCES.items():
        generator = np.random.default_rng(setting.seed)
        draws = [gradient_by_lag(nonlinearity, gain, generator) for _ in range(DRAWS)]
        mean = np.mean(draws, axis=0)
        curves[name] = (np.arange(LAG + 1), mean)
        label = f"log10 of the norm at lag {LAG}, {name}"
        figures.append(within(label, float(mean[-1]), target, tolerance, str(target)))
    setting.picture(
        "gradient-norms.png",
        "the gradient's norm against the lag",
        lambda path: plot_curves(
            path, curves, title="Gradients that vanish, last and explode",
            x="lag (steps back)", y="log10 of the norm", lines={"unchanged": 0.0},
        ),
    )  # fmt: skip
    setting.remarks.append(
        "A common claim to put right: the sigmoid's slope is at most 1/4, which is why it vanishes "
        "fastest; and ReLU explodes only when the recurrent gain exceeds about sqrt 2, as half of "
        "its units are off."
    )
    return figures + clipping_figures(setting)


def clipping_figures(setting: Setting) -> list[Figure]:
    """Gain 2 with and without clipping, in the adding problem over 20 steps with plain SGD."""
    steps, length = setting.steps(1000), 20
    test = [adding_problem(1000, length, np.random.default_rng(setting.seed + 1000))]

    def new_model() -> AddingModel:
        mg.seed(setting.seed)
        model = AddingModel(RNN, nonlinearity="relu")
        weights = np.random.default_rng(setting.seed).normal(0, 2 / 8, (UNITS, UNITS))
        model.recurrent.weight_hh_l0.write(weights.astype(np.float32))
        return model

    def learn(model: AddingModel, max_norm: float | None) -> History:
        options = TrainingOptions(
            steps=steps, rate=0.01, schedule="constant", warmup=0, max_norm=max_norm
        )
        return fit(
            model,
            lambda generator: adding_problem(BATCH, length, generator),
            options,
            optimizer=SGD(model.parameters(), rate=options.rate),
            progress=setting.progress,
        )

    clipped = new_model()
    before = mean_loss(clipped, test)
    learn(clipped, 1.0)
    after = mean_loss(clipped, test)
    diverged = False
    with errstate(all="ignore"):
        try:
            learn(new_model(), None)
        except GradientError as error:
            diverged = True
            setting.remarks.append(f"Without clipping: {error}")
    return [
        noted("ReLU, gain 2: error before training", before),
        at_most("ReLU, gain 2: error after 1000 clipped steps", after, 0.25, "predicting 1: 0.167"),
        Figure("ReLU, gain 2: diverges without clipping", float(diverged), "1", "", diverged),
    ]
