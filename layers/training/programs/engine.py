"""What runs the steps of a run: what its bits depend on beside the seeds."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from minigrad.compiled import plain
from minigrad.compiled.backends import default_backend, list_builder, machine, switched_off

__all__ = ["Engine"]

_WORDS = {"native": "native code", "numpy": "NumPy", "eager": "the tape"}

Check = tuple[str, Callable[[Any], bool]]

_FIELDS: Final[Mapping[str, Check]] = {
    "steps": ("native, numpy or eager", lambda value: type(value) is str and value in _WORDS),
    "updates": ("native or numpy", lambda value: value in ("native", "numpy")),
    "vectors": ("a text", lambda value: type(value) is str),
    "threads": ("a whole number from 1 on", lambda value: type(value) is int and value > 0),
}
_RECORD: Final[Mapping[str, Check]] = {
    "engine": ("an object", lambda value: type(value) is dict),
    "batches": (
        "a list of texts",
        lambda value: type(value) is list and all(type(kind) is str for kind in value),
    ),
}
"""What a checkpoint says, in words and as a check: it may come from strangers."""


@dataclass(frozen=True)
class Engine:
    """What runs the steps of a run.

    Attributes:
        steps: loss and gradients: "native", "numpy" for programs run by NumPy, or "eager".
        updates: the norm of the gradient and the optimiser: "native" or "numpy".
        vectors: of the processor, where there is native code; "" elsewhere.
        threads: of native code.
    """

    steps: str
    updates: str
    vectors: str = ""
    threads: int = 1

    @classmethod
    def chosen(cls, compiled: bool | None) -> Self:
        """The one that a run gets here.

        Args:
            compiled: whether loss and gradients are compiled; None: where there is native code.
        """
        native = default_backend() is not plain
        if compiled is None:
            compiled = native
        steps = "eager"
        if compiled and not switched_off():
            steps = "native" if native else "numpy"
        updates = "numpy" if list_builder() is None else "native"
        where: dict[str, Any] = machine() if "native" in (steps, updates) else {}
        return cls(steps, updates, **where)

    @classmethod
    def read(cls, record: Mapping[str, Any], path: Path) -> tuple[Self, list[str]]:
        """What `record` noted in a checkpoint.

        Args:
            record: as it was found.
            path: the folder, for messages.

        Raises:
            ValueError: names the field that is missing, not known or something else.
        """
        _check(record, _RECORD, f"the record of the engine in {path}")
        _check(record["engine"], _FIELDS, f"the engine in {path}")
        return cls(**record["engine"]), record["batches"]

    def record(self, batches: list[str]) -> dict[str, Any]:
        """What a checkpoint keeps: the engine, and the kinds of batches that have programs."""
        return {"engine": asdict(self), "batches": batches}

    def go_on(self, now: "Engine", path: Path, exact: bool) -> None:
        """Warn where a run goes on by another engine, whose last digits differ.

        Args:
            now: what goes on with it.
            path: its folder.
            exact: refuse that.

        Raises:
            ValueError: refusing.
        """
        if now == self:
            return
        said = f"the run in {path} had {self}, and goes on with {now}"
        if exact:
            raise ValueError(
                f"{said}: it cannot go on bit for bit. Use what it had (compiled=, --no-compile; "
                "the extra minigrad[fast]; MINIGRAD_COMPILE, MINIGRAD_THREADS), or do without "
                "exact=True, --exact"
            )
        warnings.warn(f"{said}: it is not what it would have been, bit for bit", stacklevel=5)

    def __str__(self) -> str:
        """In words.

        >>> print(Engine("native", "native", "x86, 64 bytes", 2))
        gradients by native code, updates by native code (vectors: x86, 64 bytes; 2 threads)
        >>> print(Engine("eager", "numpy"))
        gradients by the tape, updates by NumPy
        """
        words = f"gradients by {_WORDS[self.steps]}, updates by {_WORDS[self.updates]}"
        if not self.vectors:
            return words
        count = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{words} (vectors: {self.vectors}; {count})"


def _check(record: Mapping[str, Any], fields: Mapping[str, Check], what: str) -> None:
    for name in sorted({*record, *fields}):
        if name not in fields or name not in record:
            said = "has no" if name in fields else "has the unknown field"
            raise ValueError(
                f"{what} {said} {name!r}: its checkpoint is damaged or of another version"
            )
        wanted, fits = fields[name]
        if not fits(record[name]):
            raise ValueError(
                f"{what} has {record[name]!r:.80} as {name!r}, which must be {wanted}: its "
                "checkpoint is damaged or of another version"
            )
