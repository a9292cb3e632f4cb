"""Stacks of Transformer layers: `TransformerEncoder`, `TransformerDecoder` and `Transformer`."""

import copy
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from layers.base.containers import ModuleList
from layers.base.init import xavier_uniform_
from layers.base.module import Module
from layers.basic.linear import check_sizes
from layers.basic.normalization import LayerNorm
from layers.transformer.attention_arguments import (
    BOTH_SEQUENCES,
    check_sequence,
    clear,
    fit_scores,
    refuse_names,
    valid_places,
)
from layers.transformer.caches import StackCache, check_cache
from layers.transformer.transformer_layers import (
    Activation,
    TransformerDecoderLayer,
    TransformerEncoderLayer,
    sizes,
)
from minigrad import Tensor
from minigrad.core.errors import ShapeError, describe

__all__ = ["Transformer", "TransformerDecoder", "TransformerEncoder"]


def reset_copy(module: Module) -> Module:
    """A copy of a module with new random parameters, drawn by `reset_parameters` of its parts.

    Raises:
        ValueError: when a part with parameters does not have that method.
    """
    made = copy.deepcopy(module)
    for path, part in reversed(list(made.named_modules())):  # the parts before the whole
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
        elif any(True for _ in part.parameters(recurse=False)):
            raise ValueError(
                f"{type(module).__name__}: {path or 'it'} has parameters and no "
                "reset_parameters(), so copies of it would all start with equal weights; define "
                "that method, or pass a function that makes a new layer at each call"
            )
    return made


class _Stack(Module):
    """Layers one after the other; the arguments are those of `TransformerEncoder`.

    Attributes:
        OPTIONS: the keyword arguments that each layer is called with, and what they are unless
            given; their meaning and their checks are the layers'.
    """

    OPTIONS: ClassVar[Mapping[str, Any]] = {
        "mask": None, "bias": None, "causal": False, "lengths": None,
    }  # fmt: skip

    def __init__(
        self, layer: Module | Callable[[], Module], num_layers: int, norm: Module | None = None
    ) -> None:
        super().__init__()
        check_sizes(type(self).__name__, least=1, num_layers=num_layers)
        self.layers = ModuleList(
            [reset_copy(layer) if isinstance(layer, Module) else layer() for _ in range(num_layers)]
        )
        self.num_layers = num_layers
        self.norm = norm

    def make_cache(self) -> StackCache:
        """Empty caches for all layers, to be given to the calls of one decoding as `cache=`."""
        return StackCache(self.num_layers)

    def _run(
        self,
        argument: str,
        x: Any,
        cache: StackCache | None,
        options: Mapping[str, Any],
        **inputs: Any,
    ) -> Tensor:
        """All layers, then the normalisation."""
        first: Any = self.layers[0]
        name = type(self).__name__
        refuse_names(name, {key: options[key] for key in options if key not in self.OPTIONS})
        given = {**self.OPTIONS, **options, **inputs}
        batch_first = getattr(first, "batch_first", True)
        if hasattr(first, "d_model"):
            check_sequence(name, argument, x, first.d_model, batch_first)
        batch, time = sizes(x, batch_first)
        valid = valid_places(name, "lengths", given["lengths"], argument, x, batch, time)
        check_cache(name, cache, StackCache, "make_cache()")
        if cache is not None and len(cache.layers) != self.num_layers:
            raise ValueError(
                f"{name}: the cache is for {len(cache.layers)} layers, and there are "
                f"{self.num_layers}; use make_cache()"
            )
        for i, layer in enumerate(self.layers):
            x = layer(x, cache=None if cache is None else cache.layers[i], **given)
        if self.norm is not None:
            x = clear(self.norm(x), valid, batch_first)
        return x  # type: ignore[no-any-return]


class TransformerEncoder(_Stack):
    """Encoder layers one after the other, over (batch, time, d_model): batch first.

    With `causal=True` and a cache it is a decoder without memory, as in GPT.

    Args:
        encoder_layer: what to repeat; each copy draws weights of its own, unlike PyTorch's, which
            are all equal at the start. Or a function without arguments that makes a layer.
        num_layers: how many layers.
        norm: is applied at the end, if given.

    >>> layer = TransformerEncoderLayer(8, 2, dim_feedforward=16)
    >>> encoder = TransformerEncoder(layer, num_layers=2).eval()
    >>> x, cache = np.ones((1, 3, 8), np.float32), encoder.make_cache()
    >>> whole = encoder(x, causal=True)
    >>> parts = [encoder(x[:, t : t + 1], causal=True, cache=cache) for t in range(3)]
    >>> joined = np.concatenate([part.numpy() for part in parts], axis=1)
    >>> np.allclose(joined, whole.numpy(), atol=1e-5)
    True
    """

    def __init__(
        self,
        encoder_layer: Module | Callable[[], Module],
        num_layers: int,
        norm: Module | None = None,
    ) -> None:
        super().__init__(encoder_layer, num_layers, norm)

    def forward(
        self,
        src: Any,
        *,
        cache: StackCache | None = None,
        **options: Any,
    ) -> Tensor:
        """Apply the layers.

        Args:
            src: (batch, time, d_model), or (time, d_model).
            cache: of earlier calls, which this one continues.
            options: mask, bias, causal and lengths, as `TransformerEncoderLayer` takes them.
        """
        return self._run("src", src, cache, options)


class TransformerDecoder(_Stack):
    """Decoder layers one after the other, over (batch, time, d_model): batch first.

    Args:
        decoder_layer: what to repeat; each copy draws weights of its own, unlike PyTorch's, which
            are all equal at the start. Or a function without arguments that makes a layer.
        num_layers: how many layers.
        norm: is applied at the end, if given.

    >>> layer = TransformerDecoderLayer(8, 2, dim_feedforward=16)
    >>> decoder = TransformerDecoder(layer, num_layers=2).eval()
    >>> x, memory = np.ones((1, 3, 8), np.float32), np.ones((1, 5, 8), np.float32)
    >>> cache = decoder.make_cache()
    >>> parts = [decoder(x[:, t : t + 1], memory, causal=True, cache=cache) for t in range(3)]
    >>> whole = decoder(x, memory, causal=True)
    >>> joined = np.concatenate([part.numpy() for part in parts], axis=1)
    >>> np.allclose(joined, whole.numpy(), atol=1e-5)
    True
    """

    OPTIONS: ClassVar[Mapping[str, Any]] = {
        **_Stack.OPTIONS, "cross_mask": None, "cross_bias": None, "memory_lengths": None,
    }  # fmt: skip

    def __init__(
        self,
        decoder_layer: Module | Callable[[], Module],
        num_layers: int,
        norm: Module | None = None,
    ) -> None:
        super().__init__(decoder_layer, num_layers, norm)

    def forward(
        self,
        tgt: Any,
        memory: Any,
        *,
        cache: StackCache | None = None,
        **options: Any,
    ) -> Tensor:
        """Apply the layers.

        Args:
            tgt: (batch, time, d_model), or (time, d_model).
            memory: what the encoder gave, (batch, memory time, d_model); after the first call with
                a cache it may be None.
            cache: of earlier calls, which this one continues.
            options: mask, bias, causal, lengths, cross_mask, cross_bias and memory_lengths, as
                `TransformerDecoderLayer` takes them.
        """
        return self._run("tgt", tgt, cache, options, memory=memory)


class Transformer(Module):
    """An encoder and a decoder that attends to what it gives: batch first, unlike PyTorch's.

    The Transformer of Vaswani et al. (2017), without embeddings and positions.

    Args:
        d_model: the number of features.
        nhead: how many heads attend.
        num_encoder_layers, num_decoder_layers: how many layers; each has weights of its own.
        dim_feedforward: features between the two linear layers of each layer.
        dropout: the probability of zero; see `TransformerEncoderLayer`.
        activation: "relu", "gelu" or a function of a tensor.
        custom_encoder, custom_decoder: modules to take the place of encoder and decoder.
        layer_norm_eps: added to the variance.
        batch_first: False for (time, batch, d_model).
        norm_first: normalise what goes into each part, and not the sum.
        bias: whether linear layers and normalisations have biases.
        method: how attention is computed; see `minigrad.scaled_dot_product_attention`.

    Both stacks end in a normalisation. Weights with two axes are drawn uniformly from
    +-sqrt(6 / (rows + columns)), as in PyTorch (Glorot and Bengio 2010).

    >>> model = Transformer(8, 2, 1, 1, dim_feedforward=16)
    >>> source, target = np.ones((2, 7, 8), np.float32), np.ones((2, 5, 8), np.float32)
    >>> model(source, target, source_lengths=[7, 3], target_causal=True).shape
    (2, 5, 8)
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Activation = "relu",
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = True,
        norm_first: bool = False,
        bias: bool = True,
        *,
        method: str | None = None,
    ) -> None:
        super().__init__()
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
        sizes_of = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps)
        options = (batch_first, norm_first, bias)

        def end() -> LayerNorm:
            return LayerNorm(d_model, layer_norm_eps, bias=bias)

        if custom_encoder is None:
            custom_encoder = TransformerEncoder(
                lambda: TransformerEncoderLayer(*sizes_of, *options, method=method),
                num_encoder_layers,
                end(),
            )
        if custom_decoder is None:
            custom_decoder = TransformerDecoder(
                lambda: TransformerDecoderLayer(*sizes_of, *options, method=method),
                num_decoder_layers,
                end(),
            )
        self.encoder, self.decoder = custom_encoder, custom_decoder
        for parameter in self.parameters():
            if parameter.ndim > 1:
                xavier_uniform_(parameter)

    def make_cache(self) -> StackCache:
        """Empty caches for the decoder, for `model.decoder(..., cache=cache)`."""
        cache: StackCache = self.decoder.make_cache()
        return cache

    def forward(
        self,
        src: Any,
        tgt: Any,
        *,
        source_mask: Any = None,
        source_bias: Any = None,
        source_causal: bool = False,
        source_lengths: Any = None,
        target_mask: Any = None,
        target_bias: Any = None,
        target_causal: bool = False,
        target_lengths: Any = None,
        cross_mask: Any = None,
        cross_bias: Any = None,
        **unknown: Any,
    ) -> Tensor:
        """Encode the source, and decode the target beside it.

        Args:
            src: (batch, source time, d_model), or (source time, d_model).
            tgt: (batch, target time, d_model), or (target time, d_model).
            source_mask, source_bias, source_causal: what source places may attend to; see
                `TransformerEncoderLayer`.
            source_lengths: (batch,) integers, how many source places are not padding. The decoder
                does not attend to the others either.
            target_mask, target_bias, target_causal, target_lengths: the same for the target.
            cross_mask, cross_bias: what the target may attend to in the source.

        Raises:
            ShapeError, DtypeError, ValueError: naming the argument that does not fit.
            TypeError: for PyTorch's names of masks, with what to write instead.
        """
        refuse_names("Transformer", unknown, BOTH_SEQUENCES)
        self._check_inputs(src, tgt, source_lengths, target_lengths)
        source, target = (sizes(x, self.batch_first)[1] for x in (src, tgt))
        for argument, value, times in (
            ("source_mask", source_mask, (source, source)),
            ("source_bias", source_bias, (source, source)),
            ("target_mask", target_mask, (target, target)),
            ("target_bias", target_bias, (target, target)),
            ("cross_mask", cross_mask, (target, source)),
            ("cross_bias", cross_bias, (target, source)),
        ):
            batch = sizes(src, self.batch_first)[0]
            heads = np.shape(value)[1] if np.ndim(value) == 4 else self.nhead  # checked within
            fit_scores("Transformer", argument, value, (batch, heads, *times))
        memory = self.encoder(
            src, mask=source_mask, bias=source_bias, causal=source_causal, lengths=source_lengths
        )
        decoded: Tensor = self.decoder(
            tgt,
            memory,
            mask=target_mask,
            bias=target_bias,
            causal=target_causal,
            lengths=target_lengths,
            cross_mask=cross_mask,
            cross_bias=cross_bias,
            memory_lengths=source_lengths,
        )
        return decoded

    def _check_inputs(self, src: Any, tgt: Any, source_lengths: Any, target_lengths: Any) -> None:
        """Refuse sequences and lengths that do not fit, under their own names."""
        for kind, argument, x, lengths in (
            ("source", "src", src, source_lengths),
            ("target", "tgt", tgt, target_lengths),
        ):
            batched = None if x is src else src.ndim == 3
            check_sequence("Transformer", argument, x, self.d_model, self.batch_first, batched)
            batch, time = sizes(x, self.batch_first)
            valid_places("Transformer", f"{kind}_lengths", lengths, argument, x, batch, time)
        if sizes(src, self.batch_first)[0] != sizes(tgt, self.batch_first)[0]:
            raise ShapeError(
                f"Transformer: src and tgt must have equal batches, got src {describe(src)} and "
                f"tgt {describe(tgt)}"
            )
