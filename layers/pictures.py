"""The graphs that the demonstration and the command line draw of a character model."""

from typing import TYPE_CHECKING, Any

import numpy as np

import minigrad as mg
from layers.cells import LSTMCell, lstm_step, weights_of
from layers.losses import CrossEntropyLoss
from layers.models.character import CharacterModel
from layers.steps import take_step

if TYPE_CHECKING:
    from minigrad.draw import Drawing

__all__ = ["draw_gradient_path", "draw_step", "path_loss"]


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
