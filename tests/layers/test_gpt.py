"""GPT against the Transformer classes and against its formulas in plain NumPy."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import layers
import minigrad as mg
from layers.models import GPT, GPTConfig
from layers.models.gpt import CausalSelfAttention
from minigrad.draw import draw

V, BLOCK, C, H = 7, 10, 8, 2


def made(seed=0, dtype="float64", fused=True, **changes):
    mg.seed(seed)
    sizes = {"block_size": BLOCK, "num_layers": 2, "num_heads": H, "width": C, **changes}
    with mg.default_dtype(dtype):
        model = GPT(GPTConfig(V, **sizes))
    generator = np.random.default_rng(seed)
    for parameter in model.parameters():  # the first biases are zeros, which would hide mistakes
        noise = generator.standard_normal(parameter.shape) / 2
        parameter.write((parameter.numpy() + noise).astype(dtype))
    for block in model.blocks:
        block.self_attn.fused = fused
    return model


def some_ids(seed, batch=3, time=BLOCK):
    return np.random.default_rng(seed).integers(V, size=(batch, time))


class FromClasses(layers.Module):
    """The same model from the classes of `layers`, which share nothing with gpt.py."""

    def __init__(self, gpt):
        super().__init__()
        config = gpt.config
        self.embedding = layers.Embedding(V, config.width)
        self.positions = layers.LearnedPositions(config.block_size, config.width)
        self.dropout = layers.Dropout(config.dropout)
        self.stack = layers.TransformerEncoder(
            layers.TransformerEncoderLayer(
                config.width, config.num_heads, 4 * config.width, config.dropout, "gelu",
                norm_first=True,
            ),
            config.num_layers,
            layers.LayerNorm(config.width),
        )  # fmt: skip
        if not config.tied:
            self.readout = layers.Linear(config.width, V, bias=False)
        self.load_state_dict(gpt.state_dict())
        self.train(gpt.training)

    def forward(self, token_ids):
        x = self.dropout(self.positions(self.embedding(token_ids)))
        x = self.stack(x, causal=True)
        weight = self.readout.weight if hasattr(self, "readout") else self.embedding.weight
        return x @ weight.T


@settings(max_examples=12)
@given(
    seed=st.integers(0, 10_000),
    time=st.integers(1, BLOCK),
    heads=st.sampled_from([1, 2, 4]),
    tied=st.booleans(),
    fused=st.booleans(),
)
def test_a_gpt_equals_the_transformer_classes(seed, time, heads, tied, fused):
    model = made(seed, num_heads=heads, tied=tied, fused=fused)
    with mg.default_dtype("float64"):
        other = FromClasses(model)
    token_ids = some_ids(seed, time=time)
    weights = np.random.default_rng(seed).standard_normal((3, time, V))
    ours, theirs = model(token_ids), other(token_ids)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12, atol=1e-12)
    for logits in (ours, theirs):
        (logits * weights).sum().backward()
    expected = dict(other.named_parameters())
    assert [name for name, _ in model.named_parameters()] == list(expected)
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(
            parameter.grad.numpy(), expected[name].grad.numpy(), rtol=1e-9, atol=1e-11, err_msg=name
        )


def test_dropout_stands_where_it_does_in_the_transformer_classes():
    model = made(dtype="float32", dropout=0.3)
    other = FromClasses(model)
    token_ids = some_ids(1)
    results = []
    for module in (model, other):
        mg.seed(5)
        results.append(module(token_ids).numpy())
    np.testing.assert_array_equal(*results)
    assert not np.array_equal(results[0], model.eval()(token_ids).numpy())


@pytest.mark.parametrize("fused", [True, False])
def test_attention_weights_are_dropped_out_in_training(fused):
    model = made(dropout=0.999999999, fused=fused)
    attention = model.blocks[0].self_attn
    x = np.random.default_rng(0).standard_normal((2, 5, C))
    bias = np.broadcast_to(attention.out_proj.bias.numpy(), x.shape)
    np.testing.assert_allclose(attention(mg.Tensor(x)).numpy(), bias)
    model.eval()
    assert not np.allclose(attention(mg.Tensor(x)).numpy(), bias)


# -- the formulas in plain NumPy -------------------------------------------------------------------


def normalized(x, weight, bias):
    deviation = x - x.mean(axis=-1, keepdims=True)
    return deviation / np.sqrt((deviation**2).mean(axis=-1, keepdims=True) + 1e-5) * weight + bias


def attended(x, w, prefix):
    """Token by token and head by head, after Vaswani et al. (2017), section 3.2."""
    result = np.zeros_like(x)
    size = C // H
    for t in range(len(x)):
        heads = []
        for h in range(H):
            part = [slice(i * C + h * size, i * C + (h + 1) * size) for i in range(3)]
            matrices = [w[prefix + "in_proj_weight"][p] for p in part]
            biases = [w[prefix + "in_proj_bias"][p] for p in part]
            query = matrices[0] @ x[t] + biases[0]
            scores = np.array([
                query @ (matrices[1] @ x[s] + biases[1]) / math.sqrt(size) for s in range(t + 1)
            ])  # fmt: skip
            weights = np.exp(scores - scores.max())
            weights /= weights.sum()
            heads.append(
                sum(a * (matrices[2] @ x[s] + biases[2]) for s, a in enumerate(weights))
            )  # fmt: skip
        result[t] = w[prefix + "out_proj.weight"] @ np.concatenate(heads)
        result[t] += w[prefix + "out_proj.bias"]
    return result


def plain(w, token_ids, num_layers):
    erf = np.vectorize(math.erf)
    x = w["embedding.weight"][token_ids] + w["positions.weight"][: len(token_ids)]
    for i in range(num_layers):
        p = f"stack.layers.{i}."
        x = x + attended(
            normalized(x, w[p + "norm1.weight"], w[p + "norm1.bias"]), w, p + "self_attn."
        )
        y = normalized(x, w[p + "norm2.weight"], w[p + "norm2.bias"])
        y = y @ w[p + "linear1.weight"].T + w[p + "linear1.bias"]
        y = y * (1 + erf(y / math.sqrt(2))) / 2
        x = x + y @ w[p + "linear2.weight"].T + w[p + "linear2.bias"]
    x = normalized(x, w["stack.norm.weight"], w["stack.norm.bias"])
    return x @ w.get("readout.weight", w["embedding.weight"]).T


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("tied", [True, False])
def test_a_gpt_computes_the_textbook_formulas(tied, fused):
    model = made(3, tied=tied, fused=fused)
    (token_ids,) = some_ids(3, batch=1, time=6)
    expected = plain(model.state_dict(), token_ids, 2)
    np.testing.assert_allclose(model(token_ids[None]).numpy()[0], expected, rtol=1e-10)


# -- the cache -------------------------------------------------------------------------------------


@settings(max_examples=12)
@given(
    seed=st.integers(0, 10_000),
    pieces=st.lists(st.integers(1, 4), min_size=1, max_size=BLOCK).filter(
        lambda p: sum(p) <= BLOCK
    ),
    fused=st.booleans(),
)
def test_logits_with_cache_equal_those_without(seed, pieces, fused):
    model = made(seed, fused=fused).eval()
    token_ids = some_ids(seed, time=sum(pieces))
    cache, parts = model.make_cache(), []
    with mg.no_grad():
        for part in np.split(token_ids, np.cumsum(pieces)[:-1], axis=1):
            parts.append(model(part, cache).numpy())
    np.testing.assert_allclose(
        np.concatenate(parts, axis=1), model(token_ids).numpy(), rtol=1e-10, atol=1e-12
    )
    assert len(cache) == sum(pieces)


def test_the_gradient_flows_through_the_cache():
    model, token_ids = made(), some_ids(0)
    model(token_ids)[:, -1].sum().backward()
    expected = [parameter.grad.numpy() for parameter in model.parameters()]
    model.zero_grad()
    cache = model.make_cache()
    model(token_ids[:, :6], cache)
    model(token_ids[:, 6:], cache)[:, -1].sum().backward()
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        np.testing.assert_allclose(parameter.grad.numpy(), gradient, rtol=1e-8, atol=1e-12)


def test_what_does_not_fit_is_named():
    model = made()
    with pytest.raises(mg.ShapeError, match=r"\(batch, time\).*i64\[4\]"):
        model(np.zeros(4, int))
    cache = model.make_cache()
    model(np.zeros((1, 8), int), cache)
    with pytest.raises(mg.ShapeError, match=r"8 .* before them are more than block_size=10"):
        model(np.zeros((1, 3), int), cache)
    with pytest.raises(mg.ShapeError, match="do not continue those of before"):
        model(np.zeros((2, 2), int), cache)
    with pytest.raises(mg.ShapeError, match=r"x must be \(batch, time, 8\), got f64\[1, 3, 4\]"):
        model.read(np.zeros((1, 3, 4)))
    with pytest.raises(mg.ShapeError, match=r"x must be \(batch, time, 8\), got f64\[3, 8\]"):
        model.read(np.zeros((3, 8)))
    with pytest.raises(mg.DtypeError, match=r"^GPT: x must be floating, got i64\[1, 3, 8\]"):
        model.read(np.zeros((1, 3, 8), int))
    with pytest.raises(ValueError, match=r"^GPTConfig: num_layers must be .* 1 or more, got 0"):
        GPTConfig(V, num_layers=0)
    with pytest.raises(TypeError, match=r"cache must be a StackCache, which make_cache\(\) gives"):
        model(np.zeros((1, 3), int), layers.KeyValueCache())
    with pytest.raises(ValueError, match="the cache is for 3 blocks, and there are 2"):
        model(np.zeros((1, 3), int), made(num_layers=3).make_cache())


# -- weights and pictures --------------------------------------------------------------------------


def test_the_first_weights_are_those_of_gpt_2():
    model = GPT(GPTConfig(500, block_size=200, num_layers=8, num_heads=4, width=64))
    for name, parameter in model.named_parameters():
        values = parameter.numpy()
        if name.endswith("bias"):
            expected = (0.0, 0.0)
        elif "norm" in name:
            expected = (1.0, 0.0)
        elif name.endswith(("out_proj.weight", "linear2.weight")):
            expected = (0.0, 0.02 / 4)
        else:
            expected = (0.0, 0.02)
        np.testing.assert_allclose(values.mean(), expected[0], atol=1e-3, err_msg=name)
        np.testing.assert_allclose(values.std(), expected[1], rtol=0.05, err_msg=name)


def test_attention_alone_begins_as_in_pytorch():
    attention = CausalSelfAttention(64, 4)
    largest = {"in_proj": math.sqrt(6 / (64 + 3 * 64)), "out_proj": 1 / math.sqrt(64)}
    drawn = []
    for seed in (0, 1, 1):
        attention.in_proj_bias.write(np.ones(3 * 64, np.float32))
        attention.reset_parameters(np.random.default_rng(seed))
        drawn.append({name: p.numpy() for name, p in attention.named_parameters()})
    for name, weights in drawn[0].items():
        np.testing.assert_array_equal(drawn[1][name], drawn[2][name])
        if name.endswith("bias"):
            assert not weights.any()
        else:
            assert not np.array_equal(weights, drawn[1][name])
            bound = largest[name.removesuffix("weight")[:-1]]
            assert 0.99 * bound < np.abs(weights).max() <= bound
            np.testing.assert_allclose(weights.std(), bound / math.sqrt(3), rtol=0.05)
    mg.seed(0)
    assert CausalSelfAttention(8, 2).in_proj_weight.numpy().any()


def test_saved_models_name_their_weights_by_paths_that_stay():
    names = list(made(num_layers=1, tied=False).state_dict())
    assert names == [
        "embedding.weight",
        "positions.weight",
        "stack.layers.0.self_attn.in_proj_weight",
        "stack.layers.0.self_attn.in_proj_bias",
        "stack.layers.0.self_attn.out_proj.weight",
        "stack.layers.0.self_attn.out_proj.bias",
        "stack.layers.0.linear1.weight",
        "stack.layers.0.linear1.bias",
        "stack.layers.0.linear2.weight",
        "stack.layers.0.linear2.bias",
        "stack.layers.0.norm1.weight",
        "stack.layers.0.norm1.bias",
        "stack.layers.0.norm2.weight",
        "stack.layers.0.norm2.bias",
        "stack.norm.weight",
        "stack.norm.bias",
        "readout.weight",
    ]


def test_a_picture_shows_each_step_of_attention_written_out():
    model = made(num_layers=1, fused=False)
    token_ids = some_ids(0, time=5)
    graph = draw(model.loss(token_ids[:, :-1], token_ids[:, 1:]), level="ops").graph
    inside = [node.op for node in graph.nodes if node.scope.endswith("Self-attention.self_attn")]
    assert [op for op in inside if op in ("where", "softmax")] == ["where", "softmax"]
    boxes = draw(model.loss(token_ids[:, :-1], token_ids[:, 1:]), level="layers").graph
    assert "CausalSelfAttention" in [node.op for node in boxes.nodes]
