"""The callback that films a training: what it sees, and that the training does not notice."""

import signal

import numpy as np
import pytest

import layers
import minigrad as mg
from layers.datasets import adding_problem
from layers.systems.dependencies import AddingModel
from layers.training import TrainingOptions, filming, fit
from minigrad.draw import DrawError, Film, backprop_through_time
from minigrad.ops.randomness import generator_state

LENGTH = 6
PROBE = adding_problem(4, LENGTH, np.random.default_rng(9))


class Dropping(AddingModel):
    """With dropout before the readout, so that random numbers take part in every step."""

    def __init__(self):
        super().__init__(layers.LSTM, units=5, num_layers=2, dropout=0.3)
        self.noise = layers.Dropout(0.2)

    def forward(self, x):
        output, _ = self.recurrent(x)
        return self.readout(self.noise(output[:, -1]))


def trained(film=None, steps=7, more=(), **options):
    mg.seed(5)
    model = Dropping()
    callbacks = [] if film is None else [filming(film, model, PROBE)]
    history = fit(
        model,
        lambda generator: adding_problem(8, LENGTH, generator),
        TrainingOptions(**{"steps": steps, "rate": 0.01, "warmup": 2} | options),
        callbacks=[*callbacks, *more],
        progress=False,
    )
    return model, history


def test_the_training_does_not_notice():
    plain, history = trained(accumulate=2, average=0.9)
    state = generator_state()
    film = Film(every=2)
    watched, seen = trained(film, accumulate=2, average=0.9)
    assert film.steps == (0, 2, 4, 6)
    assert seen.losses == history.losses
    assert generator_state() == state
    for (name, one), (_, other) in zip(
        plain.named_parameters(), watched.named_parameters(), strict=True
    ):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=name)


def test_a_frame_is_of_the_model_as_it_is_then_without_dropout():
    film = Film(every=3)
    found = {}

    def look(told):
        state = generator_state()
        told.model.eval()
        loss = told.model.loss(*PROBE)
        found[told.step] = loss.item(), backprop_through_time(loss).lane("c").norms
        told.model.train()
        mg.ops.randomness.set_generator_state(state)

    trained(film, more=[look])
    for frame in film.frames[1:]:
        loss, norms = found[frame.step]
        assert frame.loss == loss
        last = [lane for lane in frame.loss_norms if lane.state == "c"][-1]
        np.testing.assert_array_equal(last.norms[-1], norms)


def test_the_model_keeps_its_modes_and_gradients():
    mg.seed(0)
    model = Dropping()
    model.noise.eval()
    model.loss(*PROBE).backward()
    before = {name: p.grad.numpy().copy() for name, p in model.named_parameters()}
    state = generator_state()
    filming(Film(), model, PROBE)
    assert (model.training, model.noise.training) == (True, False)
    assert generator_state() == state
    for name, parameter in model.named_parameters():
        np.testing.assert_array_equal(parameter.grad.numpy(), before[name])


def test_an_interruption_keeps_the_frames_and_the_modes(tmp_path, hearing_ctrl_c):
    film = Film(every=1)

    def interrupt(told):
        if told.step == 3:
            signal.raise_signal(signal.SIGINT)

    _, history = trained(film, more=[interrupt])
    assert history.interrupted
    assert film.steps == (0, 1, 2, 3)
    assert film.save(tmp_path / "learning.json").exists()

    class Cut(Film):
        def record(self, loss, step):
            raise KeyboardInterrupt

    model = Dropping()
    state = generator_state()
    with pytest.raises(KeyboardInterrupt):
        filming(Cut(), model, PROBE)
    assert model.training
    assert generator_state() == state


def test_a_run_that_is_resumed_goes_on_with_its_film(tmp_path):
    whole = Film(every=2)
    trained(whole, steps=8)
    film = Film(every=2)

    def part(found, stop, resume):
        mg.seed(5)
        model = Dropping()
        fit(
            model,
            lambda generator: adding_problem(8, LENGTH, generator),
            TrainingOptions(steps=8, rate=0.01, warmup=2, checkpoint_every=3),
            callbacks=[filming(found, model, PROBE), lambda told: told.step == stop],
            folder=tmp_path / "run",
            resume=resume,
            progress=False,
        )

    part(film, 5, False)
    assert film.steps == (0, 2, 4)
    again = Film.from_json(film.to_json())
    part(again, None, True)
    assert again.frames == whole.frames


def test_a_loss_with_a_weight_will_do_and_a_model_without_states_is_refused():
    mg.seed(0)
    model = Dropping()
    film = Film()
    filming(film, model, PROBE, loss=lambda model, batch: (model.loss(*batch), 4))
    assert len(film) == 1

    class Line(layers.Module):
        def __init__(self):
            super().__init__()
            self.linear = layers.Linear(2, 1)

        def loss(self, x, y):
            return mg.mse_loss(self.linear(x[:, -1]), y)

    with pytest.raises(DrawError, match="state"):
        filming(Film(), Line(), PROBE)


def test_a_run_that_is_resumed_with_a_new_film_has_no_frame_of_step_0(tmp_path):
    films = Film(every=2), Film(every=2)
    for film, resume in zip(films, (False, True), strict=True):
        model = Dropping()
        fit(
            model,
            lambda generator: adding_problem(8, LENGTH, generator),
            TrainingOptions(steps=8 if resume else 4, rate=0.01, warmup=2, schedule="constant"),
            callbacks=[filming(film, model, PROBE)],
            folder=tmp_path / "run",
            resume=resume,
            progress=False,
        )
    assert films[0].steps == (0, 2, 4)
    assert films[1].steps == (6, 8)


def test_a_training_that_begins_anew_loses_the_frames_of_another():
    film, other = Film(every=2), Film(every=2)
    trained(film, steps=6)
    trained(film, steps=4, rate=0.03)
    trained(other, steps=4, rate=0.03)
    assert film.frames == other.frames
