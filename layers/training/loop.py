"""`fit`: the training loop."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from layers.base.module import Module
from layers.models.generation.decoding import reading
from layers.training.averages import loss_and_weight, model_loss, weighted_mean
from layers.training.interrupts import Interrupts
from layers.training.options import History, TrainingOptions
from layers.training.progress import ProgressBar, say
from layers.training.run import Batches, Callback, Loss, Run
from layers.training.run_folder import RunFolder
from layers.training.threads import one_blas_thread
from minigrad.optim import Optimizer, Schedule

__all__ = ["Callback", "fit", "mean_loss"]


def fit(
    model: Module,
    batches: Batches,
    options: TrainingOptions,
    *,
    loss: Loss | None = None,
    validate: Callable[[], float] | None = None,
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    exact: bool = False,
    compiled: bool | None = None,
    identity: Mapping[str, Any] | None = None,
    optimizer: Optimizer | None = None,
    schedule: Schedule | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
) -> History:
    """Train a model.

    Args:
        model: changed in place, and in evaluation mode afterwards.
        batches: gives the next batch, drawn with the generator that it is given. If it has a
            `state_dict`, that is saved in checkpoints too.
        options: how.
        loss: of model and batch: a scalar, the mean over the batch's examples; or a pair of mean
            and weight, where it is the mean over something else, such as tokens that are not
            padding. `model.loss(*batch)` if None, with `model.loss_weight(*batch)` where there is
            such a method. The weights count wherever losses are averaged: the gradient of
            accumulated batches is that of one large batch.
        validate: a number that is better the lower it is. It is called in evaluation mode, without
            recording; random numbers that it draws do not change the run.
        folder: where checkpoints, the log and the model are kept; None keeps nothing. See
            `layers.training.run_folder.RunFolder` for its files; one that was made for this run
            may be passed, such as one that starts again in the place of another run.
        resume: go on with the run in the folder, if there is one. A run that was cut, by Ctrl-C or
            by a kill, and resumed gives the same weights as one that was not, bit for bit; model,
            batches and options must be made in the same way as then. Checkpoints say what ran the
            steps: back end, vectors and threads; with others the run goes on with a warning, as
            sums are taken in another order.
        exact: refuse to resume with others, instead of the warning.
        compiled: make the loss and its gradient one program, as `minigrad.compile` does, for each
            of the first eight shapes of batches; what cannot be compiled runs as it is written, and
            one line of the log says why. None compiles where there is native code, with the extra
            `fast`.
        identity: more that must be the same when a run is resumed, such as a digest of the data,
            as JSON knows it; numbers must be finite.
        optimizer: `AdamW` with the options' rate, betas and weight_decay if None. The options then
            set its rates as a multiple of `rate`, unless a schedule does.
        schedule: sets the rates of that optimizer; the options if None.
        callbacks: called with a `Progress` after each step; a true result ends the run.
        progress: whether to show a bar on standard error.

    Returns:
        The losses, the validations and why the run ended. Ctrl-C ends it after the step that is
        being made; then the last checkpoint is written, and the model has the best weights so far
        or, without a validation, the last. SIGTERM and SIGHUP do the same, and then what they do
        outside of `fit`: unless they are handled, the process ends.

    Raises:
        GradientError: when the loss or the gradient is not finite, with the first operation that
            made it so. The weights are those of before the step, and the folder has them.
        TypeError: when the model has no `loss`, and none is given; when JSON does not know
            `identity`.
        FileExistsError: when there is a run in the folder, and `resume` is false.
        BlockingIOError: when another process, or another thread, is running in the folder.
        ValueError: when the run in the folder is another one; or, with `exact`, was run by another
            back end.

    >>> import numpy as np
    >>> import layers
    >>> import minigrad as mg
    >>> model = layers.Linear(2, 1)
    >>> def batches(generator):
    ...     x = generator.standard_normal((16, 2), np.float32)
    ...     return x, x @ np.array([[1.0], [-2.0]], np.float32)
    >>> def loss(model, batch):
    ...     return mg.mse_loss(model(batch[0]), batch[1])
    >>> options = TrainingOptions(steps=300, rate=0.1, warmup=10)
    >>> history = fit(model, batches, options, loss=loss, progress=False)
    >>> model.weight.numpy().round(2).tolist()
    [[1.0, -2.0]]
    """
    told = _as_json(identity or {})
    run = Run(model, batches, options, loss, validate, optimizer, schedule, told, compiled)
    if folder is not None:
        run.folder = folder if isinstance(folder, RunFolder) else RunFolder(folder, resume)
    interrupts = Interrupts()
    try:
        with nullcontext() if run.folder is None else run.folder.held():
            if run.folder is not None and run.folder.has_run:
                run.restore(exact)
            if run.folder is not None and resume and progress:
                say(run.beginning())
            with interrupts, one_blas_thread():
                run.go(interrupts, callbacks, ProgressBar(options) if progress else None)
        run.history.interrupted |= bool(interrupts.noted)  # also one that came after the last step
    finally:
        interrupts.act()  # whoever handles an error of the run must not swallow it
    return run.history


def _as_json(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same, as a checkpoint gives it back.

    Raises:
        TypeError: when JSON does not know it; NaN, which equals nothing, would never be the same.
    """
    try:
        told: dict[str, Any] = json.loads(json.dumps(identity, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(
            "fit: identity must be texts, whole and finite numbers, lists and dictionaries of "
            f"these, as JSON knows them: {error}"
        ) from error
    return told


def mean_loss(model: Any, batches: Iterable[Any], loss: Loss | None = None) -> float:
    """The mean loss of all examples of all batches, in evaluation mode and without recording.

    Args:
        model: whose mode is as it was afterwards.
        batches: of any lengths.
        loss: as in `fit`.

    Raises:
        ValueError: when there is no batch, or nothing in them counts.

    >>> import numpy as np
    >>> import layers, minigrad as mg
    >>> x = np.array([[1.0], [1.0], [1.0], [1.0], [6.0]])
    >>> def loss(model, batch):
    ...     return mg.mse_loss(batch, np.zeros_like(batch))
    >>> mean_loss(layers.Identity(), [mg.Tensor(x[:4]), mg.Tensor(x[4:])], loss)  # (4 + 36) / 5
    8.0
    """
    found, weights = [], []
    with reading(model):
        for batch in batches:
            value, weight = loss_and_weight((loss or model_loss)(model, batch), batch)
            found.append(value.item())
            weights.append(weight)
    return weighted_mean(found, weights)
