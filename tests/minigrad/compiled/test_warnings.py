"""Overflow, division by zero and invalid values: told once a call, as NumPy's errstate has it."""

import io
import warnings

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad.compiled import plain
from minigrad.compiled.backends import default_backend
from minigrad.compiled.heard import Heard
from minigrad.compiled.programs import Program

BACK_ENDS = list(dict.fromkeys([plain, default_backend()]))
BIG, INF = 1e300, np.inf
CASES = {
    "exp": (mg.exp, 1000.0),
    "exp2": (np.exp2, 5000.0),
    "expm1": (np.expm1, 1000.0),
    "cosh": (np.cosh, 1000.0),
    "log of 0": (mg.log, 0.0),
    "log2 of 0": (np.log2, 0.0),
    "log1p of -1": (np.log1p, -1.0),
    "log of a negative": (mg.log, -1.0),
    "sqrt": (mg.sqrt, -1.0),
    "arcsin": (np.arcsin, 2.0),
    "arctanh": (np.arctanh, 1.0),
    "sin of infinity": (np.sin, INF),
    "reciprocal": (lambda x: 1 / x, 0.0),
    "0 / 0": (lambda x: x / x, 0.0),
    "product": (lambda x: (x * x) * (x * x), 1e120),
    "power": (lambda x: x**7.5, 1e60),
    "power of 0": (lambda x: x**-1.5, 0.0),
    "infinity - infinity": (lambda x: x - x, INF),
    "sum": (lambda x: (x * 1e8).sum(), 1e300),
    "a branch that where guards": (lambda x: mg.where(x > 0, mg.log(x), 0.0), 0.0),
    "two kinds": (lambda x: mg.exp(x) + mg.log(x - 1000.0), 1000.0),
    "a quiet block": (lambda x: quietly(x) * 2, 0.0),
    "sigmoid": (mg.sigmoid, -1000.0),
    "softplus": (mg.softplus, -1000.0),
    "softmax": (mg.softmax, 1000.0),
    "logsumexp": (mg.logsumexp, 1000.0),
    "gelu": (mg.gelu, -1000.0),
    "tanh": (mg.tanh, 1000.0),
    "softmax of scores far apart": (lambda x: mg.softmax(mg.stack([x, -x])), 1.7e308),
    "log_softmax of such": (lambda x: mg.log_softmax(mg.stack([x, -x]), axis=0), 1.7e308),
    "silu": (mg.silu, -INF),
    "infinite scores": (lambda x: mg.softmax(x), -INF),
    "comparison with NaN": (lambda x: mg.where(x > 0, x, 1.0), np.nan),
    "maximum with NaN": (mg.relu, np.nan),
}


def quietly(x):
    with np.errstate(divide="ignore"):
        return mg.log(x)


def heard(function, *arguments):
    """The kinds of warnings of a call, and all that were told."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*arguments)
    told = [str(w.message) for w in caught if w.category is RuntimeWarning]
    return {message.partition(" encountered")[0] for message in told}, told


@pytest.mark.parametrize("backend", BACK_ENDS, ids=lambda b: b.__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_as_the_function_itself(case, dtype, backend):
    function, number = CASES[case]
    compiled = mg.compile(function, backend=backend)
    good = np.linspace(0.2, 0.9, 19).astype(dtype)  # 19: the last vector is not full
    with np.errstate(all="ignore"):
        bad = good.copy()
        bad[7] = number
    for gradient in (False, True):
        for given in (good, bad, good):
            x = mg.Tensor(given, requires_grad=gradient)
            expected, _ = heard(function, x)
            heard(compiled, x)  # the first one is the function itself
            for _ in range(4):
                kinds, told = heard(compiled, x)
                assert kinds == expected
                assert len(told) == len(kinds)
    assert compiled.refusals == []


@pytest.mark.parametrize("backend", BACK_ENDS, ids=lambda b: b.__name__)
def test_backward_passes_are_silent_and_the_function_does_not_run_again(backend, monkeypatch):
    monkeypatch.setattr(Program, "_eager", None)

    def norm(x):
        return mg.sqrt((x * x).sum())  # whose derivative divides by zero at 0

    zeros = np.zeros(5, np.float32)
    for function in (norm, mg.value_and_grad(norm)):
        compiled = mg.compile(function, backend=backend)
        compiled(zeros + 1)
        for _ in range(5):
            assert heard(compiled, zeros) == (set(), [])
    loss = mg.compile(norm, backend=backend)
    for _ in range(3):
        x = mg.Tensor(zeros, requires_grad=True)
        assert heard(lambda x: loss(x).backward(), x) == (set(), [])
        assert np.isnan(x.grad.numpy()).all()
    overflowing = mg.compile(lambda x: mg.exp(x * 1000.0).sum(), backend=backend)
    for _ in range(3):
        x = mg.Tensor(zeros + 1, requires_grad=True)
        assert heard(lambda x: overflowing(x).backward(), x)[0] == {"overflow"}


GUARDED = {
    "reciprocal": lambda x: 1 / mg.where(x == 0, 1.0, x),
    "quotient": lambda x: x / mg.where(x == 0, 1.0, x),
    "through a root": lambda x: 1 / mg.sqrt(mg.where(x > 0, x, 1.0)),
    "root": lambda x: mg.sqrt(mg.where(x < 0, 0.0, x)),
    "logarithm": lambda x: mg.log(mg.where(x > 0, x, 1.0)),
    "log1p": lambda x: np.log1p(mg.where(x > -1, x, 0.0)),
    "arcsine": lambda x: np.arcsin(mg.where(abs(x) < 1, x, 0.5)),
    "exp": lambda x: mg.exp(mg.where(x > 20, 0.0, x)),
    "power": lambda x: mg.where(x > 0, x, 1.0) ** -1.5,
    "of a column": lambda x: (x + 1) / mg.where(x == 0, 1.0, x)[:, :1],
    "of a sum": lambda x: x / mg.where(x.sum(axis=1, keepdims=True) == 0, 1.0, x.sum(1)[:, None]),
    "the other side": lambda x: 2.0 / mg.where(x != 0, x, -2.0),
    "masked softmax": lambda x: mg.softmax(mg.where(x <= 0, -np.inf, x)),
    "log1p of small numbers": lambda x: np.log1p(mg.exp(-80 * abs(x))) + np.log1p(0 * x),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", GUARDED)
def test_what_where_guards_costs_no_second_run(case, dtype, monkeypatch):
    # Native code computes nothing of a side that was not chosen, so there is nothing to hear.
    monkeypatch.setattr(Heard, "status", None)
    x = np.linspace(0.2, 0.9, 33).reshape(3, 11).astype(dtype)
    x[1] = [0, -1, -2, 0, 30, 0, -3, 0, 0.5, -1e9, 0]
    x[2] = 0
    function = GUARDED[case]
    compiled = mg.compile(function)
    for _ in range(3):
        found = compiled(x)
    np.testing.assert_allclose(found.numpy(), function(mg.Tensor(x)).numpy(), rtol=1e-4)


@pytest.mark.parametrize("layer", ["MultiheadAttention", "TransformerEncoderLayer"])
def test_padded_attention_costs_no_second_run(layer, monkeypatch):
    monkeypatch.setattr(Heard, "status", None)
    mg.seed(0)
    module = getattr(layers, layer)(16, 4, **({} if layer.startswith("Multi") else {"dropout": 0}))
    x = np.random.default_rng(0).standard_normal((3, 7, 16)).astype(np.float32)

    def loss(x, lengths):
        result = module(x, lengths=lengths)
        return ((result[0] if isinstance(result, tuple) else result) ** 2).sum()

    compiled = mg.compile(mg.value_and_grad(loss))
    for lengths in ([7, 4, 2], [1, 7, 7], [3, 3, 3]):
        value, gradient = compiled(mg.Tensor(x), np.array(lengths))
        expected, slope = mg.value_and_grad(loss)(mg.Tensor(x), np.array(lengths))
        np.testing.assert_allclose(value.numpy(), expected.numpy(), rtol=1e-4)
        np.testing.assert_allclose(gradient.numpy(), slope.numpy(), rtol=1e-3, atol=1e-4)


def divided(x):
    return 1 / x


@pytest.fixture(params=BACK_ENDS, ids=lambda b: b.__name__)
def compiled(request):
    function = mg.compile(divided, backend=request.param)
    function(np.ones(3))
    return function


def test_the_warning_names_the_function_and_points_at_the_call(compiled):
    with pytest.warns(RuntimeWarning, match="divide by zero encountered in divided") as caught:
        compiled(np.zeros(3))
    assert [w.filename for w in caught] == [__file__]


def test_settings_of_errstate_hold(compiled, capsys):
    zeros = np.zeros(3)
    with np.errstate(divide="ignore"):
        assert np.isinf(compiled(zeros)).all()
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError, match="in divided"):
        compiled(zeros)
    seen = []
    with np.errstate(divide="call", call=lambda *found: seen.append(found)):
        compiled(zeros)
        assert seen == [("divide by zero", 1)]
    log = io.StringIO()
    with np.errstate(divide="log", call=log):
        compiled(zeros)
    assert log.getvalue() == "Warning: divide by zero encountered in divided\n"
    with np.errstate(divide="print"):
        compiled(zeros)
    assert "divide by zero encountered in divided" in capsys.readouterr().err
    assert compiled(np.ones(3)).tolist() == [1, 1, 1]


def test_what_is_written_stays_when_a_setting_raises(compiled):
    state = mg.Tensor(np.zeros(3))

    def step(x):
        state[...] = state + 1 / x
        return x * 2

    function = mg.compile(step, backend=compiled._backend)
    for _ in range(2):
        function(np.ones(3))
    assert state.numpy().tolist() == [2, 2, 2]
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        function(np.zeros(3))
    assert state.numpy().tolist() == [2, 2, 2]


@pytest.mark.parametrize("kind", [layers.LSTM, layers.GRU])
def test_a_kernel_that_overflows_warns(kind, monkeypatch):
    """What it keeps for its backward is no array; the part of the program that warns has no use
    for it."""
    layer = kind(4, 4)
    x = np.ones((32, 64, 4), np.float32)
    compiled = mg.compile(layer, backend="plain")
    for _ in range(2):
        compiled(x)[0].sum().backward()
    for parameter in layer.parameters():
        parameter.write(parameter.numpy() * np.float32(1e38))
    with pytest.warns(RuntimeWarning, match="overflow"):
        output = compiled(1000 * x)[0]
    monkeypatch.setenv("MINIGRAD_COMPILE", "0")
    with pytest.warns(RuntimeWarning, match="overflow"):
        found = layer(1000 * x)[0]  # by NumPy
    np.testing.assert_array_equal(output.numpy(), found.numpy())
    assert compiled.programs
    assert compiled.refusals == []


@pytest.mark.parametrize("backend", ["plain", "native"])
def test_a_block_of_the_users_that_ignores_warnings(backend):
    def quiet(x):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.where(x > 0, np.log(x), 0.0)

    zero, one = mg.Tensor([0.0, 1.0]), mg.Tensor([1.0, 1.0])
    compiled = mg.compile(quiet, backend=backend)
    for _ in range(2):
        compiled(zero)  # warnings are errors here
    beside = mg.compile(lambda x: (quiet(x), np.log(x)), backend=backend)
    beside(one)
    with pytest.warns(RuntimeWarning, match="divi"):
        beside(zero)
    assert len(compiled.programs) == len(beside.programs) == 1


@pytest.mark.parametrize("backend", BACK_ENDS)
def test_what_nobody_is_told_of_is_not_computed_a_second_time(backend, monkeypatch):
    compiled = mg.compile(divided, backend=backend)
    x = np.array([1, 0], np.float32)
    with np.errstate(divide="ignore"):
        for _ in range(2):
            compiled(x)
        monkeypatch.setattr(Heard, "status", None)
        assert compiled(x).tolist() == [1, np.inf]
    monkeypatch.undo()
    with pytest.warns(RuntimeWarning, match="divide by zero encountered in divided"):
        compiled(x)
