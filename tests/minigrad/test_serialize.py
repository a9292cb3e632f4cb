import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad import serialize


@given(
    st.sampled_from([np.float16, np.float32, np.float64, np.int64, np.uint8, np.bool_]).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0))
    )
)
def test_arrays_come_back_as_they_were(tmp_path_factory, array):
    file = tmp_path_factory.mktemp("arrays") / "a.safetensors"
    serialize.save(file, {"a": array, "tensor": mg.Tensor([1.0, 2.0], requires_grad=True)})
    loaded = serialize.load(file)
    assert loaded["a"].dtype == array.dtype
    np.testing.assert_array_equal(loaded["a"], array)
    np.testing.assert_array_equal(loaded["tensor"], [1, 2])


def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path):
    file = tmp_path / "model.safetensors"
    serialize.save(file, {"a": np.zeros(2)})

    def fail(path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        serialize.write_atomically(file, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    np.testing.assert_array_equal(serialize.load(file)["a"], [0, 0])


def test_errors_name_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*missing\.safetensors"):
        serialize.load(tmp_path / "missing.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"not a safetensors file")
    with pytest.raises(ValueError, match="is not a safetensors file"):
        serialize.load(damaged)
