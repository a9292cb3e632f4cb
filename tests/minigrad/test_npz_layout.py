"""What may stand in an npz archive and where, to the byte."""

import tracemalloc
import zipfile

import numpy as np
import pytest

import minigrad as mg
from minigrad.io import npz_files, serialize
from tests.minigrad.test_npz_files import ARRAYS, archive, npy, same


def with_gap(content, at, size):
    """An archive with bytes put in before a member, or before its list, all places set right."""
    content = bytearray(content)
    starts = [n for n in range(len(content)) if content.startswith(b"PK\x01\x02", n)]
    end = content.rindex(b"PK\x05\x06")
    for place in (*(start + 42 for start in starts), end + 16):
        old = int.from_bytes(content[place : place + 4], "little")
        if old >= at:
            content[place : place + 4] = (old + size).to_bytes(4, "little")
    content[at:at] = bytes(size)
    return content


@pytest.mark.parametrize("member", range(3))
def test_gaps_are_as_long_as_what_may_follow_a_member_and_no_longer(tmp_path, member):
    """The members have names of several lengths, and more in their headers, for large files."""
    file, arrays = tmp_path / "a.npz", {"a": np.arange(3.0), "another": np.arange(2.0)}
    mg.save(file, arrays)
    content = file.read_bytes()
    at = [*(n for n in range(len(content)) if content.startswith(b"PK\x03\x04", n)), -1][member]
    at = content.index(b"PK\x01\x02") if at < 0 else at
    file.write_bytes(with_gap(content, at, 24))
    assert same(npz_files.read_npz(file)[0], arrays)
    file.write_bytes(with_gap(content, at, 25))
    with pytest.raises(ValueError, match=f"lists no member for its bytes {at} to {at + 25}"):
        npz_files.read_npz(file)


def test_the_number_of_more_members_than_an_end_can_tell_is_not_compared(tmp_path):
    content = bytearray(archive(tmp_path / "a.npz", w_npy=npy()).read_bytes())
    at = content.rindex(b"PK\x05\x06") + 8
    content[at : at + 4] = b"\xff" * 4
    (tmp_path / "a.npz").write_bytes(content)
    npz_files._check_count(tmp_path / "a.npz", 70_000)
    with pytest.raises(ValueError, match="it tells of 65535 members and lists 1"):
        npz_files._check_count(tmp_path / "a.npz", 1)


def test_a_wrong_name_in_the_list_hides_no_array(tmp_path):
    content = archive(tmp_path / "a.npz", w_npy=npy()).read_bytes()
    at = content.rindex(b"w.npy")
    (tmp_path / "a.npz").write_bytes(content[:at] + b"w.npx" + content[at + 5 :])
    with pytest.raises(ValueError, match=r"'w\.npx' and header b'w\.npy' differ"):
        mg.load(tmp_path / "a.npz")


def test_an_error_of_the_system_that_stems_from_damage_says_so(tmp_path):
    """Of a place before the beginning of the file."""
    file = tmp_path / "a.npz"
    content = bytearray(archive(file, w_npy=npy()).read_bytes())
    at = content.rindex(b"PK\x05\x06") + 16
    content[at : at + 4] = (int.from_bytes(content[at : at + 4], "little") + 5).to_bytes(
        4, "little"
    )
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz is not an npz file: "):
        mg.load(file)


def test_members_that_are_no_arrays_are_passed_over(tmp_path):
    file = archive(tmp_path / "a.npz", w_npy=npy(), notes_txt="written by hand")
    assert same(mg.load(file), {"w": np.zeros(2)})


def test_texts_of_a_large_archive_take_little_memory(tmp_path):
    mg.save(tmp_path / "a.npz", {"w": np.zeros(2**19)}, {"k": "v"})
    tracemalloc.start()
    assert serialize.load_metadata(tmp_path / "a.npz") == {"k": "v"}
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_arrays_are_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(npz_files, "CHUNK", 7)
    mg.save(tmp_path / "a.npz", ARRAYS)
    assert same(mg.load(tmp_path / "a.npz"), ARRAYS)


def test_members_may_be_larger_than_old_archives_can_tell(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    mg.save(tmp_path / "a.npz", {"w": np.arange(100.0)})
    assert same(mg.load(tmp_path / "a.npz"), {"w": np.arange(100.0)})


def test_no_pickle_is_written(tmp_path):
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        npz_files.write_npz(tmp_path / "a.npz", {"w": np.array([{}])}, {})


# -- headers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [b"", b"\x93NUMPY", b"\x93NUMPY\x01", npy().replace(b"NUMPY", b"NUMPZ"), npy(version=4)]
)
def test_what_does_not_begin_like_an_array_is_named(tmp_path, data):
    file = archive(tmp_path / "a.npz", w_npy=data)
    with pytest.raises(ValueError, match=r"'w\.npy' is not in NumPy's npy format"):
        mg.load(file)


@pytest.mark.parametrize("version", [1, 2])
def test_a_header_may_be_as_long_as_numpy_takes(tmp_path, version):
    entries = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }"
    file = archive(tmp_path / "a.npz", w_npy=npy(header=entries.ljust(10_000), version=version))
    assert same(mg.load(file), {"w": np.zeros(2)})
    archive(file, w_npy=npy(header=entries.ljust(10_001), version=version))
    with pytest.raises(ValueError, match=r"the header of 'w\.npy' has 10001 bytes"):
        mg.load(file)


@pytest.mark.parametrize(
    "header",
    [
        "['descr': '<f8', 'fortran_order': False, 'shape': (2,), ]",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), more}",
        "{'descr': '<f8', 'shape': (2,), }",
        "{}",
    ],
)
def test_a_header_has_three_entries_in_braces(tmp_path, header):
    file = archive(tmp_path / "a.npz", w_npy=npy(header=header))
    with pytest.raises(ValueError, match="it is no dict of descr, fortran_order and shape"):
        mg.load(file)
