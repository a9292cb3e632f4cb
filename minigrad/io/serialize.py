"""Save and load arrays as safetensors or npz files, whole or not at all, and without pickle."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.core.errors import DtypeError, describe
from minigrad.core.nodes import PlainArray
from minigrad.io import checksums, documents
from minigrad.io.memory import require_memory
from minigrad.io.npz_files import (
    MAX_BYTES,
    is_zip,
    pickle_error,
    read_npz,
    write_npz,
)
from minigrad.io.packages import require
from minigrad.io.safetensors_files import DTYPES, NAMES, write_safetensors
from minigrad.io.state_dicts import array_of
from minigrad.io.whole_files import file_name, write_atomically

__all__ = ["load", "load_all", "load_metadata", "save", "write_atomically"]


# -- arrays by name --------------------------------------------------------------------------------


def save(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Any],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Save tensors or arrays by name, with text metadata and checksums.

    Equal tensors and metadata, in the same order, give equal bytes.

    Args:
        path: a name that ends in ".npz" gives NumPy's format, any other the safetensors format,
            which PyTorch's world reads too.
        tensors: tensors, arrays or numbers; such as ``model.state_dict()``.
        metadata: texts by name.

    Raises:
        DtypeError: for an array that the format cannot hold.
        TypeError: when a name, the metadata or the path is not text.
        IsADirectoryError: when the path is a folder, or ends in a slash.
        ValueError: when metadata has the name "minigrad.crc32", under which checksums are kept, or
            a tensor of a safetensors file the name "__metadata__"; when names are no valid Unicode,
            or names and metadata take more than 8 MiB as JSON.
        FileNotFoundError: when the folder does not exist.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "weights.safetensors")
    ...     save(file, {"w": np.arange(3.0)}, {"model": "example"})
    ...     load(file)["w"], load_metadata(file)
    (array([0., 1., 2.]), {'model': 'example'})
    """
    if not isinstance(tensors, Mapping):
        raise TypeError(
            f"save: tensors must be a dict of tensors or arrays by name, got "
            f"{type(tensors).__name__}; of a module, save module.state_dict()"
        )
    npz = file_name(path).endswith(".npz")
    kinds, itemsize = ("fiubc", 16) if npz else ("fiubc", 8)
    notes = dict(metadata or {})
    if not all(isinstance(text, str) for pair in notes.items() for text in pair):
        raise TypeError(f"save: metadata must be texts by name, got {describe(notes)}")
    arrays: dict[str, PlainArray] = {}
    for name, value in tensors.items():
        _check_name(name)
        array = array_of(f"save: {name!r}", value)
        array = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
        if array.dtype.kind not in kinds or array.itemsize > itemsize:
            hint = "only numbers and booleans can be saved, text goes into metadata="
            if array.dtype.kind in kinds:
                fits = not npz and array.itemsize <= 16
                hint = "save it under a name that ends in .npz" if fits else "save its parts"
            raise DtypeError(
                f"save: {name!r} has dtype {array.dtype}, which a file of "
                f"{'arrays' if npz else 'safetensors'} cannot hold; {hint}"
            )
        arrays[name] = array
    if npz:
        write_atomically(path, lambda temporary: write_npz(temporary, arrays, notes))
        return
    entries = ((name, NAMES[array.dtype], array.shape, array) for name, array in arrays.items())
    texts = checksums.with_checksums(notes, entries)
    write_atomically(path, lambda temporary: write_safetensors(temporary, arrays, texts))


def _check_name(name: object) -> None:
    """Refuse a name that a file would not give back.

    Raises:
        TypeError: when it is no text.
        ValueError: when it has a NUL, at which names in a zip archive end, or a lone surrogate.
    """
    if not isinstance(name, str):
        raise TypeError(f"save: names must be text, got {describe(name)}")
    if "\0" in name or any("\ud800" <= character <= "\udfff" for character in name):
        raise ValueError(
            f"save: the name {name!r} has a NUL or half of a surrogate pair, which files cannot "
            "keep; name it otherwise"
        )


def load(
    path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES, verify: bool = True
) -> dict[str, PlainArray]:
    """The arrays of a safetensors or npz file by name.

    PyTorch's bfloat16, which NumPy does not have, becomes float32, without any loss. Nothing in a
    file is ever executed.

    Args:
        path: the file.
        max_bytes: how many bytes a compressed npz file may unfold to; a larger one is refused
            before it is read. What is not compressed takes no more than its own size.
        verify: compare the checksums that `save` wrote into a safetensors file; files of other
            programs have none. Those of npz files are always compared.

    Raises:
        FileNotFoundError: when there is no such file.
        IsADirectoryError: when it is a folder; the message names the files in it.
        DtypeError: when it holds numbers that NumPy does not know.
        MemoryError: when it is larger than what this process can have.
        ValueError: when it is neither, or is damaged, or would unfold to more than `max_bytes`, or
            has members that are neither stored nor deflated; when its names and metadata take more
            than 8 MiB as JSON, for an npz file the metadata alone. For a file of ``torch.save`` the
            message says what to do. When a checksum differs; the message names the tensor.
    """
    return load_all(path, max_bytes=max_bytes, verify=verify)[0]


def load_all(
    path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES, verify: bool = True
) -> tuple[dict[str, PlainArray], dict[str, str]]:
    """The arrays and the metadata of a file, read at once, so that they belong together.

    Args:
        path, max_bytes, verify: as in `load`.

    Raises:
        As `load`.
    """
    import json

    if type(max_bytes) is not int or max_bytes < 0:
        raise ValueError(
            f"load: max_bytes must be a whole number of bytes, 0 or more, got {max_bytes!r}"
        )
    file = _existing(path)
    require_memory(
        os.fspath(file),
        file.stat().st_size,
        "while it is read",
        "Free what is not needed, or use a machine with more memory.",
    )
    if is_zip(file):
        return read_npz(file, max_bytes=max_bytes)
    library = require("safetensors", "all", "minigrad.load")
    content = file.read_bytes()
    _check_header(file, content[:8], len(content))
    try:
        found = sorted(library.deserialize(content))
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (library.SafetensorError, ValueError) as error:
        raise _damaged(file, error) from error
    entries = ((n, entry["dtype"], entry["shape"], entry["data"]) for n, entry in found)
    texts = header.get("__metadata__") or {}  # null stands for none, too
    metadata = checksums.check(os.fspath(file), texts, entries, verify)
    return {name: _decode(file, name, entry) for name, entry in found}, metadata


def load_metadata(path: str | os.PathLike[str], *, verify: bool = True) -> dict[str, str]:
    """The text metadata of a safetensors or npz file.

    Args:
        path: the file.
        verify: compare the checksum of the texts; see `load`.

    Raises:
        As `load`.
    """
    file = _existing(path)
    if is_zip(file):
        return read_npz(file, arrays=False)[1]
    library = require("safetensors", "all", "minigrad.io.serialize.load_metadata")
    with file.open("rb") as begun:
        _check_header(file, begun.read(8), file.stat().st_size)
    try:
        with library.safe_open(os.fspath(file), framework="numpy") as opened:
            metadata = dict(opened.metadata() or {})
    except library.SafetensorError as error:
        raise _damaged(file, error) from error
    return checksums.check(os.fspath(file), metadata, None, verify)


def _existing(path: str | os.PathLike[str]) -> Path:
    file = Path(path)
    if file.is_dir():
        inside = sorted(p.name for p in file.iterdir() if p.suffix in (".safetensors", ".npz"))
        shown = ", ".join(repr(os.fspath(file / name)) for name in inside[:3])
        raise IsADirectoryError(
            f"{os.fspath(path)!r} is a folder; load a file in it"
            + (f": {shown}" if inside else ", of which none ends in .safetensors or .npz")
            + (
                ". A folder with config.json holds a model: layers.models.load(folder)."
                if (file / "config.json").is_file()
                else ""
            )
        )
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {os.fspath(path)!r} to load")
    return file


def _check_header(file: Path, begin: bytes, size: int) -> None:
    """Refuse a header that is too long to be read; one that the file cannot hold is damage."""
    length = int.from_bytes(begin, "little")
    if length <= size:
        documents.check_length(f"the header of {os.fspath(file)}", length)


def _damaged(file: Path, error: Exception) -> ValueError:
    """The error for a file of another format."""
    with file.open("rb") as opened:
        pickled = opened.read(2) in (b"\x80\x02", b"\x80\x04", b"\x80\x05")
    if pickled:
        return pickle_error(file)
    return ValueError(f"{os.fspath(file)} is not a safetensors file: {error}")


def _decode(file: Path, name: str, entry: Mapping[str, Any]) -> PlainArray:
    """One array of a safetensors file."""
    kind, shape = entry["dtype"], entry["shape"]
    if kind != "BF16" and kind not in DTYPES:
        raise DtypeError(
            f"{os.fspath(file)}: {name!r} has dtype {kind}, which NumPy does not have; convert it "
            "to float32 where the file is made, for example with tensor.float() in PyTorch"
        )
    # Of BF16, the upper halves of float32; of booleans, bytes that may be neither 0 nor 1.
    raw = {"BF16": "<u2", "BOOL": "u1"}.get(kind) or DTYPES[kind]
    try:
        array = np.frombuffer(entry["data"], raw).reshape(shape)
    except ValueError as error:
        raise ValueError(
            f"{os.fspath(file)} is damaged: {name!r} has the shape {shape!s:.80}: {error}"
        ) from error
    if kind == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    if kind == "BOOL":
        return array.astype(bool)
    return array if array.flags.writeable else array.copy()
