"""What models of a time series have in common: standardising, errors, forecasts."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

import minigrad as mg
from layers.base.module import Module
from layers.models.saving import SavedModel
from minigrad import Tensor
from minigrad.core.errors import describe
from minigrad.restoring import errstate

__all__ = ["SeriesModel", "as_series", "root_mean_square", "standardized_loss"]


def as_series(name: str, values: ArrayLike, least: int = 1) -> NDArray[np.float64]:
    """Values as float64 (time,).

    Raises:
        ValueError: for more than one axis, for fewer than `least` values, and for NaN or infinity.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must have one axis (time,), got shape {array.shape}")
    if len(array) < least:
        raise ValueError(f"{name} must have at least {least} values, got {len(array)}")
    bad = ~np.isfinite(array)
    if bad.any():
        raise ValueError(f"{name}[{int(bad.argmax())}] is {array[bad.argmax()]}, not a number")
    return array


def root_mean_square(misses: ArrayLike) -> float:
    """The root of the mean square, (time,), which does not overflow where squares would.

    >>> root_mean_square([3e300, -4e300]) / 1e300
    3.5355339059327378
    """
    array = np.asarray(misses, np.float64)
    exponent = _exponent(array)
    scaled = np.ldexp(array, -exponent)
    return float(np.ldexp(np.sqrt(np.mean(scaled**2)), exponent))


def _exponent(values: NDArray[np.float64]) -> int:
    """The power of two that is just above all magnitudes: values times 2**-it lie within 1."""
    return int(np.frexp(np.abs(values).max(initial=0.0))[1])


TIMES_SAVED = 256  # labels, which are enough to tell the step between them


class SeriesModel(SavedModel, Module):
    """Predicts the next value of a series from those before it.

    The model works on values from which the mean is taken and which are divided by the standard
    deviation, of the series given to `standardize`; what it takes and gives are in the series' own
    units.

    Attributes:
        history: that series, (time,), which is saved with the model: a forecast goes on from it.
        series_name: what the series is called, which is saved too; "" if nobody said.
        times: what the last of its values are labelled with, as many as are saved; none if nothing
            says when they were.
    """

    DESCRIBED = ("series", "times")

    def __init__(self) -> None:
        super().__init__()
        self.history, self.series_name = np.zeros(0), ""
        self.times: tuple[str, ...] = ()
        self.register_buffer("mean", Tensor(np.zeros((), np.float64)))
        self.register_buffer("scale", Tensor(np.ones((), np.float64)))

    @property
    @abstractmethod
    def context(self) -> int:
        """How many values it needs before the first that it predicts."""

    @abstractmethod
    def predict_all(self, standardized: Any) -> Tensor:
        """Predict every standardised value but the first `context`, and the one that follows.

        Args:
            standardized: (time,), at least `context` values.

        Returns:
            (time - context + 1,), standardised too.
        """

    @abstractmethod
    def begin(self, standardized: NDArray[np.float64]) -> tuple[float, Any]:
        """The forecast after standardised values (time,), and a state to go on from."""

    @abstractmethod
    def advance(self, value: float, state: Any) -> tuple[float, Any]:
        """The forecast after one more standardised value."""

    def standardize(self, values: ArrayLike) -> Self:
        """Take over the mean and the standard deviation of a series.

        Raises:
            ValueError: when all values are equal, or too near to each other for float64.
        """
        series = as_series("values", values, 2)
        if series.min() == series.max():
            raise ValueError(f"values are all {series[0]}: there is nothing to predict")
        # Powers of two are exact, and keep sums and squares of huge and tiny values in range.
        exponent = _exponent(series)
        scaled = np.ldexp(series, -exponent)
        mean, scale = np.ldexp([scaled.mean(), scaled.std()], exponent)
        if not scale:
            raise ValueError(
                f"values differ by {series.max() - series.min()} at most, too little for float64; "
                "multiply the series by a large number"
            )
        self.mean.write(np.asarray(mean))
        self.scale.write(np.asarray(scale))
        self.history = series.copy()
        return self

    def standard(self, values: ArrayLike) -> NDArray[np.float64]:
        """Standardise a series that is long enough for `loss`.

        Raises:
            ValueError: when it is too short, or out of all proportion to the one that was learned.
        """
        return self._standard(as_series("values", values, self.context + 1))

    def _standard(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        mean, scale = self.mean.item(), self.scale.item()
        exponent = max(_exponent(values), _exponent(np.array([mean, scale])))
        values, mean, unit = (np.ldexp(part, -exponent) for part in (values, mean, scale))
        with errstate(over="ignore", divide="ignore", invalid="ignore"):
            standard: NDArray[np.float64] = (values - mean) / unit
        if not np.isfinite(standard).all():
            self._check_finite()
            raise ValueError(
                f"values reach {np.ldexp(np.abs(values).max(), exponent):.3g}, out of all "
                f"proportion to the series that was learned, which has a mean of "
                f"{self.mean.item():.3g} and a standard deviation of {scale:.3g}; pass values in "
                "the same unit"
            )
        return standard

    def _in_units(self, standardized: NDArray[np.float64]) -> NDArray[np.float64]:
        with errstate(over="ignore", invalid="ignore"):
            values: NDArray[np.float64] = standardized * self.scale.item() + self.mean.item()
        if not np.isfinite(values).all():
            self._check_finite()
            step = int(np.argmin(np.isfinite(values))) + 1
            raise ValueError(
                f"forecast {step} of {len(values)} is beyond the largest float64: the model grows "
                "without bound; ask for fewer steps"
            )
        return values

    def _check_finite(self) -> None:
        """Refuse a model that can give nothing, whatever it is asked."""
        bad = [n for n, array in self.state_dict().items() if not np.isfinite(array).all()]
        if bad:
            raise ValueError(
                f"the model is of no use, as it is not finite: {', '.join(bad[:3])}; train it "
                "again, or load one that was not damaged"
            )

    def loss(self, values: Any) -> Tensor:
        """The mean squared error of one-step forecasts, in units of the variance."""
        return standardized_loss(self, self.standard(values))[0]

    def loss_weight(self, values: Any) -> int:
        """How many forecasts the mean of `loss` is over."""
        return len(values) - self.context

    def forecast(
        self, values: ArrayLike | None = None, steps: int = 1, *, cache: bool = True
    ) -> NDArray[np.float64]:
        """Forecast the values that follow, each from those before it and the forecasts so far.

        Args:
            values: what came before, (time,), at least `context` of them; the series that the
                model learned from if None.
            steps: how many to forecast, at least 1.
            cache: False reads the whole series again for every step: slower, with the same result.

        Returns:
            float64 (steps,).

        Raises:
            ValueError: for too few values or steps, where a forecast leaves float64, and when the
                model is not finite.
        """
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        before = self.history if values is None else values
        series = self._standard(as_series("values", before, self.context))
        forecasts = np.empty(steps)
        with mg.no_grad(), errstate(over="ignore", invalid="ignore"):  # refused at the end
            forecasts[0], state = self.begin(series)
            for step in range(1, steps):
                latest = float(forecasts[step - 1])
                if cache:
                    forecasts[step], state = self.advance(latest, state)
                else:
                    forecasts[step], _ = self.begin(np.append(series, forecasts[:step]))
        return self._in_units(forecasts)

    def one_step(self, values: ArrayLike) -> NDArray[np.float64]:
        """One-step forecasts of all values but the first `context`, each from the true ones before.

        Returns:
            float64 (time - context,).
        """
        series = self.standard(values)
        with mg.no_grad():
            predicted = self.predict_all(series).numpy()[:-1]
        return self._in_units(np.asarray(predicted, np.float64))

    def root_mean_squared_error(self, values: ArrayLike, last: int | None = None) -> float:
        """The error of one-step forecasts, in the units of the series.

        Args:
            values: (time,), more than `context` of them.
            last: how many of the last values count; all but the first `context` if None.
        """
        series = self.standard(values)
        with mg.no_grad():
            predicted = self.predict_all(series).numpy()[:-1]
        misses = predicted - series[self.context :]
        scale: float = self.scale.item()
        return scale * root_mean_square(misses[-last:] if last else misses)

    def _arrays(self) -> Mapping[str, Any]:
        return {**super()._arrays(), "history": self.history}

    def _take_arrays(self, arrays: Mapping[str, Any]) -> None:
        super()._take_arrays({n: array for n, array in arrays.items() if n != "history"})
        self.history = as_series("history", arrays["history"], 0)

    def _described(self) -> Mapping[str, Any]:
        named = {"series": self.series_name} if self.series_name else {}
        return {**named, "times": list(self.times[-TIMES_SAVED:])} if self.times else named

    def _take_description(self, content: Mapping[str, Any]) -> None:
        name, times = content.get("series", ""), content.get("times", [])  # some have none
        if not isinstance(name, str):
            raise TypeError(f"series must be a text, got {describe(name)}")
        if not isinstance(times, list) or not all(isinstance(label, str) for label in times):
            raise TypeError(f"times must be a list of texts, got {describe(times)}")
        self.series_name, self.times = name, tuple(times)

    def k_step(self, values: ArrayLike, steps: int) -> NDArray[np.float64]:
        """Forecasts `steps` ahead, each from the true values up to that long before.

        Returns:
            float64 (time - context - steps + 1,): forecasts of values[context + steps - 1:].
        """
        series = as_series("values", values, self.context + steps)
        ends = range(self.context, len(series) - steps + 1)
        return np.array([self.forecast(series[:end], steps)[-1] for end in ends])


def standardized_loss(model: SeriesModel, standardized: Any) -> tuple[Tensor, int]:
    """The loss of values that were standardised before, and how many forecasts it is the mean of.

    Unlike `SeriesModel.loss` it looks at no numbers, so it compiles. In `fit`, with
    `model.standard(values)` as the batch, it is the same loss.

    Args:
        model: predicts them.
        standardized: (time,), more than `model.context` values.
    """
    error = mg.mse_loss(model.predict_all(standardized)[:-1], standardized[model.context :])
    return error, len(standardized) - model.context
