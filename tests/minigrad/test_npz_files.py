"""npz archives from strangers: the arrays that were saved, or a ValueError, in bounded memory."""

import errno
import io
import re
import tracemalloc
import zipfile
from contextlib import suppress

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.io import serialize

ARRAYS = {
    "w": np.arange(6.0).reshape(2, 3),
    "turned": np.asfortranarray(np.arange(6, dtype=np.int8).reshape(2, 3)),
    "flags": np.array([True, False]),
    "number": np.float32(3),
    "empty": np.zeros((0, 4)),
}


def npy(descr="'<f8'", order="False", shape="(2,)", data=bytes(16), version=1, header=None):
    """A file in NumPy's npy format, written out."""
    text = header or f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"
    width = 2 if version == 1 else 4
    length = len(text).to_bytes(width, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode() + data


def archive(path, method=zipfile.ZIP_STORED, **members):
    with zipfile.ZipFile(path, "w", method) as opened:
        for name, content in members.items():
            opened.writestr(name.replace("_", "."), content)
    return path


def same(found, wanted):
    return found.keys() == wanted.keys() and all(
        np.array_equal(found[name], wanted[name]) and found[name].dtype == wanted[name].dtype
        for name in wanted
    )


def outcome(file):
    """What loading does: the arrays as they were, others, or an error that names the file."""
    try:
        return "whole" if same(mg.load(file), ARRAYS) else "wrong"
    except ValueError as error:
        return "refused" if str(file) in str(error) else "refused without a name"


def written(folder):
    """Archives by name: ours, and NumPy's with compression."""
    mg.save(folder / "ours.npz", ARRAYS, {"k": "v"})
    np.savez_compressed(folder / "numpys.npz", **ARRAYS)
    return [(folder / f"{name}.npz").read_bytes() for name in ("ours", "numpys")]


@given(data=st.data())
def test_a_damaged_archive_is_refused_or_its_damage_is_harmless(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    content = bytearray(data.draw(st.sampled_from(written(folder))))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        kind = data.draw(st.sampled_from(["other", "gone", "more"]))
        if kind == "other":
            content[at] = data.draw(st.integers(0, 255))
        elif kind == "gone":
            del content[at : at + data.draw(st.integers(1, 40))]
        else:
            content[at:at] = data.draw(st.binary(min_size=1, max_size=8))
    file = folder / "a.npz"
    file.write_bytes(content)
    assert outcome(file) in ("whole", "refused")
    with suppress(ValueError):
        assert serialize.load_metadata(file) in ({}, {"k": "v"})


@pytest.mark.parametrize("field", range(46))
def test_no_wrong_byte_in_the_list_hides_an_array(tmp_path, field):
    content = bytearray(written(tmp_path)[0])
    at = content.index(b"PK\x01\x02") + field
    for value in {1, 60, 255, content[at] ^ 1} - {content[at]}:
        changed = content.copy()
        changed[at] = value
        (tmp_path / "a.npz").write_bytes(changed)
        assert outcome(tmp_path / "a.npz") in ("whole", "refused")


def test_an_entry_that_spans_the_next_member_hides_none(tmp_path):
    """Its data seem to reach to the list, and its comment over the next entry: no byte is free."""
    content = bytearray(archive(tmp_path / "a.npz", a_npy=npy(), b_npy=npy()).read_bytes())
    entry = content.index(b"PK\x01\x02")
    data = content.index(b"\x93NUMPY")
    following = content.index(b"PK\x01\x02", entry + 1)
    end = content.index(b"PK\x05\x06")
    content[entry + 20 : entry + 24] = (entry - data).to_bytes(4, "little")  # its compressed size
    content[entry + 32 : entry + 34] = (end - following).to_bytes(2, "little")  # its comment
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match="it tells of 2 members and lists 1"):
        mg.load(tmp_path / "a.npz")


@pytest.mark.parametrize("kind", range(2))
@pytest.mark.parametrize("left", range(6))
def test_no_wrong_end_hides_an_array(tmp_path, kind, left):
    """An end that tells of the last entries of the list alone, and of their number and size."""
    content = written(tmp_path)[kind]
    starts = [at for at in range(len(content)) if content.startswith(b"PK\x01\x02", at)]
    end = content.rindex(b"PK\x05\x06")
    hidden = max(0, len(starts) - left)
    first = [*starts, end][hidden]
    number = (len(starts) - hidden).to_bytes(2, "little") * 2
    size, place = ((n % 2**32).to_bytes(4, "little") for n in (end - first, first))
    file = tmp_path / "a.npz"
    file.write_bytes(content[: end + 8] + number + size + place + bytes(2))
    assert outcome(file) == ("refused" if hidden else "whole")
    with suppress(ValueError):
        assert serialize.load_metadata(file) == ({} if kind else {"k": "v"})


def test_archives_without_arrays_and_with_sizes_after_the_data_are_read(tmp_path):
    mg.save(tmp_path / "empty.npz", {})
    assert mg.load(tmp_path / "empty.npz") == {}

    class Pipe(io.RawIOBase):
        """What cannot go back: the writer tells sizes when the data are written."""

        def __init__(self):
            self.content = bytearray()

        def writable(self):
            return True

        def write(self, data):
            self.content += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as opened:
        for name in "ab":
            with opened.open(f"{name}.npy", "w", force_zip64=True) as member:
                member.write(npy())
    (tmp_path / "a.npz").write_bytes(pipe.content)
    assert same(mg.load(tmp_path / "a.npz"), {"a": np.zeros(2), "b": np.zeros(2)})


def test_an_archive_that_would_unfold_to_too_much_is_not_read(tmp_path):
    zeros = npy(shape="(4000000,)", data=bytes(32_000_000))
    file = archive(tmp_path / "a.npz", zipfile.ZIP_DEFLATED, w_npy=zeros)
    assert file.stat().st_size < 100_000
    tracemalloc.start()
    with pytest.raises(
        ValueError,
        match=rf"^{re.escape(str(file))} of \d+ bytes would unfold to 320.* max_bytes=1000",
    ):
        mg.load(file, max_bytes=1000)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    assert mg.load(file, max_bytes=len(zeros))["w"].shape == (4_000_000,)
    with pytest.raises(ValueError, match="max_bytes"):
        mg.load(file, max_bytes=len(zeros) - 1)
    mg.save(tmp_path / "plain.npz", ARRAYS)
    assert same(mg.load(tmp_path / "plain.npz", max_bytes=0), ARRAYS)  # it holds what it weighs


def test_the_usual_limit_is_a_gigabyte(tmp_path):
    file = archive(tmp_path / "a.npz", zipfile.ZIP_DEFLATED, w_npy=npy())
    content = file.read_bytes()
    size = len(npy()).to_bytes(4, "little")
    file.write_bytes(content.replace(size, (2**30 + 1).to_bytes(4, "little")))
    with pytest.raises(ValueError, match=f"would unfold to {2**30 + 1}, .*{2**30}; if you trust"):
        mg.load(file)


@pytest.mark.parametrize("bad", [True, 1.5, None, -1])
def test_a_limit_is_a_number_of_bytes(tmp_path, bad):
    mg.save(tmp_path / "a.npz", {})
    with pytest.raises(ValueError, match=r"load: max_bytes must be .*, got"):
        mg.load(tmp_path / "a.npz", max_bytes=bad)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "must be an object of texts, got list"),
        ('"k"', "must be an object of texts, got str"),
        ("3", "must be an object of texts, got int"),
        ('{"k": 3}', "must be an object of texts, got dict"),
        ('{"k": null}', "must be an object of texts, got dict"),
        ("{", "Expecting"),
        ("[" * 100_000, ""),
    ],
)
def test_metadata_that_is_no_dict_of_texts_is_refused(tmp_path, content, message):
    file = archive(tmp_path / "a.npz", metadata_json=content)
    for read in (mg.load, serialize.load_metadata):
        with pytest.raises(ValueError, match=rf"a\.npz is not an npz file: .*{message}"):
            read(file)


def test_texts_that_would_unfold_to_too_much_are_not_read(tmp_path):
    texts = '{"k": "' + " " * 10_000 + '"}'
    file = archive(tmp_path / "a.npz", zipfile.ZIP_DEFLATED, metadata_json=texts)
    assert mg.load(file, max_bytes=len(texts)) == {}
    begin = re.escape(f"{file} of {file.stat().st_size} bytes would unfold to {len(texts)},")
    with pytest.raises(ValueError, match=f"^{begin}"):
        mg.load(file, max_bytes=len(texts) - 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": "(1000000000000,)"},
        {"shape": "(3,)"},
        {"shape": "(1,)"},
        {"shape": f"({'9' * 5000},)"},
        {"shape": "(-2,)"},
        {"shape": "(2.0,)"},
        {"shape": "2"},
        {"shape": "(0, 9999999999999999999)", "data": b""},
        {"descr": "'|O'"},
        {"descr": "[('a', '<f8')]"},
        {"descr": "'<f7'"},
        {"descr": "'f4,f4'"},
        {"descr": "'<f8'.__class__"},
        {"order": "1"},
        {"header": "{'descr': '<f8', 'shape': (2,), }"},
        {"header": "{" * 9000},
        {"header": "[" + " " * 70_000, "version": 2},
        {"header": "print('no') or {'descr': '<f8', 'fortran_order': False, 'shape': (2,)}"},
        {"version": 4},
    ],
)
def test_an_array_that_is_not_what_its_header_says_is_refused(tmp_path, changes):
    file = archive(tmp_path / "a.npz", w_npy=npy(**changes))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"a\.npz (is not an npz file|holds what is no array)"):
        mg.load(file)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    "header",
    [
        '{"shape": (2L, ), "descr": "<f8", "fortran_order": False}',
        "{'descr':'<f8','fortran_order':False,'shape':(2,)}",
        "{ 'fortran_order' : True , 'shape' : ( 2 , ) , 'descr' : '<f8' , } \n",
    ],
)
@pytest.mark.parametrize("version", [1, 2, 3])
def test_headers_of_other_writers_are_read_as_numpy_reads_them(tmp_path, header, version):
    data = np.array([1.5, -2.0]).tobytes()
    file = archive(tmp_path / "a.npz", w_npy=npy(header=header, version=version, data=data))
    np.testing.assert_array_equal(mg.load(file)["w"], [1.5, -2.0])


@pytest.mark.parametrize("dtype", ["<U3", "S5", ">f4", "<M8[ns]", "<m8[25s]", "<f2", "<c16"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 3, 2)])
def test_whatever_numpy_saves_without_pickle_comes_back(tmp_path, dtype, shape):
    array = np.arange(np.prod(shape, dtype=int)).astype("<i8").astype(dtype).reshape(shape).T
    np.savez_compressed(tmp_path / "a.npz", w=array)
    found = mg.load(tmp_path / "a.npz")["w"]
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_a_name_that_comes_twice_is_refused(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        opened.writestr("a.npy", npy())
        opened.writestr("b.npy", npy())
    content = buffer.getvalue().replace(b"b.npy", b"a.npy")
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"holds 'a\.npy' twice"):
        mg.load(tmp_path / "a.npz")


def test_an_archive_with_a_password_is_refused(tmp_path):
    content = bytearray(archive(tmp_path / "a.npz", w_npy=npy()).read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match="encrypted"):
        mg.load(tmp_path / "a.npz")


def test_texts_are_read_without_arrays(tmp_path):
    file = archive(tmp_path / "a.npz", w_npy=b"no array", metadata_json='{"k": "v"}')
    assert serialize.load_metadata(file) == {"k": "v"}
    with pytest.raises(ValueError, match=r"w\.npy.* is not in NumPy's npy format"):
        mg.load(file)


def test_booleans_are_zero_or_one_whatever_the_bytes(tmp_path):
    raw = np.frombuffer(b"\x00\x02", bool)
    (tmp_path / "a.safetensors").write_bytes(safetensors.numpy.save({"w": raw}))
    archive(tmp_path / "a.npz", w_npy=npy(descr="'|b1'", data=raw.tobytes()))
    for name in ("a.safetensors", "a.npz"):
        found = mg.load(tmp_path / name)["w"]
        assert found.flags.writeable
        assert found.view(np.uint8).tolist() == [0, 1]


def test_an_array_that_ends_before_its_length_is_refused(tmp_path):
    """Its checksum is right: both lists of the archive tell a length that is too large."""
    begin = npy(shape="(4,)", data=bytes(16))
    file = archive(tmp_path / "a.npz", zipfile.ZIP_DEFLATED, w_npy=begin)
    told, longer = (n.to_bytes(4, "little") for n in (len(begin), len(begin) + 16))
    content = file.read_bytes()
    assert content.count(told) == 2
    file.write_bytes(content.replace(told, longer))
    with pytest.raises(ValueError, match=r"a\.npz is not an npz file: 'w\.npy' ends too early"):
        mg.load(file)


def test_a_disk_that_fails_is_not_a_damaged_file(tmp_path, monkeypatch):
    file = archive(tmp_path / "a.npz", w_npy=npy())

    def failing(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(zipfile.ZipExtFile, "read", failing)
    with pytest.raises(OSError, match="Input/output error") as caught:
        mg.load(file)
    assert caught.value.errno == errno.EIO
