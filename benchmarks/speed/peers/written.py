"""Functions written in plain operations, as a user would, and read by every library the same.

`lib` holds what has other names in other libraries: tanh, sigmoid, mean, sum, zeros.
"""

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["GENERAL", "gru_step", "lstm_step"]

Leaves = Mapping[str, Any]


def ops(lib: Any, p: Leaves, constants: Leaves) -> Any:
    y = p["x"]
    for _ in range(300):
        y = lib.tanh(y * p["w"] + p["x"])
    return lib.sum(y)


def lstm_step(lib: Any, gates: Any, c: Any) -> tuple[Any, Any]:
    """The new h and c, (batch, hidden), from gates (batch, 4 hidden) in PyTorch's order."""
    size = c.shape[1]
    i, f, u, o = (gates[:, k * size : (k + 1) * size] for k in range(4))
    c = lib.sigmoid(f) * c + lib.sigmoid(i) * lib.tanh(u)
    return lib.sigmoid(o) * lib.tanh(c), c


def gru_step(lib: Any, of_x: Any, of_h: Any, h: Any) -> Any:
    """The new h (batch, hidden) from the products of x and h, (batch, 3 hidden), as in PyTorch."""
    size = h.shape[1]
    (xr, xz, xn), (hr, hz, hn) = (
        [part[:, k * size : (k + 1) * size] for k in range(3)] for part in (of_x, of_h)
    )
    r, z = lib.sigmoid(xr + hr), lib.sigmoid(xz + hz)
    return (1 - z) * lib.tanh(xn + r * hn) + z * h


def lstm_loop(lib: Any, p: Leaves, constants: Leaves) -> Any:
    steps, batch, _ = p["x"].shape
    h = c = lib.zeros((batch, p["wh"].shape[0]))
    total = 0.0
    for t in range(steps):
        h, c = lstm_step(lib, p["x"][t] @ p["wx"] + h @ p["wh"] + p["b"], c)
        total = total + lib.mean(h * h)
    return total / steps


def gru_loop(lib: Any, p: Leaves, constants: Leaves) -> Any:
    steps, batch, _ = p["x"].shape
    h = lib.zeros((batch, p["wh"].shape[0]))
    total = 0.0
    for t in range(steps):
        h = gru_step(lib, p["x"][t] @ p["wx"] + p["b"], h @ p["wh"] + p["bh"], h)
        total = total + lib.mean(h * h)
    return total / steps


GENERAL: Final = {"ops": ops, "lstm-loop": lstm_loop, "gru-loop": gru_loop}
"""By the name of the case."""
