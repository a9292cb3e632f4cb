"""What becomes of values and gradients in deep Transformers, by where they are normalised."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from layers.base.init import xavier_uniform_
from layers.base.module import Module
from layers.basic.embedding import Embedding
from layers.basic.linear import Linear
from layers.basic.normalization import LayerNorm
from layers.transformer.encoder_decoder import TransformerEncoder
from layers.transformer.positional import SinusoidalPositions
from layers.transformer.transformer_layers import TransformerEncoderLayer
from minigrad import Tensor
from minigrad.core.nodes import PlainArray

__all__ = ["DeepModel", "StreamGradients", "residual_stream", "stream_gradients"]


class DeepModel(Module):
    """A causal language model of many layers, with pre-norm or post-norm.

    All matrices are drawn as `layers.Transformer` and PyTorch's draw them (Glorot and Bengio 2010).

    Args:
        vocabulary_size: the number of distinct tokens.
        num_layers: how many layers.
        norm_first: normalise what goes into each part, and the end of the stack (Xiong et al.
            2020); or the sum after each part (Vaswani et al. 2017).
        width: features of every place; a multiple of 4.

    Shapes: token_ids (batch, time) -> logits (batch, time, vocabulary_size).

    >>> DeepModel(5, 2, norm_first=True, width=8)([[0, 1, 2]]).shape
    (1, 3, 5)
    """

    def __init__(
        self, vocabulary_size: int, num_layers: int, *, norm_first: bool, width: int = 32
    ) -> None:
        super().__init__()
        self.embedding = Embedding(vocabulary_size, width)
        self.positions = SinusoidalPositions(width)
        self.stack = TransformerEncoder(
            lambda: TransformerEncoderLayer(
                width, 4, 4 * width, 0.0, "gelu", norm_first=norm_first
            ),
            num_layers,
            LayerNorm(width) if norm_first else None,
        )
        self.readout = Linear(width, vocabulary_size)
        for parameter in self.stack.parameters():
            if parameter.ndim > 1:
                xavier_uniform_(parameter)

    def place(self, token_ids: Any) -> Tensor:
        """What the first layer reads, (batch, time, width)."""
        placed: Tensor = self.positions(self.embedding(np.asarray(token_ids)))
        return placed

    def read_out(self, x: Tensor) -> Tensor:
        """The logits from what the last layer gave."""
        logits: Tensor = self.readout(x if self.stack.norm is None else self.stack.norm(x))
        return logits

    def forward(self, token_ids: Any) -> Tensor:
        """The logits of the next token at each place."""
        return self.read_out(residual_stream(self.stack.layers, self.place(token_ids))[-1])

    def loss(self, token_ids: Any, targets: Any) -> Tensor:
        """The mean cross-entropy in nats per token."""
        return mg.cross_entropy(self(token_ids), targets)


def residual_stream(layers: Iterable[Any], x: Tensor) -> list[Tensor]:
    """What goes into the first layer, and what each one gives, attending to the past alone.

    Args:
        layers: encoder layers, or the blocks of a `layers.models.GPT`.
        x: (batch, time, width).
    """
    stream = [x]
    for layer in layers:
        options = {"causal": True} if isinstance(layer, TransformerEncoderLayer) else {}
        stream.append(layer(stream[-1], **options))
    return stream


class StreamGradients(NamedTuple):
    """Norms of the gradient of a loss, by depth.

    Attributes:
        stream: at the input of the first layer and after each layer, (layers + 1,).
        direct: the same where no gradient enters attention and feed-forward parts, so that it has
            to pass from sum to sum, and through normalisations where they are on that way.
        parameters: of all parameters of each layer together, (layers,).
    """

    stream: PlainArray
    direct: PlainArray
    parameters: PlainArray


def stream_gradients(model: DeepModel, token_ids: Any, targets: Any) -> StreamGradients:
    """Measure the gradient of the model's loss at each layer.

    >>> model = DeepModel(5, 3, norm_first=True, width=8)
    >>> found = stream_gradients(model, [[0, 1, 2]], [[1, 2, 3]])
    >>> found.stream.shape, found.parameters.shape, bool(np.ptp(found.direct) < 1e-6)
    ((4,), (3,), True)
    """
    layers: Any = model.stack.layers
    stream = residual_stream(layers, model.place(token_ids))
    loss = mg.cross_entropy(model.read_out(stream[-1]), targets)
    owned = [list(layer.parameters()) for layer in layers]
    found = mg.gradients(loss, [*stream, *(one for each in owned for one in each)])
    whole = norms(found[: len(stream)])
    each = np.split(norms(found[len(stream) :]) ** 2, len(owned))
    parts = [part for layer in layers for part in (layer.dropout1, layer.dropout2)]
    handles = [part.register_forward_hook(lambda _, __, y: mg.stop_gradient(y)) for part in parts]
    try:
        stream = residual_stream(layers, model.place(token_ids))
        loss = mg.cross_entropy(model.read_out(stream[-1]), targets)
        direct = norms(mg.gradients(loss, stream))
    finally:
        for handle in handles:
            handle.remove()
    return StreamGradients(whole, direct, np.sqrt([part.sum() for part in each]))


def norms(gradients: Iterable[Tensor]) -> PlainArray:
    """The Euclidean norm of each tensor."""
    return np.array([np.linalg.norm(gradient.numpy()) for gradient in gradients])
