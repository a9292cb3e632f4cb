"""A run of the training loop: its steps, its validations, and what is saved of it."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from layers.base.module import Module
from layers.base.module_state import not_finite
from layers.models.configuration import Config
from layers.models.generation.decoding import reading
from layers.training.averages import LossResult, weighted_mean
from layers.training.interrupts import Interrupts
from layers.training.options import History, Progress, TrainingOptions, planned_rate, share_done
from layers.training.programs.batch_loss import BatchLoss
from layers.training.programs.engine import Engine
from layers.training.progress import ProgressBar
from layers.training.run_folder import RunFolder
from minigrad import Tensor
from minigrad.core.errors import GradientError
from minigrad.ops.randomness import generator_state, set_generator_state
from minigrad.optim import AdamW, ExponentialAverage, Optimizer, Schedule, clip_grad_norm
from minigrad.restoring import errstate, new_generator

__all__ = ["Batches", "Callback", "Loss", "Run"]

Batches = Callable[[np.random.Generator], Any]
Loss = Callable[[Any, Any], LossResult]
Callback = Callable[[Progress], object]


class Run:
    """The state of a run, and its steps."""

    def __init__(
        self,
        model: Module,
        batches: Batches,
        options: TrainingOptions,
        loss: Loss | None,
        validate: Callable[[], float] | None,
        optimizer: Optimizer | None,
        schedule: Schedule | None,
        identity: Mapping[str, Any] | None,
        compiled: bool | None,
    ) -> None:
        if schedule is not None and optimizer is not schedule.optimizer:
            raise ValueError("fit: schedule belongs to another optimizer; pass that as optimizer=")
        if loss is None and not hasattr(model, "loss"):
            raise TypeError(
                f"fit: {type(model).__name__} has no method loss; pass loss=, a function of the "
                "model and a batch"
            )
        self.model, self.batches, self.options = model, batches, options
        self.engine = Engine.chosen(compiled)
        self.loss = BatchLoss(model, loss, self.engine)
        self.validate, self.schedule = validate, schedule
        self.optimizer = optimizer or AdamW(
            decay_groups(model, options.weight_decay), options.rate, options.betas
        )
        self.base_rates = [group["rate"] for group in self.optimizer.groups]
        self.average = (
            ExponentialAverage(self.optimizer.parameters, options.average)
            if options.average is not None
            else None
        )
        self.generator = new_generator(options.seed)
        self.history = History()
        self.identity = {"model": describe_model(model), **options.fixed(), **(identity or {})}
        self.folder: RunFolder | None = None
        self.best: dict[str, Any] | None = None
        self.updating = False  # whether the weights are being written
        self.begun = 0.0
        self.saved, self.saved_at = -1, time.perf_counter()  # the last checkpoint: step and time

    # -- what is saved -----------------------------------------------------------------------------

    def _parts(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "average": self.average,
            "history": self.history,
            "batches": self.batches if hasattr(self.batches, "state_dict") else None,
            "generator": self.generator,
        }

    def restore(self, exact: bool) -> None:
        """Go back to the folder's last checkpoint.

        Args:
            exact: refuse one that another back end wrote, rather than warn of it.
        """
        assert self.folder is not None
        record = self.folder.engine()
        if record is not None:  # versions before did not note it
            engine, self.loss.kinds = Engine.read(record, self.folder.name)
            engine.go_on(self.engine, self.folder.name, exact)
        self.folder.load_last(self.identity, **self._parts())
        if (best := self.history.best) is not None:
            self.best = self.folder.best_weights(best[0], self.history.step, self.model)

    def beginning(self) -> str:
        """Where a run that may be resumed begins, in words."""
        assert self.folder is not None
        if self.history.step:
            return f"going on with the run in {self.folder.name} at step {self.history.step}"
        why = "its last checkpoint is of step 0" if self.folder.has_run else "it holds no run"
        return f"nothing to go on with in {self.folder.name} ({why}): beginning at step 0"

    def _save_when_due(self) -> None:
        """Write the last checkpoint, when there are steps or seconds enough since the one before.

        There is one of step 0, so that a run that is killed early is known to have begun.
        """
        step, every = self.history.step, self.options.checkpoint_every
        limit = self.options.checkpoint_seconds or math.inf
        by_steps = not step if every is None else step % every == 0
        if step != self.saved and (by_steps or time.perf_counter() - self.saved_at >= limit):
            self.save()

    def save(self) -> None:
        """Write the last checkpoint, and the model unless that holds the best weights."""
        if self.folder is None:
            return
        self._check_weights()
        self.history.seconds = self.seconds
        engine = self.engine.record(self.loss.kinds)
        self.folder.save_last(self.history.step, self.identity, engine, **self._parts())
        self.saved, self.saved_at = self.history.step, time.perf_counter()
        if self.best is None or self.options.keep == "last":
            folder = self.folder
            self._with_average(lambda: folder.save_model(self.model))

    def _check_weights(self) -> None:
        if self.history.step and (bad := not_finite(self.model)):  # at step 0 the loss will tell
            kept = f" The checkpoint of step {self.saved} is kept." if self.saved >= 0 else ""
            raise GradientError(
                f"fit: not finite after {self.history.step} steps: {bad}. A lower rate than "
                f"{self.options.rate}, or a max_norm, may help.{kept}"
            )

    def _with_average(self, action: Callable[[], Any]) -> Any:
        """Do something while the model holds the averaged weights, if there are any."""
        if self.average is None or not self.average.updates:
            return action()
        with self.average.swapped_in():
            return action()

    # -- the run -----------------------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        """How long the run has taken, with its earlier parts."""
        return time.perf_counter() - self.begun

    def go(
        self, interrupts: Interrupts, callbacks: Sequence[Callback], bar: ProgressBar | None
    ) -> None:
        """All steps that are left."""
        self.begun = time.perf_counter() - self.history.seconds
        history, options, already = self.history, self.options, self.history.seconds
        self.model.train()
        try:
            for _ in interrupts.until_noted():
                self._validate_when_due()
                if options.patience is not None and history.stale >= options.patience:
                    history.stopped = f"no better validation in {history.stale}"
                done = share_done(options, history.step, self.seconds)
                if history.stopped or done >= 1:
                    break
                self._save_when_due()
                loss, rate, norm = self._step()
                self._tell(bar)
                last = history.validations[-1][1] if history.validations else None
                told = Progress(
                    history.step, loss, rate, norm, self.seconds, last, self.model, history
                )
                if self.folder and history.step % options.log_every == 0:
                    self.folder.log(
                        step=told.step,
                        loss=loss,
                        weight=history.weights[-1],
                        rate=rate,
                        norm=norm,
                        seconds=told.seconds,
                    )
                if bar:
                    done = share_done(options, history.step, self.seconds)
                    bar.show(history, rate, self.seconds - already, done)
                answers = [callback(told) for callback in callbacks]  # all are told
                if not any(answers):
                    continue
                history.stopped = "a callback asked for it"
        except KeyboardInterrupt:
            if self.updating:
                raise
            history.interrupted = True
        finally:
            history.seconds = self.seconds
            if bar:
                bar.close()
        history.interrupted |= bool(interrupts.noted)
        self.save()
        if not history.interrupted and self._validate_when_due(at_the_end=True):
            self.save()
        self._check_weights()
        self._settle()
        self.model.eval()

    def _tell(self, bar: ProgressBar | None) -> None:
        """Tell what there is to tell of the programs."""
        for note in self.loss.notes:
            if self.folder:
                self.folder.log(step=self.history.step, steps=note)
            if bar:
                bar.say(note)
        self.loss.notes.clear()

    def _settle(self) -> None:
        """Leave the model with the weights to use."""
        if self.best is not None and self.options.keep == "best":
            self.model.load_state_dict(self.best)
            if self.folder:  # a kill may have left it those of the best validation before
                self.folder.save_model(self.model)
        elif self.average is not None and self.average.updates:
            with self.average.swapped_in():
                averaged = self.model.state_dict()
            self.model.load_state_dict(averaged)

    def _validate_when_due(self, at_the_end: bool = False) -> bool:
        """Validate, when it is time and this step was not validated yet; whether that was so."""
        history = self.history
        due = at_the_end or (history.step and history.step % self.options.validate_every == 0)
        done = history.validations[-1][0] == history.step if history.validations else False
        if self.validate is None or not due or done:
            return False
        before = generator_state()
        try:
            value = float(self._with_average(self._measure))
        finally:
            set_generator_state(before)
        if history.improves(value):  # kept before it is noted: Ctrl-C may come between
            self._with_average(lambda: self._keep_best(value))
        history.note_validation(value)
        if self.folder:
            self.folder.log(step=history.step, validation=value, seconds=self.seconds)
        return True

    def _measure(self) -> float:
        assert self.validate is not None
        with reading(self.model):
            value = float(self.validate())
        if math.isnan(value):
            raise GradientError(f"fit: validate gave nan at step {self.history.step}")
        return value

    def _keep_best(self, value: float) -> None:
        if self.folder:
            self.folder.save_best(self.history.step, value, self.model)
            if self.options.keep == "best":
                self.folder.save_model(self.model)
        self.best = self.model.state_dict()

    # -- a step ------------------------------------------------------------------------------------

    def _step(self) -> tuple[float, float, float]:
        """One step of the optimiser: its loss, its rate and the norm of its gradient."""
        before = self._place()
        try:
            factor = planned_rate(self.options, self.history.step, self.seconds) / self.options.rate
            if self.schedule is None:
                for group, rate in zip(self.optimizer.groups, self.base_rates, strict=True):
                    group["rate"] = rate * factor
            rate = self.optimizer.groups[0]["rate"]
            self.optimizer.zero_grad()
            value, weight = self._accumulate(before)
            limit = math.inf if self.options.max_norm is None else self.options.max_norm
            try:
                norm = clip_grad_norm(self.optimizer.parameters, limit)
            except GradientError:
                self._refuse("the gradient is not finite", before)
        except KeyboardInterrupt:
            self._go_back(before)
            raise
        self.updating = True
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        if self.average is not None:
            self.average.update()
        self.history.note_step(value, weight)
        self.updating = False
        return value, rate, norm

    def _accumulate(self, before: tuple[Any, Any, Any]) -> tuple[float, float]:
        """Put the gradient of the step's batches, as if they were one, into the parameters.

        Returns:
            The mean loss and its weight. A batch in which nothing counts is ignored.
        """
        values: list[float] = []
        weights: list[float] = []
        for _ in range(self.options.accumulate):
            batch = self.batches(self.generator)
            loss, weight = self.loss(batch)
            if not weight:
                continue
            values.append(loss.item())
            weights.append(weight)
            if not math.isfinite(values[-1]):
                self._refuse(f"the loss is {values[-1]}", before)
            # Relative to the first weight, so that half-precision gradients stay within range.
            share = weight / weights[0]
            (loss if share == 1 else loss * share).backward()
        if not weights:
            self._go_back(before)
            raise ValueError(
                f"fit: nothing counts in the batch of step {self.history.step}: its loss has the "
                "weight 0, so there is nothing to learn from it"
            )
        total = math.fsum(weights) / weights[0]
        if total != 1:
            for parameter in self.optimizer.parameters:
                if parameter.grad is not None:
                    parameter.grad = parameter.grad / total
        return weighted_mean(values, weights), math.fsum(weights)

    def _place(self) -> tuple[Any, Any, Any]:
        """Where the generators and the batches are."""
        stateful: Any = self.batches if hasattr(self.batches, "state_dict") else None
        return (
            generator_state(),
            generator_state(self.generator),
            None if stateful is None else stateful.state_dict(),
        )

    def _go_back(self, before: tuple[Any, Any, Any]) -> None:
        """Put the generators and the batches back to where they were before the step."""
        set_generator_state(before[0])
        set_generator_state(before[1], self.generator)
        if before[2] is not None:
            stateful: Any = self.batches
            stateful.load_state_dict(before[2])

    def _refuse(self, what: str, before: tuple[Any, Any, Any]) -> None:
        """Save the run as it was before the step, and say where the bad number came from."""
        self._go_back(before)
        bad = not_finite(self.model)
        if not bad:
            self.save()
        sentence = ""
        for _ in range(self.options.accumulate):
            batch = self.batches(self.generator)
            loss, _ = self.loss.as_written(batch)
            sentence = sentence or diagnosis(loss)
        self._go_back(before)
        if bad:
            sentence += f" Before the step already not finite: {bad}."
        rate = self.options.rate
        advised = "lower learning rate" in sentence
        advice = f"The rate was {rate}." if advised else f"A lower rate than {rate} may help."
        raise GradientError(
            f"fit: {what} at step {self.history.step}. {sentence or 'Its cause was not found.'} "
            f"{advice}"
        )


def describe_model(model: Module) -> str:
    """What must be the same when a run is resumed: the class, and its configuration."""
    config = getattr(model, "config", None)
    if config is None:
        return type(model).__name__
    described = config.describe() if isinstance(config, Config) else config
    return f"{type(model).__name__}({described})"


def decay_groups(model: Module, weight_decay: float) -> list[dict[str, Any]]:
    """The parameters in groups for AdamW: those with two axes or more decay, the others do not."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"parameters": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"parameters": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["parameters"]]


def diagnosis(loss: Tensor) -> str:
    """What the X-ray of a loss says of its first fault; "" if it finds none or cannot be drawn."""
    from minigrad.draw import DrawError, draw

    with errstate(all="ignore"):
        try:
            graph = draw(loss, grad="norm").graph
        except (DrawError, GradientError):  # what is told is that the run cannot go on
            return ""
    return " ".join(graph.diagnosis[:1])
