"""Packed and padded sequences, against PyTorch: tests/fixtures/make_packed.py."""

import pathlib
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import layers
import minigrad as mg
from layers import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    pad_sequence,
    unpack_sequence,
    unpad_sequence,
)
from minigrad.testing import check_gradients

ARRAYS = dict(np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "packed.npz"))
LENGTHS = ARRAYS["lengths"]
SEQUENCES = np.split(ARRAYS["all"], np.cumsum(LENGTHS)[:-1])
PACKED = PackedSequence(*(ARRAYS[f"packed_{field}"] for field in PackedSequence._fields))


@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_is_pytorchs(side):
    expected = ARRAYS[f"padded_{side}"]
    padded = pad_sequence(SEQUENCES, padding_value=-1.5, padding_side=side)
    np.testing.assert_array_equal(padded.numpy(), expected)
    late = pad_sequence(SEQUENCES, False, -1.5, side)
    np.testing.assert_array_equal(late.numpy(), expected.swapaxes(0, 1))


@pytest.mark.parametrize("batch_first", [True, False])
def test_packing_is_pytorchs(batch_first):
    padded = pad_sequence(SEQUENCES, batch_first)
    one = pack_padded_sequence(padded, LENGTHS, batch_first, enforce_sorted=False)
    other = pack_sequence(SEQUENCES, enforce_sorted=False)
    for packed in (one, other):
        for mine, theirs in zip(packed, PACKED, strict=True):
            np.testing.assert_array_equal(np.asarray(mine), theirs)


@pytest.mark.parametrize(
    "packed",
    [
        PACKED,
        tuple(PACKED),
        tuple(PACKED[:3]),
        SimpleNamespace(**PACKED._asdict()),
        PACKED._replace(data=mg.Tensor(PACKED.data, requires_grad=True)),
    ],
    ids=["ours", "tuple", "three fields", "an object", "recorded"],
)
def test_packed_data_in_every_form_comes_back(packed):
    padded, lengths = pad_packed_sequence(packed, padding_value=-1.5)
    np.testing.assert_array_equal(lengths, LENGTHS)
    np.testing.assert_array_equal(padded.detach().numpy(), ARRAYS["padded_right"])
    for mine, theirs in zip(unpack_sequence(packed), SEQUENCES, strict=True):
        np.testing.assert_array_equal(mine.detach().numpy(), theirs)


def test_a_recurrent_layer_gives_what_pytorchs_gives_for_packed_data():
    with mg.default_dtype(np.float64):
        lstm = layers.LSTM(3, 2, bidirectional=True)
    names = (name for name in ARRAYS if name.startswith("state."))
    lstm.load_state_dict({name.removeprefix("state."): ARRAYS[name] for name in names})
    with pytest.raises(mg.DtypeError, match=r"x, lengths = layers\.pad_packed_sequence"):
        lstm(PACKED)
    x, lengths = pad_packed_sequence(PACKED)
    output, (h, c) = lstm(x, lengths=lengths)
    for mine, theirs in ((h, "h"), (c, "c")):
        np.testing.assert_allclose(mine.detach().numpy(), ARRAYS[theirs], rtol=1e-10, atol=1e-12)
    packed = pack_padded_sequence(output, lengths, enforce_sorted=False)
    np.testing.assert_allclose(packed.data.detach().numpy(), ARRAYS["output_data"], rtol=1e-9)
    padded, _ = pad_packed_sequence(packed, total_length=7)
    np.testing.assert_allclose(padded.detach().numpy(), ARRAYS["output"], rtol=1e-9, atol=1e-12)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.booleans(), st.booleans())
def test_there_and_back(lengths, batch_first, integers):
    ordered = sorted(lengths, reverse=True) == lengths
    generator = np.random.default_rng(0)
    sequences = [generator.integers(9, size=(n, 2)) for n in lengths]
    if not integers:
        sequences = [s.astype(np.float32) for s in sequences]
    padded = pad_sequence(sequences, batch_first)
    assert padded.dtype == sequences[0].dtype
    for enforce_sorted in {False, ordered}:
        packed = pack_padded_sequence(padded, lengths, batch_first, enforce_sorted)
        assert (packed.sorted_indices is None) == enforce_sorted
        again, counts = pad_packed_sequence(packed, batch_first)
        np.testing.assert_array_equal(again.numpy(), padded.numpy())
        assert counts.tolist() == lengths
    for mine, theirs in zip(unpad_sequence(padded, lengths, batch_first), sequences, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs)


def test_gradients_flow_through_both_ways():
    generator = np.random.default_rng(0)
    one, two = generator.standard_normal((2, 3)), generator.standard_normal((4, 3))

    def there_and_back(a, b):
        packed = pack_padded_sequence(pad_sequence([a, b]), [2, 4], enforce_sorted=False)
        return pad_packed_sequence(packed)[0] ** 2

    check_gradients(there_and_back, one, two)


def test_empty_sequences_are_padded_and_not_packed():
    padded = pad_sequence([np.ones(2), np.ones(0)])
    assert padded.tolist() == [[1, 1], [0, 0]]
    assert pad_sequence([np.ones((0, 3))]).shape == (1, 0, 3)
    assert unpad_sequence(padded, [2, 0])[1].shape == (0,)
    with pytest.raises(ValueError, match=r"cannot hold an empty sequence, got \[2, 0"):
        pack_padded_sequence(padded, [2, 0])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: pad_sequence([]), "sequences is empty"),
        (lambda: pad_sequence(np.ones((2, 3))), "must be a list of arrays"),
        (lambda: pad_sequence([np.ones((2, 3)), np.ones((2, 4))]), r"sequences\[1\] f64\[2, 4\]"),
        (lambda: pad_sequence([np.ones(2), np.float64(1)]), r"sequences\[1\] f64\[\]"),
        (lambda: pad_sequence([np.ones(2)], padding_side="top"), "padding_side must be"),
        (lambda: pack_padded_sequence(np.ones((2, 3)), [1, 2]), "pass enforce_sorted=False"),
        (lambda: pack_padded_sequence(np.ones((2, 3)), [4, 2]), "lengths must be 0 to 3"),
        (lambda: pack_padded_sequence(np.ones((2, 3)), [3]), r"lengths must have shape \(2,\)"),
        (lambda: pack_padded_sequence(np.ones(3), [3]), r"must be \(batch, time, ...\)"),
        (lambda: pad_packed_sequence(np.ones(3)), "must be a PackedSequence, or a tuple"),
        (lambda: pad_packed_sequence((np.ones(3), [2, 2])), "data must have as many steps .* 4"),
        (lambda: pad_packed_sequence((np.ones(3), [1, 2])), "batch_sizes must not rise"),
        (lambda: pad_packed_sequence((np.ones(3), [1.0, 2.0])), "batch_sizes must be integers"),
        (lambda: pad_packed_sequence((np.ones(3), [2, 1], [0, 0])), "each of the 2 sequences once"),
        (lambda: pad_packed_sequence((np.ones(3), [2, 1]), total_length=1), "must be 2 or more"),
    ],
)
def test_errors_say_what_is_wrong(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()
