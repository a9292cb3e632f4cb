"""Writing safetensors files: an 8-byte length, a header in JSON, and the bytes of all tensors.

Tensors stand in the order in which the library of the format puts them. It also writes, but holds
a copy of everything meanwhile, and puts metadata into another order in every process; files of
equal contents should have equal bytes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from minigrad.core.nodes import PlainArray
from minigrad.io import documents

__all__ = ["DTYPES", "NAMES", "write_safetensors"]

DTYPES: Final = {
    "U64": "<u8",
    "I64": "<i8",
    "F64": "<f8",
    "C64": "<c8",
    "F32": "<f4",
    "U32": "<u4",
    "I32": "<i4",
    "F16": "<f2",
    "U16": "<u2",
    "I16": "<i2",
    "I8": "<i1",
    "U8": "<u1",
    "BOOL": "?",
}
"""What a safetensors file calls the dtypes that NumPy has, in the order in which tensors stand.

The widest come first, so that every array begins at a multiple of its own itemsize.
"""

NAMES: Final = {np.dtype(dtype): name for name, dtype in DTYPES.items()}

TEXTS: Final = "__metadata__"


def write_safetensors(
    file: Path, arrays: Mapping[str, PlainArray], metadata: Mapping[str, str]
) -> None:
    """Write arrays, little-endian and contiguous, and texts by name.

    Raises:
        ValueError: when an array has the name of the metadata, when names are no valid Unicode, or
            when names and texts are more than is read.
    """
    import json  # here, because it would slow the import of the package

    if TEXTS in arrays:
        raise ValueError(f"save: a tensor must not have the name {TEXTS!r}, that of the metadata")
    order = list(NAMES)
    names = sorted(arrays, key=lambda name: (order.index(arrays[name].dtype), name))
    header: dict[str, Any] = {TEXTS: dict(sorted(metadata.items()))} if metadata else {}
    place = 0
    for name in names:
        array = arrays[name]
        ends = [place, place + array.nbytes]
        header[name] = {
            "dtype": NAMES[array.dtype], "shape": list(array.shape), "data_offsets": ends
        }  # fmt: skip
        place = ends[1]
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    if len(text) > documents.LONGEST:
        raise ValueError(
            f"save: names and metadata take {len(text):,} bytes, and a safetensors file may have "
            f'{documents.LONGEST:,}; save under a name that ends in ".npz"'
        )
    with file.open("wb") as opened:
        opened.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            opened.write(arrays[name].data if arrays[name].size else b"")
