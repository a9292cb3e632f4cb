"""Small files from strangers that would take much memory, or show what is in it: all refused."""

import json
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

import minigrad as mg
from minigrad.io import documents, npz_files, serialize
from tests.minigrad.test_npz_files import archive, npy, same

READERS = (mg.load, serialize.load_metadata)


def refused_within(size, read, file, message):
    """Assert that reading is refused and takes no more memory meanwhile."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message):
            read(file)
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


def understated(file, content, told):
    """Let an archive of one member tell that this unfolds to its first bytes alone."""
    whole = (zlib.crc32(content), len(content))
    first = (zlib.crc32(content[:told]), told)
    raw = file.read_bytes()
    for old, new in zip(whole, first, strict=True):
        assert raw.count(old.to_bytes(4, "little")) == 2
        raw = raw.replace(old.to_bytes(4, "little"), new.to_bytes(4, "little"))
    file.write_bytes(raw)
    return file


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("name", ["w.npy", "metadata.json"])
def test_what_unfolds_whole_is_refused_by_name(tmp_path, method, name):
    content = npy() + bytes(2**24)
    file = archive(tmp_path / "a.npz", method, **{name: content})
    understated(file, content, len(npy()))
    packed = zipfile.compressor_names[method]
    for read in READERS:
        message = rf"a\.npz is not an npz file: '{name}' is packed by {packed}, .* or deflated"
        refused_within(2**20, read, file, message)


def test_a_method_that_nobody_knows_is_refused(tmp_path):
    raw = bytearray(archive(tmp_path / "a.npz", w_npy=npy()).read_bytes())
    for at in (8, raw.index(b"PK\x01\x02") + 10):  # in its own header, and in the list
        raw[at : at + 2] = b"\x63\0"
    (tmp_path / "a.npz").write_bytes(raw)
    with pytest.raises(ValueError, match=r"'w\.npy' is packed by an unknown method"):
        mg.load(tmp_path / "a.npz")


def test_what_numpy_compresses_is_read(tmp_path):
    arrays = {"w": np.arange(1000.0), "n": np.int8(3)}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    assert same(mg.load(tmp_path / "a.npz"), arrays)


def test_no_more_is_unfolded_than_a_member_tells(tmp_path):
    """The texts; those of before were read whole, however many there were."""
    texts = b'{"k": "v"}'
    content = texts + bytes(2**25)
    file = archive(tmp_path / "a.npz", zipfile.ZIP_DEFLATED, metadata_json=content)
    understated(file, content, len(texts))
    for read, wanted in zip(READERS, ({}, {"k": "v"}), strict=True):
        tracemalloc.start()
        assert read(file) == wanted
        assert tracemalloc.get_traced_memory()[1] < 2**20
        tracemalloc.stop()


def test_texts_have_a_limit_of_their_own(tmp_path):
    lists = b'{"k": [' + b"[]," * 2**22 + b"[]]}"
    file = archive(tmp_path / "a.npz", zipfile.ZIP_DEFLATED, metadata_json=lists)
    for read in READERS:
        message = r"a\.npz is not an npz file: metadata\.json has 12,\d+,\d+ bytes, and 8,388,608"
        refused_within(2**20, read, file, message)


def header_of(texts, extra=b""):
    header = b'{"__metadata__":' + json.dumps(texts).encode() + extra + b"}"
    return len(header).to_bytes(8, "little") + header


@pytest.mark.parametrize(
    ("texts", "extra"),
    [
        ({"k": "[]," * 2**22}, b""),
        (
            {},
            b',"w":{"dtype":"F32","data_offsets":[0,0],"shape":[0'
            + b",0" * 2**22
            + b'],"more":[0'
            + b",[]" * 2**20
            + b"]}",
        ),
    ],
    ids=["texts", "a shape"],
)
def test_a_header_has_a_limit(tmp_path, texts, extra):
    file = tmp_path / "a.safetensors"
    file.write_bytes(header_of(texts, extra))
    for read in READERS:
        message = (
            r"the header of .*a\.safetensors has 1\d,\d+,\d+ bytes, and 8,388,608 are the most"
        )
        refused_within(2**24 + 2**20, read, file, message)


def test_a_header_up_to_the_limit_is_read(tmp_path, monkeypatch):
    file = tmp_path / "a.safetensors"
    file.write_bytes(header_of({"k": "v"}))
    length = file.stat().st_size - 8
    monkeypatch.setattr(documents, "LONGEST", length)
    assert serialize.load_all(file) == ({}, {"k": "v"})
    assert serialize.load_metadata(file) == {"k": "v"}
    monkeypatch.setattr(documents, "LONGEST", length - 1)
    for read in READERS:
        with pytest.raises(ValueError, match="the most that is read"):
            read(file)


def test_no_texts_are_saved_that_would_not_be_read(tmp_path, monkeypatch):
    texts = {"k": "\u00e9" * 100}  # six bytes each
    length = len(json.dumps(texts))
    monkeypatch.setattr(documents, "LONGEST", length)
    mg.save(tmp_path / "a.npz", {}, texts)
    assert serialize.load_metadata(tmp_path / "a.npz") == texts
    monkeypatch.setattr(documents, "LONGEST", length - 1)
    with pytest.raises(ValueError, match=rf"metadata take {length} bytes .* have {length - 1};"):
        mg.save(tmp_path / "b.npz", {}, texts)
    with pytest.raises(ValueError, match=rf"metadata\.json has {length} bytes"):
        mg.load(tmp_path / "a.npz")
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.parametrize("descr", ["|S0", "<U0", "S", "U", "<U"])
@pytest.mark.parametrize("shape", ["(40,)", "(1000000000,)", "()"])
def test_arrays_of_no_width_are_refused(tmp_path, descr, shape):
    """NumPy makes them one character wide, of memory that nobody wrote."""
    content = npy(descr=f"'{descr}'", shape=shape, data=b"")
    file = archive(tmp_path / "a.npz", w_npy=content)
    message = r"a\.npz holds what is no array of numbers: 'w\.npy' has the header .*of no bytes"
    refused_within(2**20, mg.load, file, message)


@pytest.mark.parametrize(
    "shape", [[0, 2**63 - 1, 2], [0, 2**62, 2**62], [0, 2**64 - 1], [0] * 65], ids=str
)
@pytest.mark.parametrize("kind", ["F32", "BF16", "BOOL"])
def test_a_shape_that_no_array_has_is_told_with_file_and_tensor(tmp_path, shape, kind):
    file = tmp_path / "a.safetensors"
    entry = {"w": {"dtype": kind, "shape": shape, "data_offsets": [0, 0]}}
    header = json.dumps(entry).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ValueError, match=r"a\.safetensors is damaged: 'w' has the shape \[0, "):
        mg.load(file)
    told = str(tuple(shape)) if max(shape) < 10**19 else "(0, 9223372036854775807, 2)"
    file = archive(tmp_path / "a.npz", w_npy=npy(shape=told, data=b""))
    with pytest.raises(ValueError, match=r"a\.npz is not an npz file: 'w\.npy' has the shape \(0,"):
        mg.load(file)


def test_a_lack_of_memory_is_no_damage(tmp_path, monkeypatch):
    def lacking(*args):
        raise MemoryError("no more")

    file = archive(tmp_path / "a.npz", w_npy=npy())
    monkeypatch.setattr(npz_files.np, "empty", lacking)
    with pytest.raises(MemoryError, match="no more"):
        mg.load(file)
