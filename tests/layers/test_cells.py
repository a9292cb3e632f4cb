"""What a cell declares, one step of it, and what is refused with what to write instead."""

from typing import Any, NamedTuple

import numpy as np
import pytest

import layers
import minigrad as mg
from layers import Cell, GRUCell, Linear, LSTMCell, Parameter, Recurrent, RNNCell, Routes, scan
from layers.cells.cell_equations import LSTMGates
from minigrad.core.errors import DtypeError, ShapeError
from tests.layers.user_cells import MGU, MGUCell, TraceCell, TraceLayers, mgu_step, trace_step


def listed(state):
    return list(state) if isinstance(state, tuple) else [state]


X = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)


def test_one_step_equals_the_equations():
    for kind, step, first in (
        (MGUCell, mgu_step, lambda w: (np.zeros(2),)),
        (TraceCell, trace_step, lambda w: (w["start"], np.zeros(2))),
    ):
        cell = kind(3, 2)
        state, gates = cell(X, return_gates=True)
        w = cell.state_dict()
        for b in range(2):
            expected, parts = step(X[b], first(w), w)
            for one, other in zip(listed(state), expected, strict=True):
                np.testing.assert_allclose(one.numpy()[b], other, atol=1e-6)
            for one, other in zip(gates, parts, strict=True):
                np.testing.assert_allclose(one.numpy()[b], other, atol=1e-6)
        assert gates._fields == kind.gates._fields
        single = cell(X[0])
        assert cell(X[0], single) is not None
        again = cell(X, state)
        assert type(again) is type(state)


@pytest.mark.parametrize(
    ("cell", "norms"),
    [
        (RNNCell, {"norm_ih": (2,), "norm_hh": (2,)}),
        (GRUCell, {"norm_ih": (6,), "norm_hh": (6,)}),
        (
            LSTMCell,
            {"norm_ih": (8,), "norm_hh": (8,), "norm_c": (2,), "norm_c_bias": (2,)},
        ),
    ],
)
def test_gains_and_the_bias_of_layer_norm(cell, norms):
    plain = dict(cell(3, 2).named_parameters())
    found = dict(cell(3, 2, layer_norm=True).named_parameters())
    assert {name: p.shape for name, p in found.items() if name not in plain} == norms
    for name in norms:
        assert (found[name].numpy() == (0 if name == "norm_c_bias" else 1)).all()


def test_gains_and_the_bias_of_a_norm_begin_again_as_they_began():
    cell = LSTMCell(3, 2, layer_norm=True)
    norms = {name: p for name, p in cell.named_parameters() if name.startswith("norm")}
    began = {name: p.numpy().copy() for name, p in norms.items()}
    with mg.no_grad():
        for parameter in norms.values():
            parameter[...] = 5.0
    cell.reset_parameters()
    for name, parameter in norms.items():
        np.testing.assert_array_equal(parameter.numpy(), began[name])


def test_parts_of_a_subclass_are_not_drawn_again():
    class Read(GRUCell):
        def __init__(self):
            super().__init__(3, 2)
            self.read = Linear(2, 2)

    cell = Read()
    before = cell.state_dict()
    cell.reset_parameters()
    for name, array in cell.state_dict().items():
        assert np.array_equal(array, before[name]) == name.startswith("read.")


def test_gates_of_the_built_in_cells():
    for kind, names in (
        (RNNCell, None),
        (GRUCell, ("reset", "update", "candidate")),
        (LSTMCell, ("input", "forget", "candidate", "output")),
    ):
        cell = kind(3, 2)
        state, gates = cell(X, return_gates=True)
        assert (None if gates is None else gates._fields) == names
        for one, other in zip(listed(state), listed(cell(X)), strict=True):
            np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_sequences_that_have_ended_keep_their_states():
    active = np.array([True, False])
    for kind in (MGUCell, TraceCell, RNNCell, LSTMCell, GRUCell):
        cell = kind(3, 2)
        before = cell(X)
        after, going = cell(X, before, active=active), cell(X, before)
        for kept, moved, old in zip(*map(listed, (after, going, before)), strict=True):
            np.testing.assert_array_equal(kept.numpy()[1], old.numpy()[1])
            np.testing.assert_array_equal(kept.numpy()[0], moved.numpy()[0])


def test_steps_get_tensors_and_may_return_arrays():
    class Plain(Cell):
        def step(self, x, states):
            assert isinstance(x, mg.Tensor)
            assert isinstance(states[0], mg.Tensor)
            return states[0].numpy() + x.numpy()

    cell, layer = Plain(3, 3), Recurrent(Plain, 3, 3)
    np.testing.assert_array_equal(cell(X).numpy(), X)
    half = X.astype(np.float16)  # without parameters, the dtype is that of the inputs
    output, _ = layer(half[None])
    np.testing.assert_array_equal(output.numpy()[0], np.cumsum(half, axis=0))
    assert output.dtype == np.float16


class Named(NamedTuple):
    keep: Any
    write: Any


@pytest.mark.parametrize("names", [Named, ("keep", "write"), None])
def test_gates_are_declared_by_names_by_a_named_tuple_or_not_at_all(names):
    class Leaky(Cell):
        gates = names

        def step(self, x, states):
            (h,) = states
            return h + x if names is None else (h + x, (0 * x, 2 * x))

    x = np.ones((1, 2), np.float32)
    h, gates = Leaky(2, 2)(x, return_gates=True)
    np.testing.assert_array_equal(h.numpy(), x)
    if names is None:
        assert gates is None
    else:
        assert gates._fields == ("keep", "write")
        np.testing.assert_array_equal(gates.write.numpy(), 2 * x)


def test_a_cell_is_shown_with_what_differs():
    assert repr(LSTMCell(3, 2)) == "LSTMCell(input_size=3, hidden_size=2)"
    cell = GRUCell(3, 2, bias=False, layer_norm=True)
    assert repr(cell) == "GRUCell(input_size=3, hidden_size=2, bias=False, layer_norm=True)"
    text = repr(TraceCell(3, 2, trace_size=5))
    assert text.startswith("TraceCell(input_size=3, hidden_size=2, state_sizes=(5, 2)\n")


# -- classes that declare something wrong ----------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (
            {"states": ()},
            r"Bad: states must be a tuple of different names such as \(\"h\",\).*\(\)",
        ),
        ({"states": "h"}, r"Bad: states must be a tuple .*got 'h'"),
        ({"states": ("h", "h")}, r"different names"),
        ({"states": ("cell state",)}, r"each one word"),
        ({"states": ("_h",)}, r"Bad: states must be a tuple"),
        ({"states": ("if",)}, r"Bad: states must be a tuple"),
        ({"states": ("gates",)}, r"a state cannot be called \"gates\""),
        ({"gates": ("forget", 3)}, r"Bad: gates must be a tuple .*\"forget\", \"candidate\""),
        ({"gates": ()}, r"Bad: gates must be a tuple"),
        ({"gates": ("forget", "forget")}, r"Bad: gates must be a tuple of different names"),
        ({"states": None}, r"Bad: states must be a tuple"),
        ({"states": LSTMGates}, r"Bad: states must be a tuple"),
        ({"output_state": "y"}, r"output_state must be one of the states \('h',\), got 'y'"),
        ({"routes": ("h",)}, r"Bad: routes must be layers\.Routes"),
        ({"routes": Routes("c")}, r"the highway one of the states \('h',\) or empty"),
    ],
)
def test_wrong_declarations(declared, message):
    with pytest.raises(TypeError, match=message):
        type("Bad", (Cell,), declared)


@pytest.mark.parametrize(
    "step",
    [
        lambda self, x: x,
        lambda self, x, states, weights: x,
        staticmethod(lambda x, states: x),
        lambda self, x, states, *, keep: x,
    ],
)
def test_wrong_signatures_of_a_step(step):
    with pytest.raises(TypeError, match=r"Bad: step must be a method step\(self, x, states\)"):
        type("Bad", (Cell,), {"step": step})


def test_wrong_constructions():
    class Stepless(Cell):
        pass

    with pytest.raises(TypeError, match=r"Stepless defines no step\(self, x, states\)"):
        Stepless(3, 2)
    with pytest.raises(ValueError, match=r"MGUCell: hidden_size must be an integer of 1 or more"):
        MGUCell(3, 0)

    class Narrow(TraceCell):
        def __init__(self, sizes):
            Cell.__init__(self, 3, 2, state_sizes=sizes)

    with pytest.raises(ValueError, match=r"a width for each of the states \(trace, out\), got 3"):
        Narrow(3)
    with pytest.raises(ValueError, match=r"trace, out\), got \(3,\)"):
        Narrow((3,))
    with pytest.raises(ValueError, match=r"state_sizes must be an integer of 1 or more, got 0"):
        Narrow((0, 2))
    with pytest.raises(ValueError, match=r"LSTMCell: proj_size must be 0 .* hidden_size=2, got 2"):
        LSTMCell(3, 2, proj_size=2)
    for size in (-1, 1.0):
        with pytest.raises(ValueError, match="LSTMCell: proj_size must be an integer of 0 or more"):
            LSTMCell(3, 2, proj_size=size)
    with pytest.raises(TypeError, match="proj_size"):
        GRUCell(3, 2, proj_size=1)

    class Clash(Cell):
        def __init__(self, input_size, hidden_size, part):
            super().__init__(input_size, hidden_size)
            self.gates = part

        step = MGUCell.step

    for part in (Linear(3, 2), Parameter([1.0])):
        with pytest.raises(TypeError, match=r"Clash: 'gates' is a name that every cell has"):
            Clash(3, 2, part)


# -- steps that return something wrong -------------------------------------------------------------


def cell_that_returns(value, **declared):
    declared["step"] = lambda self, x, states: value(x, states)
    return type("Bad", (Cell,), declared)


TWO = {"states": ("h", "c")}
GATES = {"gates": ("open", "shut")}


@pytest.mark.parametrize("run", ["cell", "layer", "scan"])
@pytest.mark.parametrize(
    ("declared", "value", "error", "message"),
    [
        ({}, lambda x, s: None, TypeError, r"Bad\.step must return the new state h, got None"),
        ({}, lambda x, s: (s[0], s[0]), TypeError, r"new state h, got .*names them: gates ="),
        ({}, lambda x, s: (0.0,), TypeError, r"as tensors or arrays, got h = 0\.0"),
        (TWO, lambda x, s: s[0], TypeError, r"must return a tuple \(h, c\), got f32\[2, 3\]"),
        (TWO, lambda x, s: (*s, s[0]), TypeError, r"a tuple \(h, c\), got \[f32"),
        (
            {},
            lambda x, s: s[0][:, :2],
            ShapeError,
            r"h must keep its shape \(2, 3\), got f32\[2, 2",
        ),
        (TWO, lambda x, s: (s[0], s[1][:1]), ShapeError, r"state c must keep its shape"),
        ({}, lambda x, s: s[0].astype("float64"), DtypeError, r"keep its dtype float32, got f64"),
        (GATES, lambda x, s: s[0], TypeError, r"and, beside them, its gates \(open, shut\)"),
        (GATES, lambda x, s: (s[0], x), TypeError, r"gates \(open, shut\) as a tuple, got f32"),
        (GATES, lambda x, s: (s[0], (x,)), TypeError, r"gates \(open, shut\) as a tuple"),
    ],
)
def test_wrong_steps(run, declared, value, error, message):
    kind = cell_that_returns(value, **declared)
    calls = {
        "cell": lambda: kind(3, 3)(X),
        "layer": lambda: Recurrent(kind, 3, 3)(X[:, None]),
        "scan": lambda: scan(kind(3, 3), X[:, None]),
    }
    with pytest.raises(error, match=message):
        calls[run]()


@pytest.mark.parametrize(
    ("begin", "error", "message"),
    [
        (lambda b: np.zeros((*b, 2), np.float32), TypeError, r"init_state must return a tuple"),
        (lambda b: (np.zeros((*b, 2)),) * 2, TypeError, r"Bad\.init_state must return a tuple"),
        (
            lambda b: (np.zeros(2),),
            ShapeError,
            r"Bad\.init_state: state h must have shape \(2, 2\)",
        ),
        (
            lambda b: (np.zeros((*b, 2), int),),
            DtypeError,
            r"Bad\.init_state: state h must be float",
        ),
    ],
)
def test_wrong_initial_states_of_a_cell(begin, error, message):
    kind = type("Bad", (MGUCell,), {"init_state": lambda self, batch, dtype: begin(batch)})
    for call in (lambda: kind(3, 2)(X), lambda: Recurrent(kind, 3, 2)(X[:, None])):
        with pytest.raises(error, match=message):
            call()


# -- wrong calls of layers of any cell -------------------------------------------------------------


class Called(MGUCell):
    def forward(self, x, state=None):
        return super().forward(x, state)


class Forgetful(MGUCell):
    def __init__(self, input_size, hidden_size):
        super().__init__(3, hidden_size)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: Recurrent(), TypeError, r"cell is missing; write Recurrent\(cell, input_size, h"),
        (lambda: Recurrent(3, 2), TypeError, r"must be a subclass of layers\.Cell, got 3"),
        (lambda: Recurrent(Linear, 3, 2), TypeError, r"layers\.Cell, got Linear; layers\.scan"),
        (lambda: Recurrent(abs, 3, 2), TypeError, r"got <built-in function abs>"),
        (lambda: Recurrent(MGUCell(3, 2), 3, 2), TypeError, r"must be a class, .* pass MGUCell"),
        (lambda: Recurrent(Called, 3, 2), TypeError, r"Called overrides forward, .*override step"),
        (lambda: MGU(MGUCell, 3, 2), TypeError, r"MGU names its cell, MGUCell; leave MGUCell out"),
        (lambda: MGU(3, 2, cell=TraceCell), TypeError, r"leave TraceCell out, or write layers\.R"),
        (lambda: MGU(MGUCell(3, 2), 3, 2), TypeError, r"MGU names its cell"),
        (lambda: MGU(3), TypeError, r"hidden_size is missing; write MGU\(input_size, hidden_size"),
        (lambda: MGU(3, 2, 1, 1), TypeError, r"MGU: 4 arguments by place are too many"),
        (lambda: MGU(3, 2, hidden_size=2), TypeError, r"MGU: hidden_size was given twice"),
        (lambda: MGU(3, 2.0), ValueError, r"MGU: hidden_size must be an integer of 1 or more"),
        (lambda: MGU(3, 2, num_layers=0), ValueError, r"MGU: num_layers must be an integer"),
        (lambda: MGU(3, 2, proj_size=1), TypeError, r"no option 'proj_size'.*of MGUCell bias"),
        (lambda: MGU(3, 2, trace_size=1), TypeError, r"those of the layer are .*bidirectional"),
        (lambda: MGU(3, 2, zoneout=(0.1, 0.2)), ValueError, r"one for each of the states \(h\)"),
        (lambda: MGU(3, 2, recurrent_dropout=0.1), ValueError, r"a step of MGUCell that takes"),
        (
            lambda: Recurrent(Forgetful, 3, 2, num_layers=2),
            ValueError,
            r"Recurrent: l1 gets 2 features, and its Forgetful says input_size=3",
        ),
    ],
)
def test_wrong_layers(build, error, message):
    with pytest.raises(error, match=message):
        build()


Y = X[:, None]  # (batch, time, features)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: MGU(3, 4)(Y[..., :2]), ShapeError, r"MGU: x must have shape \(batch, time, 3\)"),
        (lambda: MGU(3, 4)(Y.astype(int)), DtypeError, r"MGU: x must be floating"),
        (
            lambda: MGU(3, 4)(Y, np.zeros((1, 2, 3))),
            ShapeError,
            r"MGU: state h must have shape \(1, 2, 4\) for x f32\[2, 1, 3\], got f64\[1, 2, 3\]",
        ),
        (
            lambda: TraceLayers(3, 4)(Y, (np.zeros((1, 2, 4)), np.zeros((1, 2, 4)))),
            ShapeError,
            r"state trace must have shape \(1, 2, 3\)",
        ),
        (lambda: TraceLayers(3, 4)(Y, Y), ShapeError, r"must be a tuple \(trace, out\), got f32"),
        (lambda: MGU(3, 4)(Y, lengths=[1]), ShapeError, r"MGU: lengths must have shape \(2,\)"),
        (lambda: MGU(3, 4)(Y, lengths=[1, 2]), ValueError, r"got 2 at place 1"),
        (lambda: TraceCell(3, 4)(X, X), ShapeError, r"TraceCell: state must be a tuple \(trace, o"),
        (lambda: MGUCell(3, 4)(Y), ShapeError, r"MGUCell: x must have shape \(batch, 3\) or \(3,"),
    ],
)
def test_wrong_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_one_layer_warns_of_dropout_where_it_was_made():
    class Own(MGU):
        def __init__(self, size):
            super().__init__(size, size, dropout=0.5)

    for build in (
        lambda: MGU(3, 2, dropout=0.5),
        lambda: Own(2),
        lambda: layers.LSTM(3, 2, dropout=0.5),
        lambda: layers.GRU(3, 2, dropout=0.5),
    ):
        with pytest.warns(UserWarning, match=r"dropout=0\.5 acts between layers") as caught:
            build()
        assert caught[0].filename == __file__


def test_names_of_earlier_versions_still_work():
    from layers.cells import steps

    with pytest.warns(DeprecationWarning, match=r"hold is layers\.cells\.steps\.freeze_finished"):
        assert steps.hold is layers.freeze_finished
    with pytest.warns(DeprecationWarning, match=r"layers\.cells\.cell_equations\.Weights now"):
        assert steps.Weights(1, 2).b_ih is None
    with pytest.raises(AttributeError, match="no attribute 'holds'"):
        _ = steps.holds
