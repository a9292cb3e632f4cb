"""Save and load arrays as safetensors files, whole or not at all."""

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.errors import require
from minigrad.tensors import Tensor

__all__ = ["load", "load_metadata", "save", "write_atomically"]


def write_atomically(path: str | os.PathLike[str], write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, sync it, and rename it to `path`.

    A reader, or a run after a crash, finds either the old file or the new one, never a part. The
    temporary file is removed when writing fails.
    """
    target = Path(path)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's files are private
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def save(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Any],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Save tensors or arrays by name to a safetensors file, with text metadata.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "weights.safetensors")
    ...     save(file, {"w": np.arange(3.0)}, {"model": "example"})
    ...     load(file)["w"], load_metadata(file)
    (array([0., 1., 2.]), {'model': 'example'})
    """
    library = require("safetensors.numpy", "all", "minigrad.serialize.save")
    arrays = {
        name: np.ascontiguousarray(v.numpy() if isinstance(v, Tensor) else v)
        for name, v in tensors.items()
    }
    content = library.save(arrays, metadata=dict(metadata or {}))
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def load(path: str | os.PathLike[str]) -> dict[str, "np.ndarray[Any, Any]"]:
    """The arrays of a safetensors file by name.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is not a safetensors file.
    """
    library = require("safetensors.numpy", "all", "minigrad.serialize.load")
    content = _read(path)
    try:
        arrays: dict[str, np.ndarray[Any, Any]] = library.load(content)
    except Exception as error:
        raise ValueError(f"{os.fspath(path)} is not a safetensors file: {error}") from error
    return arrays


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The text metadata of a safetensors file."""
    library = require("safetensors", "all", "minigrad.serialize.load_metadata")
    _read(path)
    with library.safe_open(os.fspath(path), framework="numpy") as file:
        return dict(file.metadata() or {})


def _read(path: str | os.PathLike[str]) -> bytes:
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {os.fspath(path)!r} to load")
    return file.read_bytes()
