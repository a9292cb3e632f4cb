"""Modules with parameters that have no axis, or no numbers: trained, saved, shown and drawn."""

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad import optim
from minigrad.draw import draw


class Scaled(layers.Module):
    """A layer whose output is scaled by a learned number."""

    def __init__(self):
        super().__init__()
        self.inner = layers.Linear(3, 2)
        self.scale = layers.Parameter(2.0)
        self.nothing = layers.Parameter(np.zeros((0, 3), np.float32))
        self.register_buffer("count", np.zeros((), np.float32))

    def forward(self, x):
        return self.inner(x) * self.scale + self.nothing.sum()


def steps(model, optimizer, count, average=None):
    x = np.random.default_rng(0).standard_normal((4, 3))
    for _ in range(count):
        optimizer.zero_grad()
        (model(x) ** 2).mean().backward()
        optim.clip_grad_norm(model.parameters(), 0.5)
        optimizer.step()
        if average is not None:
            average.update()


@pytest.mark.parametrize("kind", [optim.Adam, optim.SGD, optim.NAdam, optim.ASGD])
def test_a_run_is_saved_and_goes_on_exactly(kind, tmp_path):
    mg.seed(0)
    model = Scaled()
    optimizer, average = (
        kind(model.parameters(), 0.05),
        optim.ExponentialAverage(model.parameters()),
    )
    steps(model, optimizer, 3, average)
    parts = {"model": model, "optimizer": optimizer, "average": average}
    mg.save_checkpoint(tmp_path / "run.safetensors", **parts)
    steps(model, optimizer, 3, average)
    other = Scaled()
    again = kind(other.parameters(), 0.05)
    averages = optim.ExponentialAverage(other.parameters())
    mg.load_checkpoint(tmp_path / "run.safetensors", model=other, optimizer=again, average=averages)
    steps(other, again, 3, averages)
    for (name, one), two in zip(model.named_parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy(), err_msg=name)
    for one, two in zip(average.averages, averages.averages, strict=True):
        np.testing.assert_array_equal(one, two)
    assert model.scale.item() != 2.0


def test_it_is_counted_converted_frozen_and_loaded():
    model = Scaled()
    table = layers.summary(model, np.ones((1, 3), np.float32))
    assert table.parameters == 9
    model.scale.requires_grad_(False)
    assert layers.summary(model, np.ones((1, 3), np.float32)).trainable == 8
    model.scale.requires_grad_()
    state = model.state_dict()
    assert state["scale"].shape == ()
    state["scale"] = np.array([5.0])  # as old files have single numbers
    model.load_state_dict(state)
    assert model.scale.item() == 5
    with pytest.raises(KeyError, match=r"scale has shape \(2,\) there and \(\) here"):
        model.load_state_dict(state | {"scale": np.ones(2)})
    assert model.to(np.float64).scale.dtype == np.float64


@pytest.mark.parametrize("level", ["ops", "layers"])
def test_it_is_drawn_with_its_gradient(level):
    model = Scaled()
    loss = (model(np.random.default_rng(0).standard_normal((4, 3))) ** 2).sum()
    picture = draw(loss, level=level, grad="norm").graph
    assert picture.nodes
    if level == "ops":
        assert any("scale" in (node.name or "") for node in picture.nodes)


def test_a_recomputed_part_has_its_gradient():
    model = Scaled()
    x = np.random.default_rng(0).standard_normal((4, 3))
    (plain,) = mg.gradients((model(x) ** 2).sum(), [model.scale])
    (again,) = mg.gradients((mg.checkpoint(model)(x) ** 2).sum(), [model.scale])
    assert again.shape == ()
    assert again.item() == plain.item()
