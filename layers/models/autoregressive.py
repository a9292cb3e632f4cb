"""The autoregressive model AR(p): the next value is a linear function of the last p values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

import minigrad as mg
from layers.base.init import zeros_
from layers.base.module import Parameter
from layers.basic.linear import blank, check_sizes
from layers.models.configuration import Config
from layers.models.series import SeriesModel, as_series
from minigrad import Tensor

__all__ = ["Autoregressive", "AutoregressiveConfig"]


@dataclass(frozen=True)
class AutoregressiveConfig(Config):
    """What an autoregressive model sees.

    Attributes:
        order: p, how many values before; 1 makes it a first-order (Markov) model.
    """

    order: int = 1

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "markov": {"order": 1},
        "second-order": {"order": 2},
        "sunspots": {"order": 9},
    }

    def __post_init__(self) -> None:
        check_sizes("AutoregressiveConfig", 1, order=self.order)


class Autoregressive(SeriesModel):
    """x_t = c + phi_1 x_(t-1) + ... + phi_p x_(t-p) + noise (Yule 1927, on these very sunspots).

    `fit_least_squares` solves for the coefficients; `layers.training.fit` finds the same by
    gradient.

    Args:
        config: the order.

    >>> x = [1.0, 2.0, 4.0, 8.0, 16.0]
    >>> model = Autoregressive(AutoregressiveConfig(order=1)).fit_least_squares(x)
    >>> model.forecast(x, steps=2).round(6).tolist()
    [32.0, 64.0]
    """

    KIND = "autoregressive"
    CONFIG = AutoregressiveConfig

    config: AutoregressiveConfig

    def __init__(self, config: AutoregressiveConfig) -> None:
        super().__init__()
        self.config = config
        # (order,), the latest first
        self.weight = Parameter(blank(self, "weight", config.order, dtype=np.float64))
        self.bias = Parameter(blank(self, "bias", dtype=np.float64))
        zeros_(self.weight)
        zeros_(self.bias)

    @property
    def context(self) -> int:
        """The order."""
        return self.config.order

    def predict_all(self, standardized: Any) -> Tensor:
        """The weighted sum of every window of `order` values."""
        series = np.asanyarray(standardized)
        windows = lagged(series, self.config.order)  # (time - order + 1, order)
        return mg.Tensor(windows) @ self.weight + self.bias

    def begin(self, standardized: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """The state is the last `order` values."""
        window = standardized[-self.config.order :]
        return self.predict_all(window).numpy()[-1], window

    def advance(
        self, value: float, state: NDArray[np.float64]
    ) -> tuple[float, NDArray[np.float64]]:
        """As in `SeriesModel`."""
        return self.begin(np.append(state, value))

    def fit_least_squares(self, values: ArrayLike) -> Self:
        """Take the coefficients with the least squared error, in closed form.

        Args:
            values: (time,), at least 2 order + 1 of them.

        Raises:
            ValueError: for fewer, or for values that are all equal.

        >>> series = 1e300 * np.array([1.0, 3.0, 2.0, 4.0, 3.5])
        >>> Autoregressive(AutoregressiveConfig(1)).fit_least_squares(series).weight
        Tensor([-0.05], f64[1], requires_grad)
        """
        series = as_series("values", values, 2 * self.config.order + 1)
        self.standardize(series)
        standard = self._standard(series)
        windows = lagged(standard, self.config.order)[:-1]  # (time - order, order)
        columns = np.column_stack([np.ones(len(windows)), windows])
        solution, *_ = np.linalg.lstsq(columns, standard[self.config.order :], rcond=None)
        self.bias.write(np.asarray(solution[0]))
        self.weight.write(solution[1:])
        return self

    @property
    def coefficients(self) -> NDArray[np.float64]:
        """(order + 1,): c in the units of the series, then phi_1 ... phi_p."""
        phi = self.weight.numpy()
        constant = self.mean.item() * (1 - phi.sum()) + self.scale.item() * self.bias.item()
        return np.array([constant, *phi])


def lagged(series: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """All windows of a series, (time - order + 1, order), the latest value of each first."""
    windows: NDArray[np.float64] = np.lib.stride_tricks.sliding_window_view(series, order)
    return windows[:, ::-1].copy()
