import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from minigrad.ops.randomness import default_generator


class Weights:
    """The least that a checkpoint can hold: a weight with a state dict."""

    def __init__(self, *values):
        self.weight = mg.Tensor(np.array(values), requires_grad=True)

    def state_dict(self):
        return {"weight": self.weight.numpy().copy()}

    def load_state_dict(self, state):
        if state.keys() != {"weight"} or state["weight"].shape != self.weight.shape:
            raise KeyError("Weights: does not fit")
        self.weight.write(state["weight"])


class Run:
    """A small training run with everything that has a state."""

    def __init__(self, seed=0):
        self.model = Weights(1.0, -2.0, 0.5)
        self.optimizer = optim.AdamW([self.model.weight], rate=0.1, amsgrad=True)
        self.schedule = optim.OneCycleSchedule(self.optimizer, 0.3, total_steps=40)
        self.average = optim.ExponentialAverage([self.model.weight], 0.8)
        self.batches = np.random.Generator(np.random.MT19937(seed))
        self.parts = {
            "model": self.model,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "average": self.average,
        }

    def train(self, steps):
        for _ in range(steps):
            noise = self.batches.standard_normal(3) + default_generator().standard_normal(3)
            self.optimizer.zero_grad()
            ((self.model.weight - noise) ** 2).sum().backward()
            self.optimizer.step()
            self.schedule.step()
            self.average.update()

    def save(self, path, **more):
        mg.save_checkpoint(path, generator=self.batches, **self.parts, **more)

    def load(self, path):
        return mg.load_checkpoint(path, generator=self.batches, **self.parts)

    def values(self):
        return [self.model.weight.numpy(), self.average.averages[0], self.schedule.rates]


def test_a_resumed_run_is_the_run_that_never_stopped(tmp_path):
    file = tmp_path / "run.safetensors"
    mg.seed(5)
    whole = Run()
    whole.train(12)
    whole.save(file, step=12, metadata={"note": "warm"})
    whole.train(15)
    mg.seed(77)
    resumed = Run(seed=9)
    resumed.train(2)
    found = resumed.load(file)
    assert found == (12, {"note": "warm"}, ("model", "optimizer", "schedule", "average"))
    resumed.train(15)
    for one, other in zip(whole.values(), resumed.values(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [path.name for path in tmp_path.iterdir()] == ["run.safetensors"]


def test_a_checkpoint_that_does_not_fit_changes_nothing(tmp_path):
    file = tmp_path / "run.safetensors"
    saved = Run()
    saved.train(3)
    saved.save(file)
    other = Run()
    other.train(1)
    second = mg.Tensor([1.0], requires_grad=True)
    # The model fits and is loaded first; the optimiser, of one parameter more, is not.
    other.optimizer.add_group({"parameters": [second]})
    before = other.values(), other.batches.bit_generator.state, default_generator()
    before_numbers = before[2].bit_generator.state
    with pytest.raises(KeyError, match=r"AdamW.load_state_dict: group 1 has 1 parameters here"):
        other.load(file)
    for one, two in zip(before[0], other.values(), strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(
        before[1]["state"]["key"], other.batches.bit_generator.state["state"]["key"]
    )
    assert default_generator().bit_generator.state == before_numbers


def test_a_generator_of_another_kind_changes_nothing(tmp_path):
    file = tmp_path / "run.safetensors"
    saved = Run()
    saved.train(2)
    saved.save(file)
    other = Run()
    other.batches = np.random.default_rng(0)
    before = other.model.state_dict()["weight"]
    with pytest.raises(ValueError, match="not a state of this generator"):
        other.load(file)
    np.testing.assert_array_equal(other.model.weight.numpy(), before)


def test_generators_that_were_put_back_before_an_error_are_as_they_were(tmp_path):
    file = tmp_path / "run.safetensors"
    kinds = {"first": np.random.PCG64, "second": np.random.MT19937}
    mg.save_checkpoint(
        file, generator={name: np.random.Generator(kind(1)) for name, kind in kinds.items()}
    )
    own = {name: np.random.default_rng(7) for name in kinds}  # the second is of another kind
    with pytest.raises(ValueError, match="not a state of this generator"):
        mg.load_checkpoint(file, generator=own)
    for generator in own.values():
        assert generator.random() == np.random.default_rng(7).random()


def test_parts_may_be_left_out_but_not_made_up(tmp_path):
    file = tmp_path / "run.safetensors"
    mg.save_checkpoint(file, model=Weights(3.0), optimizer=None, step=4)
    model = Weights(0.0)
    found = mg.load_checkpoint(file, model=model, schedule=None)
    assert (model.weight.item(), found.step, found.parts) == (3.0, 4, ("model",))
    with pytest.raises(KeyError, match=r"no 'optimizer' in .*run\.safetensors; it holds model"):
        mg.load_checkpoint(file, optimizer=Weights(1.0))
    with pytest.raises(KeyError, match="no 'generator'"):
        mg.load_checkpoint(file, generator=np.random.default_rng())


def test_several_generators_by_name(tmp_path):
    file = tmp_path / "run.safetensors"
    names = ("batches", "masks")
    mg.save_checkpoint(file, generator={n: np.random.default_rng(i) for i, n in enumerate(names)})
    generators = {name: np.random.default_rng(7) for name in names}
    mg.load_checkpoint(file, generator=generators)
    for i, name in enumerate(names):
        assert generators[name].random() == np.random.default_rng(i).random()


def test_names_that_could_not_be_told_apart_are_refused(tmp_path):
    file = tmp_path / "run.safetensors"
    with pytest.raises(ValueError, match=r"another part begins with 'model\.'"):
        mg.save_checkpoint(file, **{"model.weight": Weights(2.0), "model": Weights(1.0)})
    with pytest.raises(ValueError, match='generator "" is the default one'):
        mg.save_checkpoint(file, generator={"": np.random.default_rng(0)})
    assert not file.exists()
    mg.save_checkpoint(file, model=Weights(1.0), models=Weights(2.0))
    one, two = Weights(0.0), Weights(0.0)
    mg.load_checkpoint(file, model=one, models=two)
    assert (one.weight.item(), two.weight.item()) == (1, 2)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    file = tmp_path / "weights.safetensors"
    mg.save(file, {"w": np.zeros(1)}, {"kind": "weights"})
    with pytest.raises(ValueError, match=r"is not a 'minigrad checkpoint 1', but 'weights'"):
        mg.load_checkpoint(file)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        mg.load_checkpoint(tmp_path / "missing")
    with pytest.raises(TypeError, match="model has no state_dict, got float"):
        mg.save_checkpoint(file, model=3.0)
    assert mg.load(file)["w"].tolist() == [0]
