"""A callback of `fit` that films the training: the same batch, looked at every few steps."""

from typing import TYPE_CHECKING, Any

from layers.base.modes import evaluating
from layers.base.module import Module
from layers.training.averages import loss_and_weight, model_loss
from layers.training.options import Progress
from layers.training.run import Callback, Loss
from minigrad.ops.randomness import generator_state, set_generator_state

if TYPE_CHECKING:  # drawing is imported where it is used
    from minigrad.draw import Film

__all__ = ["filming"]


def filming(film: "Film", model: Module, batch: Any, *, loss: Loss | None = None) -> Callback:
    """A callback that records a frame of a `minigrad.draw.Film` when it wants one.

    The frame of step 0, of the model before its training, is recorded at once. The film keeps the
    frames that it has when the training turns out to be a run that is resumed, and loses them
    when it starts again. The model is looked at in evaluation mode, and neither its weights and
    gradients nor the random numbers of the training change.

    Args:
        film: where the frames go.
        model: the one that is trained.
        batch: what the loss takes, always the same; a few dozen sequences are enough.
        loss: as in `fit`; `model.loss(*batch)` if None.

    Raises:
        DrawError: what `Film.record` raises, such as for a model without recurrent states.

    >>> import numpy as np
    >>> import layers
    >>> import minigrad as mg
    >>> from layers.training import TrainingOptions, fit
    >>> from minigrad.draw import Film
    >>> mg.seed(0)
    >>> model = layers.LSTM(1, 4)
    >>> def batches(generator):
    ...     x = generator.standard_normal((8, 6, 1), np.float32)
    ...     return x, x[:, 0]  # to be remembered for five steps
    >>> def loss(model, batch):
    ...     return mg.mse_loss(model(batch[0])[0][:, -1, :1], batch[1])
    >>> film = Film(every=10)
    >>> watch = filming(film, model, batches(np.random.default_rng(1)), loss=loss)
    >>> history = fit(
    ...     model, batches, TrainingOptions(steps=30), loss=loss, callbacks=[watch], progress=False
    ... )
    >>> film
    Film(4 frames, steps 0 to 30, every 10)
    >>> "Play film" in film.html()
    True
    """

    def record(film: "Film", step: int) -> None:
        before = generator_state()
        try:
            with evaluating(model):
                value, _ = loss_and_weight((loss or model_loss)(model, batch), batch)
                film.record(value, step)
        finally:
            set_generator_state(before)

    had, begun, beginning = bool(len(film)), False, film.empty()

    def watch(told: Progress) -> None:
        nonlocal begun
        if not begun and had and told.step == 1:
            film.replace(beginning)
        elif not begun and not had and told.step > 1:
            film.replace(film.empty())  # what was seen at step 0 had been trained already
        begun = True
        if film.wants(told.step):
            record(film, told.step)

    record(beginning, 0)
    if not had:
        film.replace(beginning)
    return watch
