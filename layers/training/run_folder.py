"""The folder of a run: checkpoints to go on from, the model to use, and a log."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from layers.base.module_state import check_entries, state_entries
from layers.base.parameter import Parameter
from minigrad.io import serialize
from minigrad.io.checkpoint_files import CheckpointFile, read_checkpoint, save_checkpoint
from minigrad.io.documents import spell
from minigrad.io.held_folders import held
from minigrad.io.state_dicts import StateDictError, real_of

__all__ = ["RunFolder"]

LAST, BEST, LOG = "last.safetensors", "best.safetensors", "log.jsonl"


class RunFolder:
    """Where a run keeps what must outlive it.

    - last.safetensors: the whole state of the run, from which it goes on bit for bit
    - best.safetensors: the weights of the best validation
    - log.jsonl: a line of JSON for some steps, and for each validation
    - what `model.save` writes, when the model has it: the weights to use

    It stays the same folder when the process changes its working folder.

    Each but the log is written whole or not at all; a line that a kill cut is dropped on resuming.
    A better validation is in its files before the last checkpoint knows of it, so that no kill
    costs the best weights: going on makes that validation again.

    Args:
        path: the folder, made when missing.
        resume: whether to go on with the run that is in it.
        overwrite: whether to start again in its place. It is kept until the new run has something
            to keep: its first checkpoint, or with `drop_replaced` its model.

    Raises:
        FileExistsError: when there is a run in it, and neither is asked for.
    """

    def __init__(self, path: str | os.PathLike[str], resume: bool, overwrite: bool = False) -> None:
        self.name = Path(path)  # for messages: as it was given
        self.path = Path(path).absolute()
        self.path.mkdir(parents=True, exist_ok=True)
        there = (self.path / LAST).is_file()
        self.replaces = there and overwrite
        self._lines = ""  # of the log, as long as that of the run before is kept
        self._may_hold_run = resume or overwrite
        self._check_empty()

    def _check_empty(self) -> None:
        if self._may_hold_run or not (self.path / LAST).is_file():
            return
        raise FileExistsError(
            f"{self.name} holds a run already ({LAST}); go on with it (resume=True, or "
            "--resume), choose another folder, or remove it first (--overwrite)"
        )

    def held(self) -> held:
        """A block in which this run alone writes to the folder.

        Raises:
            BlockingIOError: on entering it, when another process or thread is in such a block.
            FileExistsError: now, when there has come to be a run in it, and neither going on nor
                starting again was asked for.
        """
        self._check_empty()
        return held(self.path, self.name)

    def __fspath__(self) -> str:
        """The folder's path."""
        return str(self.path)

    @property
    def has_run(self) -> bool:
        """Whether there is a run to go on with."""
        return not self.replaces and (self.path / LAST).is_file()

    @property
    def step(self) -> int | None:
        """The step of the last checkpoint, also of one that is replaced; None if it is damaged.

        0 when there is none, or another file in its place.
        """
        if not (self.path / LAST).is_file():
            return 0
        try:
            told = serialize.load_metadata(self.path / LAST).get("step", "")
        except (OSError, ValueError):
            return None
        return int(told) if told.isdecimal() and len(told) < 20 else 0

    def clear(self) -> None:
        """Remove the run, and leave the model."""
        for name in (LAST, BEST, LOG):
            (self.path / name).unlink(missing_ok=True)

    def drop_replaced(self) -> None:
        """Remove the run that this one replaces, if it does, once its model is written."""
        if self.replaces:
            (self.path / LAST).unlink(missing_ok=True)
            self._replace_others()

    def _replace_others(self) -> None:
        """Remove what there is of the run before beside its last checkpoint."""
        (self.path / BEST).unlink(missing_ok=True)
        self._write_log(self._lines)
        self.replaces = False

    def save_last(
        self,
        step: int,
        identity: Mapping[str, Any],
        engine: Mapping[str, Any] | None = None,
        **parts: Any,
    ) -> None:
        """Save all that the run needs to go on.

        Args:
            step: how far it is.
            identity: what must be the same when it is resumed.
            engine: what its bits depend on beside that.
            parts: as for `minigrad.save_checkpoint`.
        """
        metadata = {
            "identity": json.dumps(identity, sort_keys=True),
            "engine": json.dumps(engine, sort_keys=True),
        }
        save_checkpoint(self.path / LAST, step=step, metadata=metadata, **parts)
        if self.replaces:
            self._replace_others()

    def engine(self) -> dict[str, Any] | None:
        """What the run's bits depended on; None in checkpoints of versions that did not say."""
        record: dict[str, Any] | None = self._note("engine")
        return record

    def _note(self, name: str) -> Any:
        """What the last checkpoint says under a name; None if nothing.

        Raises:
            ValueError: when it is another file.
        """
        notes = serialize.load_metadata(self.path / LAST)
        try:
            record = json.loads(json.loads(notes["metadata"]).get(name, "null"))
        except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{self.path / LAST} is not the checkpoint of a run") from error
        if not isinstance(record, dict | None):
            raise ValueError(
                f"{self.path / LAST} is not the checkpoint of a run: its {name!r} is {record!r:.80}"
            )
        return record

    def load_last(self, identity: Mapping[str, Any], **parts: Any) -> int:
        """Put the run back to where it was, and drop the log's lines from after that.

        Raises:
            ValueError: when it is another run, of other options or data; when the checkpoint is
                damaged, or says what no run can have left, with its file and the entry. Then
                nothing is changed.
        """
        before = self._note("identity")
        if before is None:
            raise ValueError(f"{self.path / LAST} is not the checkpoint of a run")
        now = json.loads(json.dumps(identity))
        for name in sorted({*before, *now}):
            if before.get(name) != now.get(name):
                raise ValueError(
                    f"the run in {self.name} cannot be resumed with {name}={now.get(name)!r}: it "
                    f"began with {before.get(name)!r}; use that, or another folder"
                )
        last = read_checkpoint(self.path / LAST)
        losses = last.arrays.get("history.losses")
        if losses is not None and losses.shape[:1] != (last.found.step,):
            raise ValueError(
                f"{last.path} is damaged: its step is {last.found.step}, and history.losses has "
                f"shape {losses.shape}"
            )
        _check_finite(last, parts["model"])
        last.put_back(**parts)
        self._cut_log(last.found.step)
        return last.found.step

    def save_best(self, step: int, value: float, model: Any) -> None:
        """Save the weights of the best validation."""
        save_checkpoint(
            self.path / BEST, step=step, metadata={"validation": repr(value)}, model=model
        )

    def save_model(self, model: Any) -> None:
        """Write the folder's model, for those that can be saved so."""
        if hasattr(model, "save"):
            model.save(self.path)

    def best_weights(self, best: int, last: int, model: Any) -> dict[str, Any]:
        """The weights that `save_best` wrote.

        A kill after that, and before `save_last`, leaves those of a validation that the run comes
        to again when it goes on.

        Args:
            best: the step of the best validation, as the last checkpoint knows it.
            last: the step of that checkpoint.
            model: which they are of; it stays as it is.

        Raises:
            FileNotFoundError: when there are none.
            ValueError: when they are of a step at which the run had no best validation, or do not
                fit the model.
        """
        found = read_checkpoint(self.path / BEST)
        step = found.found.step
        if step != best and step < last:
            raise ValueError(
                f"{found.path} has the weights of step {step}, and the best validation of "
                f"the run was at step {best}: it was changed. Put back the file of that step, or "
                "begin anew (--overwrite)"
            )
        _check_finite(found, model)
        weights = found.part("model")
        try:
            check_entries(type(model).__name__, state_entries(model), weights)
        except StateDictError as error:
            raise StateDictError(f"{found.path}: {error}") from error
        return weights

    def log(self, **line: Any) -> None:
        """Add a line of JSON to the log; a validation may be infinite, which is null there.

        Raises:
            OSError: when it cannot be written; names the file.
        """
        text = spell(line) + "\n"
        if self.replaces:
            self._lines += text
            return
        log = self.path / LOG
        try:
            with log.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:  # that of a full disk names no file
            raise OSError(error.errno, error.strerror, os.fspath(log)) from error

    def _cut_log(self, step: int) -> None:
        """Drop lines of steps that will be made again, and a last line that was cut."""
        log = self.path / LOG
        if not log.is_file():
            return
        kept = []
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
            except (ValueError, KeyError, TypeError, RecursionError):
                continue  # cut in the middle when the run was killed
        self._write_log("".join(kept))

    def _write_log(self, text: str) -> None:
        serialize.write_atomically(self.path / LOG, lambda path: path.write_text(text, "utf-8"))


def _check_finite(checkpoint: CheckpointFile, model: Any) -> None:
    """Refuse weights that are not finite, or would not be in the dtypes of the model.

    Raises:
        StateDictError: with the file and the name of the first.
    """
    for name, entry in state_entries(model).items():
        array = checkpoint.arrays.get(f"model.{name}")
        if array is not None and isinstance(entry, Parameter) and entry.dtype.kind == "f":
            real_of(f"{checkpoint.path}: model.{name}", array, dtype=entry.dtype)
