"""Files that are not what they say: bytes changed at random, and values changed where they hurt."""

import copy
import io
import json
import random
import zipfile
from collections.abc import Callable
from typing import Any

__all__ = ["mutate_bytes", "mutate_json", "mutate_npz", "mutate_safetensors", "mutate_lines"]

CHECKSUMS = "minigrad.crc32"
"""The metadata that would give every change away, and so are left out of what is changed inside."""

DEEP = "[" * 5000
HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 2**31, 2**63, 10**12, 10**30, -(10**12), 0.5, 1e308, 1e-320,
    "", "a", "NaN", "Infinity", "../../outside", "/tmp/outside", "\ud800", "\0", "x" * 2000, [], {},
    [[]], [0], [-1], [10**9, 10**9], ["a"], {"a": {}}, {"": None},
    "__import__('os').system('true')", "cos\nsystem\n(S'true'\ntR.",
)  # fmt: skip
TOKENS = (
    b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n", b"\t", b",", b";", b'"', b"'", b"[", b"]",
    b"{", b"}", b"-", b"NaN", b"1e999", b"9" * 30, b"\xed\xa0\x80", b"PK\x03\x04", b"PK\x05\x06",
    b"\x80\x04", b"\x93NUMPY", b"null", b"true", "é".encode(), "１".encode(), "−".encode(),
)  # fmt: skip


def mutate_bytes(seed: bytes, rng: random.Random) -> bytes:
    """Change, remove, repeat or add some bytes."""
    content = bytearray(seed)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(content) + 1)
        kind = rng.randrange(7)
        if kind == 0 and at < len(content):
            content[at] = rng.randrange(256)
        elif kind == 1 and at < len(content):
            content[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del content[at : at + rng.choice((1, 2, 8, 100))]
        elif kind == 3:
            content[at:at] = rng.choice(TOKENS) * rng.choice((1, 1, 1, 50))
        elif kind == 4:
            other = rng.randrange(len(content) + 1)
            content[at:at] = content[other : other + rng.choice((1, 4, 30, 200))]
        elif kind == 5:
            del content[at:]
        else:
            width = rng.choice((2, 4, 8))
            content[at : at + width] = rng.choice((0, 1, 2**15, 2 ** (8 * width) - 1)).to_bytes(
                width, rng.choice(("little", "big"))
            )
    return bytes(content)


def mutate_lines(seed: bytes, rng: random.Random) -> bytes:
    """Change whole lines and cells."""
    lines = seed.split(b"\n")
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(lines))
        kind = rng.randrange(4)
        if kind == 0:
            lines[at] = lines[rng.randrange(len(lines))]
        elif kind == 1:
            lines.insert(at, rng.choice(TOKENS) * rng.choice((1, 3, 1000)))
        else:
            mark = rng.choice((b",", b"\t", b";", b" "))
            cells = lines[at].split(mark)
            cells[rng.randrange(len(cells))] = rng.choice(TOKENS)
            lines[at] = mark.join(cells)
    return b"\n".join(lines)


def mutate_json(seed: bytes, rng: random.Random) -> bytes:
    """Put something else in the place of a value."""
    content = json.loads(seed)
    for _ in range(rng.choice((1, 1, 2, 4))):
        content = _changed(content, rng)
    text = json.dumps(content)
    if rng.random() < 0.02:
        text = text.replace(rng.choice(("0", "1", '"')), DEEP, 1)
    return text.encode("utf-8", "surrogatepass")


def _changed(content: Any, rng: random.Random) -> Any:
    """A JSON value with one of its inner values changed."""
    if not isinstance(content, list | dict) or not content or rng.random() < 0.03:
        if isinstance(content, str) and content[:1] in ("{", "["):
            try:  # a document within a text
                return json.dumps(_changed(json.loads(content), rng))
            except ValueError:
                pass
        if type(content) is int and rng.random() < 0.5:
            return content + rng.choice((-1, 1, 100, -content, -2 * content))
        return copy.deepcopy(rng.choice(HOSTILE))
    keys = list(content) if isinstance(content, dict) else list(range(len(content)))
    key, kind = rng.choice(keys), rng.randrange(12)
    if kind == 0:
        del content[key]
    elif kind == 1 and isinstance(content, list):
        content.append(copy.deepcopy(content[key]))
    elif kind == 2 and isinstance(content, dict):
        content[rng.choice(("extra", "", "config", "__class__"))] = copy.deepcopy(
            rng.choice(HOSTILE)
        )
    elif kind == 3:
        content[key] = copy.deepcopy(content[rng.choice(keys)])
    else:
        content[key] = _changed(content[key], rng)
    return content


def mutate_safetensors(seed: bytes, rng: random.Random) -> bytes:
    """Change the header."""
    length = int.from_bytes(seed[:8], "little")
    header = json.loads(seed[8 : 8 + length])
    if rng.random() < 0.9:
        header.get("__metadata__", {}).pop(CHECKSUMS, None)
    for _ in range(rng.choice((1, 1, 2))):
        header = _changed(header, rng)
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    return len(text).to_bytes(8, "little") + text + seed[8 + length :]


def mutate_npz(seed: bytes, rng: random.Random) -> bytes:
    """Change a member within an archive whose checksums are right."""
    with zipfile.ZipFile(io.BytesIO(seed)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(members))
    change: Callable[[bytes, random.Random], bytes] = mutate_bytes
    if name.endswith(".json"):
        change = mutate_json
    elif rng.random() < 0.6:
        change = _mutate_npy
    members[name] = change(members[name], rng)
    made = io.BytesIO()
    with zipfile.ZipFile(
        made, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    ) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()


def _mutate_npy(seed: bytes, rng: random.Random) -> bytes:
    """Change the header of an array."""
    length = int.from_bytes(seed[8:10], "little")
    header = seed[10 : 10 + length].decode()
    word = rng.choice(
        ("'descr'", "<f8", "|b1", "False", "'shape'", "(", ")", ",", "}", "2", "3", "6")
    )
    other = rng.choice(
        (
            "|O",
            "O8",
            "<f4",
            "<U9",
            "f4,f4",
            "True",
            "None",
            "-1",
            "10**9",
            "9" * 19,
            "(" * 99,
            "()",
            "",
        )
    )
    text = header.replace(word, other, 1).encode()
    return seed[:8] + len(text).to_bytes(2, "little") + text + seed[10 + length :]
