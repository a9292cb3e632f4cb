import numpy as np
import pytest

import minigrad as mg
from layers import Linear, Module, ModuleDict, ModuleList, Sequential

X = np.ones((2, 3), np.float32)


def linears(count):
    return [Linear(3, 3) for _ in range(count)]


class Stack(Module):
    def __init__(self, count=3):
        super().__init__()
        self.layers = ModuleList(linears(count))
        self.heads = ModuleDict({"a": Linear(3, 2), "b": ModuleList(linears(1))})

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.heads["a"](self.heads["b"][0](x))


def test_sequential_passes_through_all():
    first, second = linears(2)
    model = Sequential(first, second)
    np.testing.assert_array_equal(model(X).numpy(), second(first(X)).numpy())
    assert list(model.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    named = Sequential({"up": first, "down": second})
    assert [name for name, _ in named.named_children()] == ["up", "down"]
    np.testing.assert_array_equal(named(X).numpy(), model(X).numpy())
    assert Sequential()(X) is X


def test_calls_have_scopes_named_by_their_places():
    with mg.recording(fused=False):
        y = Stack()(X)
    paths = {node.scope.path for node in mg.graph(y) if node.scope is not None}
    assert paths >= {"Stack.layers.0", "Stack.layers.2", "Stack.heads.a", "Stack.heads.b.0"}
    model = Sequential(*linears(2))
    assert model(X)._node.scope.path == "Sequential.1"


def test_scopes_follow_a_list_that_is_filled_later():
    stack = Stack()
    stack.layers.append(Linear(3, 3))
    assert stack.layers[3](X)._node.scope.path == "layers.3"
    stack.layers[0] = Linear(3, 3)
    assert stack.layers[0](X)._node.scope.path == "layers.0"
    assert stack.layers[0](X)._node.scope.time_step is None


def test_lists_are_lists():
    a, b, c, d = linears(4)
    modules = ModuleList([a, b])
    assert modules.append(c) is modules
    modules.insert(0, d)
    assert list(modules) == [d, a, b, c]
    modules.insert(-1, e := Linear(3, 3))
    assert list(modules) == [d, a, b, e, c]
    assert [name for name, _ in modules.named_children()] == list("01234")
    assert (modules[-1], modules[1], len(modules)) == (c, a, 5)
    del modules[1]
    assert list(modules) == [d, b, e, c]
    assert list(modules.state_dict())[-1] == "3.bias"
    modules[1] = a
    assert list(modules.extend([b])) == [d, a, e, c, b]
    assert modules[3](X)._node.scope.path == "3"


@pytest.mark.parametrize("kind", [ModuleList, lambda modules: Sequential(*modules)])
def test_slices_share_their_modules_and_leave_names_alone(kind):
    modules = kind(linears(4))
    part = modules[1:3]
    assert type(part) is type(modules)
    assert list(part) == list(modules)[1:3]
    assert modules[1](X)._node.scope.path == "1"
    assert len(modules) == 4


def test_dicts_are_dicts():
    heads = ModuleDict({"a": Linear(3, 2)})
    heads["b"] = other = Linear(3, 1)
    assert (len(heads), list(heads), "b" in heads) == (2, ["a", "b"], True)
    assert dict(heads.items())["b"] is other
    assert list(heads.keys()) == ["a", "b"]
    assert list(heads.values())[1] is other
    assert heads.pop("b") is other
    with pytest.raises(KeyError, match="no module 'b'; there are: a"):
        heads["b"]
    del heads["a"]
    with pytest.raises(KeyError, match="there are: none"):
        del heads["a"]


def test_what_only_holds_modules_says_so():
    for holder in (ModuleList(), ModuleDict()):
        with pytest.raises(TypeError, match="only holds modules and cannot be called"):
            holder(X)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Sequential(Linear(1, 1), np.tanh), TypeError, "Sequential.1 must be a Module"),
        (lambda: Sequential(linears(2)), TypeError, r"Sequential\(\*modules\)"),
        (lambda: ModuleList([3]), TypeError, "ModuleList.0 must be a Module, got 3"),
        (lambda: ModuleDict({"a.b": Linear(1, 1)}), ValueError, "'a.b' cannot name a part"),
        (lambda: ModuleList(linears(2))[2], IndexError, "index 2, but there are 2 modules"),
        (lambda: ModuleList(linears(2))["0"], TypeError, "must be an integer or a slice"),
    ],
)
def test_wrong_uses_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_repeated_layers_take_one_line():
    assert repr(Stack()).splitlines() == [
        "Stack(",
        "  (layers): ModuleList(",
        "    (0-2): 3 x Linear(in_features=3, out_features=3)",
        "  )",
        "  (heads): ModuleDict(",
        "    (a): Linear(in_features=3, out_features=2)",
        "    (b): ModuleList(",
        "      (0): Linear(in_features=3, out_features=3)",
        "    )",
        "  )",
        ")",
    ]
