"""Random interleavings of what a user may do, against the hyper-dual engine; and planted faults."""

import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

import minigrad
from minigrad.core import checks
from minigrad.testing import EngineMachine
from minigrad.testing.model_terms import Term

TestEngine = EngineMachine.TestCase
TestEngine.settings = settings(stateful_step_count=30)


def replace_rule(patch, operation, name, rule):
    patch.setitem(operation.operation.rules, name, rule)
    operation.operation.plans.clear()


def keep_graphs(patch, retain):
    original = minigrad.Tensor.backward

    def backward(self, gradient=None, retain_graph=False):
        original(self, gradient, retain_graph=retain)

    patch.setattr(minigrad.Tensor, "backward", backward)


def never_free(patch):
    """Backward keeps what it should free."""
    keep_graphs(patch, True)


def free_always(patch):
    """Backward frees what it should keep."""
    keep_graphs(patch, False)


def overlook_writes(patch):
    """Nodes do not see that a leaf which they saved was written."""
    patch.setattr(checks, "check_unwritten", lambda node: None)


def forget_the_first_gradient(patch):
    """Gradients replace each other instead of being added up."""
    original = minigrad.Tensor.backward

    def backward(self, *args, **kwargs):
        for node in minigrad.graph(self).leaves if self.requires_grad else ():
            node.grad = None
        original(self, *args, **kwargs)

    patch.setattr(minigrad.Tensor, "backward", backward)


def wrong_rule(patch):
    """The derivative of sin has the wrong sign."""
    replace_rule(patch, minigrad.sin, "x", lambda g, x: g * -np.cos(x))


def wrong_second_derivative(patch):
    """The rule of tanh reads a value that is not its own output, so its derivative is lost."""

    def rule(g, y):
        slope = 1 - np.tanh(np.arctanh(getattr(y, "_array", y))) ** 2
        return g * slope

    replace_rule(patch, minigrad.tanh, "x", rule)


FAULTS = [
    never_free,
    free_always,
    overlook_writes,
    forget_the_first_gradient,
    wrong_rule,
    wrong_second_derivative,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_found(fault, monkeypatch):
    many = settings(
        max_examples=5000,  # what is drawn depends on the modules that are loaded
        stateful_step_count=30,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
    )
    try:
        with monkeypatch.context() as patch:
            fault(patch)
            with pytest.raises((AssertionError, minigrad.GradientError)):
                run_state_machine_as_test(EngineMachine, settings=many)
    finally:
        for operation in (minigrad.sin, minigrad.tanh):
            operation.operation.plans.clear()


def test_the_model_lists_each_term_of_a_history_once():
    leaf = Term("leaf", recorded=True)
    product = Term("multiply", None, (leaf, leaf), recorded=True)
    assert Term("add", None, (product, leaf), recorded=True).history()[1:] == [product, leaf]
