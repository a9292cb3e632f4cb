import io
import json
import os
import pickle
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open
from safetensors.numpy import save as library_save

import minigrad as mg
from minigrad.io import documents, serialize
from minigrad.io.packages import require

FIXTURES = Path(__file__).parents[1] / "fixtures"
DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", ">f4", ">i8"]
# What a zip archive or a keyword argument might make trouble of.
NAMES = ["w", "file", "self", "layers.0.weight", "a/b", "weight é", "metadata", ""]


@pytest.mark.parametrize("suffix", ["safetensors", "npz"])
@given(data=st.data())
def test_arrays_come_back_as_they_were(tmp_path_factory, suffix, data):
    arrays = data.draw(
        st.dictionaries(
            st.sampled_from(NAMES),
            st.sampled_from(DTYPES).flatmap(
                lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0))
            ),
        )
    )
    metadata = data.draw(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2))
    file = tmp_path_factory.mktemp("arrays") / f"a.{suffix}"
    turned = {name: array.T for name, array in arrays.items()}  # not contiguous
    mg.save(file, turned, metadata)
    loaded = mg.load(file)
    assert loaded.keys() == arrays.keys()
    for name, array in turned.items():
        assert loaded[name].dtype == array.dtype.newbyteorder("=")
        assert loaded[name].shape == array.shape
        assert loaded[name].flags.writeable
        np.testing.assert_array_equal(loaded[name], array)
    assert serialize.load_metadata(file) == metadata


@pytest.mark.parametrize("suffix", ["safetensors", "npz"])
def test_tensors_and_numbers_are_saved(tmp_path, suffix):
    file = tmp_path / f"a.{suffix}"
    mg.save(file, {"t": mg.Tensor([1.0, 2.0], requires_grad=True), "n": 3, "x": 0.5})
    loaded = mg.load(str(file))
    np.testing.assert_array_equal(loaded["t"], np.array([1, 2], np.float32))
    assert loaded["n"].item() == 3
    assert loaded["x"].dtype == np.float64


def test_npz_files_are_numpys_and_hold_no_pickle(tmp_path):
    mg.save(tmp_path / "a.npz", {"w": np.arange(3)}, {"model": "example"})
    with np.load(tmp_path / "a.npz", allow_pickle=False) as opened:
        np.testing.assert_array_equal(opened["w"], [0, 1, 2])
    np.savez(tmp_path / "b.npz", v=np.ones(2))
    assert mg.load(tmp_path / "b.npz")["v"].tolist() == [1, 1]
    np.savez(tmp_path / "c.npz", v=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"c\.npz holds what is no array of numbers"):
        mg.load(tmp_path / "c.npz")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("w", np.array(["text"]), "'w' has dtype <U4, .* only numbers and booleans"),
        ("w", np.array([None]), "'w' has dtype object"),
        ("w", np.zeros(2, complex), r"'w' has dtype complex128, .* ends in \.npz"),
    ],
)
def test_what_a_format_cannot_hold_is_named(tmp_path, name, value, message):
    with pytest.raises(mg.DtypeError, match=message):
        mg.save(tmp_path / "a.safetensors", {name: value})
    assert list(tmp_path.iterdir()) == []


def test_names_and_metadata_must_be_text(tmp_path):
    with pytest.raises(TypeError, match="names must be text, got 3"):
        mg.save(tmp_path / "a.npz", {3: np.zeros(1)})
    with pytest.raises(TypeError, match="metadata must be texts by name"):
        mg.save(tmp_path / "a.npz", {}, {"step": 3})
    with pytest.raises(TypeError, match=r"a dict of tensors.*got list; of a module, save module"):
        mg.save(tmp_path / "a.npz", [np.zeros(1)])
    assert not (tmp_path / "a.npz").exists()
    mg.save(tmp_path / "c.npz", {"z": np.zeros(2, complex)})
    assert mg.load(tmp_path / "c.npz")["z"].dtype == np.complex128


@given(data=st.data())
def test_safetensors_files_are_those_of_the_library_of_the_format(tmp_path_factory, data):
    arrays = data.draw(
        st.dictionaries(
            st.text(max_size=3).filter(lambda name: name != "__metadata__"),
            st.sampled_from([dtype for dtype in DTYPES if ">" not in dtype]).flatmap(
                lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=1, min_side=0))
            ),
        )
    )
    file = tmp_path_factory.mktemp("arrays") / "a.safetensors"
    mg.save(file, arrays)
    with safe_open(file, framework="numpy") as opened:
        metadata = opened.metadata()  # the checksums alone; of several texts it keeps no order
    assert file.read_bytes() == library_save(arrays, metadata)


@pytest.mark.parametrize("suffix", ["safetensors", "npz"])
def test_equal_contents_are_equal_files(tmp_path, suffix, monkeypatch):
    metadata = {str(place): "text" for place in range(20)}
    for place, name in enumerate("ab"):
        monkeypatch.setattr("time.time", lambda day=place: 1e9 + 86400 * day)
        mg.save(tmp_path / f"{name}.{suffix}", {"w": np.arange(3)}, metadata)
    first, second = (tmp_path / f"{name}.{suffix}" for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_what_no_reader_of_safetensors_would_take_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "a.safetensors"
    with pytest.raises(ValueError, match=r"must not have the name '__metadata__'"):
        mg.save(file, {"__metadata__": np.zeros(1)})
    monkeypatch.setattr(documents, "LONGEST", 1000)
    with pytest.raises(ValueError, match=r"take 1,\d+ bytes, and .* may have 1,000; .*\.npz"):
        mg.save(file, {"w": np.zeros(1)}, {"text": "x" * 1000})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
@pytest.mark.parametrize("name", ["a\0b", "\0", "a\ud800"])
def test_a_name_that_a_file_would_not_give_back_is_refused(tmp_path, suffix, name):
    with pytest.raises(ValueError, match=r"^save: the name .* has a NUL or half of a surrogate"):
        mg.save(tmp_path / f"a.{suffix}", {"w": np.zeros(1), name: np.ones(1)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_a_masked_array_is_not_saved_without_its_mask(tmp_path, suffix):
    masked = np.ma.masked_array(np.ones(2), [True, False])
    with pytest.raises(mg.DtypeError, match=r"^save: 'w': a masked array .* lose its mask"):
        mg.save(tmp_path / f"a.{suffix}", {"w": masked})
    assert list(tmp_path.iterdir()) == []


def test_what_no_file_holds_is_not_sent_to_another_one(tmp_path):
    wide = np.zeros(1, np.clongdouble)
    for suffix in ("npz", "safetensors"):
        with pytest.raises(mg.DtypeError, match="cannot hold; save its parts"):
            mg.save(tmp_path / f"a.{suffix}", {"w": wide})


def test_a_header_may_be_as_long_as_readers_take(tmp_path, monkeypatch):
    file, arrays = tmp_path / "a.safetensors", {"w": np.arange(3.0)}
    mg.save(file, arrays)
    length = int.from_bytes(file.read_bytes()[:8], "little")
    file.unlink()
    monkeypatch.setattr(documents, "LONGEST", length)
    mg.save(file, arrays)
    assert mg.load(file)["w"].tolist() == [0, 1, 2]
    monkeypatch.setattr(documents, "LONGEST", length - 1)
    with pytest.raises(ValueError, match=f"take {length} bytes, and .* may have {length - 1};"):
        mg.save(file, arrays)


# -- whole or not at all ---------------------------------------------------------------------------


def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path):
    file = tmp_path / "model.safetensors"
    mg.save(file, {"a": np.zeros(2)})

    def fail(path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        serialize.write_atomically(file, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    np.testing.assert_array_equal(mg.load(file)["a"], [0, 0])


def test_the_file_is_synced_before_and_its_folder_after_the_renaming(tmp_path, monkeypatch):
    events = []
    sync, replace = os.fsync, os.replace

    def synced(handle):
        events.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        sync(handle)

    def replaced(source, target):
        events.append("rename")
        assert Path(source).read_bytes() == b"whole"
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    serialize.write_atomically(tmp_path / "a", lambda path: path.write_bytes(b"whole"))
    assert events in (["file", "rename", "folder"], ["file", "rename"])


@pytest.mark.parametrize("mask", [0o027, 0o022])
def test_files_have_the_usual_rights_and_links_stay(tmp_path, mask):
    before = os.umask(mask)
    try:
        mg.save(tmp_path / "a.npz", {})
        (tmp_path / "usual").write_bytes(b"")
    finally:
        os.umask(before)
    assert (tmp_path / "a.npz").stat().st_mode == (tmp_path / "usual").stat().st_mode
    (tmp_path / "latest.npz").symlink_to("a.npz")
    mg.save(tmp_path / "latest.npz", {"w": np.ones(1)})
    assert (tmp_path / "latest.npz").is_symlink()
    assert list(mg.load(tmp_path / "a.npz")) == ["w"]


# -- files of others -------------------------------------------------------------------------------


def test_bfloat16_of_pytorch_becomes_float32():
    loaded = mg.load(FIXTURES / "torch_bfloat16.safetensors")["w"]
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, np.array([[1.0, -2.5], [3.140625, np.inf]], np.float32))


def test_dtypes_without_a_counterpart_are_named():
    with pytest.raises(mg.DtypeError, match=r"'w' has dtype F8_E4M3, .* tensor\.float\(\)"):
        mg.load(FIXTURES / "torch_float8.safetensors")


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_arrays_can_be_written_whatever_the_library_gives(kind):
    entry = {"dtype": "F32", "shape": [2], "data": kind(np.array([1, 2], "<f4").tobytes())}
    array = serialize._decode(Path("a.safetensors"), "w", entry)
    assert array.flags.writeable
    assert array.tolist() == [1, 2]


def test_errors_name_the_file_and_the_way_out(tmp_path):
    for read in (mg.load, serialize.load_metadata):
        with pytest.raises(FileNotFoundError, match=r"no file .*missing\.safetensors"):
            read(tmp_path / "missing.safetensors")
        damaged = tmp_path / "damaged.safetensors"
        damaged.write_bytes(b"not a safetensors file")
        with pytest.raises(ValueError, match=r"damaged\.safetensors is not a safetensors file"):
            read(damaged)
        pickled = tmp_path / "old.pt"
        pickled.write_bytes(pickle.dumps({"w": 1.0}))
        with pytest.raises(ValueError, match=r"old\.pt is a file of torch\.save .*save_file"):
            read(pickled)
        archive = tmp_path / "new.pt"
        with zipfile.ZipFile(archive, "w") as opened:
            opened.writestr("new/data.pkl", pickle.dumps({"w": 1.0}))
        with pytest.raises(ValueError, match=r"new\.pt is a file of torch\.save"):
            read(archive)
        archive.write_bytes(archive.read_bytes()[:40])
        with pytest.raises(ValueError, match=r"new\.pt is not an npz file"):
            read(archive)
    for save in (mg.save, lambda path, arrays: mg.save_checkpoint(path)):
        for name in ("a.npz", "a.safetensors"):
            if save is not mg.save and name == "a.npz":
                continue
            with pytest.raises(
                FileNotFoundError, match=rf"nowhere/{name}' cannot .*no folder '.*nowhere'; make"
            ):
                save(tmp_path / "nowhere" / name, {})
    with pytest.raises(IsADirectoryError, match="cannot be saved: it is a folder"):
        mg.save(tmp_path, {})


def test_a_folder_in_place_of_a_file_is_named_with_the_files_in_it(tmp_path):
    for read in (mg.load, serialize.load_metadata, mg.load_checkpoint):
        with pytest.raises(
            IsADirectoryError, match="is a folder; load a file in it, of which none"
        ):
            read(tmp_path)
    mg.save(tmp_path / "model.safetensors", {"w": np.ones(1)})
    with pytest.raises(IsADirectoryError, match=r"load a file in it: '.*model\.safetensors'$"):
        mg.load(tmp_path)
    for name in ("o.npz", "p.npz", "q.npz"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(IsADirectoryError, match=r"in it: '.*model\..*', '.*o\.npz', '.*p\.npz'$"):
        mg.load(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(IsADirectoryError, match=r"holds a model: layers\.models\.load"):
        mg.load(tmp_path)


@given(cut=st.integers(0, 200), place=st.integers(0, 10_000), value=st.integers(0, 255))
def test_damaged_files_raise_and_do_nothing_else(tmp_path_factory, cut, place, value):
    folder = tmp_path_factory.mktemp("damaged")
    for suffix in ("safetensors", "npz"):
        file = folder / f"a.{suffix}"
        mg.save(file, {"w": np.arange(6.0), "v": np.arange(3)}, {"k": "v"})
        content = bytearray(file.read_bytes())
        content[place % len(content)] = value
        file.write_bytes(content[: len(content) - cut])
        try:
            loaded = mg.load(file)
        except (ValueError, mg.DtypeError):
            continue
        assert all(array.dtype.kind in "fiub" for array in loaded.values())


def test_metadata_of_an_npz_is_readable_json(tmp_path):
    mg.save(tmp_path / "a.npz", {}, {"k": "Größe"})
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert json.load(io.BytesIO(archive.read("metadata.json"))) == {"k": "Größe"}


@pytest.mark.parametrize("below", [".", "deeper"])
def test_a_file_in_the_place_of_a_folder_is_named(tmp_path, below):
    (tmp_path / "my.txt").write_text("text")
    place = tmp_path / "my.txt" / below / "a.npz"
    with pytest.raises(NotADirectoryError, match=r"my.txt' is a file, not a folder") as caught:
        mg.save(place, {"w": np.ones(2)})
    assert "makedirs" not in str(caught.value)


def test_a_place_that_cannot_be_written_is_named_as_it_was_given(tmp_path, monkeypatch):
    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("minigrad.io.serialize.os.open", refuse)
    place = tmp_path / "a.npz"
    with pytest.raises(PermissionError, match=r"Permission denied: '.*a\.npz'$") as caught:
        mg.save(place, {"w": np.ones(2)})
    assert caught.value.filename == str(place)
    assert "partial" not in str(caught.value)


def test_a_package_that_is_missing_is_named_with_what_needs_it():
    with pytest.raises(
        mg.MissingPackageError,
        match=r"^reading needs the package 'no_such_package', .* pip install no_such_package, or "
        r'.*"\.\[all\]"$',
    ):
        require("no_such_package.inner", "all", "reading")


@pytest.mark.parametrize("name", ["load", "load_metadata"])
def test_what_is_no_fault_of_the_file_stays_its_own_error(tmp_path, monkeypatch, name):
    """Out of memory, a file is not called damaged."""
    file = tmp_path / "a.safetensors"
    mg.save(file, {"w": np.zeros(2)})

    def exhausted(*_, **__):
        raise MemoryError

    monkeypatch.setattr(safetensors, "deserialize", exhausted)
    monkeypatch.setattr(safetensors, "safe_open", exhausted)
    with pytest.raises(MemoryError):
        getattr(serialize, name)(file)
