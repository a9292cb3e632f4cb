"""Buffers, paths, dtypes, hooks, copies and state dicts of modules."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import minigrad.optim
from layers import LSTM, BatchNorm1d, Embedding, Linear, Module, ModuleDict, Parameter
from minigrad.core.errors import ShapeError

FIXTURES = Path(__file__).parents[1] / "fixtures"


class Pair(Module):
    def __init__(self, shared=False):
        super().__init__()
        self.first = Linear(3, 3)
        self.second = self.first if shared else Linear(3, 3)
        self.register_buffer("offset", np.arange(3.0))

    def forward(self, x):
        return self.second(self.first(x)) + self.offset


# -- buffers ---------------------------------------------------------------------------------------


class Counting(Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", np.zeros(2))
        self.register_buffer("cache", np.ones(3), persistent=False)
        self.register_buffer("later", None)
        self.scale = Parameter(np.ones(2))
        self.child = Linear(2, 2)

    def forward(self, x):
        self.seen = self.seen + 1
        return self.child(x * self.scale)


def test_buffers_are_named_saved_and_replaced():
    module = Counting()
    assert dict(module.named_buffers()).keys() == {"seen", "cache"}
    module(np.ones((1, 2)))
    assert module.seen.tolist() == [1, 1]
    assert set(module.state_dict()) == {"scale", "seen", "child.weight", "child.bias"}
    other = Counting()
    other.load_state_dict(module.state_dict())
    assert other.seen.tolist() == [1, 1]
    module.later = mg.Tensor([5.0])
    module.cache = mg.Tensor([7.0])
    assert "later" in module.state_dict()
    assert "cache" not in module.state_dict()
    assert [buffer.tolist() for buffer in module.buffers()] == [[1, 1], [7.0], [5.0]]
    del module.cache
    assert not hasattr(module, "cache")


def test_a_buffer_must_not_keep_a_graph_alive():
    module = Counting()
    with pytest.raises(mg.GradientError, match=r"seen is a buffer, .* Assign value.detach\(\)"):
        module.seen = module.scale * 2
    with pytest.raises(TypeError, match="seen is a Tensor and cannot be replaced by a list"):
        module.seen = [1.0]
    assert module.seen.tolist() == [0, 0]


# -- walking through a model -----------------------------------------------------------------------


def test_modules_children_and_paths():
    pair = Pair()
    assert [path for path, _ in pair.named_modules()] == ["", "first", "second"]
    assert [path for path, _ in pair.named_modules("net")] == ["net", "net.first", "net.second"]
    assert dict(pair.named_children()) == {"first": pair.first, "second": pair.second}
    assert len(list(Pair(shared=True).children())) == 1
    assert pair.get_submodule("first") is pair.first
    assert pair.get_submodule("") is pair
    with pytest.raises(AttributeError, match=r"no module 'first.x': Linear has no 'x'; its mod"):
        pair.get_submodule("first.x")
    assert [name for name, _ in Counting().named_parameters(recurse=False)] == ["scale"]
    assert next(pair.named_parameters("net"))[0] == "net.first.weight"
    assert "first" in dir(pair)


def test_apply_begins_with_the_innermost():
    class Outer(Module):
        def __init__(self):
            super().__init__()
            self.pair = Pair()

    seen = []
    outer = Outer()
    assert outer.apply(lambda module: seen.append(type(module).__name__)) is outer
    assert seen == ["Linear", "Linear", "Pair", "Outer"]


def test_freezing_and_learning_again_keeps_the_names():
    pair = Pair()
    assert pair.requires_grad_(False) is pair
    assert not any(parameter.requires_grad for parameter in pair.parameters())
    pair.requires_grad_()
    assert pair.first.weight.requires_grad
    assert pair.first.weight.name == "weight"
    assert pair.first.weight._node.learned
    pair.zero_grad()


@pytest.mark.parametrize("kept", [None, Parameter(np.ones(2, np.float32))])
def test_a_bias_may_go_and_come_back(kept):
    layer = Linear(2, 2)
    layer.bias = None
    assert layer.bias is None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    layer.bias = kept
    assert layer.bias is kept
    assert ("bias" in layer.state_dict()) == (kept is not None)


def test_parameters_must_not_hide_in_lists_and_dicts():
    module = Counting()
    for hidden, hint in (([Linear(1, 1)], "ModuleList"), ({"a": module.scale}, "ModuleDict")):
        with pytest.raises(TypeError, match=f"Counting.parts: .* Use {hint}, or a tuple"):
            module.parts = hidden
    module.parts = (Linear(1, 1),)
    module.sizes = [1, 2]
    assert "parts" not in str(list(module.state_dict()))


def test_attributes_change_their_kind():
    module = Counting()
    module.scale = Linear(2, 2)
    assert "scale.weight" in module.state_dict()
    assert "scale" not in module.state_dict()
    module.plain = 3
    module.plain = Parameter(np.zeros(1))
    assert module.plain.shape == (1,)
    for name in ("", "a.b"):
        with pytest.raises(ValueError, match="cannot name a part of a module"):
            module.register_module(name, Linear(1, 1))
    with pytest.raises(TypeError, match=r"Counting.x must be a Module, got 3"):
        module.register_module("x", 3)
    with pytest.raises(TypeError, match=r"Counting.x must be a Parameter, got f64\[1\]"):
        module.register_parameter("x", mg.Tensor(np.zeros(1)))


def test_a_copy_is_a_model_of_its_own():
    pair = Pair(shared=True)
    twins = copy.deepcopy(pair), pickle.loads(pickle.dumps(pair))
    x = np.ones((1, 3), np.float32)
    for twin in twins:
        assert twin.first is twin.second
        np.testing.assert_array_equal(twin(x).numpy(), pair(x).numpy())
        twin(x).sum().backward()
        assert twin.first.weight.grad is not None
        assert twin.first.weight.name == "weight"
        assert twin.first.weight._node.learned
        assert pair.first.weight.grad is None
    with pytest.raises(mg.GradientError, match="its history cannot be taken along"):
        copy.deepcopy(pair(x))


# -- dtypes ----------------------------------------------------------------------------------------


def test_to_converts_parameters_gradients_and_buffers_in_place():
    module = Counting()
    module.register_buffer("number", np.array([3]))
    weight = module.child.weight
    module(np.ones((1, 2), np.float32)).sum().backward()
    assert module.to("float64") is module
    assert module.child.weight is weight
    assert weight.dtype == weight.grad.dtype == module.seen.dtype == np.float64
    assert module.number.dtype == np.int64
    out = module(np.ones((1, 2)))
    assert out.dtype == np.float64
    out.sum().backward()
    assert weight.grad.dtype == np.float64


def test_a_graph_of_before_the_conversion_refuses_backward():
    module = Counting()
    loss = module(np.ones((1, 2), np.float32)).sum()
    module.to(np.float64)
    with pytest.raises(mg.GradientError, match="written in place"):
        loss.backward()


def test_an_optimizer_goes_on_after_a_conversion():
    module = Linear(2, 1)
    optimizer = mg.optim.Adam(module.parameters(), 0.1)
    for dtype in (np.float32, np.float64, np.float16):
        module.to(dtype)
        optimizer.zero_grad()
        module(np.ones((1, 2), dtype)).sum().backward()
        optimizer.step()
        assert module.weight.dtype == dtype
        kept = np.float32 if dtype == np.float16 else dtype  # squares vanish in float16
        arrays = [a for a in optimizer.state_dict().values() if a.shape == (1, 2)]
        assert {a.dtype for a in arrays} == {np.dtype(kept)}


@pytest.mark.parametrize("wrong", ["int32", "cuda", complex])
def test_to_refuses_what_is_no_floating_dtype(wrong):
    with pytest.raises(mg.DtypeError, match=r"Linear.to: dtype must be .* one device"):
        Linear(1, 1).to(wrong)


# -- hooks -----------------------------------------------------------------------------------------


def test_hooks_see_and_replace_what_goes_in_and_out():
    layer = Linear(2, 2, bias=False)
    x = np.ones((1, 2), np.float32)
    plain = layer(x).numpy()
    seen = []
    before = layer.register_forward_pre_hook(lambda module, args: (args[0] * 2,))
    after = layer.register_forward_hook(lambda module, args, y: seen.append((args, y)))
    np.testing.assert_allclose(layer(x).numpy(), 2 * plain, rtol=1e-5, atol=1e-6)
    assert seen[0][0][0].tolist() == [[2, 2]]
    with layer.register_forward_hook(lambda module, args, y: -y):
        np.testing.assert_allclose(layer(x).numpy(), -2 * plain, rtol=1e-5, atol=1e-6)
    before.remove()
    np.testing.assert_array_equal(layer(x).numpy(), plain)
    after.remove()
    layer(x)
    assert len(seen) == 3
    single = layer.register_forward_pre_hook(lambda module, args: args[0] * 3)
    np.testing.assert_allclose(layer(x).numpy(), 3 * plain, rtol=1e-5, atol=1e-6)
    single.remove()
    with pytest.raises(TypeError, match="must be callable"):
        layer.register_forward_hook(None)


def test_hooks_take_part_in_the_graph():
    layer = Linear(2, 2)
    with layer.register_forward_hook(lambda module, args, y: y * 3):
        y = layer(np.ones((1, 2), np.float32))
    assert y._node.scope.path == "Linear"
    y.sum().backward()
    assert layer.bias.grad.tolist() == [3, 3]


# -- state dicts and texts -------------------------------------------------------------------------


def test_shared_parameters_are_saved_under_each_name_and_need_one():
    pair = Pair(shared=True)
    state = pair.state_dict()
    assert set(state) == set(Pair().state_dict())
    half = {name: a + 1 for name, a in state.items() if not name.startswith("second")}
    pair.load_state_dict(half)
    np.testing.assert_array_equal(pair.second.bias.numpy(), state["first.bias"] + 1)
    wrong = state | {"second.bias": state["first.bias"] + 2}
    with pytest.raises(ShapeError, match=r"first.bias and second.bias are one shared tensor here"):
        pair.load_state_dict(wrong)


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        (lambda name: f"module.{name}", r'DataParallel puts there.*name.replace\("module.", ""\)'),
        (lambda name: f"_orig_mod.{name}", r"the names hold '_orig_mod.', which torch.compile"),
        (lambda name: f"module._orig_mod.{name}", r'replace\("module.", ""\).replace\("_orig'),
        (lambda name: name.replace("first.", "first._orig_mod."), "torch.compile puts there"),
        (lambda name: f"net.{name}", r'names begin with \'net.\'; .*removeprefix\("net."\)'),
        (lambda name: name.removeprefix("first."), "fit the part 'first' .*into module.first"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_names_of_wrapped_modules_are_recognised(rename, message, strict):
    pair = Pair()
    state = {rename(name): array for name, array in pair.state_dict().items()}
    if not strict and state.keys() & pair.state_dict().keys():
        assert pair.load_state_dict(state, strict=False).unexpected_keys
        return
    with pytest.raises(KeyError, match=message):
        pair.load_state_dict(state, strict)


@pytest.mark.parametrize(
    ("wrap", "error", "message"),
    [
        (lambda s: {"state_dict": s, "epoch": 3}, KeyError, r"pass that: state\['state_dict'\]"),
        (lambda s: {"model": s}, KeyError, r"state\['model'\] is a dict itself; pass that"),
        (lambda s: {"optimizer": {"step": 1}, "net": s}, KeyError, r"pass that: state\['net'\]"),
        (lambda s: {"config": {"a": 1}, **s}, KeyError, r"pass the dict of arrays by path alone"),
        (lambda s: list(s.items()), TypeError, r"must be a dict of arrays by path.* got list"),
        (lambda s: None, TypeError, r"must be a dict of arrays by path.* got NoneType"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_a_checkpoint_that_holds_the_state_dict_is_refused_with_its_entry(
    wrap, error, message, strict
):
    pair = Pair()
    before = pair.state_dict()
    with pytest.raises(error, match=message):
        pair.load_state_dict(wrap({name: a + 1 for name, a in before.items()}), strict)
    assert all(np.array_equal(pair.state_dict()[name], a) for name, a in before.items())


def test_what_fits_and_what_does_not_is_returned():
    layer = Linear(2, 1)
    assert layer.load_state_dict(layer.state_dict()) == ([], [])
    state = {"weight": np.ones((1, 2)), "other": np.ones(1)}
    result = layer.load_state_dict(state, strict=False)
    assert result.missing_keys == ["bias"]
    assert result.unexpected_keys == ["other"]
    with pytest.raises(KeyError, match="no name fits; missing: bias, weight; unexpected: other"):
        layer.load_state_dict({"other": np.ones(1)}, strict=False)


@pytest.mark.parametrize("counter", [None, np.array([7]), np.array(7)])
def test_the_counter_of_old_batch_norms_may_be_missing_or_have_an_axis(counter):
    norm = BatchNorm1d(2)
    state = norm.state_dict() | {"running_mean": np.array([1.0, 2.0])}
    del state["num_batches_tracked"]
    if counter is not None:
        state["num_batches_tracked"] = counter
    assert norm.load_state_dict(state) == ([], [])
    assert norm.num_batches_tracked.item() == (0 if counter is None else 7)
    assert norm.running_mean.tolist() == [1.0, 2.0]


def test_values_of_another_kind_are_refused():
    layer = Linear(1, 1, bias=False)
    with pytest.raises(ShapeError, match=r"weight is c128\[1, 1\] there and f32\[1, 1\] here"):
        layer.load_state_dict({"weight": np.zeros((1, 1), complex)})
    with pytest.raises(KeyError, match="weight has shape"):
        layer.load_state_dict({"weight": np.zeros(1)}, strict=False)


@given(
    st.dictionaries(
        st.sampled_from(["first.weight", "first.bias", "second.bias", "offset", "more"]),
        st.sampled_from([(3,), (3, 3), (2,), ()]),
    )
)
def test_loading_is_all_or_nothing(shapes):
    pair = Pair()
    before = pair.state_dict()
    state = {name: np.full(shape, 7.0) for name, shape in shapes.items()}
    bad = [n for n, s in shapes.items() if n in before and before[n].shape != s]
    fits = not bad and any(name in before for name in state)
    if not bad and not fits:
        with pytest.raises(KeyError, match="no name fits"):
            pair.load_state_dict(state, strict=False)
    elif bad:
        with pytest.raises(ShapeError) as info:
            pair.load_state_dict(state, strict=False)
        assert all(f"{name} has shape" in str(info.value) for name in bad)
    else:
        result = pair.load_state_dict(state, strict=False)
        assert set(result.missing_keys) == before.keys() - state.keys()
        assert set(result.unexpected_keys) == state.keys() - before.keys()
    for name, array in pair.state_dict().items():
        loaded = name in state and fits
        np.testing.assert_array_equal(array, state[name] if loaded else before[name])


def test_a_repr_shows_what_was_not_left_at_its_default():
    class Odd(Module):
        def extra_repr(self):
            return "size 3"

    assert repr(Odd()) == "Odd(size 3)"
    assert repr(Linear(2, 3)) == "Linear(in_features=2, out_features=3)"
    assert repr(Linear(2, 3, bias=False)) == "Linear(in_features=2, out_features=3, bias=False)"
    text = repr(LSTM(2, 3, num_layers=2, bidirectional=True))
    assert text == "LSTM(input_size=2, hidden_size=3, num_layers=2, bidirectional=True)"
    assert repr(Pair()).splitlines() == [
        "Pair(",
        "  (first): Linear(in_features=3, out_features=3)",
        "  (second): Linear(in_features=3, out_features=3)",
        ")",
    ]


def test_a_state_dict_of_pytorch_loads_as_it_is():
    fixture = np.load(FIXTURES / "optim.npz")
    with mg.default_dtype("float64"):
        model = ModuleDict(
            {"embedding": Embedding(5, 4), "lstm": LSTM(4, 3), "readout": Linear(3, 2)}
        )
    model.load_state_dict(mg.load(FIXTURES / "torch_state.safetensors"))
    hidden, _ = model["lstm"](model["embedding"](fixture["state_codes"]))
    output = model["readout"](hidden).numpy()
    np.testing.assert_allclose(output, fixture["state_output"], rtol=1e-10, atol=1e-12)
