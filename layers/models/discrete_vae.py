"""A discrete variational autoencoder: small pictures as a few codes from a book.

Comments tell the shape of what a line gives: B pictures of P x P grey levels (image_size), F
channels of convolutions, S x S codes of each picture (S = P / 2, the side), N = S^2 of them, K
codes in the book with E features each (book_size, code_width).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import minigrad as mg
from layers.base.init import normal_
from layers.base.module import Module, Parameter
from layers.base.renamed import OldName
from layers.basic.convolution import Conv2d, ConvTranspose2d
from layers.basic.linear import blank, check_sizes
from layers.models.configuration import Config
from layers.models.saving import SavedModel
from minigrad import Tensor
from minigrad.core.errors import ShapeError, describe
from minigrad.core.nodes import PlainArray
from minigrad.ops.randomness import draw_numbers

__all__ = ["DiscreteVAE", "DiscreteVAEConfig"]

FIRST_TEMPERATURE, LAST_TEMPERATURE = 1.0, 0.1


@dataclass(frozen=True)
class DiscreteVAEConfig(Config):
    """The sizes of a discrete variational autoencoder.

    Attributes:
        image_size: height and width of the pictures; even. The codes have half of both.
        book_size: how many codes there are.
        code_width: features of each code.
        channels: of the convolutions.
        divergence: the weight of the Kullback-Leibler divergence of the codes from even use.

    >>> DiscreteVAEConfig.preset("digits").codes
    16
    """

    image_size: int = 8
    book_size: int = 32
    code_width: int = 16
    channels: int = 32
    divergence: float = 1e-3

    UNSEEN: ClassVar[Mapping[str, int]] = {"image_size": 65_536}
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "digits": {},
        "tiny": {"book_size": 8, "code_width": 4, "channels": 8},
    }

    def __post_init__(self) -> None:
        check_sizes(
            "DiscreteVAEConfig",
            1,
            book_size=self.book_size,
            code_width=self.code_width,
            channels=self.channels,
        )
        if not 0 <= self.divergence < math.inf:
            raise ValueError(
                f"DiscreteVAEConfig: divergence must be a number of 0 or more, got "
                f"{self.divergence}"
            )
        if self.image_size < 2 or self.image_size % 2:
            raise ValueError(
                f"DiscreteVAEConfig: image_size must be even and at least 2, got {self.image_size}"
            )

    @property
    def side(self) -> int:
        """Codes in each row and column."""
        return self.image_size // 2

    @property
    def codes(self) -> int:
        """Codes of a picture."""
        return self.side**2


class DiscreteVAE(SavedModel, Module):
    """Encodes a picture as a grid of codes, and decodes it: the first stage of DALL-E.

    The encoder gives a logit for every code at every place. In training a code is drawn in a way
    that lets the gradient through: softmax((logits + Gumbel noise) / temperature), which approaches
    a single code as the temperature falls (Jang et al. 2017; Maddison et al. 2017; Ramesh et al.
    2021, section 2.1). Afterwards the code with the highest logit is taken.

    Args:
        config: the sizes.

    Shapes: pictures (B, P, P) with grey levels 0 to 1 <-> codes (B, N), row by row.

    >>> model = DiscreteVAE(DiscreteVAEConfig.preset("tiny"))
    >>> codes = model.encode(np.zeros((2, 8, 8), np.float32))
    >>> codes.shape, model.decode(codes).shape
    ((2, 16), (2, 8, 8))
    """

    KIND = "discrete VAE"
    CONFIG = DiscreteVAEConfig

    config: DiscreteVAEConfig

    def __init__(self, config: DiscreteVAEConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.channels
        self.encode_whole = Conv2d(1, channels, 3, padding=1)
        self.encode_halved = Conv2d(channels, channels, 4, stride=2, padding=1)
        # The last part of the encoder; saved models know the name of before, not encode_logits.
        self.encode_scores = Conv2d(channels, config.book_size, 1)
        shape = config.book_size, config.code_width
        self.book = Parameter(blank(self, "book", *shape, dtype=np.float32))
        normal_(self.book)
        self.decode_halved = Conv2d(config.code_width, channels, 3, padding=1)
        self.decode_whole = ConvTranspose2d(channels, channels, 4, stride=2, padding=1)
        self.decode_picture = Conv2d(channels, 1, 3, padding=1)
        self.register_buffer("temperature", Tensor(np.array(FIRST_TEMPERATURE, np.float32)))

    def anneal(self, done: float) -> None:
        """Set the temperature for a share of the training, from 1 down to 0.1 geometrically."""
        ratio = LAST_TEMPERATURE / FIRST_TEMPERATURE
        value = FIRST_TEMPERATURE * ratio ** min(max(done, 0.0), 1.0)
        self.temperature.write(np.array(value, np.float32))

    def logits(self, images: Any) -> Tensor:
        """The logit of every code at every place, (B, N, K): the encoder.

        Raises:
            ShapeError: for pictures of another size.
        """
        size = self.config.image_size
        if np.ndim(images) != 3 or images.shape[1:] != (size, size):
            raise ShapeError(
                f"DiscreteVAE: images must be (batch, {size}, {size}), got {describe(images)}"
            )
        x = images[:, None]  # (B, 1, P, P)
        x = mg.relu(self.encode_whole(x))  # (B, F, P, P)
        x = mg.relu(self.encode_halved(x))  # (B, F, S, S)
        x = self.encode_scores(x)  # (B, K, S, S)
        x = x.reshape(len(images), self.config.book_size, -1)  # (B, K, N)
        logits: Tensor = x.swapaxes(1, 2)  # (B, N, K)
        return logits

    scores = OldName("logits")

    def picture(self, vectors: Tensor) -> Tensor:
        """Pictures (B, P, P) from vectors of the book (B, N, E): the decoder."""
        side = self.config.side
        x = vectors.swapaxes(1, 2)  # (B, E, N)
        x = x.reshape(len(vectors), self.config.code_width, side, side)  # (B, E, S, S)
        x = mg.relu(self.decode_halved(x))  # (B, F, S, S)
        x = mg.relu(self.decode_whole(x))  # (B, F, P, P)
        x = self.decode_picture(x)  # (B, 1, P, P)
        picture: Tensor = x[:, 0]  # (B, P, P)
        return picture

    def forward(
        self, images: Any, generator: "np.random.Generator | None" = None
    ) -> tuple[Tensor, Tensor]:
        """Reconstructions through softly drawn codes, and the logits.

        Args:
            images: (B, P, P).
            generator: draws the noise; the default one if None.
        """
        logits = self.logits(images)  # (B, N, K)
        noise = draw_numbers(generator, "gumbel", size=logits.shape, name="DiscreteVAE")
        sharp = (logits + noise.astype(logits.dtype)) / self.temperature  # (B, N, K)
        drawn = mg.softmax(sharp, axis=-1)  # (B, N, K), nearly one-hot at a low temperature
        vectors = drawn @ self.book  # (B, N, E)
        return self.picture(vectors), logits  # (B, P, P), (B, N, K)

    def loss(self, images: Any) -> Tensor:
        """The mean squared error of reconstructions, plus the weighted divergence of the codes.

        The divergence is that of Kullback and Leibler from even use of the book: the sum of
        p log(p / (1 / K)) over the codes, or log K minus the entropy.
        """
        pictures, logits = self(images)  # (B, P, P), (B, N, K)
        error = mg.mse_loss(pictures, images)  # ()
        logarithms = mg.log_softmax(logits, axis=-1)  # (B, N, K)
        minus_entropy = (np.exp(logarithms) * logarithms).sum(axis=-1)  # (B, N)
        divergence = minus_entropy.mean() + math.log(self.config.book_size)  # ()
        total: Tensor = error + self.config.divergence * divergence
        return total

    def encode(self, images: Any) -> PlainArray:
        """The likeliest codes, int64 (B, N)."""
        with mg.no_grad():
            codes: PlainArray = self.logits(images).numpy().argmax(axis=-1)
        return codes

    def decode(self, codes: Any) -> PlainArray:
        """The pictures of codes (B, N): float32 (B, P, P) within 0 and 1.

        Raises:
            ShapeError: for another number of codes.
            ValueError: for a code that is not in the book.
        """
        chosen = np.asarray(codes)
        if chosen.ndim != 2 or chosen.shape[1] != self.config.codes:
            raise ShapeError(
                f"DiscreteVAE: codes must be (batch, {self.config.codes}), got {describe(chosen)}"
            )
        if chosen.size and not 0 <= chosen.min() <= chosen.max() < self.config.book_size:
            raise ValueError(
                f"DiscreteVAE: codes must lie in 0..{self.config.book_size - 1}, got "
                f"{chosen.min()} to {chosen.max()}"
            )
        with mg.no_grad():
            vectors = self.book[chosen]  # (B, N, E)
            pictures = self.picture(vectors).numpy()  # (B, P, P)
        clipped: PlainArray = np.clip(pictures, 0.0, 1.0)
        return clipped

    def reconstruct(self, images: Any) -> PlainArray:
        """Pictures from the likeliest codes of pictures."""
        return self.decode(self.encode(images))
