"""Series on the command line: what `minigrad train` and `minigrad sample` do with them."""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from layers.cli.arguments import check_output
from layers.cli.data import given_series, tell_notes
from layers.cli.runs import (
    PICTURES,
    TRAINING,
    digest,
    given,
    inform,
    kept,
    outcome,
    prepare_folder,
    save_picture,
    tell,
)
from layers.datasets import Series, split, sunspots
from layers.datasets.columns.time_labels import following, why_unnamed
from layers.models import (
    Autoregressive,
    AutoregressiveConfig,
    LatentAutoregressive,
    LatentConfig,
    SeriesModel,
)
from layers.models.series import standardized_loss
from layers.models.yardsticks import series_yardsticks
from layers.training import TrainingOptions, fit
from layers.training.plots import plot_curves

__all__ = ["train_series", "write_forecast"]

PLOTTED = 1e100  # beyond it, matplotlib gets values by their power of ten
WIDTH = 80  # characters below a plot
MEASURE = "validation_root_mean_squared_error"


def train_series(options: argparse.Namespace) -> dict[str, Any]:
    """A model of a series; its last tenth is for validation, and learned too in the end by AR."""
    series = given_series(options, options.file)
    if series is None:
        years, activity = sunspots()
        note = f"sunspots: {len(activity)} values, {years[0]} to {years[-1]}"
        series = Series("sunspots", activity, tuple(map(str, years)), (note,))
    values = series.values
    order = options.order or 2
    least = max(10, -(-10 * (2 * order + 1 if options.model == "ar" else 10) // 9))
    if len(values) < least:
        what = f"--order {order}" if options.model == "ar" else "a latent model"
        raise ValueError(
            f"the series has {len(values)} values, too few for {what}, as a tenth is for "
            f"validation; at least {least} are needed"
        )
    training, validation = split(values)
    if training.min() == training.max():
        raise ValueError(
            f"the first {len(training)} of {len(values)} values of {series.name!r} are all "
            f"{training[0]:g}, so there is nothing to learn"
        )
    folder = prepare_folder(options)
    for note in series.notes:
        inform(options, note)
    yardsticks = {
        name: in_range(error) for name, error in series_yardsticks(values, len(validation)).items()
    }
    yardsticks.pop(f"AR({order})" if options.model == "ar" else "", None)
    found = {"column": series.name, "values": len(values), "notes": list(series.notes)}
    if not folder.has_run:
        folder.log(step=0, column=series.name, yardsticks=yardsticks)
    if options.model == "ar":
        model = Autoregressive(AutoregressiveConfig(order)).fit_least_squares(training)
        error = in_range(model.root_mean_squared_error(values, len(validation)))
        model.fit_least_squares(values).series_name = series.name
        model.times = series.times if series.has_times else ()
        with folder.held():
            model.save(options.out)
            folder.drop_replaced()
        folder.log(step=0, validation=error)
        return {
            **found,
            "coefficients": labelled(model),
            MEASURE: error,
            "yardsticks": yardsticks,
        }
    mg.seed(options.seed)
    latent = LatentAutoregressive(LatentConfig(options.hidden_size or 8)).standardize(training)
    # The run saves the model as it goes: forecasts go on from the end of all that is known.
    latent.history, latent.series_name = values, series.name
    latent.times = series.times if series.has_times else ()
    standard = latent.standard(training)
    history = fit(
        latent,
        lambda _: standard,
        TrainingOptions(
            steps=options.steps or (None if options.seconds else 800),
            seconds=options.seconds,
            warmup=20,
            validate_every=20,
            patience=10,
            seed=options.seed,
            **{"rate": 0.01, **given(options, *TRAINING)},
        ),
        loss=standardized_loss,
        validate=lambda: latent.root_mean_squared_error(values, len(validation)),
        **{
            **kept(options, folder),
            "compiled": False,
        },  # tracing a long series takes longer than training
        identity={"series": digest(np.ascontiguousarray(values).tobytes())},
    )
    told = outcome(options, history, MEASURE)
    if told[MEASURE] is not None:
        told[MEASURE] = in_range(told[MEASURE])
    return {**told, **found, "yardsticks": yardsticks}


def in_range(error: float) -> float | str:
    """An error, or words where it is more than float64 holds, as that of a series of 1e308 may be.

    >>> in_range(0.5), in_range(math.inf)
    (0.5, 'beyond the largest number, 1.8e+308')
    """
    return error if math.isfinite(error) else f"beyond the largest number, {sys.float_info.max:.2g}"


def labelled(model: Autoregressive) -> dict[str, float]:
    """The coefficients, by name."""
    constant, *phi = model.coefficients.tolist()
    lags = {f"coefficient of lag {lag}": value for lag, value in enumerate(phi, 1)}
    return {"constant": constant, **lags}


def write_forecast(model: SeriesModel, options: argparse.Namespace) -> None:
    """Numbers, and a plot of them after the series."""
    if options.prompt is not None:
        raise ValueError(
            "a forecast takes no PROMPT; pass the series to go on from as --data FILE.csv"
        )
    steps = options.length or 12
    out = options.out or Path("forecast.png")
    check_output(out, PICTURES)
    if options.data is None and options.column is not None:
        raise ValueError("--column is for --data")
    series = given_series(options, options.data, model.series_name)
    if series is None:
        name, learned = model.series_name or "value", model.history
        until = f", up to {model.times[-1]}" if model.times else ""
        note = f"going on from the {len(learned)} values of {name!r} that the model learned{until}"
        series = Series(name, learned, model.times, (note,), bool(model.times))
    values = series.values
    if len(values) < model.context:
        raise ValueError(
            f"{options.data or options.model} has {len(values)} values, and this model needs "
            f"{model.context} to go on from"
        )
    forecast = model.forecast(values, steps, cache=not options.no_cache)
    labels = following(series.times, steps)
    why = why_unnamed(series.times) if series.has_times else ""
    if why:
        series = series._replace(notes=(*series.notes, f"the steps are called +1, +2, ...: {why}"))
    found: dict[str, Any] = {"column": series.name, "notes": list(series.notes)}
    if isinstance(model, Autoregressive):
        found["coefficients"] = labelled(model)
    count = len(values) - model.context
    if options.data is not None and count > 0:
        found["one_step_error"] = in_range(model.root_mean_squared_error(values))
        persistence = series_yardsticks(values, count, orders=())["persistence"]
        found["persistence_error"] = in_range(persistence)
    if options.json:
        tell(options, model, times=labels, forecast=forecast.tolist(), **found)
    else:
        tell_notes([*series.notes, *sentences(found)])
        width = max(map(len, [*labels, 8 * " "]))
        for label, value in zip(labels, forecast, strict=True):
            print(f"{label:>{width}}  {value:.5g}")
    shown = np.concatenate([values, forecast])
    high = np.abs(shown).max()
    power = int(np.log10(high)) if high > PLOTTED else 0
    title = f"{series.name} / 1e{power}" if power else series.name
    shown = shown / 10.0**power
    places = np.arange(len(shown))
    first, last = max(0, len(values) - max(60, 3 * steps)), len(values)
    curves = {
        "series": (places[first:last], shown[first:last]),
        "forecast": (places[last - 1 :], shown[last - 1 :]),
    }
    dated = series.has_times and not why
    names = [*series.times, *labels] if dated else []
    ticks = few_ticks(names, len(shown), first)
    save_picture(
        options,
        out,
        lambda: plot_curves(
            out,
            curves,
            title=f"Forecast of {series.name}",
            x="time" if dated else "step",
            y=title,
            ticks=ticks,
        ),
    )


def few_ticks(names: Sequence[str], count: int, first: int) -> dict[int, str]:
    """Names of some places on an axis, so few that they do not overlap.

    Args:
        names: of the last places.
        count: how many places there are, from 0 on.
        first: the first that is shown.
    """
    if not names:
        return {}
    start = max(first, count - len(names))
    most = max(2, min(7, WIDTH // (max(map(len, names)) + 3)))
    step = max(1, -(-(count - 1 - start) // (most - 1)))
    return {place: names[place - count] for place in range(count - 1, start - 1, -step)}


def sentences(found: dict[str, Any]) -> list[str]:
    """What is told of the model beside its forecast."""
    told = [f"{name}: {value:.5g}" for name, value in found.get("coefficients", {}).items()]
    if "one_step_error" in found:
        model, persistence = (
            error if isinstance(error, str) else f"{error:.4g}"
            for error in (found["one_step_error"], found["persistence_error"])
        )
        told.append(
            f"root mean squared error of one-step forecasts of this series: {model}; of "
            f"persistence, the value before: {persistence}"
        )
    return told
