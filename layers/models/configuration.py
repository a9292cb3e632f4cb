"""Configurations of models: frozen, of plain values, and checked when they come from a file."""

import dataclasses
import math
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from minigrad.core.errors import describe

__all__ = ["Config"]


class Config:
    """The base of configurations, which are frozen dataclasses of plain values.

    Attributes:
        PRESETS: values by field, under the name of each preset.
        LATER: fields that were added later, and the values that say what was before.
        UNSEEN: whole numbers that do not show in the shapes of the weights, and what a file may ask
            for at most.
    """

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    LATER: ClassVar[Mapping[str, Any]] = {}
    UNSEEN: ClassVar[Mapping[str, int]] = {}

    def describe(self) -> str:
        """Class and fields; as it was before fields were added, where these change nothing."""
        told = [
            f"{name}={value!r}"
            for name, value in self._fields().items()
            if name not in self.LATER or value != self.LATER[name]
        ]
        return f"{type(self).__name__}({', '.join(told)})"

    def _fields(self) -> dict[str, Any]:
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)  # type: ignore[arg-type]
        }

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
    def from_dict(cls, content: Any) -> Self:
        """The configuration that `dataclasses.asdict` took apart, configurations within it too.

        Args:
            content: every field by name; those of `LATER` may be missing.

        Raises:
            TypeError: for an unknown or missing field, and for a value of another type, which a
                number that is not finite is, too.
            ValueError: for a value that the class refuses.

        >>> from layers.models import LatentConfig
        >>> LatentConfig.from_dict({"hidden_size": 4, "skip": 1})
        LatentConfig(hidden_size=4, skip=1)
        """
        name = cls.__name__
        if not isinstance(content, Mapping):
            raise TypeError(f"{name}: the fields must be given by name, got {describe(content)}")
        hints = typing.get_type_hints(cls)
        fields = {one.name: hints[one.name] for one in dataclasses.fields(cls)}  # type: ignore[arg-type]
        if missing := [one for one in fields if one not in content and one not in cls.LATER]:
            raise TypeError(f"{name}: {', '.join(missing)} is missing; every field must be there")
        if unknown := [one for one in content if one not in fields]:
            raise TypeError(
                f"{name}: there is no field {', '.join(map(repr, unknown))}; there are: "
                f"{', '.join(fields)}"
            )
        values = {one: _checked(f"{name}: {one}", v, fields[one]) for one, v in content.items()}
        return cls(**{**cls.LATER, **values})

    def check_sizes_within(self, numbers: int, path: str = "") -> None:
        """Refuse sizes that weights of so many numbers cannot have.

        Raises:
            ValueError: naming the field.
        """
        for name, value in self._fields().items():
            if isinstance(value, Config):
                value.check_sizes_within(numbers, f"{path}{name}.")
            elif type(value) is int and value > (limit := self.UNSEEN.get(name, numbers)):
                allowed = (
                    f"from a file it may be {limit} at most"
                    if name in self.UNSEEN
                    else f"the weights hold {numbers} numbers in all"
                )
                raise ValueError(
                    f"{type(self).__name__}: {path}{name}={value} is too much: {allowed}"
                )


def _checked(name: str, value: Any, hint: Any) -> Any:
    """A value of a field, if it has the type that the class says.

    Raises:
        TypeError: when it has another.
    """
    kinds = typing.get_args(hint) or (hint,)
    for kind in kinds:
        if issubclass(kind, Config):
            return kind.from_dict(value)
        fits = type(value) is kind or (kind is float and type(value) is int)
        if fits and (type(value) is not float or math.isfinite(value)):
            return value
    known = " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)
    raise TypeError(f"{name} must be {known}, got {describe(value)}")
