"""What a program could keep by mistake: refused by name with one warning, or read anew."""

import math
import random
import time
import types

import numpy as np
import pytest

import minigrad as mg

F = np.float32
scale = 2.0
switches = {"on": True}
table = np.array([1.0, 2.0], F)
log = []
endless = iter([1.0] * 99)
holder = types.SimpleNamespace(factor=3.0, parts=[1.0, 2.0], inner=types.SimpleNamespace(shift=0.0))


def tensor(*shape):
    return mg.Tensor(np.linspace(0.5, 1.5, int(np.prod(shape)), dtype=F).reshape(shape), None, True)


def times(x, factor=2.0, *, power=1):
    return (x * factor) ** power


class Model:
    gain = 1.0

    def __init__(self):
        self.calls, self.rate, self.last = 0, 0.5, None

    @property
    def twice(self):
        return self.rate * 2

    def __call__(self, x):
        return (x * self.rate * self.gain).sum()

    def counting(self, x):
        self.calls += 1
        return x.sum()

    def keeping(self, x):
        self.last = x * 2
        return x.sum()

    def by_property(self, x):
        return x * self.twice


def reseeded(x, generator=np.random.default_rng(0)):  # noqa: B008 - that it is shared is the point
    return x * generator.standard_normal()


def nonlocal_counter():
    count = 0

    def function(x):
        nonlocal count
        count += 1
        return x * count

    return function


def with_hook(x):
    y = x * 2
    y.register_hook(lambda g: g)
    return y.sum()


def printing(x):
    print("seen")
    return x.sum()


def written(x):
    x[0] = 1.0
    return x.sum()


def makes_a_leaf(x):
    w = mg.Tensor(np.ones(x.shape, F), requires_grad=True)
    return (x * w).sum(), w


REFUSED = {
    "item": (lambda x: x * x.detach().sum().item(), "item takes numbers out"),
    "numpy": (lambda x: x * float(x.numpy().max()), "numpy takes numbers out"),
    "tolist": (lambda x: x * x.detach().tolist()[0], "tolist takes numbers out"),
    "a branch": (lambda x: x if x.sum() > 0 else -x, r"bool\(\) takes numbers out"),
    "float": (lambda x: x * float(x.detach().sum()), "takes numbers out"),
    "an array": (lambda x: x * np.asarray(x.detach()), "takes numbers out"),
    "a hook": (with_hook, "registers a hook on the result of multiply"),
    "retained": (lambda x: (x * 2).retain_grad().sum(), "retains the gradient of multiply"),
    "print": (printing, "calls print"),
    "time": (lambda x: x * time.perf_counter(), "calls perf_counter"),
    "random": (lambda x: x * random.random(), "random"),
    "numpy's generator": (reseeded, "differs"),
    "numpy's random": (
        lambda x: x * np.random.default_rng().random(),
        "differs|threading|getrandbits",  # by what this NumPy makes and seeds a generator with
    ),
    "an iterator": (lambda x: x * next(endless), "calls next"),
    "a counter": (nonlocal_counter(), "it changes count around"),
    "an outer list": (lambda x: log.append(1) or x.sum(), "it changes global log"),
    "an attribute read": (Model().counting, r"it changes .*calls"),
    "an attribute kept": (Model().keeping, r"it changes .*last"),
    "an argument": (written, "it writes a tensor that it was given"),
    "a new leaf": (makes_a_leaf, "it gives away a leaf"),
    "a Python result": (lambda x: (x.sum(), id(x)), "returns a Python value"),
    "a new object": (lambda x: (x.sum(), object()), "its result.1. is a object made by the call"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_followed_runs_as_before_with_one_warning(name):
    function, reason = REFUSED[name]
    compiled = mg.compile(function)
    x = tensor(3) if name != "an argument" else tensor(3).detach()
    with pytest.warns(mg.CompileWarning, match=reason):
        compiled(x)
    before = len(log)
    compiled(x)
    assert len(log) == before + (name == "an outer list")
    assert compiled.programs == []
    assert len(compiled.refusals) == 1


def test_the_warning_says_where():
    with pytest.warns(mg.CompileWarning, match=r"<lambda> runs as before: .*test_stale.py:\d+\)"):
        mg.compile(lambda x: x * x.detach().sum().item())(tensor(3))


def change_global(value):
    global scale
    scale = value


CHANGES = {
    "a global": (lambda x: x * scale, lambda: change_global(5.0), lambda: change_global(2.0)),
    "a global dict": (
        lambda x: x * 2 if switches["on"] else x,
        lambda: switches.update(on=False),
        lambda: switches.update(on=True),
    ),
    "a global array": (
        lambda x: x[:2] * (table > 1.5),
        lambda: table.__setitem__(0, 9.0),
        lambda: table.__setitem__(0, 1.0),
    ),
    "an attribute": (
        lambda x: x * holder.factor,
        lambda: setattr(holder, "factor", 7.0),
        lambda: setattr(holder, "factor", 3.0),
    ),
    "an attribute behind another": (
        lambda x: x + holder.inner.shift,
        lambda: setattr(holder.inner, "shift", 7.0),
        lambda: setattr(holder.inner, "shift", 0.0),
    ),
    "a list": (
        lambda x: x * sum(holder.parts),
        lambda: holder.parts.append(3.0),
        lambda: holder.parts.pop(),
    ),
    "a default": (
        lambda x: times(x),
        lambda: setattr(times, "__defaults__", (4.0,)),
        lambda: setattr(times, "__defaults__", (2.0,)),
    ),
    "a default by name": (
        lambda x: times(x),
        lambda: setattr(times, "__kwdefaults__", {"power": 2}),
        lambda: setattr(times, "__kwdefaults__", {"power": 1}),
    ),
    "by a name in a string": (
        lambda x: x * getattr(holder, "factor"),  # noqa: B009
        lambda: setattr(holder, "factor", 7.0),
        lambda: setattr(holder, "factor", 3.0),
    ),
    "by a name that is computed": (
        lambda x: x * getattr(holder, "fac" + "tor"),
        lambda: setattr(holder, "factor", 7.0),
        lambda: setattr(holder, "factor", 3.0),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_value_is_seen(name):
    function, change, back = CHANGES[name]
    compiled, x = mg.compile(function), tensor(3)
    try:
        for _ in range(2):
            for act in (lambda: None, change, back):
                act()
                for _ in range(2):
                    np.testing.assert_array_equal(compiled(x).numpy(), function(x).numpy())
    finally:
        if function(x).numpy().tolist() != compiled(x).numpy().tolist():
            back()
    assert compiled.refusals == []
    assert len(compiled.programs) == 2


@pytest.mark.parametrize("what", ["instance", "class", "property", "closure", "argument"])
def test_changes_of_objects_are_seen(what):
    model, factor = Model(), 2.0

    def closing(x):
        return x * factor

    functions = {
        "instance": model,
        "class": model,
        "property": model.by_property,
        "closure": closing,
        "argument": lambda x, m: m(x),
    }
    compiled, x = mg.compile(functions[what]), tensor(3)
    more = (model,) if what == "argument" else ()
    for k in range(3):
        for _ in range(2):
            expected = functions[what](x, *more)
            np.testing.assert_array_equal(compiled(x, *more).numpy(), expected.numpy())
        if what == "class":
            Model.gain = 1.0 + k
        model.rate, factor = 0.5 + k, 3.0 + k
    Model.gain = 1.0
    assert compiled.refusals == []


def test_another_tensor_in_the_same_place_is_seen():
    parameters = {"w": tensor(3)}
    compiled = mg.compile(lambda x: (x * parameters["w"]).sum())
    x = tensor(3)
    for k in range(3):
        for _ in range(2):
            expected = (x.numpy() * parameters["w"].numpy()).sum()
            np.testing.assert_allclose(compiled(x).numpy(), expected, rtol=1e-6)
        parameters["w"] = mg.Tensor(np.full(3, k, F), requires_grad=k % 2 == 0)
    assert compiled.refusals == []


def test_masks_that_numpy_computes_from_arguments_are_followed():
    def function(x, lengths):
        return (x * (np.arange(x.shape[1]) < lengths[:, None])).sum()

    compiled = mg.compile(function)
    x = tensor(2, 4)
    for lengths in ([2, 3], [4, 4], [0, 1]):
        lengths = np.array(lengths)
        expected = function(x, lengths)
        np.testing.assert_allclose(compiled(x, lengths).numpy(), expected.numpy())
    assert compiled.refusals == []


def test_a_branch_on_an_array_argument_is_refused():
    compiled = mg.compile(lambda x, n: x * 2 if (n > 100).any() else x)
    with pytest.warns(mg.CompileWarning, match=r"bool\(\) takes numbers out"):
        compiled(tensor(3), np.array([1, 2]))
    np.testing.assert_array_equal(
        compiled(tensor(3), np.array([101])).numpy(), 2 * tensor(3).numpy()
    )


def test_equal_class_numbers_are_not_taken_for_constants():
    compiled = mg.compile(lambda x, target: mg.cross_entropy(x, target))
    x = tensor(3, 4)
    for target in ([1, 1, 1], [0, 0, 0], [3, 2, 1]):
        expected = mg.cross_entropy(x, np.array(target))
        np.testing.assert_allclose(compiled(x, np.array(target)).numpy(), expected.numpy(), 1e-6)
    assert len(compiled.programs) == 1


def test_the_second_trace_leaves_no_trace():
    generator, buffer = np.random.default_rng(1), mg.Tensor(np.zeros(3, F))

    def function(x):
        buffer[...] = buffer + x.detach()
        return mg.dropout(x * buffer, 0.5, generator=generator).sum()

    compiled = mg.compile(function)
    found, expected = [], []
    for f, results in ((compiled, found), (function, expected)):
        generator.bit_generator.state = np.random.default_rng(1).bit_generator.state
        buffer.write(np.zeros(3, F))
        for _ in range(4):
            results.append((f(tensor(3)).item(), buffer.tolist()))
    np.testing.assert_allclose([a for a, _ in found], [a for a, _ in expected], rtol=1e-6)
    np.testing.assert_allclose([b for _, b in found], [b for _, b in expected], rtol=1e-6)
    assert len(compiled.programs) == 1


def test_what_was_changed_before_the_second_derivative_is_an_error():
    compiled, x = mg.compile(lambda x: (x**3).sum() * holder.factor), tensor(3)
    compiled(x)
    y = compiled(x)
    try:
        holder.factor = 9.0
        with pytest.raises(mg.GradientError, match=r"factor was changed after the compiled call"):
            mg.gradients(y, x, create_graph=True)
    finally:
        holder.factor = 3.0


def test_an_argument_that_numpy_writes_into_is_refused():
    def function(x, a):
        a += 1
        return x * a

    compiled = mg.compile(function)
    with pytest.warns(mg.CompileWarning, match="writes into an array"):
        compiled(tensor(3), np.ones(3, F))


def test_a_gradient_that_is_read_is_not_frozen():
    w = tensor(3)
    compiled = mg.compile(lambda x: (x * w.grad).sum())
    x = tensor(3)
    w.grad = mg.Tensor(np.ones(3, F))
    with pytest.warns(mg.CompileWarning, match="reads one in a way not followed"):
        compiled(x)
    w.grad = mg.Tensor(np.full(3, 7, F))
    np.testing.assert_allclose(compiled(x).numpy(), 7 * x.numpy().sum(), rtol=1e-6)


def test_what_our_own_code_looks_at_is_checked_at_every_call():
    compiled = mg.compile(lambda x, n: mg.scaled_dot_product_attention(x, x, x, lengths=n).sum())
    x = tensor(2, 3, 4)
    compiled(x, np.array([2, 3]))
    compiled(x, np.array([3, 1]))
    with pytest.raises(ValueError, match="lengths must be 0 to 3"):
        compiled(x, np.array([3, 4]))
    assert compiled.refusals == []


def test_equal_values_that_are_other_objects_are_no_change():
    class Settings:
        rate, sizes = 0.5, [3, 4]

    settings = Settings()
    settings.table = {"scale": 1000.5, 3: None}

    def scaled(x):
        return x * settings.table["scale"] * settings.rate + settings.sizes[0]

    compiled = mg.compile(scaled)
    x = mg.Tensor([1.0])
    for _ in range(2):
        assert compiled(x).item() == 503.25
    settings.table = {"scale": float("1000.5"), 3: None}
    Settings.sizes = [3, 4]
    compiled(x)
    assert len(compiled.programs) <= 2
    count = len(compiled.programs)
    settings.table["scale"] = float("1000.5")
    settings.sizes[0] = 3
    assert compiled(x).item() == 503.25
    assert len(compiled.programs) == count


LATER = {
    "a value of another type": lambda s: s.table.update(scale=True),
    "another order": lambda s: s.table.update({3: s.table.pop(3), "scale": 2.0}),
    "a longer list": lambda s: s.sizes.append(5),
    "an attribute instead of that of the class": lambda s: setattr(s, "rate", 2.0),
    "an attribute of the class": lambda s: setattr(type(s), "rate", 2.0),
    "an attribute less": lambda s: delattr(s, "extra"),
}


@pytest.mark.parametrize("change", LATER)
def test_what_is_changed_is_seen(change):
    class Settings:
        rate = 1

    settings = Settings()
    settings.table, settings.sizes, settings.extra = {"scale": 1, 3: 0}, [3, 4], 1.0

    def scaled(x):
        extra = getattr(settings, "extra", 7.0)
        return x * settings.table["scale"] * settings.rate * extra + sum(settings.sizes)

    compiled = mg.compile(scaled)
    x = mg.Tensor([1.5])
    for _ in range(3):
        assert compiled(x).item() == scaled(x).item()
    LATER[change](settings)
    assert compiled.programs[0].guards.hold() is False
    for _ in range(3):
        assert compiled(x).item() == scaled(x).item()


def test_a_backward_within_is_refused_and_gradients_are_those_of_one_call():
    w = tensor(3)

    @mg.compile
    def step(x):
        loss = (x * w).sum()
        loss.backward()
        return loss

    x = np.arange(3, dtype=F)
    with pytest.warns(mg.CompileWarning, match="calls backward, which adds to gradients"):
        step(x)
    np.testing.assert_array_equal(w.grad, x)
    step(x)
    np.testing.assert_array_equal(w.grad, 2 * x)


class Named:
    rate = 2.0

    def loss(self, x):
        return (x * self.rate).sum()


def test_names_of_attributes_are_no_names_of_globals():
    names = {"model": Named(), "mg": mg}
    exec("f = mg.compile(lambda x: model.loss(x))", names)
    for k in range(12):
        names["loss"] = names["rate"] = k
        assert names["f"](tensor(3)).item() == pytest.approx((tensor(3) * 2.0).sum().item())
    assert len(names["f"].programs) == 1
    names["model"] = Named()
    names["model"].rate = 3.0
    assert names["f"](tensor(3)).item() == pytest.approx((tensor(3) * 3.0).sum().item())


def test_results_that_do_not_require_grad_are_checked_too(monkeypatch):
    compiled = mg.compile(lambda x: x * math.pi, check=1)
    x = np.ones(3, F)
    compiled(mg.Tensor(x))
    monkeypatch.setattr(math, "pi", 4.0)
    with pytest.raises(mg.CompileError, match="output 0 differs"):
        compiled(mg.Tensor(x))
