"""Random programs against the hyper-dual engine; and that the comparison sees faults."""

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

import minigrad
from minigrad.ops.primitives import operations
from minigrad.testing import check_program, examples, hyperdual, programs
from minigrad.testing.hyperdual import Jet
from minigrad.testing.random_programs import SPECIFICATIONS, Program, Step
from minigrad.testing.tables.specifications import Specification

BY_NAME = {specification.name: specification for specification in SPECIFICATIONS}


@examples(2)
@given(programs())
def test_random_programs_agree_with_the_engine_on_jets(program):
    assert 0 <= program.size <= 30
    check_program(program)


# Operations that fit few shapes are rare in random programs, so each is looked at by itself too.
HELPERS = [BY_NAME[name] for name in ("multiply", "sin", "sum", "getitem", "outer")]


@pytest.mark.parametrize("specification", SPECIFICATIONS, ids=lambda s: s.name)
def test_each_operation_agrees_with_the_engine_on_jets(specification):
    met = []

    @examples(0.4)
    @given(programs(max_operations=8, operations=[specification] * 4 + HELPERS))
    def check(program):
        met.extend(step for step in program.steps if step.operation is specification)
        check_program(program)

    check()
    assert met, "no program used it"


def test_most_operations_are_in_the_table():
    used = set()
    for op in operations.values():
        op.plans.clear()
    generator = np.random.default_rng(0)

    # An operation at a time: what one long draw happens to contain is left to luck.
    for specification in SPECIFICATIONS:

        @settings(max_examples=6, derandomize=True, database=None, deadline=None)
        @given(programs(max_operations=6, operations=[specification] * 4 + HELPERS))
        def collect(program):
            leaves = [minigrad.Tensor(leaf, requires_grad=True) for leaf in program.leaves]
            loss = program.loss(program.run(leaves)) + generator.random()
            used.update(node.plan.name for node in minigrad.graph(loss))

        collect()
    public = {
        op.name
        for name, op in operations.items()
        if name.startswith("minigrad.ops") and op.differentiable and op.name in minigrad.__all__
    }
    assert len(public) > 90
    missing = {name for name in public if name not in used}
    assert len(missing) <= 0.15 * len(public), sorted(missing)


def leaf_program(leaves, *steps):
    return Program(
        leaves, [Step(BY_NAME[name], inputs, (None,) * len(inputs)) for name, inputs in steps]
    )


def test_a_wrong_first_derivative_is_found(monkeypatch):
    program = leaf_program([np.array([0.5, 1.0])], ("sin", (0,)), ("multiply", (1, 1)))
    check_program(program)
    monkeypatch.setitem(minigrad.sin.operation.rules, "x", lambda g, x: -g * np.cos(x))
    minigrad.sin.operation.plans.clear()
    with pytest.raises(AssertionError, match="the derivative along direction 1 differs"):
        check_program(program)
    monkeypatch.undo()
    minigrad.sin.operation.plans.clear()


def test_a_derivative_that_is_wrong_only_in_second_order_is_found(monkeypatch):
    def rule(g, x):
        return g * np.cos(getattr(x, "_array", x))  # the dependence on x is lost

    program = leaf_program([np.array([0.5, 1.0])], ("sin", (0,)))
    monkeypatch.setitem(minigrad.sin.operation.rules, "x", rule)
    minigrad.sin.operation.plans.clear()
    with pytest.raises(AssertionError, match="the second derivative differs"):
        check_program(program)
    monkeypatch.undo()
    minigrad.sin.operation.plans.clear()


def test_a_wrong_value_is_found():
    wrong = Specification("wrong", np.sin, hyperdual.tanh)
    program = Program([np.array([0.5])], [Step(wrong, (0,), (None,))])
    with pytest.raises(AssertionError, match="the value v1 differs"):
        check_program(program)


def test_a_failing_program_shrinks_to_the_operation_at_fault():
    wrong = Specification("wrong", np.sin, hyperdual.tanh)

    def fails(program):
        try:
            check_program(program)
        except AssertionError:
            return True
        return False

    quiet = settings(max_examples=500, derandomize=True, database=None, deadline=None)
    strategy = programs(operations=[*SPECIFICATIONS[:20], wrong])
    smallest = find(strategy, fails, settings=quiet)
    assert [step.operation.name for step in smallest.steps] == ["wrong"]


def test_a_program_prints_as_text():
    program = leaf_program([np.zeros((2, 3)), np.zeros(3)], ("multiply", (0, 1)))
    program.steps.append(Step(BY_NAME["softmax"], (2,), ((-1.0, 1.0),), {"axis": -1}))
    assert repr(program) == (
        "Program:\n    v0 = leaf f64[2, 3]\n    v1 = leaf f64[3]\n    v2 = multiply(v0, v1)\n"
        "    v3 = softmax(within(v2, -1.0, 1.0), axis=-1)"
    )
    assert program.outputs == [3]
    assert program.size == 5


def test_programs_may_be_made_of_operations_of_ones_own():
    @minigrad.primitive
    def cube(x):
        return x * x * x

    cube.vjp(x=lambda g, x: 3 * x * x * g)
    own = Specification("cube", cube, lambda x: x * x * x, domains=((-2.0, 2.0),))
    sizes = []

    @settings(max_examples=50, derandomize=True, database=None, phases=[Phase.generate])
    @given(programs(operations=[own, BY_NAME["add"]]))
    def check(program):
        sizes.append(program.size)
        check_program(program)

    check()
    assert max(sizes) > 5


# -- the hyper-dual engine itself, against differences of its own values ---------------------------


FUNCTIONS = {
    "a quotient": lambda x: x / (x * x + 1),
    "matrix products": lambda x: (x @ x) @ x,
    "an inverse": lambda x: hyperdual.inverse(x + 3 * np.eye(2)),
    "a determinant": hyperdual.determinant,
    "a triangular factor": lambda x: hyperdual.cholesky(x @ x + 4 * np.eye(2)),
    "softmax": hyperdual.softmax,
    "a deviation": lambda x: hyperdual.deviation(x, axis=0),
    "a norm": lambda x: hyperdual.p_norm(x + 3, 3.0),
    "a product": lambda x: hyperdual.prod(x, axis=1),
    "a sum of logarithms": lambda x: hyperdual.logsumexp(x, axis=0),
    "elementwise functions": lambda x: hyperdual.erf(hyperdual.tanh(x)) * hyperdual.sigmoid(x),
    "softplus": lambda x: hyperdual.softplus(x, beta=2.0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@given(seed=st.integers(0, 1000))
def test_jets_agree_with_differences(name, seed):
    function = FUNCTIONS[name]
    generator = np.random.default_rng(seed)
    x, v, w = (generator.uniform(-1, 1, (2, 2)) for _ in range(3))
    h = 1e-3

    def at(s, t):
        return function(Jet(x + s * v + t * w)).value

    value, first, second, both = function(Jet(x, v, w)).parts
    scale = 1 + max(np.abs(part).max() for part in (value, first, second, both)) ** 2
    np.testing.assert_allclose(value, at(0, 0), rtol=1e-14)
    np.testing.assert_allclose(first, (at(h, 0) - at(-h, 0)) / (2 * h), atol=1e-4 * scale)
    np.testing.assert_allclose(second, (at(0, h) - at(0, -h)) / (2 * h), atol=1e-4 * scale)
    mixed = (at(h, h) - at(h, -h) - at(-h, h) + at(-h, -h)) / (4 * h * h)
    np.testing.assert_allclose(both, mixed, atol=1e-3 * scale)
