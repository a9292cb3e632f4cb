"""Models as folders: one file has all of the model, and config.json is a copy for people."""

import dataclasses
import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from layers.base.allowance import allowing
from layers.datasets import CharacterTokenizer
from minigrad.core.errors import DtypeError, ShapeError, describe
from minigrad.io import documents, serialize

__all__ = ["WEIGHTS_FILE", "SavedFolder", "SavedModel", "read_folder"]

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
MODEL, DIGEST = "model", "model sha256"  # names in the metadata of WEIGHTS_FILE


@dataclass(frozen=True)
class SavedFolder:
    """What a model's folder holds.

    Attributes:
        source: where the description was read, for messages.
        description: kind, config, and what else there is by name.
        weights: the file of the arrays.
        arrays: by name; None when there is no such file.
    """

    source: str
    description: dict[str, Any]
    weights: Path
    arrays: dict[str, "np.ndarray[Any, Any]"] | None


def read_folder(folder: str | os.PathLike[str], *, verify: bool = True) -> SavedFolder:
    """Read a model's folder, of which only model.safetensors counts.

    Folders of before its description was in there have it in config.json alone; what belongs
    together can be told by kind and sizes there, and no further.

    Args:
        folder: what `SavedModel.save` wrote.
        verify: compare the checksums.

    Raises:
        FileNotFoundError: when there is no model.
        ValueError: when a file is damaged.

    Warns:
        UserWarning: when config.json says something else than model.safetensors, which is read.
    """
    path = Path(folder)
    weights, config_file = path / WEIGHTS_FILE, path / CONFIG_FILE
    arrays: dict[str, np.ndarray[Any, Any]] | None = None
    texts: dict[str, str] = {}
    if weights.is_file():
        arrays, texts = serialize.load_all(weights, verify=verify)
    elif not config_file.is_file():
        raise FileNotFoundError(_no_model(path))
    if MODEL not in texts:
        if not config_file.is_file():
            raise FileNotFoundError(
                f"{weights} was saved without a description, and {CONFIG_FILE} is missing; "
                "minigrad.load reads its arrays"
            )
        description = _read_copy(config_file)
        if texts.get("kind", description["kind"]) != description["kind"]:
            raise ValueError(
                f"{weights} is of a {texts['kind']!r}, and {config_file} describes a "
                f"{description['kind']!r}: they are of two models"
            )
        return SavedFolder(os.fspath(config_file), description, weights, arrays)
    if texts.get(DIGEST) != _digest(texts[MODEL]):
        raise ValueError(
            f"{weights} is damaged: its description of the model does not have its digest"
        )
    description = _checked(f"the description in {weights}", texts[MODEL])
    if config_file.is_file() and not _same(config_file, description):
        warnings.warn(
            f"{config_file} says something else than {weights}, which is read; the copy counts for "
            "nothing, and saving the model writes it again",
            stacklevel=3,
        )
    return SavedFolder(os.fspath(weights), description, weights, arrays)


def _no_model(path: Path) -> str:
    """The message for a folder without a model, with the way to one that is near."""
    places = (path / "model", Path("minigrad-runs") / path / "model")
    inner = next((one for one in places if (one / WEIGHTS_FILE).is_file()), None)
    hint = (
        f"the model is in a folder of its own: {inner}"
        if inner is not None
        else "`minigrad demo`, `train` and `run` write one, and model.save(folder)"
    )
    return f"there is no model in {os.fspath(path)!r}: {WEIGHTS_FILE} is missing; {hint}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read_copy(config_file: Path) -> dict[str, Any]:
    """What config.json says.

    Raises:
        ValueError: when it is damaged.
    """
    return _checked(os.fspath(config_file), config_file.read_bytes())


def _same(config_file: Path, description: dict[str, Any]) -> bool:
    """Whether the copy for people says the same."""
    try:
        return _read_copy(config_file) == description
    except (ValueError, OSError):
        return False


def _checked(source: str, text: str | bytes) -> dict[str, Any]:
    """A description with its kind.

    Raises:
        ValueError: when it is damaged.
    """
    found = documents.parse(text, source)
    if not isinstance(found, dict) or not isinstance(found.get("kind"), str):
        raise ValueError(
            f"{source} is damaged: it must have a text as 'kind', got {describe(found)}"
        )
    return found


class SavedModel:
    """What a model has that can be saved: a kind, a configuration, arrays and perhaps tokenizers.

    A subclass sets `KIND` and `CONFIG`, takes the configuration as its first argument and its
    tokenizers by name, and keeps each as an attribute of the same name. It makes its parameters
    with `layers.basic.linear.blank`, which asks for no more memory than the saved file has.

    Attributes:
        KIND: what the file calls it.
        CONFIG: the class of its configuration.
        TOKENIZERS: the fields of the configuration that are the sizes of its tokenizers, by the
            names of these.
        DESCRIBED: the names of what `_described` gives.
    """

    KIND: ClassVar[str]
    CONFIG: ClassVar[type[Any]]
    TOKENIZERS: ClassVar[Mapping[str, str]] = {}
    DESCRIBED: ClassVar[tuple[str, ...]] = ()

    config: Any

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the model into a folder, made when missing.

        All of it is in model.safetensors, which is written whole or not at all: configuration and
        tokenizers are in the metadata. config.json is a copy of these for people, written
        afterwards.

        Raises:
            ValueError: when the configuration has a number that is not finite.
        """
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        content: dict[str, Any] = {"kind": self.KIND, "config": dataclasses.asdict(self.config)}
        for name in self.TOKENIZERS:
            tokenizer: CharacterTokenizer | None = getattr(self, name)
            if tokenizer is not None:
                content[name] = tokenizer.to_dict()
        content.update(self._described())
        text = json.dumps(content, indent=2, ensure_ascii=True, allow_nan=False) + "\n"
        metadata = {"kind": self.KIND, MODEL: text, DIGEST: _digest(text)}
        serialize.save(path / WEIGHTS_FILE, self._arrays(), metadata)
        serialize.write_atomically(
            path / CONFIG_FILE, lambda temporary: temporary.write_text(text, encoding="utf-8")
        )

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, verify: bool = True) -> Self:
        """The model that `save` wrote into a folder, in evaluation mode.

        Args:
            folder: where it is.
            verify: compare the checksums of all tensors.

        Raises:
            FileNotFoundError: when there is no such folder or file.
            ValueError: when the folder holds another kind of model, or damaged files.

        Warns:
            UserWarning: when config.json says something else than model.safetensors, which is read.
        """
        return cls.from_folder(read_folder(folder, verify=verify))

    @classmethod
    def from_folder(cls, saved: SavedFolder) -> Self:
        """The model of a folder that was read.

        Raises:
            FileNotFoundError: when it has no weights.
            ValueError: when it is of another kind, or damaged.
        """
        content, source = saved.description, saved.source
        if content["kind"] != cls.KIND:
            raise ValueError(
                f"{source} describes a {content['kind']!r}, not a {cls.KIND!r}; "
                "layers.models.load opens every kind"
            )
        if saved.arrays is None:
            raise FileNotFoundError(f"{saved.weights} is missing: the model has no weights")
        numbers = sum(array.size for array in saved.arrays.values())
        try:
            model = cls._make(content, len(saved.arrays), numbers)
        except ShapeError as error:
            raise ValueError(
                f"{saved.weights.name} does not fit {source}, which says {content['config']}: "
                f"{error}"
            ) from error
        except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError(f"{source} is damaged: {error}") from error
        try:
            model._take_arrays(saved.arrays)
        except (ValueError, KeyError, DtypeError) as error:
            raise ValueError(f"{saved.weights.name} does not fit {source}: {error}") from error
        return model

    @classmethod
    def _make(cls, content: Mapping[str, Any], tensors: int, numbers: int) -> Self:
        """A model as described, with no more parameters than there are tensors and numbers."""
        known = ("kind", "config", *cls.TOKENIZERS, *cls.DESCRIBED)
        if unknown := [name for name in content if name not in known]:
            raise ValueError(
                f"there is no {unknown[0]!r} in a {cls.KIND!r}, only {', '.join(known)}"
            )
        config = cls.CONFIG.from_dict(content.get("config"))
        config.check_sizes_within(numbers)
        tokenizers = {
            name: CharacterTokenizer.from_dict(content[name])
            for name in cls.TOKENIZERS
            if name in content
        }
        for name, tokenizer in tokenizers.items():
            size = cls.TOKENIZERS[name]
            if len(tokenizer) > getattr(config, size):
                raise ValueError(
                    f"{name} has {len(tokenizer)} characters, and {size} is {getattr(config, size)}"
                )
        make: Any = cls  # subclasses take a configuration and tokenizers
        with allowing(tensors, numbers):
            model: Self = make(config, **tokenizers)
        model._take_description(content)
        return model

    def _arrays(self) -> Mapping[str, Any]:
        """What model.safetensors holds; a module's state dict unless a subclass says otherwise."""
        state: Mapping[str, np.ndarray[Any, Any]] = self.state_dict()  # type: ignore[attr-defined]
        return state

    def _described(self) -> Mapping[str, Any]:
        """More for the description than kind, configuration and tokenizers."""
        return {}

    def _take_description(self, content: Mapping[str, Any]) -> None:
        """Take over what `_described` gave.

        Raises:
            TypeError: for a value of another type.
        """

    def _take_arrays(self, arrays: Mapping[str, Any]) -> None:
        """Take over what `_arrays` gave.

        Raises:
            ValueError, KeyError, DtypeError: when they are others.
        """
        self.load_state_dict(arrays)  # type: ignore[attr-defined]
        self.eval()  # type: ignore[attr-defined]
