"""Multi-head attention, and every intermediate of its computation by name."""

import contextlib
from typing import Any

import numpy as np

import minigrad as mg
from layers.base.init import xavier_normal_, xavier_uniform_, zeros_
from layers.base.inputs import cast_input
from layers.base.module import Module, Parameter
from layers.basic.linear import Linear, blank, check_sizes
from layers.transformer.attention_arguments import (
    BATCH_FIRST,
    check_sequence,
    clear,
    fit_scores,
    refuse_names,
    valid_places,
)
from layers.transformer.caches import KeyValueCache, check_cache
from layers.transformer.heads import (
    AttentionSteps,
    Heads,
    concatenate_heads,
    split_heads,
    steps_of,
    with_extras,
)
from layers.transformer.positional import RotaryPositions
from minigrad import Tensor
from minigrad.core.errors import ShapeError, describe
from minigrad.core.nodes import PlainArray

__all__ = ["AttentionSteps", "MultiheadAttention", "attention_steps"]

NAME = "MultiheadAttention"


class MultiheadAttention(Module):
    """Multi-head attention over (batch, time, features): batch first, unlike PyTorch's default.

    Each head attends with its own projections of the inputs (Vaswani et al. 2017, section 3.2.2):

        head_i = softmax(Q W_i^Q (K W_i^K)^T / sqrt(d)) V W_i^V
        output = concatenated heads W^O

    Args:
        embed_dim: features of the query and of the output.
        num_heads: how many heads; embed_dim is divided among them.
        dropout: the probability with which a weight is zeroed while training.
        bias: whether the projections have biases.
        add_bias_kv: add one learned key and value that may always be attended to.
        add_zero_attn: add a key and value of zeros that may always be attended to.
        kdim, vdim: features of key and value; embed_dim if None.
        batch_first: False for inputs (time, batch, features).
        rotary: turns the queries and keys of each head by their position.
        method: how it is computed; see `minigrad.scaled_dot_product_attention`.

    Parameters as in PyTorch: in_proj_weight (3 embed_dim, embed_dim), or with kdim or vdim
    q_proj_weight, k_proj_weight and v_proj_weight; in_proj_bias (3 embed_dim,); bias_k and bias_v
    (1, 1, embed_dim); out_proj.weight and out_proj.bias. They are initialised as in PyTorch.

    Raises:
        ValueError: when a size is not positive, or embed_dim does not divide into the heads.

    >>> attention = MultiheadAttention(6, 2)
    >>> output, weights = attention(np.ones((1, 3, 6), np.float32), causal=True)
    >>> output.shape, weights.numpy()[0].round(2).tolist()
    ((1, 3, 6), [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.33, 0.33, 0.33]])
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = True,
        *,
        rotary: RotaryPositions | None = None,
        method: str | None = None,
    ) -> None:
        super().__init__()
        kdim, vdim = (embed_dim if size is None else size for size in (kdim, vdim))
        sizes = {"embed_dim": embed_dim, "num_heads": num_heads, "kdim": kdim, "vdim": vdim}
        check_sizes(NAME, least=1, **sizes)
        if embed_dim % num_heads:
            raise ValueError(
                f"{NAME}: embed_dim={embed_dim} must divide into num_heads={num_heads}"
            )
        if not 0 <= dropout <= 1:
            raise ValueError(f"{NAME}: dropout must be 0 to 1, got {dropout}")
        self.embed_dim, self.num_heads, self.kdim, self.vdim = embed_dim, num_heads, kdim, vdim
        self.head_dim = embed_dim // num_heads
        self.dropout, self.add_zero_attn = dropout, add_zero_attn
        self.batch_first, self.method = batch_first, method
        together = kdim == vdim == embed_dim
        self.in_proj_weight = (
            Parameter(blank(self, "in_proj_weight", 3 * embed_dim, embed_dim)) if together else None
        )
        if not together:
            self.q_proj_weight = Parameter(blank(self, "q_proj_weight", embed_dim, embed_dim))
            self.k_proj_weight = Parameter(blank(self, "k_proj_weight", embed_dim, kdim))
            self.v_proj_weight = Parameter(blank(self, "v_proj_weight", embed_dim, vdim))
        self.in_proj_bias = Parameter(blank(self, "in_proj_bias", 3 * embed_dim)) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias)
        self.bias_k = Parameter(blank(self, "bias_k", 1, 1, embed_dim)) if add_bias_kv else None
        self.bias_v = Parameter(blank(self, "bias_v", 1, 1, embed_dim)) if add_bias_kv else None
        self.rotary = rotary
        if rotary is not None and rotary.size != self.head_dim:
            raise ValueError(
                f"{NAME}: rotary must have the size of a head, {self.head_dim}, got {rotary!r}"
            )
        self.reset_parameters()

    def reset_parameters(self, generator: "np.random.Generator | None" = None) -> None:
        """Draw all parameters again, as PyTorch does; biases are zeros."""
        self.out_proj.reset_parameters(generator)
        for weight in self._weights():
            xavier_uniform_(weight, generator=generator)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                zeros_(bias)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                xavier_normal_(extra, generator=generator)

    def forward(
        self,
        query: Any,
        key: Any = None,
        value: Any = None,
        *,
        mask: Any = None,
        bias: Any = None,
        causal: bool = False,
        lengths: Any = None,
        need_weights: bool = True,
        average_attn_weights: bool = True,
        cache: KeyValueCache | None = None,
        **unknown: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend.

        Args:
            query: (batch, queries, embed_dim), or (queries, embed_dim).
            key: (batch, keys, kdim); None for self-attention, which `key=query` is too.
            value: (batch, keys, vdim); the keys if None.
            mask: booleans, True means may attend: (queries, keys), (batch, queries, keys) or
                (batch, heads, queries, keys), or what broadcasts to these.
            bias: numbers in such a shape that are added to the scaled scores; differentiated.
            causal: let each query attend only to the keys up to its own place; the last query
                stands at the last key.
            lengths: (batch,) integers: how many keys are not padding. Padding may hold anything,
                NaN included. In self-attention the queries are padded as well; their weights and
                outputs are zeros.
            need_weights: whether to return the weights; without them attention of long sequences
                takes far less memory.
            average_attn_weights: whether they are averaged over the heads.
            cache: the keys and values of earlier calls; see `KeyValueCache`. Queries of
                self-attention are then the places after them, masks cover all keys, and
                `lengths` counts the new places.

        Returns:
            The output, like the query; and the weights, (batch, queries, keys) or (batch, heads,
            queries, keys), dropout included, or None. A query that may attend to nothing has
            weights of zeros.

        Raises:
            ShapeError, DtypeError, ValueError: naming the argument that does not fit.
            TypeError: for PyTorch's names of masks, with what to write instead.
        """
        refuse_names(NAME, unknown)
        call = self._prepare(query, key, value, mask, bias, causal, lengths, cache)
        if need_weights:
            steps = self._steps(call, query)
            weights = steps.weights
            if average_attn_weights:
                weights = weights.mean(axis=1)  # (batch, queries, keys)
            return steps.output, weights if query.ndim == 3 else weights[0]
        heads = mg.scaled_dot_product_attention(
            *call[:3],
            mask=call.masks,
            bias=call.bias,
            causal=call.causal,
            dropout=self.dropout,
            training=self.training,
            method=self.method,
        )
        return self._output(concatenate_heads(heads), call, query), None

    # -- the computation -------------------------------------------------------------------------

    def _steps(self, call: Heads, query: Any) -> AttentionSteps:
        """All of it, one step at a time."""
        steps = steps_of(call, self.dropout, self.training)
        return AttentionSteps._make((*call[:3], *steps, self._output(steps[-1], call, query)))

    def _output(self, concatenated: Tensor, call: Heads, query: Any) -> Tensor:
        """The projection of the heads, laid out like the query; zeros for padded queries."""
        output: Tensor = clear(self.out_proj(concatenated), call.valid_queries, True)
        if query.ndim == 2:
            return output[0]
        return output if self.batch_first else output.swapaxes(0, 1)

    def _prepare(
        self,
        query: Any,
        key: Any,
        value: Any,
        mask: Any,
        bias: Any,
        causal: bool,
        lengths: Any,
        cache: KeyValueCache | None,
        named: bool = False,
    ) -> Heads:
        """Check the arguments, project the inputs, and put masks into one form.

        `named` gives each projection a frame in pictures.
        """
        check_cache(NAME, cache, KeyValueCache, "KeyValueCache()")
        if cache is not None and cache.fixed and len(cache):
            q, k, v, valid = self._remembered(query, key, lengths, cache)
            valid_queries = None
        else:
            q, k, v, valid, valid_queries = self._projected(
                query, key, value, lengths, cache, named
            )
        scores = (q.shape[0], self.num_heads, q.shape[2], k.shape[2])
        given = fit_scores(NAME, "mask", mask, scores)
        masks = [] if given is None else [given]
        if valid is not None:
            masks.append(valid[:, None, None, :])
        bias = fit_scores(NAME, "bias", bias, scores)
        if bias is not None and bias.dtype.kind in "iu":  # such as a distance
            bias = bias.astype(q.dtype)
        bias = None if bias is None else cast_input(NAME, "bias", bias, q.dtype)
        call = Heads(q, k, v, tuple(masks), bias, bool(causal), valid_queries)
        if self.bias_k is not None or self.add_zero_attn:
            call = with_extras(call, self.bias_k, self.bias_v, self.add_zero_attn)
        if valid_queries is not None:
            call = call._replace(masks=(*call.masks, valid_queries[:, None, :, None]))
        return call

    def _remembered(
        self, query: Any, key: Any, lengths: Any, cache: KeyValueCache
    ) -> tuple[Tensor, Tensor, Tensor, PlainArray | None]:
        """The projected query, and the keys and values of the memory as the cache holds them."""
        cache.check_source(NAME, key)
        (q,) = self._inputs(query)
        assert cache.keys is not None
        assert cache.values is not None
        if len(q) != len(cache.keys):
            raise ShapeError(
                f"{NAME}: query {describe(query)} has {len(q)} sequences, and the cache "
                f"{len(cache.keys)}. Another batch needs a cache of its own. {BATCH_FIRST}"
            )
        valid = cache.valid
        if lengths is not None:
            valid = valid_places(NAME, "lengths", lengths, "key", query, len(q), len(cache))
        return self._project(0, q), cache.keys, cache.values, valid

    def _projected(
        self,
        query: Any,
        key: Any,
        value: Any,
        lengths: Any,
        cache: KeyValueCache | None,
        named: bool,
    ) -> tuple[Tensor, Tensor, Tensor, PlainArray | None, PlainArray | None]:
        """The projections, with which keys and which queries are valid."""
        fixed = cache is not None and cache.fixed
        own = not fixed and (key is None or key is query) and (value is None or value is query)
        if cache is not None and not own and (not fixed or key is None):
            raise ValueError(
                f"{NAME}: a cache that grows serves self-attention, without key=; and "
                "KeyValueCache(fixed=True) serves attention to a memory, given as key="
            )
        key = query if key is None else key
        q, k, v = self._inputs(query, key, key if value is None else value)
        batch, time = k.shape[:2]
        what = "query" if own else "key"
        valid = valid_places(NAME, "lengths", lengths, what, key, batch, time)
        k = clear(k, valid, True)
        q, v = k if own else q, k if own or value is None else clear(v, valid, True)
        projected = []
        for i, (name, x) in enumerate(zip(AttentionSteps._fields, (q, k, v), strict=False)):
            with mg.scope(name) if named else contextlib.nullcontext():
                projected.append(self._project(i, x))
        q, k, v = projected
        if self.rotary is not None:
            offset = 0 if cache is None else cache.counts()
            q, k = self.rotary(q, offset), self.rotary(k, offset)
        valid_queries = valid if own else None
        if cache is not None:
            k, v = cache.extend(k, v, valid)
            cache.source, valid = key if fixed else None, cache.valid
        return q, k, v, valid, valid_queries

    def _inputs(self, query: Any, *others: Any) -> list[Any]:
        """The query, or query, key and value, as (batch, time, features)."""
        sizes = {"query": self.embed_dim, "key": self.kdim, "value": self.vdim}
        dtype = self._weights()[0].dtype
        arrays: list[Any] = []
        given: list[Any] = []
        for (argument, size), x in zip(sizes.items(), (query, *others), strict=False):
            batched = None if x is query else query.ndim == 3
            check_sequence(NAME, argument, x, size, self.batch_first, batched)
            same = next((i for i, other in enumerate(given) if other is x), None)
            given.append(x)
            if same is not None:  # of one array for all three there is one cast
                arrays.append(arrays[same])
                continue
            x = cast_input(NAME, argument, x, dtype)
            unbatched = x.ndim == 2
            arrays.append(x[None] if unbatched else x if self.batch_first else x.swapaxes(0, 1))
        q, k, v = arrays if others else arrays * 3
        if len(q) != len(k) or k.shape[:2] != v.shape[:2]:
            raise ShapeError(
                f"{NAME}: query, key and value must have equal batches (axis "
                f"{0 if self.batch_first else 1}), and key and value equal times, got query: "
                f"{describe(query)}, key: {describe(others[0])}, value: {describe(others[1])}. "
                f"{BATCH_FIRST}"
            )
        return arrays

    def _weights(self) -> list[Any]:
        """The parameters with the weights of query, key and value: one, or one for each."""
        if self.in_proj_weight is not None:
            return [self.in_proj_weight]
        return [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]

    def _project(self, which: int, x: Any) -> Tensor:
        """The projection of query, key or value (0, 1, 2), (batch, heads, time, head_dim)."""
        part = slice(which * self.embed_dim, (which + 1) * self.embed_dim)
        weights = self._weights()
        weight = weights[which] if len(weights) > 1 else weights[0][part]
        y = mg.matmul(x, weight.T)  # (batch, time, embed_dim)
        if self.in_proj_bias is not None:
            y = y + self.in_proj_bias[part]
        return split_heads(y, self.num_heads)


def attention_steps(
    attention: MultiheadAttention,
    query: Any,
    key: Any = None,
    value: Any = None,
    *,
    mask: Any = None,
    bias: Any = None,
    causal: bool = False,
    lengths: Any = None,
    **unknown: Any,
) -> AttentionSteps:
    """Every intermediate of a call of `MultiheadAttention`, by name; its arguments are the call's.

    >>> attention = MultiheadAttention(6, 2).eval()
    >>> x = np.random.default_rng(0).normal(size=(1, 3, 6)).astype(np.float32)
    >>> steps = attention_steps(attention, x, causal=True)
    >>> steps.scores.shape, steps.heads.shape, steps.concatenated.shape
    ((1, 2, 3, 3), (1, 2, 3, 3), (1, 3, 6))
    >>> bool((steps.output.numpy() == attention(x, causal=True)[0].numpy()).all())
    True
    """
    refuse_names("attention_steps", unknown)
    with mg.scope("attention_steps"):
        call = attention._prepare(query, key, value, mask, bias, causal, lengths, None, named=True)
        steps = attention._steps(call, query)
    if query.ndim == 2:
        return AttentionSteps._make((*(step[0] for step in steps[:-1]), steps.output))
    return steps
