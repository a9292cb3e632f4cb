"""Flipped bits in files of arrays and checkpoints, and checkpoints that say what is not so."""

import json
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import deserialize
from safetensors.numpy import save_file

import minigrad as mg
from minigrad import optim
from minigrad.io import checksums, documents, serialize
from minigrad.ops.randomness import default_generator, generator_state, set_generator_state

ARRAYS = {
    "w": np.arange(6.0, dtype=np.float32).reshape(2, 3),
    "layers.0.bias": np.array([-1, 5, 7], np.int16),
    "n": np.array(3),
    "": np.zeros((0, 4)),
}
TEXTS = {"note": 'one "two" é', "step": "3"}


def make_arrays(path):
    mg.save(path, ARRAYS, TEXTS)


def make_checkpoint(path):
    parameter = mg.Tensor([1.0, 2.0], requires_grad=True)
    mg.save_checkpoint(path, step=5, optimizer=optim.Adam([parameter], 0.1), metadata={"a": "b"})


def content(path):
    """All that is in a file, to be compared."""
    arrays, texts = serialize.load_all(path)
    found = {name: (a.dtype, a.shape, a.tobytes()) for name, a in arrays.items()}
    assert serialize.load_metadata(path) == texts
    return found, texts


def flip(path, bit):
    """Flip a bit of a file; counted from the end if negative."""
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


# -- flipped bits ----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [make_arrays, make_checkpoint])
@given(place=st.integers(0, 10**6))
def test_a_flipped_bit_is_refused_or_changes_nothing(tmp_path_factory, make, place):
    path = tmp_path_factory.mktemp("flipped") / "a.safetensors"
    make(path)
    before = content(path)
    flip(path, place % (8 * path.stat().st_size))
    try:
        after = content(path)
    except (ValueError, mg.DtypeError) as error:
        message = str(error)
        assert "a.safetensors" in message
        return
    # The name of the checksums in the metadata, without which they are a text like others.
    assert after[0] == before[0]
    extra = after[1].keys() - before[1].keys()
    assert {name: after[1][name] for name in before[1]} == before[1]
    assert all(json.loads(after[1][name]).keys() == {"tensors", "texts"} for name in extra)


@pytest.mark.parametrize("name", [name for name, array in ARRAYS.items() if array.size])
def test_a_flipped_bit_of_a_tensor_is_named(tmp_path, name):
    path = tmp_path / "a.safetensors"
    make_arrays(path)
    place = path.read_bytes().index(ARRAYS[name].tobytes(), path.stat().st_size // 2)
    flip(path, 8 * place + 3)
    for read in (mg.load, serialize.load_all):
        with pytest.raises(
            ValueError, match=rf"a\.safetensors is damaged: the tensor '{name}' has the checksum"
        ):
            read(path)
    found = mg.load(path, verify=False)
    assert [n for n, a in ARRAYS.items() if not np.array_equal(found[n], a)] == [name]
    assert serialize.load_metadata(path) == TEXTS  # does not read the tensors


def test_a_flipped_bit_of_a_checkpoint_changes_nothing(tmp_path):
    path = tmp_path / "a.safetensors"
    make_checkpoint(path)
    parameter = mg.Tensor([1.0, 2.0], requires_grad=True)
    optimizer, before = optim.Adam([parameter], 0.3), generator_state()
    flip(path, 8 * path.stat().st_size - 5)
    with pytest.raises(ValueError, match=r"the tensor 'optimizer\.\S+' has the checksum"):
        mg.load_checkpoint(path, optimizer=optimizer)
    assert optimizer.groups[0]["rate"] == 0.3
    assert generator_state() == before
    assert mg.load_checkpoint(path, optimizer=optimizer, verify=False).step == 5


def test_a_flipped_bit_of_a_text_is_told(tmp_path):
    path = tmp_path / "a.safetensors"
    make_arrays(path)
    flip(path, 8 * path.read_bytes().index(b"two") + 1)
    for read in (mg.load, serialize.load_metadata):
        with pytest.raises(ValueError, match="its metadata do not have their checksum"):
            read(path)
    assert serialize.load_metadata(path, verify=False)["note"] == 'one "vwo" é'


@pytest.mark.parametrize("bit", [0, 37, 63])
def test_a_flipped_bit_of_an_npz_file_is_refused(tmp_path, bit):
    path = tmp_path / "a.npz"
    mg.save(path, {"w": np.full(4, 1.5)})
    flip(path, 8 * path.read_bytes().index(np.full(4, 1.5).tobytes()) + bit)
    with pytest.raises(ValueError, match=r"a\.npz is not an npz file: Bad CRC-32 for file 'w.npy'"):
        mg.load(path)


# -- what is compared ------------------------------------------------------------------------------


def test_a_checksum_is_that_of_zlib_over_name_dtype_shape_and_bytes(tmp_path):
    path = tmp_path / "a.safetensors"
    make_arrays(path)
    entries = dict(deserialize(path.read_bytes()))
    header = path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")]
    sums = json.loads(json.loads(header)["__metadata__"][checksums.KEY])
    assert sums["tensors"].keys() == ARRAYS.keys()
    for name, (kind, shape) in {"w": ("F32", "2, 3"), "n": ("I64", "")}.items():
        told = f"({name!r}, '{kind}'{', ' * bool(shape)}{shape})".encode()
        expected = zlib.crc32(told + bytes(entries[name]["data"]))
        assert int(sums["tensors"][name], 16) == expected


def test_files_of_others_have_no_checksums(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file(ARRAYS, path, TEXTS)
    found, texts = serialize.load_all(path)
    assert texts == TEXTS
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("header", [b"{}", b'{"__metadata__":null}', b'{"__metadata__":{}}'])
def test_a_file_without_metadata_has_none(tmp_path, header):
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert content(path) == ({}, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("w"), "'w' is a checksum without tensor"),
        (lambda arrays: arrays.update(v=np.ones(2)), "'v' is a tensor without a checksum"),
        (lambda arrays: arrays.update(w=arrays["w"].T.copy()), "the tensor 'w' has"),
        (lambda arrays: arrays.update(n=arrays["n"].astype("u8")), "the tensor 'n' has"),
    ],
)
def test_another_program_that_keeps_the_checksums_is_noticed(tmp_path, change, message):
    path = tmp_path / "a.safetensors"
    arrays = dict(ARRAYS)
    made = checksums.with_checksums(
        TEXTS, [(n, serialize.NAMES[a.dtype], a.shape, a) for n, a in arrays.items()]
    )
    save_file(arrays, path, made)
    assert mg.load(path).keys() == ARRAYS.keys()
    change(arrays)
    save_file(arrays, path, made)
    with pytest.raises(ValueError, match=rf"{message}.*verify=False"):
        mg.load(path)
    assert mg.load(path, verify=False).keys() == arrays.keys()


@pytest.mark.parametrize("sums", ["", "[]", "{}", '{"tensors": 3, "texts": ""}', "[" * 100_000])
def test_checksums_that_are_none_are_refused(tmp_path, sums):
    path = tmp_path / "a.safetensors"
    save_file(ARRAYS, path, {checksums.KEY: sums})
    with pytest.raises(ValueError, match=r"a\.safetensors is damaged: its checksums cannot be"):
        mg.load(path)


def test_the_name_of_the_checksums_is_taken(tmp_path):
    with pytest.raises(ValueError, match=r"must not have the name 'minigrad\.crc32'"):
        mg.save(tmp_path / "a.safetensors", {}, {checksums.KEY: ""})
    assert list(tmp_path.iterdir()) == []


# -- JSON ------------------------------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)  # fmt: skip


@settings(max_examples=20)
@given(values)
def test_what_json_writes_is_read(value):
    assert documents.parse(json.dumps(value), "the file") == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a": 1, "a": 1}', "it has 'a' twice"),
        ("[NaN]", "it has NaN, which is no number"),
        ("-Infinity", "-Infinity, which is no number"),
        ("9" * 5000, "limit"),
        (b"\xff", "utf-8"),
        ("", "Expecting value"),
    ],
)
def test_what_is_no_json_is_refused(text, message):
    with pytest.raises(ValueError, match=f"the file is damaged: .*{message}"):
        documents.parse(text, "the file")


# -- checkpoints -----------------------------------------------------------------------------------


def remake(path, **changes):
    """Change metadata of a checkpoint; None takes one away."""
    arrays, texts = serialize.load_all(path)
    kept = {name: text for name, text in {**texts, **changes}.items() if text is not None}
    mg.save(path, arrays, kept)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step": None}, "it has no 'step'"),
        ({"step": "5.0"}, "its 'step' must be a whole number, got 5.0"),
        ({"step": "true"}, "its 'step' must be a whole number"),
        ({"parts": '{"model": 1}'}, "its 'parts' must be a list of names"),
        ({"parts": "[1]"}, "its 'parts' must be a list of names"),
        ({"metadata": '{"a": 1}'}, "its 'metadata' must be texts by name"),
        ({"metadata": "[" * 50_000}, "'metadata' of .* nested too deeply"),
        ({"generators": "[]"}, "its 'generators' must be states by name"),
        ({"generators": '{"": 3}'}, "its 'generators' must be states by name"),
        ({"generators": "{}"}, "no state of the default generator"),
        ({"generators": '{"": {"bit_generator": "BitGenerator"}}'}, "not a state of this"),
        ({"generators": '{"": {"array": [1], "dtype": "V9999"}}'}, "no array of dtype 'V9999'"),
        ({"generators": '{"": {"array": [-1], "dtype": "uint32"}}'}, "of its generators is none"),
    ],
)
def test_a_checkpoint_that_says_something_else_is_refused(tmp_path, changes, message):
    path = tmp_path / "a.safetensors"
    make_checkpoint(path)
    remake(path, **changes)
    before = default_generator()
    with pytest.raises(ValueError, match=message):
        mg.load_checkpoint(path)
    assert default_generator() is before


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("MT19937", {"state": {"pos": 625}}, "pos must be from 0 to 624, got 625"),
        ("MT19937", {"state": {"pos": -1}}, "pos must be"),
        ("MT19937", {"state": {"key": [1, 2]}}, r"key must have shape \(624,\)"),
        ("Philox", {"buffer_pos": -3}, "buffer_pos must be from 0 to 4, got -3"),
        ("Philox", {"buffer": [1]}, r"buffer must have shape \(4,\)"),
        ("SFC64", {"state": {"state": [1]}}, r"state must have shape \(4,\)"),
        ("PCG64", {"state": {"state": 2**200}}, "not a state of this generator"),
        ("PCG64", {"state": None}, "not a state of this generator"),
    ],
)
def test_a_generator_reads_no_memory_but_its_own(kind, change, message):
    """NumPy takes these states, and then gives numbers from beyond the generator's memory."""
    generator = np.random.Generator(getattr(np.random, kind)(0))
    state = generator_state(generator)
    for name, value in change.items():
        state[name] = {**state[name], **value} if isinstance(value, dict) else value
    before = str(generator_state(generator))
    with pytest.raises(ValueError, match=message):
        set_generator_state(state, generator)
    assert str(generator_state(generator)) == before


def paths(value, path=()):
    """All paths in nested dicts."""
    yield path
    if isinstance(value, dict):
        for name, one in value.items():
            yield from paths(one, (*path, name))


HOSTILE = [None, True, -1, 10**12, 1e300, "x", [], {}, [[]], 2**64]


@settings(max_examples=25)
@given(data=st.data())
def test_a_checkpoint_with_another_generator_state_is_taken_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("states") / "a.safetensors"
    kind = data.draw(st.sampled_from(["PCG64", "MT19937", "Philox", "SFC64"]))
    own = np.random.Generator(getattr(np.random, kind)(1))
    mg.save_checkpoint(path, generator=own)
    states = json.loads(serialize.load_metadata(path)["generators"])
    place = data.draw(st.sampled_from(list(paths(states))[1:]))
    inner = states
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = data.draw(st.sampled_from(HOSTILE))
    remake(path, generators=json.dumps(states))
    before = str(generator_state(own))
    try:
        mg.load_checkpoint(path, generator=own)
    except (ValueError, KeyError):
        assert str(generator_state(own)) == before
    else:
        assert 0 <= own.random() < 1
