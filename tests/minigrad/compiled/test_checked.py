"""`check=n`: a program that computes the same is never reported, whatever its numbers are."""

import numpy as np
import pytest

import layers
import minigrad as mg

F = np.float32


def given(shape=(4, 5)):
    values = np.random.default_rng(0).standard_normal(shape, F)
    return mg.Tensor(values, requires_grad=True)


def before_a_norm():
    """Its bias cancels, so the gradient by it is nothing but rounding."""
    linear, norm = layers.Linear(5, 5), layers.BatchNorm1d(5)
    return lambda x: (norm(linear(x)) ** 3).sum()


CANCELLING = {
    "softmax": lambda: lambda x: mg.softmax(x, axis=-1),
    "layer norm": lambda: layers.LayerNorm(5),
    "batch norm": lambda: layers.BatchNorm1d(5),
    "encoder": lambda: layers.TransformerEncoderLayer(5, 1, dim_feedforward=5),
    "bias": before_a_norm,
}


@pytest.mark.parametrize("backend", [None, "plain"])
@pytest.mark.parametrize("name", CANCELLING)
def test_gradients_that_cancel_are_rounding(name, backend):
    mg.seed(0)
    compiled = mg.compile(CANCELLING[name](), check=1, backend=backend)
    for _ in range(2):
        compiled(given((2, 4, 5) if name == "encoder" else (4, 5)))
    assert len(compiled.programs) == 1


def test_what_cancels_in_one_sum_is_checked_by_another():
    class Wrong:
        """Its gradients are too large by a half."""

        @staticmethod
        def build(graph):
            from minigrad.compiled import plain

            program = plain.build(graph)
            if len(graph.outputs) > 1:  # what the derivative needs, too
                return program
            return lambda arrays: [a * F(1.5) for a in program(arrays)]

    compiled = mg.compile(lambda x: mg.softmax(x, axis=-1), check=1, backend=Wrong)
    compiled(given())
    with pytest.raises(mg.CompileError, match="the gradient by input 0 differs"):
        compiled(given())


def test_whole_numbers_and_truths_are_compared_exactly():
    places = np.array([1, 0])
    x = given()
    compiled = mg.compile(lambda x, i: (mg.argmax(x, axis=1), x > 0, x * 2, i * 2), check=1)
    for _ in range(2):
        largest, positive, _, doubled = compiled(x, mg.Tensor(places))
    assert largest.tolist() == np.argmax(x.numpy(), axis=1).tolist()
    assert positive.tolist() == (x.numpy() > 0).tolist()
    assert doubled.tolist() == [2, 0]


def test_another_whole_number_is_found():
    class Wrong:
        @staticmethod
        def build(graph):
            from minigrad.compiled import plain

            program = plain.build(graph)
            return lambda arrays: [a + 1 for a in program(arrays)]

    compiled = mg.compile(lambda i: i * 1000, check=1, backend=Wrong)
    numbers = mg.Tensor(np.array([10**6, 7]))
    compiled(numbers)
    with pytest.raises(mg.CompileError, match=r"output 0 differs .* by up to 1,"):
        compiled(numbers)
