"""Anomaly mode: the first operation that makes NaN or infinity is named, with place and line."""

import inspect
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import layers
import minigrad as mg
from layers.models.character import CharacterConfig, CharacterModel
from minigrad.core.contributions import OutputGradients
from minigrad.core.modes import current_mode
from minigrad.debug.findings import is_finite

ROOT = Path(__file__).resolve().parents[2]
THIS = Path(__file__).name


@pytest.fixture(autouse=True)
def _quiet():
    """NumPy's own warnings are not the subject here."""
    with np.errstate(all="ignore"):
        yield


def leaf(data, name=None):
    x = mg.Tensor(np.asarray(data, np.float32), requires_grad=True)
    x.name = name
    return x


def line_of(function, text):
    """The file and line of the first line of a function that contains a text."""
    lines, start = inspect.getsourcelines(function)
    number = next(i for i, line in enumerate(lines) if text in line)
    return f"{THIS}:{start + number}: {lines[number].strip()}"


def anomaly(function, *args):
    """The message that a function raises under anomaly mode."""
    with mg.anomaly_mode(), pytest.raises(mg.AnomalyError, match=THIS) as caught:
        function(*args)
    return str(caught.value)


# -- the planted one -------------------------------------------------------------------------------


class FaultyCell(layers.LSTMCell):
    """An LSTM cell that takes the logarithm of 0 in step 7."""

    def forward(self, x, state=None):
        h, c = super().forward(x, state)
        if current_mode().scope.time_step == 7:
            h = h + mg.log(h * 0)
        return h, c


class Stack(layers.Module):
    """Two recurrent layers, the second one faulty."""

    def __init__(self):
        super().__init__()
        self.layer0 = layers.LSTMCell(3, 4)
        self.layer1 = FaultyCell(4, 4)

    def forward(self, x):
        first = second = None
        for t in range(x.shape[1]):
            with mg.step(t):
                first = self.layer0(x[:, t], first)
                second = self.layer1(first[0], second)
        return second[0]


def sequence(time=10):
    return np.random.default_rng(0).uniform(size=(2, time, 3)).astype(np.float32)


def test_planted_log_of_zero_is_named_with_layer_step_and_line():
    message = anomaly(Stack(), sequence())
    assert message.startswith("log in Stack.layer1, step 7: finite inputs gave numbers that are")
    assert "x: f32[2, 4] from 0 to 0 -> f32[2, 4] with 8 infinite of 8" in message
    assert "Keep its input above 0" in message
    assert message.endswith(line_of(FaultyCell, "mg.log"))


def test_marks_survive_the_backward():
    net = Stack()
    with mg.anomaly_mode("mark"):
        y = net(sequence()).sum()
        y.backward()
    graph = mg.graph(y)
    forward, backward = graph.first_anomaly().splitlines()
    assert forward.startswith("Forward: log in Stack.layer1, step 7: finite inputs gave")
    assert forward.endswith(line_of(FaultyCell, "mg.log"))
    assert backward.startswith("Backward: backward through ")
    assert "Stack.layer1, step 9" in backward
    assert "Numbers in the forward pass were not finite here" in backward
    log = next(node for node in graph if node.plan.name == "log")
    assert log.saved is None
    assert log.extras.value_finite is False
    assert log.inputs[0].extras.value_finite is True
    early = [n for n in graph if n.scope is not None and n.scope.time_step == 3]
    assert early
    assert all(n.extras.value_finite for n in early)


# -- forward ---------------------------------------------------------------------------------------


def test_finite_inputs_gave_others():
    x = leaf([0, 4])
    message = anomaly(lambda: mg.exp(x * 1000))
    assert message.startswith("exp: finite inputs gave numbers that are not finite: x: f32[2] from")
    assert "0 to 4000 -> f32[2] with 1 infinite of 2. It overflows" in message
    assert "with 1 NaN of 2" in anomaly(lambda: mg.sqrt(x - 1))
    # an operation that is recorded by nobody counts too
    assert anomaly(lambda: mg.divide(np.ones(2), np.zeros(2))).startswith("divide: finite")


def test_infinity_may_enter_as_a_constant_and_turn_into_nan():
    x = leaf([0, 4])
    with mg.anomaly_mode():
        masked = mg.where(np.array([True, False]), x, -np.inf)
        y = mg.softmax(masked).sum()
        y.backward()
    assert mg.graph(y).first_anomaly() is None
    assert [n.extras.value_finite for n in mg.graph(y) if n.plan.name == "where"] == [False]
    message = anomaly(lambda: (x + np.inf) - np.inf)
    assert message.startswith("subtract: infinite numbers in x1, x2 gave NaN: x1: f32[2]")
    assert "infinite numbers in x2 gave NaN" in anomaly(lambda: x * np.inf)


def test_bad_numbers_that_enter_are_reported_with_their_argument():
    x, weight = leaf([0, 4]), leaf([1, np.inf], "weight")
    bad = np.array([np.nan, 1], np.float32)
    assert anomaly(lambda: x * bad).startswith(
        "multiply: its argument x2 is a constant that was not finite when it came in: f32[2] with "
        "1 NaN of 2."
    )
    assert "argument arrays[1] is a constant" in anomaly(lambda: mg.concatenate([x, bad]))
    assert "argument x is the leaf 'weight' that was not fin" in anomaly(lambda: weight + x)
    with mg.anomaly_mode():  # data with gaps may come in where the gaps are taken care of
        assert mg.nansum(bad).item() == 1
        assert mg.isnan(bad).tolist() == [True, False]


def test_numbers_that_were_bad_before_are_not_blamed_on_later_operations():
    x = leaf([0, 4])
    y = mg.log(x)
    with mg.anomaly_mode():
        z = (y * 2).sum()
    assert mg.graph(z).first_anomaly() is None


def test_fused_kernels_are_explained_by_their_reference():
    def logarithms(x):
        for t in range(3):
            with mg.step(t):
                x = mg.log(x)
        return x

    def never(grads, residuals, inputs, needed):
        raise AssertionError("no backward runs here")

    @mg.fused(reference=logarithms, backward=never)
    def kernel(x):
        return np.log(np.log(np.log(x))), None

    def run():
        with mg.scope("block"):
            return kernel(leaf([np.e, 20]))

    message = anomaly(run)
    assert message.startswith("kernel in block: finite inputs gave numbers that are not finite: x:")
    assert "Step by step, in its reference: log in block, step 2: finite inputs gave" in message
    assert message.endswith(line_of(run, "kernel("))


# -- backward --------------------------------------------------------------------------------------


def root(x):
    return mg.sqrt(x).sum()


@pytest.mark.parametrize(
    "run",
    [
        lambda x: root(x).backward(),
        lambda x: root(x).backward(create_graph=True),
        lambda x: mg.gradients(root(x), x),
        lambda x: mg.gradients(root(x), x, create_graph=True),
        lambda x: mg.grad(root)(x),
        lambda x: mg.checkpoint(root)(x).backward(),
    ],
)
def test_backward_names_the_operation_and_its_line(run):
    message = anomaly(run, leaf([0, 4]))
    assert "backward through sqrt: the finite gradient of its result, f32[2]," in message
    assert "became f32[2] with 1 infinite of 2 for its input x. The slope of sqrt is" in message
    assert message.endswith(
        f"Line of the forward: {Path(__file__)}:" + line_of(root, "sqrt")[len(THIS) + 1 :]
    )


def test_forward_or_backward_alone():
    x = leaf([0, 4])
    with mg.anomaly_mode():
        y = root(x)
    y.backward()  # not checked
    assert x.grad.tolist() == [np.inf, 0.25]
    y = root(x)
    with mg.anomaly_mode(), pytest.raises(mg.AnomalyError, match="its line is named here"):
        y.backward()


def test_masked_infinities_inside_a_rule_are_no_anomaly():
    @mg.primitive
    def safe_root(x):
        return np.sqrt(x)

    safe_root.vjp(x=lambda g, y: np.where(y == 0, 0, g / (2 * y)))
    x = leaf([0, 4])
    with mg.anomaly_mode():
        safe_root(x).sum().backward(create_graph=True)
    assert x.grad.tolist() == [0, 0.25]
    assert mg.graph(x.grad).first_anomaly() is None


def test_seeds_sums_and_hooks_are_blamed_for_themselves():
    x = leaf([1], "x")
    assert anomaly(lambda: (x * 2).backward(np.array([np.nan]))).startswith(
        "backward from multiply: the gradient that it starts from is not finite: f32[1] with 1 NaN"
    )

    def added(x):
        h = x * 1
        return h * 3e38 * 1e-3 * 1e3 + h * 3e38

    with mg.anomaly_mode():
        y = added(leaf([0.1]))
        with pytest.raises(mg.AnomalyError, match="infinite of 1 when they were added up"):
            y.backward()
        with (
            pytest.raises(mg.AnomalyError, match=r"backward at leaf 'x': .*hook changed them\."),
            x.register_hook(lambda g: g * np.inf),
        ):
            (x * 2).sum().backward()
    assert x._node.extras.grad_finite is False


def test_backward_of_a_kernel_is_explained_by_its_reference():
    mg.seed(0)
    lstm = layers.LSTM(3, 4)

    def run(create_graph=False):
        output, _ = lstm(sequence(6))
        output.sum().backward(np.float32(3e38), create_graph=create_graph)

    for create_graph in (False, True):
        message = anomaly(run, create_graph)
        assert message.startswith("backward through lstm_sequence in LSTM.l0: the finite gradient")
        assert re.search(
            r"Step by step, in its reference: backward .* in LSTM\.l0, step \d", message
        )
        assert message.endswith(line_of(run, "lstm(sequence"))


def test_flags_are_renewed_by_the_next_backward():
    x = leaf([0, 4])
    with mg.anomaly_mode("mark"):
        y = mg.sqrt(x)
        y.backward(np.array([1, 1]), retain_graph=True)
        assert "Backward: backward through sqrt" in mg.graph(y).first_anomaly()
        y.backward(np.array([0, np.nan]), retain_graph=True)
        assert "starts from is not finite" in mg.graph(y).first_anomaly()
        x.grad = None
        mg.sqrt(x + 1).sum().backward()
    assert x._node.extras.grad_finite is True
    assert x._node.extras.grad_anomaly is None


def test_first_anomaly_needs_a_check():
    with pytest.raises(mg.GradientError, match="no operation of this graph ran under anomaly mode"):
        mg.graph(root(leaf([1]))).first_anomaly()


def test_unknown_actions_are_refused():
    with pytest.raises(ValueError, match='must be "raise" or "mark", got \'warn\''):
        mg.anomaly_mode("warn")


def test_the_mode_ends_with_its_block_and_decorates():
    x = leaf([0])

    @mg.anomaly_mode()
    def checked():
        return mg.log(x)

    with pytest.raises(mg.AnomalyError, match="log"):
        checked()
    assert mg.log(x).item() == -np.inf
    assert not current_mode().watchers


def test_training_step_gives_the_same_with_and_without():
    codes = np.arange(24).reshape(4, 6) % 7  # too short for programs, which round otherwise
    gradients = []
    for action in (None, "raise", "mark"):
        mg.seed(0)
        model = CharacterModel(CharacterConfig(7, 4, 8, num_layers=2))
        if action is None:
            loss = model.loss(codes, codes)
            loss.backward()
        else:
            with mg.anomaly_mode(action):
                loss = model.loss(codes, codes)
                loss.backward()
            assert mg.graph(loss).first_anomaly() is None
            assert all(node.extras.grad_finite for node in mg.graph(loss))
        gradients.append([loss, *(p.grad for p in model.parameters())])
    for others in gradients[1:]:
        for a, b in zip(gradients[0], others, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


# -- what the checks rest on -----------------------------------------------------------------------


@given(
    st.integers(0, 20_000),
    st.sampled_from(["float16", "float32", "float64", "complex128", "int32", "bool"]),
    st.sampled_from([None, np.nan, np.inf, -np.inf]),
    st.sampled_from([1.0, 1e4, 1e300]),
    st.integers(0, 2**32 - 1),
)
def test_is_finite(size, dtype, bad, scale, seed):
    generator = np.random.default_rng(seed)
    scale = min(scale, float(np.finfo(dtype).max) / 2) if np.dtype(dtype).kind in "fc" else 1
    array = (generator.uniform(-1, 1, size) * scale).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert is_finite(array)
        assert is_finite(mg.Tensor(array).reshape(-1, 1)[::-1])
        if bad is not None and size and array.dtype.kind in "fc":
            array[generator.integers(size)] = bad
            assert not is_finite(array)
            assert not is_finite(OutputGradients(((2,), (2,)), (array.dtype,) * 2, {0: array}))


# -- branches that were not taken ------------------------------------------------------------------

BRANCHES = {
    "where": lambda x: np.where(x > 0, np.sqrt(abs(x)), 0),
    "further down": lambda x: np.where(x > 0, 3 * np.sqrt(x * x) + 1, 0).sum() * 2,
    "other side": lambda x: np.where(x <= 0, 0, (x * x) ** 0.25),
    "inside of another": lambda x: np.where(x > 0, np.where(x < 9, np.sqrt(abs(x)), 1.0), 0),
    "one-sided domain": lambda x: np.where(x > 0, np.arcsin(1 - x * x), 0),
    "select": lambda x: np.select([x > 0], [np.sqrt(abs(x))], 0.0),
}


@pytest.mark.parametrize("name", BRANCHES)
def test_a_branch_that_where_did_not_take_is_recognised(name):
    def run():
        BRANCHES[name](leaf([0.0, 1.0])).sum().backward()

    message = anomaly(run)
    assert "because `where` did not take them" in message
    assert "np.where(m, f(np.where(m, x, 1.0)), other)" in message
    assert "y[m] = f(x[m])" in message
    assert "add a small" not in message


def test_elements_that_an_index_leaves_out_are_recognised():
    def run():
        x = leaf([0.0, 4.0])
        np.sqrt(x)[x > 0].sum().backward()

    assert "because `getitem` did not take them" in anomaly(run)


def test_a_branch_whose_value_was_infinite_is_recognised_afterwards():
    x = leaf([0.0, 1.0])
    with mg.anomaly_mode("mark"):
        y = np.where(x > 0, np.log(x), 0).sum()
        y.backward()
    forward, backward = mg.graph(y).first_anomaly().split("\n")
    assert "If `where` leaves these places out later" in forward
    assert "because `where` did not take them" in backward


def test_an_infinite_slope_that_counts_keeps_its_advice():
    def run():
        x = leaf([0.0, 1.0])
        np.where(x < 5, np.sqrt(x), 0).sum().backward()

    message = anomaly(run)
    assert "add a small positive number" in message
    assert "did not take" not in message


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.where(x > 0, np.sqrt(np.where(x > 0, x, 1.0)), 0.0),
        lambda x: _assigned(x, x.numpy() > 0),
    ],
)
def test_the_advice_gives_finite_gradients(function):
    x = leaf([0.0, 4.0])
    with mg.anomaly_mode():
        function(x).sum().backward()
    assert x.grad.tolist() == [0.0, 0.25]


def _assigned(x, chosen):
    y = mg.zeros_like(x)
    y[chosen] = np.sqrt(x[chosen])
    return y
