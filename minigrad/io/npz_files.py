"""NumPy's npz archives, read without trust: nothing is evaluated, and sizes are checked first."""

import errno
import math
import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from minigrad.core.nodes import PlainArray
from minigrad.io import documents

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

__all__ = ["MAX_BYTES", "is_zip", "pickle_error", "read_npz", "write_npz"]

MAX_BYTES: Final = 2**30
"""What a compressed file may unfold to, in bytes, unless one says more."""

METHODS: Final = (0, 8)  # stored and deflated: what NumPy writes, and what unfolds piece by piece
OTHER_METHODS: Final = {12: "bzip2", 14: "lzma"}

METADATA: Final = "metadata.json"  # the member of an archive that holds the metadata
CHUNK: Final = 2**20
LONGEST_END: Final = 22 + 0xFFFF  # the last record of an archive, with its comment
LONGEST_GAP: Final = 24  # a member's checksum and sizes may follow it once more
LONGEST_HEADER: Final = 10_000  # NumPy's own limit

# One entry of a header, which is the text of a Python dict; Python 2 wrote 3L for 3.
_ENTRY: Final = re.compile(
    r"""\s*(['"])(?P<key>descr|fortran_order|shape)\1\s*:\s*(?:"""
    r"""(['"])(?P<descr>[<>|=]?[?biufcSUmM]\d{0,9}(?:\[\w{1,20}\])?)\3|(?P<order>True|False)|"""
    r"""\((?P<shape>(?:\s*\d{1,19}L?\s*,)*\s*(?:\d{1,19}L?\s*)?)\))\s*(?:,|\Z)""",
    re.ASCII,
)


class _NoNumbersError(Exception):
    """A member of an archive is well-formed, but no array of numbers."""


def is_zip(file: Path) -> bool:
    """Whether a file begins as a zip archive."""
    with file.open("rb") as opened:
        return opened.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def pickle_error(file: Path) -> ValueError:
    """The error for a file that only pickle reads."""
    return ValueError(
        f"{os.fspath(file)} is a file of torch.save or pickle, which would run code on loading. "
        "Save it in PyTorch with safetensors.torch.save_file(model.state_dict(), path) instead."
    )


def write_npz(file: Path, arrays: Mapping[str, PlainArray], metadata: Mapping[str, str]) -> None:
    """Write arrays and texts by name.

    Raises:
        ValueError: when the texts are more than is read.
    """
    import json  # here, because both would slow the import of the package
    import zipfile

    texts = json.dumps(metadata)  # of ASCII
    if len(texts) > documents.LONGEST:
        raise ValueError(
            f"save: the metadata take {len(texts):,} bytes as JSON, and may have "
            f"{documents.LONGEST:,}; save what is large as an array"
        )

    # Not with numpy.savez, which takes the arrays as keyword arguments and so refuses some names.
    # A `ZipInfo` has no date of today, so that equal contents are equal files.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
        if metadata:
            archive.writestr(zipfile.ZipInfo(METADATA), texts)


def read_npz(
    file: Path, arrays: bool = True, max_bytes: int = MAX_BYTES
) -> tuple[dict[str, PlainArray], dict[str, str]]:
    """Read arrays and texts by name.

    Args:
        file: the archive.
        arrays: whether to read arrays, not only the texts.
        max_bytes: how many bytes a compressed file may unfold to. One that is not compressed holds
            no more than its own size.

    Raises:
        ValueError: when it is damaged, would unfold to more, is packed in another way than NumPy
            packs, has texts of more than `documents.LONGEST`, or holds what is no array of numbers.
        MemoryError: when there is not so much.
    """
    import zipfile

    place = os.fspath(file)
    try:
        with zipfile.ZipFile(file) as archive:
            found, metadata = _read(archive, file, arrays, max_bytes)
    except MemoryError:
        raise
    except _NoNumbersError as error:
        raise ValueError(f"{place} holds what is no array of numbers: {error}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # that of a place before the beginning of the file
            raise
        raise ValueError(f"{place} is not an npz file: {error}") from error
    except ValueError as error:
        if place in str(error):
            raise
        raise ValueError(f"{place} is not an npz file: {error}") from error
    except Exception as error:  # zipfile, its decompressors and json have a dozen of their own
        raise ValueError(
            f"{place} is not an npz file: {str(error) or type(error).__name__}"
        ) from error
    return found, metadata


def _read(
    archive: "ZipFile", file: Path, arrays: bool, max_bytes: int
) -> tuple[dict[str, PlainArray], dict[str, str]]:
    """The arrays and texts of an archive that is open."""
    members = archive.infolist()
    names = [member.filename for member in members]
    if any(name.endswith("/data.pkl") for name in names):
        raise pickle_error(file)
    wanted = [
        member
        for member in members
        if member.filename == METADATA or (arrays and member.filename.endswith(".npy"))
    ]
    _check_count(file, len(members))
    _check_methods(members)
    _check_sizes(file, wanted, max_bytes)
    for member in members:  # compares its two names: a damaged one would not be missed
        archive.open(member).close()
    _check_gaps(file, members, archive.start_dir)
    metadata = _metadata(archive) if METADATA in names else {}
    found = {
        member.filename.removesuffix(".npy"): _array(archive, member)
        for member in wanted
        if member.filename != METADATA
    }
    return found, metadata


def _check_count(file: Path, count: int) -> None:
    """Raise ValueError unless an archive's list has the length that its end tells.

    A wrong byte in the list can hide the entries after it, which zipfile does not notice.
    """
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - LONGEST_END))
        end = opened.read()
    at = end.rfind(b"PK\x05\x06") + 10
    told = int.from_bytes(end[at : at + 2], "little")
    if told != min(count, 0xFFFF):
        raise ValueError(f"it tells of {told} members and lists {count}")


def _check_gaps(file: Path, members: "list[ZipInfo]", list_at: int) -> None:
    """Raise ValueError unless the members follow each other up to their list.

    A wrong end can tell of a list that is empty, or shorter, and that is one as well.
    """
    at = 0
    with file.open("rb") as opened:
        for member in sorted(members, key=lambda member: member.header_offset):
            _check_gap(at, member.header_offset)
            opened.seek(member.header_offset + 26)
            lengths = opened.read(4)  # of its name, and of what else its own header has
            at = member.header_offset + 30 + member.compress_size
            at += int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
    _check_gap(at, list_at)


def _check_gap(begin: int, end: int) -> None:
    if end - begin > LONGEST_GAP:
        raise ValueError(f"it lists no member for its bytes {begin} to {end}")


def _check_methods(members: "list[ZipInfo]") -> None:
    """Raise ValueError for members that zipfile would unfold whole, whatever size they tell."""
    for member in members:
        if member.compress_type not in METHODS:
            known = OTHER_METHODS.get(member.compress_type, "an unknown method")
            raise ValueError(
                f"{member.filename!r} is packed by {known}, and only members that are stored or "
                "deflated are read, as numpy.savez and numpy.savez_compressed write them"
            )


def _check_sizes(file: Path, members: "list[ZipInfo]", max_bytes: int) -> None:
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        raise ValueError(f"it holds {Counter(names).most_common(1)[0][0]!r} twice")
    size, most = sum(member.file_size for member in members), file.stat().st_size
    if size > max(most, max_bytes):
        raise ValueError(
            f"{os.fspath(file)} of {most} bytes would unfold to {size}, more than max_bytes="
            f"{max_bytes}; if you trust it, pass a larger max_bytes= to minigrad.load"
        )


def _metadata(archive: "ZipFile") -> dict[str, str]:
    import json

    size = archive.getinfo(METADATA).file_size
    documents.check_length(METADATA, size)
    with archive.open(METADATA) as opened:
        text = opened.read(size)  # told how much, zipfile unfolds no more
        opened.read(1)  # compares the checksum
    content = json.loads(text)
    if not isinstance(content, dict) or not all(isinstance(v, str) for v in content.values()):
        raise ValueError(f"{METADATA} must be an object of texts, got {type(content).__name__}")
    return content


def _array(archive: "ZipFile", member: "ZipInfo") -> PlainArray:
    """One array; its size must be that of the member, so nothing is allocated for a lie."""
    with archive.open(member) as opened:
        begin = opened.read(8)
        if len(begin) < 8 or begin[:6] != b"\x93NUMPY" or begin[6] not in (1, 2, 3):
            raise _NoNumbersError(f"{member.filename!r} is not in NumPy's npy format")
        width = 2 if begin[6] == 1 else 4
        length = int.from_bytes(opened.read(width), "little")
        if length > LONGEST_HEADER:
            raise ValueError(f"the header of {member.filename!r} has {length} bytes")
        dtype, fortran, shape = _header(member.filename, opened.read(length))
        size = member.file_size - 8 - width - length
        if math.prod(shape) * dtype.itemsize != size:
            raise ValueError(
                f"{member.filename!r} has {size} bytes, not those of shape {shape} and {dtype}"
            )
        try:
            array = np.empty(shape[::-1] if fortran else shape, dtype)
        except ValueError as error:  # more axes than NumPy has, or an empty shape that overflows
            raise ValueError(f"{member.filename!r} has the shape {shape!s:.80}: {error}") from error
        room = array.reshape(-1).view(np.uint8) if size else np.empty(0, np.uint8)
        for at in range(0, size, CHUNK):
            part = room[at : at + CHUNK]
            data = opened.read(part.size)
            if len(data) < part.size:
                raise EOFError(f"{member.filename!r} ends too early")
            part[:] = np.frombuffer(data, np.uint8)
        opened.read(1)  # nothing is left, and so its checksum is compared
    if dtype.kind == "b":
        array = array.view(np.uint8).astype(bool)  # of other bytes NumPy makes what is neither
    return array.T if fortran else array


def _header(name: str, raw: bytes) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    """The dtype of an array, whether its first axis varies fastest, and its shape."""
    text = raw.decode("utf-8").strip()
    body, at = text[1:-1].rstrip(), 0
    found: dict[str, str] = {}
    while at < len(body) and (entry := _ENTRY.match(body, at)):
        found[entry["key"]] = entry["descr"] or entry["order"] or entry["shape"]
        at = entry.end()
    try:
        if text[:1] + text[-1:] != "{}" or at < len(body) or len(found) != 3:
            raise ValueError("it is no dict of descr, fortran_order and shape")
        shape = tuple(int(n) for n in re.findall(r"\d+", found["shape"]))
        dtype = np.dtype(found["descr"])
        if not dtype.itemsize:
            raise ValueError(f"its numbers have the dtype {found['descr']!r}, of no bytes")
        return dtype, {"True": True, "False": False}[found["fortran_order"]], shape
    except (KeyError, TypeError, ValueError) as error:
        raise _NoNumbersError(f"{name!r} has the header {text!r:.100}: {error}") from error
