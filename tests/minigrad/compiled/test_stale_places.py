"""Every place from which a function can read: what changes there is seen."""

import functools
import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad.compiled.guarding import words
from minigrad.compiled.guarding.held import Entry, attribute_of
from tests.minigrad.compiled.stale_code import READ
from tests.minigrad.compiled.stale_places import SEEN, F, given, of_a_module


def outcome(function):
    """The value, whether it is recorded, and the gradient if it is."""
    x = given()
    y = function(x)
    slope = mg.gradients((y * y).sum(), x) if y.requires_grad else None
    return y.numpy(), y.requires_grad, None if slope is None else slope.numpy()


def assert_same(found, expected):
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5, atol=1e-6)
    assert found[1] == expected[1]
    if found[2] is not None:
        np.testing.assert_allclose(found[2], expected[2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SEEN | READ)
def test_what_changes_is_seen(name, monkeypatch):
    mg.seed(0)
    function, change = (SEEN | READ)[name](monkeypatch)
    compiled = mg.compile(function)
    before = outcome(function)
    for _ in range(2):
        assert_same(outcome(compiled), before)
    change()
    after = outcome(function)
    for _ in range(2):
        assert_same(outcome(compiled), after)
    assert compiled.refusals == []
    assert before[0].tolist() != after[0].tolist() or name in ("a parameter frozen",)


def test_each_thread_reads_what_is_its_own():
    local, found = threading.local(), []
    local.rate = 1.0
    compiled = mg.compile(lambda x: x * local.rate)
    for _ in range(2):
        compiled(given())

    def run():
        local.rate = 5.0
        found.extend(compiled(given()).tolist() for _ in range(2))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [[2.5, 5.0, 7.5]] * 2
    assert compiled(given()).tolist() == [0.5, 1.0, 1.5]
    assert compiled.refusals == []


def test_code_that_only_c_holds_is_refused():
    rates = [1.0]
    hidden = np.frompyfunc(lambda i: i * rates[0], 1, 1)
    compiled = mg.compile(lambda x: x * hidden(np.ones(3)).astype(F))
    with pytest.warns(mg.CompileWarning, match=r"it calls <lambda> \(.*test_stale_places.py:"):
        compiled(given())
    rates[0] = 5.0
    assert compiled(given()).tolist() == [2.5, 5.0, 7.5]


def test_buffers_read_through_detach_and_written_are_followed():
    buffers = [mg.Tensor(np.ones(3, F)) for _ in range(2)]

    def function(x, buffer):
        buffer[...] = buffer.detach() * 2
        return x * buffer

    compiled = mg.compile(lambda x: function(x, buffers[0]))
    for k in range(4):
        expected = function(given(), buffers[1])
        np.testing.assert_array_equal(compiled(given()).numpy(), expected.numpy())
        assert buffers[0].tolist() == buffers[1].tolist() == [2.0 ** (k + 1)] * 3
    assert len(compiled.programs) == 1


def test_a_module_with_a_number_ends_the_search_for_generators(monkeypatch):
    function, _ = of_a_module(monkeypatch)
    assert mg.checkpoint(function)(given()).tolist() == [0.5, 1.0, 1.5]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_generator_that_is_seeded_again_repeats_itself(seed):
    generator = np.random.default_rng(seed)
    compiled = mg.compile(lambda x: mg.dropout(x, 0.5, generator=generator))
    start = generator.bit_generator.state
    first = [compiled(given()).tolist() for _ in range(6)]
    generator.bit_generator.state = start
    assert [compiled(given()).tolist() for _ in range(6)] == first
    assert len(compiled.programs) == 1


def test_default_dtype_and_recording_have_programs_of_their_own():
    compiled = mg.compile(lambda x: x + mg.Tensor([1.0]) / 3)
    for dtype in ("float32", "float64", "float32"):
        with mg.default_dtype(dtype):
            for _ in range(2):
                assert compiled(given()).dtype == np.dtype(dtype)
    for _ in range(2):
        with mg.no_grad():
            assert not compiled(given()).requires_grad
        assert compiled(given()).requires_grad
    assert len(compiled.programs) == 3


def test_classes_whose_module_is_no_name_are_watched():
    """As functions of Cython's have it, in which the name is an attribute of each of them."""

    class Function:
        def __init__(self):
            self.rate = 1.0

    Function.__module__ = property(lambda self: "somewhere")
    value = Function()
    compiled = mg.compile(lambda x: x * value.rate)
    for value.rate in (1.0, 5.0):
        for _ in range(2):
            np.testing.assert_array_equal(compiled(given()).numpy(), given().numpy() * value.rate)
    assert compiled.refusals == []


def test_a_dictionary_of_attributes_in_the_place_of_that_of_a_function_is_seen():
    def scaled(x):
        return x * scaled.rate

    scaled.rate = 1.0
    compiled = mg.compile(scaled)
    for rate in (1.0, 5.0):
        scaled.__dict__ = {"rate": rate}
        for scaled.rate in (rate, rate + 1):
            for _ in range(2):
                expected = given().numpy() * scaled.rate
                np.testing.assert_array_equal(compiled(given()).numpy(), expected)
    shape = words.layout()
    if shape is not None:
        entry = Entry(functools.partial(attribute_of, scaled), "__dict__", vars(scaled), "", None)
        assert words._word_of_entry(entry, shape) is not None
