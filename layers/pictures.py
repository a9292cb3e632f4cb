"""The pictures that the demonstration and the command line make of a character model."""

from typing import TYPE_CHECKING, Any

import numpy as np

import minigrad as mg
from layers.cells import LSTMCell, lstm_step, weights_of
from layers.losses import CrossEntropyLoss
from layers.models.character import CharacterModel
from layers.steps import take_step
from minigrad.errors import require

if TYPE_CHECKING:
    from minigrad.draw import Drawing

__all__ = ["draw_gradient_path", "draw_step", "path_loss", "plot_losses"]


def draw_step(model: CharacterModel, codes: Any, theme: str = "light") -> "Drawing":
    """Every operation of one step of the model's LSTM, its gates grouped.

    Args:
        codes: symbols (batch,): what the step reads.
    """
    from minigrad.draw import draw

    lstm, size = model.recurrent, model.config.hidden_size
    h = mg.Tensor(np.zeros((len(codes), size), np.float32), requires_grad=True)
    c = mg.Tensor(np.zeros((len(codes), size), np.float32), requires_grad=True)
    h.name, c.name = "h before", "c before"
    x = model.embedding(codes)
    weights = weights_of(lstm, "_l0")
    with mg.scope("LSTM cell"):
        (h, c), _ = take_step(
            lambda x, states, active: lstm_step(x, states, weights, active=active),
            LSTMCell.states,
            x,
            (h, c),
        )
    return draw([h, c], level="ops", theme=theme, title="One step of an LSTM")


def draw_gradient_path(
    model: CharacterModel, codes: Any, target: int, theme: str = "light"
) -> "Drawing":
    """The gradient's way back from the loss at the last step through the unrolled LSTM.

    Args:
        codes: symbols (batch, time): what the model reads.
        target: the symbol that it should predict after the last one.
    """
    from minigrad.draw import draw

    return draw(path_loss(model, codes, target), level="cells", grad="norm", theme=theme)


def path_loss(model: CharacterModel, codes: Any, target: int) -> mg.Tensor:
    """The loss of the character after the last one alone, with every operation recorded.

    Args:
        codes, target: as in `draw_gradient_path`.
    """
    with mg.recording(fused=False):
        output, _ = model.recurrent(model.embedding(codes))  # (batch, time, hidden_size)
        scores = model.readout(output[:, -1])  # (batch, vocabulary_size)
        loss: mg.Tensor = CrossEntropyLoss()(scores, np.full(len(codes), target))
    return loss


def plot_losses(
    path: Any, losses: list[float], validation: float, tables: dict[str, float]
) -> None:
    """Save the loss curve as a picture, with the validation losses of model and tables as lines.

    Raises:
        MissingPackageError: when matplotlib is not installed.
    """
    figure_module = require("matplotlib.figure", "plot", "the loss curve")
    figure = figure_module.Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(np.arange(1, len(losses) + 1), losses, color="#9ecae1", linewidth=0.8)
    width = min(len(losses), 50)
    if width > 1:
        smooth = np.convolve(losses, np.full(width, 1 / width), mode="valid")
        at = np.arange(width, len(losses) + 1)
        axes.plot(at, smooth, color="#08519c", label=f"training, mean of {width} steps")
    lines = [("LSTM, validation", validation, "#08519c", "--")]
    styles = [(":", "#d95f02"), ("-.", "#7570b3")]
    for (name, value), (dash, colour) in zip(tables.items(), styles, strict=False):
        lines.append((f"{name}, validation", value, colour, dash))
    for name, value, colour, dash in lines:
        axes.axhline(value, color=colour, linestyle=dash, label=f"{name}: {value:.3f}")
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats per character)")
    axes.set_title("A character LSTM learns")
    axes.legend()
    figure.savefig(path, dpi=130)
