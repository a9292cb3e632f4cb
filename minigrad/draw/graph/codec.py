"""Records as JSON text: one record on a line, strict in both directions.

The text is ASCII and plain JSON. Numbers that JSON lacks are written as the strings "NaN",
"Infinity" and "-Infinity". Fields that hold their default are left out. Reading refuses what
writing never makes (unknown keys, repeated keys, other types, another schema version), because a
record that was misread would draw a wrong picture without an error.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar, Union

from minigrad.draw.graph.errors import GraphFormatError

_NOT_IN_JSON: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_Record = TypeVar("_Record")


def write_document(
    schema: str,
    version: int,
    head: Mapping[str, object],
    sections: Mapping[str, Sequence[object]],
) -> str:
    """Return a document as JSON text that is the same for equal documents, byte for byte.

    Args:
        schema, version: what the document is, and which version of that.
        head: plain values, one on a line.
        sections: records, one on a line.
    """
    whole: dict[str, object] = {"schema": schema, "version": version, **head}
    lines = [f'"{key}": {_dump(value)}' for key, value in whole.items()]
    for key, records in sections.items():
        body = ",\n".join(_dump(_plain(record)) for record in records)
        lines.append(f'"{key}": [\n{body}\n]' if body else f'"{key}": []')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def read_document(
    text: str | bytes,
    record: type[_Record],
    schema: str,
    version: int,
    sections: Mapping[str, type],
) -> _Record:
    """Return the record that `write_document` wrote as a document.

    Args:
        text: the JSON.
        record: the class of the whole document.
        schema, version: what the document must be.
        sections: by field of the whole, the class of the records in it.

    Raises GraphFormatError for anything else, naming the place: `nodes[3].shape`.
    """
    try:
        content = json.loads(
            text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_repeated_keys
        )
    except GraphFormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise GraphFormatError(f"this is not JSON: {error}") from None
    if not isinstance(content, dict) or content.get("schema") != schema:
        raise GraphFormatError(f'this JSON is not what is read: "schema" must be "{schema}"')
    found = content.get("version")
    if type(found) is not int or found != version:
        raise GraphFormatError(
            f"graph schema version {found!r:.80} is not {version}, the one this version of "
            "minigrad reads; write the graph again with this version"
        )
    fields = {key: value for key, value in content.items() if key not in ("schema", "version")}
    for key, part in sections.items():
        entries = fields.get(key, [])
        if not isinstance(entries, list):
            raise GraphFormatError(f"{key} must be a list, got {type(entries).__name__}")
        fields[key] = tuple(
            _read_record(part, entry, f"{key}[{index}]") for index, entry in enumerate(entries)
        )
    return _read_record(record, fields, "graph", ready=tuple(sections))


def nonfinite_word(value: float) -> str:
    """Return the word for a number that JSON lacks: NaN, or an infinity."""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _plain(record: Any) -> dict[str, object]:
    """Return the fields of a record that differ from their default, ready for JSON."""
    plain: dict[str, object] = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if type(value) is type(field.default) and value == field.default:
            continue
        plain[field.name] = _plain_value(value)
    return plain


def _plain_value(value: Any) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else nonfinite_word(value)
    if isinstance(value, tuple):
        return [_plain_value(part) for part in value]
    return _plain(value) if dataclasses.is_dataclass(value) else value


def _refuse_constant(name: str) -> object:
    raise GraphFormatError(f'bare {name} is not JSON; write it as the string "{name}"')


def _refuse_repeated_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content: dict[str, object] = {}
    for key, value in pairs:
        if key in content:
            raise GraphFormatError(f"key {key!r:.80} appears twice in one object")
        content[key] = value
    return content


def _read_record(
    record: type[_Record], content: object, place: str, ready: tuple[str, ...] = ()
) -> _Record:
    if not isinstance(content, dict):
        raise GraphFormatError(f"{place} must be an object, got {type(content).__name__}")
    readers = _readers(record)
    unknown = [key for key in content if key not in readers]
    if unknown:
        raise GraphFormatError(f"{place} has the unknown key {unknown[0]!r:.80}")
    values = {
        key: value if key in ready else readers[key](value, f"{place}.{key}")
        for key, value in content.items()
    }
    try:
        return record(**values)
    except GraphFormatError as error:
        raise GraphFormatError(f"{place}: {error}") from None
    except TypeError:
        missing = [
            field.name
            for field in dataclasses.fields(typing.cast(Any, record))
            if field.default is dataclasses.MISSING and field.name not in values
        ]
        raise GraphFormatError(f"{place} lacks {', '.join(missing)}") from None


_Reader = Callable[[object, str], object]
_KNOWN_READERS: dict[type, dict[str, _Reader]] = {}


def _readers(record: type) -> dict[str, _Reader]:
    if record not in _KNOWN_READERS:
        hints = typing.get_type_hints(record)
        _KNOWN_READERS[record] = {name: _reader(hint) for name, hint in hints.items()}
    return _KNOWN_READERS[record]


def _reader(hint: Any) -> _Reader:
    """Return the function that checks and converts a JSON value for a field of type `hint`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        inner = _reader(next(part for part in arguments if part is not type(None)))
        return lambda value, place: None if value is None else inner(value, place)
    if origin is Literal:
        return lambda value, place: _choice(value, place, arguments)
    if origin is tuple:
        element = _reader(arguments[0])
        return lambda value, place: _sequence(value, place, element)
    if dataclasses.is_dataclass(hint):
        # Records hold no records of their own kind, so this goes a level or two down.
        return lambda value, place: _read_record(typing.cast(type, hint), value, place)
    if hint is float:
        return _number
    return lambda value, place: _exact(value, place, hint)


def _choice(value: object, place: str, choices: tuple[object, ...]) -> object:
    if not isinstance(value, str) or value not in choices:
        names = ", ".join(str(choice) for choice in choices)
        raise GraphFormatError(f"{place} must be one of {names}; got {value!r:.80}")
    return value


def _sequence(value: object, place: str, element: _Reader) -> object:
    if not isinstance(value, list):
        raise GraphFormatError(f"{place} must be a list, got {type(value).__name__}")
    return tuple(element(part, f"{place}[{index}]") for index, part in enumerate(value))


def _number(value: object, place: str) -> object:
    if isinstance(value, str) and value in _NOT_IN_JSON:
        return _NOT_IN_JSON[value]
    # A literal such as 1e999 reads as infinity; nothing that this module writes does.
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise GraphFormatError(
        f'{place} must be a finite number, "NaN", "Infinity" or "-Infinity"; got {value!r:.80}'
    )


def _exact(value: object, place: str, wanted: type) -> object:
    if type(value) is not wanted:
        raise GraphFormatError(
            f"{place} must be {wanted.__name__}, got {type(value).__name__} {value!r:.80}"
        )
    return value
