"""A latent autoregressive model: a hidden state sums up all of the past."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

import minigrad as mg
from layers.basic.linear import Linear, check_sizes
from layers.models.configuration import Config
from layers.models.series import SeriesModel
from layers.recurrent.layers import GRU
from minigrad import Tensor

__all__ = ["LatentAutoregressive", "LatentConfig"]


@dataclass(frozen=True)
class LatentConfig(Config):
    """The sizes of a latent autoregressive model.

    Attributes:
        hidden_size: units of the hidden state.
        skip: how many of the last values reach the forecast directly, besides the state.
    """

    hidden_size: int = 8
    skip: int = 1

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"sunspots": {}}

    def __post_init__(self) -> None:
        check_sizes("LatentConfig", 1, hidden_size=self.hidden_size)
        check_sizes("LatentConfig", skip=self.skip)


class LatentAutoregressive(SeriesModel):
    """h_t = GRU(h_(t-1), x_t), and x_(t+1) is a linear function of h_t and of the last values.

    Unlike AR(p) it has no fixed horizon: the state carries what it needs of the whole past (Zhang
    et al., Dive into Deep Learning, section 9.1). The recurrence begins at a zero state.

    Args:
        config: the sizes.

    >>> model = LatentAutoregressive(LatentConfig(hidden_size=4)).standardize([1.0, 3.0, 2.0])
    >>> model.forecast([1.0, 3.0, 2.0], steps=5).shape
    (5,)
    """

    KIND = "latent autoregressive"
    CONFIG = LatentConfig

    config: LatentConfig

    def __init__(self, config: LatentConfig) -> None:
        super().__init__()
        self.config = config
        with mg.default_dtype("float64"):
            self.recurrent = GRU(1, config.hidden_size)
            self.readout = Linear(config.hidden_size + config.skip, 1)

    @property
    def context(self) -> int:
        """One value is enough."""
        return max(1, self.config.skip)

    def predict_all(self, standardized: Any) -> Tensor:
        """Read the series from its beginning."""
        forecasts, _ = self._read(np.asanyarray(standardized), None)
        return forecasts[self.context - 1 :]

    def begin(self, standardized: NDArray[np.float64]) -> tuple[float, Any]:
        """The state is that of the GRU, and the last `skip` values."""
        forecasts, state = self._read(standardized, None)
        return forecasts.numpy()[-1], (state, standardized[-self.context :])

    def advance(self, value: float, state: Any) -> tuple[float, Any]:
        """As in `SeriesModel`."""
        hidden, latest = state
        latest = np.append(latest, value)[-self.context :]
        forecasts, hidden = self._read(latest, hidden, already=len(latest) - 1)
        return forecasts.numpy()[-1], (hidden, latest)

    def _read(
        self, x: NDArray[np.float64], state: Tensor | None, already: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Forecasts after every value (time,) but those that the state has read, and the state."""
        states, state = self.recurrent(x[None, already:, None], state)  # (1, time, hidden_size)
        parts = [states[0]]
        if self.config.skip:
            padded = np.concatenate([np.zeros(self.config.skip - 1), x])
            windows = np.lib.stride_tricks.sliding_window_view(padded, self.config.skip)
            parts.append(mg.Tensor(windows[already:].copy()))  # (time, skip)
        return self.readout(mg.concatenate(parts, axis=1))[:, 0], state
