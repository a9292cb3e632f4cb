import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from layers import LSTM, BatchNorm1d, Conv1d, Dropout, Linear, Module, ModuleList, summary
from minigrad.ops.randomness import default_generator


class Model(Module):
    """A bit of everything: a kernel, a list that is never called, a shared and an unused layer."""

    def __init__(self):
        super().__init__()
        self.conv = Conv1d(4, 6, 3)
        self.norm = BatchNorm1d(6)
        self.lstm = LSTM(6, 5)
        self.blocks = ModuleList([Linear(5, 5), Linear(5, 5)])
        self.again = self.blocks[1]
        self.unused = Linear(7, 7)
        self.dropout = Dropout(0.5)

    def forward(self, x, *, scale=1.0):
        x = self.norm(self.conv(x)).swapaxes(1, 2)
        x, _ = self.lstm(x)
        for block in self.blocks:
            x = block(x)
        return self.dropout(self.again(x)) * scale


X = np.ones((2, 4, 9), np.float32)


def test_numbers_are_those_of_the_formulas():
    model = Model()
    result = summary(model, X, scale=2.0)
    rows = {row.path: row for row in result.rows}
    assert list(rows) == [path for path, _ in model.named_modules()]
    steps = 7  # of a convolution with three taps over nine places
    assert rows["conv"].multiply_adds == 2 * steps * 6 * 4 * 3
    assert rows["lstm"].multiply_adds == 2 * steps * 4 * 5 * (6 + 5)
    assert rows["blocks.0"].multiply_adds == 2 * steps * 25
    assert rows["blocks.1"].multiply_adds == 2 * (2 * steps * 25)
    assert rows["blocks.1"].calls == 2
    assert rows["blocks"].multiply_adds == 3 * (2 * steps * 25)
    assert rows["unused"].multiply_adds == rows["norm"].multiply_adds == 0
    assert rows["unused"].shapes is None
    assert rows["lstm"].shapes == ((2, 7, 5), (1, 2, 5), (1, 2, 5))
    parts = ("conv", "lstm", "blocks")
    assert result.multiply_adds == sum(rows[path].multiply_adds for path in parts)
    assert result.parameters == model.parameter_count()


def test_the_table_says_what_it_counts():
    model = Model()
    model.unused.requires_grad_(False)
    text = str(summary(model, X))
    assert repr(summary(model, X)) == text
    assert "  lstm: LSTM             [2, 7, 5] [1, 2, 5] [1, 2, 5]  " in text
    assert "    1: Linear (2 calls)  [2, 7, 5]" in text
    assert f"{model.parameter_count():,} parameters, 56 of them frozen" in text
    assert "matrix products, einsum and convolutions" in text
    assert len({len(line) for line in text.splitlines()[:10]}) == 1


def test_the_model_is_left_as_it_was():
    model = Model()
    model.conv.eval()
    before = model.state_dict()
    mg.seed(3)
    summary(model, X)
    drawn = default_generator().random()
    mg.seed(3)
    assert default_generator().random() == drawn
    assert model.training
    assert not model.conv.training
    assert model.norm.training
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model._hooks
    assert not model.lstm._pre_hooks
    with pytest.raises(mg.ShapeError, match="Linear"):
        summary(model.unused, X)
    assert not model.unused._hooks
    assert model.unused.training


def test_work_without_gradient_counts():
    class Frozen(Module):
        def __init__(self):
            super().__init__()
            self.inner = Linear(3, 3).requires_grad_(False)

        def forward(self, x):
            with mg.no_grad():
                x = self.inner(x)
            return mg.checkpoint(self.inner)(x), {"note": "text", "none": None}

    assert summary(Frozen(), np.ones((2, 3), np.float32)).multiply_adds == 2 * 2 * 9


@given(
    batch=st.integers(1, 3),
    time=st.integers(0, 4),
    sizes=st.lists(st.integers(1, 4), min_size=2, max_size=4),
)
def test_a_chain_of_linears(batch, time, sizes):
    class Chain(Module):
        def __init__(self):
            super().__init__()
            pairs = itertools.pairwise(sizes)
            self.layers = ModuleList(Linear(a, b) for a, b in pairs)

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    found = summary(Chain(), np.zeros((batch, time, sizes[0]), np.float32)).multiply_adds
    assert found == batch * time * sum(np.multiply(sizes[:-1], sizes[1:]))
