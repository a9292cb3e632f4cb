"""Checkpoints: all that a run needs to go on after a stop as if it had not stopped."""

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from minigrad.core.nodes import PlainArray
from minigrad.io import documents, serialize
from minigrad.io.state_dicts import StateDictError
from minigrad.ops.randomness import default_generator, generator_state, set_generator_state

__all__ = [
    "Checkpoint",
    "CheckpointFile",
    "Stateful",
    "load_checkpoint",
    "read_checkpoint",
    "save_checkpoint",
]

KIND = "minigrad checkpoint 1"


class Stateful(Protocol):
    """Modules, optimisers, schedules and averages: what has a state dict."""

    def state_dict(self) -> Mapping[str, Any]:
        """Arrays by name."""

    def load_state_dict(self, state: Any) -> object:
        """Take over such a dict, or change nothing."""


class Checkpoint(NamedTuple):
    """What `load_checkpoint` found besides the states that it put back.

    Attributes:
        step: the step at which it was saved.
        metadata: the texts that were saved with it.
        parts: the names of the states in it.
    """

    step: int
    metadata: dict[str, str]
    parts: tuple[str, ...]


def save_checkpoint(
    path: str | os.PathLike[str],
    *,
    step: int = 0,
    generator: "np.random.Generator | Mapping[str, np.random.Generator] | None" = None,
    metadata: Mapping[str, str] | None = None,
    **parts: Stateful | None,
) -> None:
    """Save the state of a run into one safetensors file, whole or not at all.

    The state of the default random generator is always in it.

    Args:
        path: the file; one that is there is replaced only when the new one is complete.
        step: how far the run is.
        generator: a generator of your own, or several by name, such as that of the batches.
        metadata: texts by name.
        parts: what to save, each under a name of your choice: model=, optimizer=, schedule= ...;
            anything with a `state_dict`. None is passed over.

    Raises:
        TypeError: when a part has no state dict.
        ValueError: for names that could not be told apart on loading.

    >>> import tempfile, pathlib
    >>> from minigrad import Tensor
    >>> from minigrad.optim import SGD
    >>> optimizer = SGD([Tensor([1.0], requires_grad=True)], rate=0.5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "run.safetensors")
    ...     save_checkpoint(file, optimizer=optimizer, step=7)
    ...     load_checkpoint(file, optimizer=optimizer).step
    7
    """
    import json  # here, because it would slow the import of the package

    arrays: dict[str, Any] = {}
    present = {name: part for name, part in parts.items() if part is not None}
    for name, part in present.items():
        if not hasattr(part, "state_dict"):
            raise TypeError(f"save_checkpoint: {name} has no state_dict, got {type(part).__name__}")
        if any(other.startswith(f"{name}.") for other in present):
            raise ValueError(f"save_checkpoint: another part begins with {name + '.'!r}; rename it")
        arrays |= {f"{name}.{key}": value for key, value in part.state_dict().items()}
    states = {name: generator_state(own) for name, own in _generators(generator).items()}
    if "" in states:
        raise ValueError('save_checkpoint: the generator "" is the default one; name it otherwise')
    notes = {
        "kind": KIND,
        "step": str(int(step)),
        "parts": json.dumps(list(present)),
        "generators": json.dumps({"": generator_state(), **states}, default=_plain),
        "metadata": json.dumps(dict(metadata or {})),
    }
    serialize.save(path, arrays, notes)


def load_checkpoint(
    path: str | os.PathLike[str],
    *,
    generator: "np.random.Generator | Mapping[str, np.random.Generator] | None" = None,
    verify: bool = True,
    **parts: Stateful | None,
) -> Checkpoint:
    """Put the state of a run back; on an error nothing is changed.

    Args:
        path: the file that `save_checkpoint` wrote.
        generator: as given to `save_checkpoint`.
        verify: compare the checksums in the file; those of before have none.
        parts: what to put back, under the names used there; made in the same way as then. Parts
            of the file that are not asked for are left alone.

    Returns:
        The step and the metadata.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no checkpoint, or damaged; when a checksum differs, the message names
            the tensor.
        KeyError: when it lacks a part that is asked for.
        StateDictError: when a part does not fit, with the file, the part and what it says of it; it
            is a KeyError and a ValueError.
    """
    return read_checkpoint(path, verify=verify).put_back(generator, **parts)


class CheckpointFile(NamedTuple):
    """What a checkpoint holds; nothing of it is put back yet.

    Attributes:
        path: the file.
        arrays: by name, those of a part below its name and a dot.
        found: the step, the metadata and the names of the parts.
        generators: their states by name; that of the default one is "".
    """

    path: str
    arrays: dict[str, PlainArray]
    found: Checkpoint
    generators: dict[str, Any]

    def part(self, name: str) -> dict[str, PlainArray]:
        """The arrays of a part, by the rest of their names."""
        return _below(f"{name}.", self.arrays)

    def put_back(
        self,
        generator: "np.random.Generator | Mapping[str, np.random.Generator] | None" = None,
        **parts: Stateful | None,
    ) -> Checkpoint:
        """Put states back as `load_checkpoint` does; on an error nothing is changed.

        Raises:
            KeyError, StateDictError: as there.
        """
        own = _generators(generator)
        present = {name: part for name, part in parts.items() if part is not None}
        for name in (*present, *own):
            if name not in (self.generators if name in own else self.found.parts):
                held = [*self.found.parts, *filter(None, self.generators)]
                raise KeyError(
                    f"load_checkpoint: there is no {name!r} in {self.path}; it holds "
                    f"{', '.join(held) or 'nothing'}"
                )
        before = {name: part.state_dict() for name, part in present.items()}
        before_own = {name: generator_state(other) for name, other in own.items()}
        default, before_default = default_generator(), generator_state()
        done: list[str] = []
        try:
            for name, part in present.items():
                done.append(name)
                self._fit(name, part.load_state_dict, self.part(name))
            for name, other in own.items():
                self._fit(name, set_generator_state, self.generators[name], other)
            self._fit("default generator", set_generator_state, self.generators[""])
        except BaseException:
            for name in reversed(done):
                with contextlib.suppress(StateDictError):  # it had diverged, and takes no NaN back
                    present[name].load_state_dict(before[name])
            for name, other in own.items():
                set_generator_state(before_own[name], other)
            if default_generator() is not default:
                set_generator_state(before_default)
            raise
        return self.found

    def _fit(self, name: str, load: Callable[..., object], *args: Any) -> None:
        """Load a state, and name the file and the part when it does not fit."""
        try:
            load(*args)
        except (KeyError, ValueError, TypeError) as error:
            raise StateDictError(f"{self.path}: its {name} does not fit: {error}") from error


def read_checkpoint(path: str | os.PathLike[str], *, verify: bool = True) -> CheckpointFile:
    """Read a checkpoint without putting anything back.

    Args:
        path, verify: as for `load_checkpoint`.

    Raises:
        FileNotFoundError, ValueError: as `load_checkpoint`.
    """
    file = os.fspath(path)
    arrays, texts = serialize.load_all(path, verify=verify)
    if texts.get("kind") != KIND:
        raise ValueError(
            f"{file} is not a {KIND!r}, but {texts.get('kind', 'a file of arrays')!r}; "
            "minigrad.load reads any file of arrays."
        )
    notes = _read_notes(file, texts)
    found = Checkpoint(notes["step"], notes["metadata"], tuple(notes["parts"]))
    return CheckpointFile(file, arrays, found, notes["generators"])


NOTES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "step": ("a whole number", lambda value: type(value) is int),
    "parts": ("a list of names", lambda value: type(value) is list and _texts(value)),
    "generators": (
        "states by name",
        lambda value: type(value) is dict and all(type(one) is dict for one in value.values()),
    ),
    "metadata": ("texts by name", lambda value: type(value) is dict and _texts(value.values())),
}
"""What the metadata of a checkpoint hold beside its kind, in words and as a check."""


def _below(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays whose names begin with a prefix, by the rest of their names."""
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}


def _texts(values: Iterable[Any]) -> bool:
    return all(type(value) is str for value in values)


def _read_notes(file: str, texts: Mapping[str, str]) -> dict[str, Any]:
    """The entries of `NOTES`.

    Raises:
        ValueError: when one is missing, or is something else.
    """
    notes = {}
    for name, (wanted, fits) in NOTES.items():
        if name not in texts:
            raise ValueError(f"{file} is damaged: it has no {name!r}")
        notes[name] = documents.parse(texts[name], f"{name!r} of {file}")
        if not fits(notes[name]):
            raise ValueError(
                f"{file} is damaged: its {name!r} must be {wanted}, got {texts[name][:80]}"
            )
    try:
        notes["generators"] = _restored(notes["generators"])
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"{file} is damaged: a state of its generators is none: {error}"
        ) from error
    if "" not in notes["generators"]:
        raise ValueError(f"{file} is damaged: it has no state of the default generator")
    return notes


def _generators(given: Any) -> dict[str, "np.random.Generator"]:
    """The user's generators by name; a single one has the name "generator"."""
    if given is None:
        return {}
    return dict(given) if isinstance(given, Mapping) else {"generator": given}


def _plain(array: PlainArray) -> dict[str, Any]:
    """An array in the state of a generator, as JSON knows it; all else there is Python's own."""
    return {"array": array.tolist(), "dtype": str(array.dtype)}


def _restored(state: Any) -> Any:
    """The state of a generator with its arrays."""
    if not isinstance(state, dict):
        return state
    if state.keys() == {"array", "dtype"}:
        if state["dtype"] not in ("uint32", "uint64"):
            raise ValueError(f"a generator has no array of dtype {state['dtype']!r}")
        return np.array(state["array"], state["dtype"])
    return {name: _restored(value) for name, value in state.items()}
