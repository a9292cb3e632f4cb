"""The graphs that the demonstration and the command line draw of a character model."""

from typing import TYPE_CHECKING, Any

import numpy as np

import minigrad as mg
from layers.basic.losses import CrossEntropyLoss
from layers.cells.cell_equations import take_step
from layers.cells.gated_cells import LSTMCell, lstm_step, weights_of
from layers.models.character import CharacterModel

if TYPE_CHECKING:
    from layers.models.ngram import NGramModel
    from minigrad.draw import Drawing, Graph

__all__ = ["draw_gradient_path", "draw_step", "ngram_graph", "path_loss"]


def draw_step(model: CharacterModel, token_ids: Any, theme: str = "light") -> "Drawing":
    """Every operation of one step of the model's LSTM, its gates grouped.

    Args:
        token_ids: (batch,): what the step reads.
    """
    from minigrad.draw import draw

    lstm, size = model.recurrent, model.config.hidden_size
    h = mg.Tensor(np.zeros((len(token_ids), size), np.float32), requires_grad=True)
    c = mg.Tensor(np.zeros((len(token_ids), size), np.float32), requires_grad=True)
    h.name, c.name = "h before", "c before"
    x = model.embedding(token_ids)
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
    model: CharacterModel, token_ids: Any, target: int, theme: str = "light"
) -> "Drawing":
    """The gradient's way back from the loss at the last step through the unrolled LSTM.

    Args:
        token_ids: (batch, time): what the model reads.
        target: the token that it should predict after the last one.
    """
    from minigrad.draw import draw

    return draw(path_loss(model, token_ids, target), level="cells", grad="norm", theme=theme)


def ngram_graph(model: "NGramModel", text: str, candidates: int) -> "Graph":
    """How an n-gram model predicts what follows a text: context by context, from none to the whole.

    Each box is the distribution after a context, mixed from its counts and from the box before
    (Witten and Bell 1991); it names the likeliest characters.
    """
    from minigrad.draw import Edge, Graph, Node

    assert model.tokenizer is not None
    token_ids = model.tokenizer.encode(text)
    length = min(model.config.order - 1, len(token_ids))
    letters = text[len(text) - length :]
    nodes = [Node(0, "constant", name="all alike", detail=f"1 of {len(model.tokenizer)} each")]
    edges = []
    for place in range(length):
        nodes.append(Node(1 + place, "input", name=repr(letters[place])))
    for size in range(length + 1):
        number = 1 + length + size
        context = token_ids[len(token_ids) - size :]
        found = model.counts.probabilities(context)
        order = np.argsort(-found, kind="stable")[:candidates]
        likely = ", ".join(
            f"{model.tokenizer.decode([code])!r} {found[code]:.2g}" for code in order
        )
        title = f"after {letters[length - size :]!r}" if size else "without context"
        nodes.append(Node(number, "op", op=title, detail=likely))
        edges.append(Edge(number - 1 if size else 0, number, 0, shape=found.shape))
        edges += [
            Edge(1 + place, number, slot)
            for slot, place in enumerate(range(length - size, length), 1)
        ]
    title = f"What follows {text[-20:]!r}: {model.config.order}-gram model"
    return Graph(tuple(nodes), tuple(edges), level="ops", title=title)


def path_loss(model: CharacterModel, token_ids: Any, target: int) -> mg.Tensor:
    """The loss of the character after the last one alone, with every operation recorded.

    Args:
        token_ids, target: as in `draw_gradient_path`.
    """
    with mg.recording(fused=False):
        output, _ = model.recurrent(model.embedding(token_ids))  # (batch, time, hidden_size)
        logits = model.readout(output[:, -1])  # (batch, vocabulary_size)
        loss: mg.Tensor = CrossEntropyLoss()(logits, np.full(len(token_ids), target))
    return loss
