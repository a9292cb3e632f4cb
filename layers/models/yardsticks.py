"""What a trained model has to beat: counted n-grams of a text, simple forecasts of a series."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from layers.datasets.checks import as_integers
from layers.models.autoregressive import Autoregressive, AutoregressiveConfig
from layers.models.ngram import NGram
from layers.models.series import as_series, root_mean_square

__all__ = ["series_yardsticks", "text_yardsticks"]

COUNTED = 2_000_000  # characters, the last of a training part: enough to compare with


def text_yardsticks(
    training: ArrayLike, validation: ArrayLike, vocabulary_size: int, orders: Iterable[int] = (3, 5)
) -> dict[str, float]:
    """The cross-entropies of n-gram models, in nats per token.

    Args:
        training: token ids to count, (time,); the last 2,000,000 of them count.
        validation: token ids to predict, (time,).
        vocabulary_size: the number of distinct tokens.
        orders: n of each model.

    >>> text_yardsticks([0, 1] * 50, [0, 1, 0], 2, orders=[1])
    {'1-gram': 0.693...}
    """
    counted = as_integers("training", training, vocabulary_size)[-COUNTED:]
    return {
        f"{order}-gram": NGram(order, vocabulary_size).fit(counted).cross_entropy(validation)
        for order in orders
    }


def series_yardsticks(
    values: ArrayLike, held_out: int, orders: Iterable[int] = (1, 2)
) -> dict[str, float]:
    """The errors of one-step forecasts of the last values, the root of their mean square.

    Args:
        values: (time,).
        held_out: how many of the last ones are forecast; AR models are fitted to those before.
        orders: p of each AR(p) model; left out where the values before are too few or all equal.

    Returns:
        By name, persistence first: the forecast that is the value before. Infinity stands for an
        error beyond the largest float64, as values of 1e308 may have.

    >>> series_yardsticks([1.0, 2.0, 4.0, 8.0, 16.0, 32.0], held_out=1, orders=[1])
    {'persistence': 16.0, 'AR(1)': 0.0...}
    """
    series = as_series("values", values, held_out + 1)
    found = {"persistence": root_mean_square(np.diff(series / 2)[-held_out:]) * 2}
    before = series[:-held_out]
    for order in orders:
        if len(before) > 2 * order and before.min() < before.max():
            model = Autoregressive(AutoregressiveConfig(order)).fit_least_squares(before)
            found[f"AR({order})"] = model.root_mean_squared_error(series, held_out)
    return found
