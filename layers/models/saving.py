"""Configurations, and models as folders: config.json beside model.safetensors."""

import dataclasses
import json
import os
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from layers.datasets import CharacterTokenizer
from minigrad.core.errors import ShapeError
from minigrad.io import serialize

__all__ = ["Config", "SavedModel", "read_config"]

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"


class Config:
    """The base of configurations, which are frozen dataclasses of plain values.

    Attributes:
        PRESETS: values by field, under the name of each preset.
        LATER: fields that were added later, and the values that say what was before.
    """

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    LATER: ClassVar[Mapping[str, Any]] = {}

    def describe(self) -> str:
        """Class and fields; as it was before fields were added, where these change nothing."""
        fields: dict[str, Any] = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)  # type: ignore[arg-type]
        }
        told = [
            f"{name}={value!r}"
            for name, value in fields.items()
            if name not in self.LATER or value != self.LATER[name]
        ]
        return f"{type(self).__name__}({', '.join(told)})"

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """The configuration of a name, with some fields given or changed.

        Raises:
            ValueError: for an unknown name.
            TypeError: for an unknown field, or one that the preset leaves open and is not given.
        """
        if name not in cls.PRESETS:
            known = ", ".join(cls.PRESETS) or "none"
            raise ValueError(f"{cls.__name__}: there is no preset {name!r}; there are: {known}")
        return cls(**{**cls.PRESETS[name], **changes})

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """The configuration that `dataclasses.asdict` took apart, configurations within it too.

        Raises:
            TypeError: for an unknown or missing field.
        """
        hints = typing.get_type_hints(cls)
        fields = {
            name: hints[name].from_dict(value)
            if isinstance(value, Mapping) and isinstance(hints.get(name), type)
            else value
            for name, value in content.items()
        }
        return cls(**fields)


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """What config.json of a model's folder holds: kind, config, and tokenizers by name.

    Raises:
        FileNotFoundError: when there is no such folder or file.
        ValueError: when the file is damaged.
    """
    path = Path(folder)
    config_file = path / CONFIG_FILE
    if not config_file.is_file():
        places = (path / "model", Path("minigrad-runs") / path / "model")
        inner = next((place for place in places if (place / CONFIG_FILE).is_file()), None)
        hint = (
            f"the model is in a folder of its own: {inner}"
            if inner is not None
            else "`minigrad demo`, `train` and `run` write one, and model.save(folder)"
        )
        raise FileNotFoundError(
            f"there is no model in {os.fspath(folder)!r}: config.json is missing; {hint}"
        )
    try:
        content = json.loads(config_file.read_text(encoding="utf-8"))
        if not isinstance(content["kind"], str):
            raise TypeError("kind must be a text")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{config_file} is damaged: {error}") from error
    return dict(content)


class SavedModel:
    """What a model has that can be saved: a kind, a configuration, arrays and perhaps tokenizers.

    A subclass sets `KIND` and `CONFIG`, takes the configuration as its first argument and its
    tokenizers by name, and keeps each as an attribute of the same name.

    Attributes:
        KIND: what config.json calls it.
        CONFIG: the class of its configuration.
        TOKENIZERS: the names of its tokenizers.
    """

    KIND: ClassVar[str]
    CONFIG: ClassVar[type[Any]]
    TOKENIZERS: ClassVar[tuple[str, ...]] = ()

    config: Any

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write config.json and model.safetensors into a folder, made when missing.

        Each of the two files is written whole or not at all.
        """
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        content: dict[str, Any] = {"kind": self.KIND, "config": dataclasses.asdict(self.config)}
        for name in self.TOKENIZERS:
            tokenizer: CharacterTokenizer | None = getattr(self, name)
            if tokenizer is not None:
                content[name] = tokenizer.to_dict()
        content.update(self._described())
        text = json.dumps(content, indent=2, ensure_ascii=True) + "\n"
        serialize.save(path / WEIGHTS_FILE, self._arrays(), {"kind": self.KIND})
        serialize.write_atomically(
            path / CONFIG_FILE, lambda temporary: temporary.write_text(text, encoding="utf-8")
        )

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """The model that `save` wrote into a folder, in evaluation mode.

        Raises:
            FileNotFoundError: when there is no such folder or file.
            ValueError: when the folder holds another kind of model, or damaged files.
        """
        content, path = read_config(folder), Path(folder)
        config_file = path / CONFIG_FILE
        if content["kind"] != cls.KIND:
            raise ValueError(
                f"{config_file} describes a {content['kind']!r}, not a {cls.KIND!r}; "
                "layers.models.load opens every kind"
            )
        if not (path / WEIGHTS_FILE).is_file():
            raise FileNotFoundError(f"{path / WEIGHTS_FILE} is missing: the model has no weights")
        try:
            tokenizers = {
                name: CharacterTokenizer.from_dict(content[name])
                for name in cls.TOKENIZERS
                if name in content
            }
            make: Any = cls  # subclasses take a configuration and tokenizers
            model: Self = make(cls.CONFIG.from_dict(content["config"]), **tokenizers)
            model._take_description(content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{config_file} is damaged: {error}") from error
        try:
            model._take_arrays(serialize.load(path / WEIGHTS_FILE))
        except (ShapeError, KeyError) as error:
            raise ValueError(f"{WEIGHTS_FILE} does not fit {config_file}: {error}") from error
        return model

    def _arrays(self) -> Mapping[str, Any]:
        """What model.safetensors holds; a module's state dict unless a subclass says otherwise."""
        state: Mapping[str, np.ndarray[Any, Any]] = self.state_dict()  # type: ignore[attr-defined]
        return state

    def _described(self) -> Mapping[str, Any]:
        """More for config.json than kind, configuration and tokenizers."""
        return {}

    def _take_description(self, content: Mapping[str, Any]) -> None:
        """Take over what `_described` gave."""

    def _take_arrays(self, arrays: Mapping[str, Any]) -> None:
        self.load_state_dict(arrays)  # type: ignore[attr-defined]
        self.eval()  # type: ignore[attr-defined]
