"""Checkpoints of functions that draw random numbers, from wherever they have the generator."""

import copy
import functools
import random
import sys
import threading
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad.core.blocks import observed_by
from minigrad.ops.randomness import default_generator, draw_numbers
from minigrad.transforms.generator_search import random_sources
from minigrad.transforms.recorded_draws import Recorder, Replayer, same_state, state_of

GLOBAL = np.random.default_rng(8)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def flatten(out: Any) -> Any:
    return out[0] if isinstance(out, tuple) else out


def attend(x: Any) -> Any:
    return mg.scaled_dot_product_attention(x, x, x, dropout=0.4, generator=G.own)


def layer_of(name: str) -> Any:
    """A layer with a generator of its own, the same at every call."""
    mg.seed(0)
    return {
        "Dropout": lambda: layers.Dropout(0.5, generator=rng()),
        "default": lambda: layers.Dropout(0.5),
        "LSTM": lambda: layers.LSTM(3, 4, 2, dropout=0.5, generator=rng()),
        "recurrent": lambda: layers.GRU(3, 4, recurrent_dropout=0.5, generator=rng()),
        "zoneout": lambda: layers.RNN(3, 4, zoneout=0.3, generator=rng()),
        "attention": lambda: attend,
        "container": lambda: layers.Sequential(
            layers.Linear(3, 3), layers.Dropout(0.4, generator=rng()), layers.Dropout(0.2)
        ),
        "mersenne": lambda: layers.Dropout(
            0.5, generator=np.random.Generator(np.random.MT19937(3))
        ),
    }[name]()


G = SimpleNamespace(own=rng())


def run(f: Any, layer: Any) -> tuple[Any, Any, Any]:
    """The value, the gradient by the input, and what the generators draw afterwards."""
    G.own = rng()
    x = mg.Tensor(np.linspace(0.1, 1.0, 30).reshape(2, 5, 3), dtype="float32", requires_grad=True)
    y = flatten(f(x))
    (y * y).sum().backward()
    after = getattr(layer, "generator", None) or G.own
    return y.numpy(), x.grad.numpy(), (after.random(), default_generator().random())


@pytest.mark.parametrize(
    "name",
    [
        *("Dropout", "default", "LSTM", "recurrent", "zoneout", "attention", "container"),
        "mersenne",
    ],
)
@pytest.mark.parametrize(
    "wrapped",
    [
        lambda f: f,
        mg.checkpoint,
        lambda f: mg.checkpoint(mg.checkpoint(f)),
        lambda f: mg.checkpoint(lambda x: mg.checkpoint(lambda z: flatten(f(z)) * 1)(x * 1)),
    ],
)
def test_the_draws_of_layers_are_repeated(name, wrapped):
    plain = layer_of(name)
    expected = run(plain, plain)
    checked = layer_of(name)
    for got, want in zip(run(wrapped(checked), checked), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


class Noisy:
    """Draws from a generator of NumPy's by itself."""

    shared = rng(4)

    def __init__(self) -> None:
        self.rng = rng(2)
        self.deep = {"list": [SimpleNamespace(g=rng(3))]}

    def __call__(self, x: Any) -> Any:
        return x * self.rng.standard_normal(3) * self.deep["list"][0].g.standard_normal(3)

    def method(self, x: Any) -> Any:
        return x * self.rng.random(3) * self.shared.random(3)


class Slotted:
    __slots__ = ("rng", "unset")

    def __init__(self) -> None:
        self.rng = rng(5)

    def __call__(self, x: Any) -> Any:
        return x * self.rng.random(3)


def closing() -> Any:
    own = rng(6)
    return lambda x: x * own.random(3)


def mixed() -> Any:
    own = rng(6)

    def f(x: Any) -> Any:
        x = x * own.random(3)
        x = mg.dropout(x, 0.3, generator=own)
        x = x * own.random(3)
        return mg.dropout(x, 0.3, generator=own) * own.random(3)

    return f


def local(x: Any) -> Any:
    own = rng(6)
    x = mg.dropout(x, 0.3, generator=own) * own.random(3)
    return mg.dropout(x, 0.3, generator=own)


def from_global(x: Any) -> Any:
    return x * helper(3)


def helper(count: int) -> Any:
    return GLOBAL.random(count)


def legacy(x: Any) -> Any:
    return x * np.random.standard_normal(3) * random.random()  # noqa: NPY002


def default_by_hand(x: Any) -> Any:
    x = x * default_generator().random(3)
    return mg.dropout(x, 0.5) * default_generator().random(3)


def with_default(x: Any, g: Any = None, *, own: Any = GLOBAL) -> Any:
    return x * own.random(3) + (0 if g is None else g.random(3))


def partial_of(g: Any) -> Any:
    return functools.partial(with_default, g=g)


class OldState:
    def __init__(self) -> None:
        self.state, self.python = np.random.RandomState(1), random.Random(2)
        self.bits = np.random.Generator(np.random.Philox(4))

    def __call__(self, x: Any) -> Any:
        return x * self.state.randn(3) * self.python.random() * self.bits.random(3)


MAKERS = {
    "attributes": Noisy,
    "bound method": lambda: Noisy().method,
    "slots": Slotted,
    "closure": closing,
    "mixed with ours": mixed,
    "made inside": lambda: local,
    "globals": lambda: from_global,
    "legacy": lambda: legacy,
    "default": lambda: default_by_hand,
    "keyword default": lambda: with_default,
    "partial": lambda: partial_of(rng(9)),
    "RandomState": OldState,
    "wrapped": lambda: functools.wraps(closing)(closing()),
    "lambda": lambda: (lambda noisy: lambda x: noisy(x))(Noisy()),
    "sequence": lambda: lambda x: mg.checkpoint_sequence([Noisy(), closing()], x),
}


def draws_of(f: Any, seed: int) -> Any:
    """Gradient, gradient of its square, and the states of all sources afterwards."""
    global GLOBAL
    GLOBAL = rng(8)
    mg.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    x = mg.Tensor(np.array([0.3, 0.5, 0.7]), requires_grad=True)
    y = np.exp(f(x)).sum()
    first = mg.gradients(y, x, create_graph=True)
    y.backward(retain_graph=True)
    second = mg.gradients((first * first).sum(), x)
    states = [state_of(s) for s in random_sources(f, GLOBAL)]
    states += [np.random.random(), random.random()]  # noqa: NPY002
    return x.grad.numpy(), second.numpy(), states


@pytest.mark.parametrize("name", MAKERS)
def test_generators_that_are_found_are_put_back(name):
    plain = copy.deepcopy(MAKERS[name]()) if name in ("attributes", "RandomState") else None
    Noisy.shared = rng(4)
    with_default.__kwdefaults__["own"] = rng(7)
    expected = draws_of(plain or MAKERS[name](), 5)
    Noisy.shared = rng(4)
    with_default.__kwdefaults__["own"] = rng(7)
    f = MAKERS[name]()
    checked = mg.checkpoint(f)
    got = draws_of(checked, 5)
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-12)
    np.testing.assert_allclose(got[1], expected[1], rtol=1e-12)
    assert len(got[2]) == len(expected[2])
    assert all(same_state(a, b) for a, b in zip(got[2], expected[2], strict=True))


def test_other_draws_than_before_are_refused():
    layer = layers.Dropout(0.5)
    x = mg.Tensor(np.ones(4), requires_grad=True)
    y = mg.checkpoint(layer)(x)
    layer.eval()
    with pytest.raises(mg.GradientError, match=r"random \(4,\) by dropout.*train\(\) and eval"):
        y.sum().backward()
    layer.train()
    y = mg.checkpoint(lambda x: layer(x) if layer.p == 0.5 else layer(layer(x)))(x)
    layer.p = 0.25
    with pytest.raises(mg.GradientError, match="nothing more"):
        y.sum().backward()


def test_seeding_between_forward_and_backward_changes_nothing():
    x = mg.Tensor(np.ones(20), requires_grad=True)
    mg.seed(1)
    y = mg.checkpoint(lambda x: mg.dropout(x, 0.5) * 2)(x)
    mg.seed(1)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())
    after = default_generator().random()
    mg.seed(1)
    assert default_generator().random() == after


def test_threads_that_share_a_generator_disturb_nothing():
    shared = rng(3)
    wrong = []

    def work() -> None:
        for _ in range(30):
            x = mg.Tensor(np.ones(50), requires_grad=True)
            y = mg.checkpoint(lambda x: mg.dropout(x, 0.5, generator=shared) * 3.0)(x)
            y.sum().backward()
            if (x.grad.numpy() != y.numpy()).any():
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_recording_and_replaying_by_hand():
    generator = rng(1)
    recorder = Recorder()
    with observed_by(recorder):
        first = draw_numbers(generator, "normal", 0.0, 2.0, (2, 3), name="a")
        second = draw_numbers(None, "integers", 5, name="b")
    assert [str(d) for d in recorder.draws] == ["normal (2, 3) by a", "integers () by b"]
    state = state_of(generator.bit_generator)
    replayer = Replayer(recorder.draws, [], "here")
    with observed_by(replayer):
        np.testing.assert_array_equal(
            draw_numbers(generator, "normal", 0.0, 2.0, (2, 3), name="a"), first
        )
        assert draw_numbers(None, "integers", 5, name="b") == second
    replayer.finish()
    assert same_state(state, state_of(generator.bit_generator))


def test_initialisation_inside_of_a_checkpoint():
    def f(x: Any) -> Any:
        w = layers.init.orthogonal_(mg.Tensor(np.empty((3, 3))))
        return x @ w + layers.init.trunc_normal_(mg.Tensor(np.empty(3)), a=-0.5, b=0.5)

    x = mg.Tensor(np.eye(3), requires_grad=True)
    mg.seed(2)
    mg.checkpoint(lambda x: np.exp(f(x)))(x).sum().backward()
    got = x.grad.numpy()
    x.zero_grad()
    mg.seed(2)
    np.exp(f(x)).sum().backward()
    np.testing.assert_allclose(got, x.grad.numpy(), rtol=1e-12)


class Shared:
    """Holds generators as attributes of the class alone."""

    g = rng(11)
    table: ClassVar[dict[str, Any]] = {"deep": [rng(12)]}

    @classmethod
    def of_class(cls, x: Any) -> Any:
        return x * cls.g.random(3) * cls.table["deep"][0].random(3)

    @staticmethod
    def static(x: Any) -> Any:
        return x * Shared.g.random(3)

    @property
    def scale(self) -> Any:
        return NAMED.g.random(3)

    def by_property(self, x: Any) -> Any:
        return x * self.scale


class Derived(Shared):
    pass


NAMED = Shared
SETTINGS = ModuleType("settings_of_a_user")
SETTINGS.rng, SETTINGS.box, SETTINGS.unused = rng(13), Shared, rng(14)
SETTINGS.inner = ModuleType("settings_of_a_user.inner")
SETTINGS.inner.rng = SETTINGS.rng
exec("def draw(x):\n    return x * rng.random(3)", vars(SETTINGS))
imported_draw = SETTINGS.draw
ARRAY = np.ones(3)


def closing_over_class() -> Any:
    held = Derived
    return lambda x: x * held.g.random(3)


def imported_inside(x: Any) -> Any:
    import settings_of_a_user

    return x * settings_of_a_user.rng.random(3)


def without_module() -> Any:
    scope = {"own": rng(15)}
    exec("def f(x):\n    return x * own.random(3)", scope)
    scope["f"].__module__ = None
    return scope["f"]


def holding_module() -> Any:
    holder = SimpleNamespace(settings=SETTINGS)
    return lambda x: x * holder.settings.inner.rng.random(3)


OF_CLASSES_AND_MODULES = {
    "classmethod": lambda: Shared.of_class,
    "classmethod of a derived class": lambda: Derived.of_class,
    "classmethod of an object": lambda: Derived().of_class,
    "staticmethod": lambda: Shared.static,
    "class": closing_over_class,
    "class named": lambda: lambda x: x * Shared.g.random(3),
    "property": lambda: Shared().by_property,
    "module": lambda: lambda x: x * SETTINGS.rng.random(3),
    "module in module": lambda: lambda x: x * SETTINGS.inner.rng.random(3),
    "class in module": lambda: lambda x: x * SETTINGS.box.table["deep"][0].random(3),
    "function of module": lambda: lambda x: SETTINGS.draw(x),
    "imported function": lambda: lambda x: imported_draw(x),
    "without module": without_module,
    "imported inside": lambda: imported_inside,
    "module held": holding_module,
}


@pytest.mark.parametrize("name", OF_CLASSES_AND_MODULES)
def test_generators_of_classes_and_modules_are_put_back(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "settings_of_a_user", SETTINGS)
    x = mg.Tensor(np.full(3, 0.5), requires_grad=True)
    y = mg.checkpoint(OF_CLASSES_AND_MODULES[name]())(x)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy() * 0.5, y.numpy())


def test_values_that_have_no_truth_are_looked_at():
    x = mg.Tensor(np.full(3, 0.5), requires_grad=True)
    mg.checkpoint(lambda x: x * ARRAY * SETTINGS.rng.random(3))(x).sum().backward()
    assert x.grad.shape == (3,)


def test_attributes_of_modules_that_no_code_names_are_left_alone():
    sources = random_sources(lambda x: x * SETTINGS.rng.random(3))
    assert SETTINGS.rng.bit_generator in sources
    assert SETTINGS.unused.bit_generator not in sources
