"""Reading text of your own: where it comes from, and how its bytes become characters."""

import codecs
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from minigrad.io.memory import require_memory

__all__ = ["TextSource", "read_text", "source_name"]

TextSource = str | os.PathLike[str] | BinaryIO
"""Where text comes from: a path, or a file opened for reading bytes, as `sys.stdin.buffer`."""

PIECE: Final = 2**24
"""Bytes that are read before it is asked whether there is memory for them."""

MARKS: Final = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""What a byte order mark at the beginning says of the encoding."""

_LATIN: Final = "äöüßéèêàáíóúùòìãõñçåøæâîôûëïœÉÀÇ’‘“”–—…«»°€£¿¡"
_CYRILLIC: Final = "абвгдежзийклмнопрстуфхцчшщъыьэюя"
_KANA: Final = "".join(map(chr, [*range(0x3041, 0x3097), *range(0x30A1, 0x30FB), 0x3001, 0x3002]))

COMMON: Final = {
    "cp1252": _LATIN,
    "mac_roman": _LATIN,
    "cp850": _LATIN,
    "cp1250": "ąćęłńóśźżáčďéěíňřšťúůýžőűăâî",
    "cp1251": _CYRILLIC,
    "koi8-r": _CYRILLIC,
    "cp866": _CYRILLIC,
    "cp1253": "αβγδεζηθικλμνξοπρστυφχψωςάέήίόύώ",
    "cp1254": "ğışçöüİâ",
    "cp1256": "ابتثجحخدذرزسشصضطظعغفقكلمنهويةىأإ،",
    "shift_jis": _KANA,
    "euc_jp": _KANA,
    "gb18030": "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得，。",
    "big5": "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得，。",
    "euc_kr": "이다는에의가을를은하고지로한도사기인대서어나자그리시해있정들수게것아보일부과라스전",
}
"""What is frequent among the characters beyond ASCII in texts of an encoding."""


def read_text(path: TextSource, encoding: str | None = None) -> str:
    """Read a text of your own, with line ends turned into ``\\n``.

    Args:
        path: where the file lies, or a file opened for reading bytes. A byte order mark at its
            start is dropped.
        encoding: as Python names it, such as "cp1252"; what a byte order mark says, or else UTF-8,
            if None.

    Raises:
        FileNotFoundError: there is no such file.
        IsADirectoryError: the path is a folder.
        MemoryError: it is too long, or has no end.
        ValueError: the file is empty, or not text in that encoding, or there is no such encoding.
            The message names the encoding that the text is likely in.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "song.txt")
    ...     _ = file.write_bytes("one\\r\\ntwo".encode())
    ...     read_text(file)
    'one\\ntwo'
    """
    content, name = _read_bytes(path), _argument(path)
    if encoding is not None:
        _check_encoding(encoding)
    marked = next((kind for mark, kind in MARKS.items() if content.startswith(mark)), "utf-8")
    chosen = encoding or marked
    shown = chosen.upper() if chosen.startswith("utf") else chosen
    try:
        text = content.decode(chosen).removeprefix("\N{BYTE ORDER MARK}")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name} is not text in {shown}: byte {error.start} is "
            f"0x{content[error.start]:02x}; save it as UTF-8, {_advice(content, error.start)}"
        ) from error
    if "\0" in text:
        place = content.index(0)
        raise ValueError(
            f"{name} is not text in {shown}: byte {place} is 0x00 (a NUL), so it is "
            + (
                f"binary or UTF-16; save it as UTF-8, {_advice(content, place)}"
                if likely_encoding(content)
                else "binary, or a text that was damaged; write or export it anew, or take the NUL "
                "out"
            )
        )
    if not text:
        raise ValueError(f"{name} is empty; pass a file with text in it")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def source_name(path: TextSource) -> str:
    """What messages call a source of text."""
    if isinstance(path, str | os.PathLike):
        return os.fspath(path)
    name = getattr(path, "name", None)
    return "standard input" if name == "<stdin>" else str(name or "the file")


def _argument(path: TextSource) -> str:
    """The same, as an argument when it is a path."""
    return (
        f"path={source_name(path)!r}" if isinstance(path, str | os.PathLike) else source_name(path)
    )


def _read_bytes(path: TextSource) -> bytes:
    """All bytes of a source."""
    if not isinstance(path, str | os.PathLike):
        return _whole(path, source_name(path))
    file = Path(path)
    if file.is_dir():
        raise IsADirectoryError(f"{_argument(path)} is a folder; pass one text file inside it")
    if not file.exists():
        raise FileNotFoundError(
            f"{_argument(path)} does not exist (looked in {Path.cwd()}); check the spelling or "
            "pass a full path"
        )
    with file.open("rb") as opened:
        return _whole(opened, _argument(path))


def _whole(opened: BinaryIO, name: str) -> bytes:
    """All that a file gives, which may be a pipe or a device without an end.

    Raises:
        MemoryError: when there is no memory for as much again, and for its text.
        TypeError: it gives characters.
    """
    parts: list[bytes] = []
    read: Callable[[int], bytes | str] = opened.read
    while part := read(PIECE):
        if isinstance(part, str):
            raise TypeError(
                f"{name} gives characters, not bytes; open it with mode 'rb', or pass "
                "its path (for standard input, sys.stdin.buffer)"
            )
        parts.append(part)
        size = sum(map(len, parts))
        require_memory(f"{name}, as far as it was read,", size, "as text", "Pass a part of it.")
    return b"".join(parts)


def _check_encoding(encoding: str) -> None:
    """Refuse what is no encoding of text.

    Raises:
        ValueError: there is no such encoding.
    """
    try:
        b" ".decode(encoding)  # Python looks nothing up for empty bytes
    except UnicodeDecodeError:
        return  # a space is too short for UTF-16
    except LookupError:
        raise ValueError(
            f"encoding={encoding!r} is no encoding of text that Python knows; utf-8, utf-16, "
            "cp1252 (Western European Windows), cp1251 and shift_jis are some"
        ) from None


def _advice(content: bytes, place: int) -> str:
    """The end of a message on undecodable text: the likely encoding, and how to give it."""
    likely = likely_encoding(content)
    if likely is None:
        return "or pass its encoding: encoding='...' (--encoding)"
    width = 4 if likely.startswith("utf-16") else 1
    start, end = max(0, place - 12 * width) & -2, (place + 14 * width) & -2
    excerpt = content[start:end].decode(likely, "ignore")
    return (
        f"or pass its encoding, which seems to be {likely}: encoding={likely!r} "
        f"(--encoding {likely}), which makes this place {excerpt!r}"
    )


def likely_encoding(content: bytes) -> str | None:
    """The encoding in which bytes that are not UTF-8 look most like a text; None for binary data.

    >>> likely_encoding("Un été à la mer, près de Sète".encode("cp1252"))
    'cp1252'
    >>> likely_encoding("Съешь ещё этих мягких булок".encode("koi8-r"))
    'koi8-r'
    """
    part = content[:20_000]
    if 0 in part:
        high, low = part[1::2].count(0), part[::2].count(0)
        order = "utf-16-le" if high >= low else "utf-16-be"
        # A text in ASCII has a zero in every pair then; fewer are damage in a text of bytes.
        damaged = part.isascii() and 4 * max(high, low) < len(part)
        return order if not damaged and _is_text(part.decode(order, "replace")) else None
    best, likely = 0.2, None  # of the characters; random bytes reach less
    for encoding, common in COMMON.items():
        try:
            text = part.decode(encoding, "strict" if len(part) == len(content) else "ignore")
        except UnicodeDecodeError:
            continue
        if not _is_text(text):
            continue
        latin = common in (_LATIN, COMMON["cp1250"], COMMON["cp1254"])
        beyond = [place for place, character in enumerate(text) if character > "\x7f"]
        fits = sum(text[place] in common and _has_company(text, place, latin) for place in beyond)
        if beyond and fits / len(beyond) > best:
            best, likely = fits / len(beyond), encoding
    return likely


def _has_company(text: str, place: int, latin: bool) -> bool:
    """Whether the neighbours of a character fit it.

    Latin accents stand alone among plain letters; letters of other scripts have none beside them.
    """
    around = text[max(0, place - 1) : place] + text[place + 1 : place + 2]
    if latin:
        return not (len(around) == 2 and all(character > "\x7f" for character in around))
    return not any(character.isascii() and character.isalpha() for character in around)


def _is_text(text: str) -> bool:
    """Whether there are no control characters but white space."""
    return all(character >= " " or character in "\t\n\r\f" for character in text)
