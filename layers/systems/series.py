"""Systems 2 and 3: autoregressive models, on the sunspots and on the text."""

import time
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import minigrad as mg
from layers.datasets import sunspots
from layers.models import (
    Autoregressive,
    AutoregressiveConfig,
    LatentAutoregressive,
    LatentConfig,
    NGramConfig,
    NGramModel,
    SeriesModel,
)
from layers.models.series import standardized_loss
from layers.systems.results import ComparisonRow, Figure, Setting, at_most, noted, within
from layers.systems.texts import ORDERS, WITTEN_BELL, Text, compare_tables
from layers.systems.whole_runs import fit
from layers.training import TrainingOptions
from layers.training.plots import plot_curves
from minigrad.optim import SGD

__all__ = ["fit_by_gradient", "fit_latent", "run_latent", "run_markov"]

Array = NDArray[np.float64]

PERIODS: Final = {"1712-1920": (1712, 1920), "1921-55": (1921, 1955), "1956-79": (1956, 1979)}
"""Training years with twelve before them, which all models can see; and two periods to forecast."""
TRAINED_UNTIL: Final = 1920
VARIANCE: Final = 1535.0
"""Of the sunspot numbers: errors are given as shares of it, as is usual for this series."""
HELD_BACK: Final = 35
"""The last training years, on which the latent model is validated while it learns."""


class Sunspots:
    """The series, and the errors of forecasts of its periods."""

    def __init__(self) -> None:
        self.years, self.values = sunspots()
        self.training = self.values[self.years <= TRAINED_UNTIL]

    def errors(self, forecasts: Array, context: int) -> dict[str, float]:
        """The mean squared error of one-step forecasts of all years but the first `context`."""
        squares, years = (forecasts - self.values[context:]) ** 2, self.years[context:]
        return {
            name: float(squares[(years >= first) & (years <= last)].mean()) / VARIANCE
            for name, (first, last) in PERIODS.items()
        }

    def errors_of(self, model: SeriesModel) -> dict[str, float]:
        """The same of a model."""
        return self.errors(model.one_step(self.values), model.context)


def fit_by_gradient(order: int, values: Array, steps: int = 1000) -> Autoregressive:
    """AR(p) by gradient descent with momentum on the mean squared error.

    >>> _, values = sunspots()
    >>> fit_by_gradient(1, values).coefficients.round(3).tolist()
    [8.787, 0.824]
    """
    model = Autoregressive(AutoregressiveConfig(order)).standardize(values)
    optimizer = SGD(model.parameters(), rate=0.1, momentum=0.9)
    options = TrainingOptions(steps=steps, schedule="constant", warmup=0, max_norm=None)
    standard = model.standard(values)
    fit(
        model,
        lambda _: standard,
        options,
        loss=standardized_loss,
        optimizer=optimizer,
        progress=False,
    )
    return model


def run_markov(setting: Setting) -> list[Figure]:
    """System 2: AR(p) by gradient and by least squares; n-grams of the text.

    >>> years, values = sunspots()
    >>> model = Autoregressive(AutoregressiveConfig(order=2)).fit_least_squares(values)
    >>> model.coefficients.round(4).tolist()
    [14.9071, 1.3918, -0.6903]
    >>> model.forecast(values, steps=3).shape
    (3,)
    """
    data = Sunspots()
    figures = []
    known = {1: (8.787, 0.8238), 2: (14.907, 1.3918, -0.6903)}
    for order, expected in known.items():
        model = Autoregressive(AutoregressiveConfig(order)).fit_least_squares(data.values)
        gradient = fit_by_gradient(order, data.values, setting.steps(1000))
        difference = float(np.abs(model.coefficients - gradient.coefficients).max())
        figures.append(
            at_most(f"AR({order}), gradient against least squares: largest difference", difference,
                    1e-4)
        )  # fmt: skip
        for i, (value, digits) in enumerate(zip(model.coefficients, expected, strict=True)):
            name = f"AR({order}), " + (f"phi {i}" if i else "constant")
            # The constants are known to three digits after the point, the others to four.
            figures.append(within(name, value, digits, 6e-4 if i == 0 else 1e-4, str(digits)))
    figures += series_figures(setting, data)
    text = Text()
    found = compare_tables(text, setting)
    figures += [
        within(f"text, {order}-gram, nats per character", value, reference, 0.001, str(reference))
        for order, value, reference in zip(ORDERS, found, WITTEN_BELL, strict=True)
    ]
    config = NGramConfig.preset("5-gram", vocabulary_size=len(text.tokenizer))
    setting.keep(NGramModel(config, text.tokenizer).fit(text.training), "model-5-gram")
    setting.picture(
        "n-grams.png",
        "nats per character against the order of the n-gram",
        lambda path: plot_curves(
            path, {"Witten-Bell n-gram": (list(ORDERS), found)}, marker="o",
            title="Longer contexts help, until they are too rare", x="order n",
            y="nats per character", lines={f"uniform: {text.uniform:.2f}": text.uniform},
        ),
    )  # fmt: skip
    return figures


def series_figures(setting: Setting, data: Sunspots) -> list[Figure]:
    """Forecast errors of persistence and of AR(1), AR(2) and AR(9)."""
    references = {
        "persistence": (0.292, 0.416, 0.940),
        "AR(1)": (0.264, 0.378, 0.912),
        "AR(2)": (0.146, 0.185, 0.439),
        "AR(9)": (0.130, 0.123, 0.342),
    }
    errors = {"persistence": (data.errors(data.values[:-1], 1), 0, 0.0)}
    models = {}
    for order in (1, 2, 9):
        begun = time.perf_counter()
        model = Autoregressive(AutoregressiveConfig(order)).fit_least_squares(data.training)
        seconds = time.perf_counter() - begun
        models[order] = model
        errors[f"AR({order})"] = (data.errors_of(model), order + 1, seconds)
    figures = []
    for name, (measured, parameters, seconds) in errors.items():
        setting.comparisons.append(ComparisonRow("series", name, parameters, seconds, measured))
        for (period, value), reference in zip(measured.items(), references[name], strict=True):
            figures.append(
                within(f"sunspots {period}, {name}, error / variance", value, reference, 0.002,
                       str(reference))
            )  # fmt: skip
    setting.keep(models[9])
    draw_forecasts(setting, data, {"AR(2)": models[2], "AR(9)": models[9]})
    return figures


def draw_forecasts(setting: Setting, data: Sunspots, models: dict[str, SeriesModel]) -> None:
    """One-step forecasts, and forecasts of all years from 1921 on at once."""
    first = int(np.argmax(data.years > TRAINED_UNTIL))
    shown = slice(first, first + 35)
    curves: dict[str, Any] = {"measured": (data.years[shown], data.values[shown])}
    far: dict[str, Any] = dict(curves)
    for name, model in models.items():
        curves[f"{name}, one year ahead"] = (
            data.years[shown],
            model.one_step(data.values)[first - model.context :][:35],
        )
        far[f"{name}, from 1920 on"] = (
            data.years[shown],
            model.forecast(data.values[:first], 35),
        )
    for file, what, lines in (
        ("forecast.png", "one-step forecasts", curves),
        ("forecast-far.png", "forecasts of 35 years at once", far),
    ):
        draw = partial(
            plot_curves, curves=lines, title=f"Sunspots: {what}", x="year", y="sunspot number"
        )
        setting.picture(file, what, draw)


def fit_latent(
    training: Array, seed: int = 0, steps: int = 800, progress: bool = False
) -> LatentAutoregressive:
    """A latent model that learns a series, and stops by its error on the last years of it.

    >>> _, values = sunspots()
    >>> model = fit_latent(values, steps=3)
    >>> model.forecast(values, steps=10).shape
    (10,)
    """
    mg.seed(seed)
    model = LatentAutoregressive(LatentConfig.preset("sunspots")).standardize(training)

    def validate() -> float:
        misses = model.one_step(training)[-HELD_BACK:] - training[-HELD_BACK:]
        return float(np.mean(misses**2))

    standard = model.standard(training[:-HELD_BACK])
    fit(
        model,
        lambda _: standard,
        TrainingOptions(
            steps=steps, rate=0.01, warmup=20, validate_every=20, patience=10, seed=seed
        ),
        loss=standardized_loss,
        compiled=False,  # tracing hundreds of time steps takes longer than training by the kernel
        validate=validate,
        progress=progress,
    )
    return model


def run_latent(setting: Setting) -> list[Figure]:
    """System 3: a GRU with 8 units and a skip, mean of 5 seeds, against AR(2) and AR(9).

    >>> model = LatentAutoregressive(LatentConfig(hidden_size=8)).standardize([1.0, 2.0, 4.0])
    >>> model.k_step(np.arange(10.0), steps=3).shape
    (7,)
    """
    data = Sunspots()
    found, begun = [], time.perf_counter()
    for seed in range(setting.seed, setting.seed + 5):
        model = fit_latent(data.training, seed, setting.steps(800))
        found.append(data.errors_of(model))
        if seed == setting.seed:
            first = model
    seconds = (time.perf_counter() - begun) / 5
    means = {name: float(np.mean([errors[name] for errors in found])) for name in PERIODS}
    spread = float(np.std([errors["1921-55"] for errors in found]))
    count = first.parameter_count()
    setting.comparisons.append(
        ComparisonRow("series", "latent GRU 8, mean of 5 seeds", count, seconds, means)
    )
    linear = {
        order: Autoregressive(AutoregressiveConfig(order)).fit_least_squares(data.training)
        for order in (2, 9)
    }
    second, ninth = (data.errors_of(model) for model in linear.values())
    setting.keep(first)
    draw_forecasts(setting, data, {"latent GRU": first, "AR(9)": linear[9]})
    ahead = range(1, 13)
    setting.picture(
        "by-horizon.png",
        "the error against how far ahead the forecast is",
        lambda path: plot_curves(
            path,
            {
                name: (list(ahead), [horizon_error(model, data, k) for k in ahead])
                for name, model in {"latent GRU": first, "AR(2)": linear[2],
                                    "AR(9)": linear[9]}.items()
            },
            title="Forecasts of 1921-55, further and further ahead", x="years ahead",
            y="error / variance", marker="o",
        ),
    )  # fmt: skip
    tests = list(PERIODS)[1:]
    better = [name for name in tests if ninth[name] < means[name]]
    setting.remarks.append(
        f"AR(9), ten coefficients fitted to 221 years, is better than the latent model on "
        f"{len(better)} of the two test periods: "
        + "; ".join(f"{name} {ninth[name]:.3f} against {means[name]:.3f}" for name in tests)
        + ". On so short a series a linear model is hard to beat."
    )
    again = first.forecast(data.training, 20, cache=False)
    return [
        at_most("sunspots 1921-55, mean of 5 seeds", means["1921-55"], second["1921-55"],
                ".146 ± .029; the bar is AR(2)"),
        noted("sunspots 1921-55, standard deviation over the seeds", spread),
        noted("sunspots 1712-1920 (training), mean of 5 seeds", means["1712-1920"], ".046"),
        noted("sunspots 1956-79, mean of 5 seeds", means["1956-79"], "AR(9) .342"),
        at_most("20-step forecast, carried state against reading anew",
                float(np.abs(first.forecast(data.training, 20) - again).max()), 1e-9),
    ]  # fmt: skip


def horizon_error(model: SeriesModel, data: Sunspots, steps: int) -> float:
    """The error of forecasts of 1921-55 so many years ahead."""
    (chosen,) = np.nonzero((data.years >= 1921) & (data.years <= 1955))
    forecasts = [model.forecast(data.values[: i + 1 - steps], steps)[-1] for i in chosen]
    return float(np.mean((forecasts - data.values[chosen]) ** 2)) / VARIANCE
