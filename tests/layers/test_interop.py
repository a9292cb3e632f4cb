"""To PyTorch and back, with a stand-in for PyTorch: the tests do not need it."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

import minigrad as mg
from layers import Linear, from_torch, to_torch


class TorchTensor:
    """What the helpers use of a tensor of PyTorch: it may be on a device and on the tape."""

    def __init__(self, array, dtype=None, device="cpu", requires_grad=False):
        self.array, self.device, self.requires_grad = array, device, requires_grad
        self.dtype = dtype or f"torch.{array.dtype}"

    def detach(self):
        return TorchTensor(self.array, self.dtype, self.device)

    def cpu(self):
        return TorchTensor(self.array, self.dtype, requires_grad=self.requires_grad)

    def float(self):
        return TorchTensor(self.array.astype(np.float32), None, self.device, self.requires_grad)

    def numpy(self):
        if self.requires_grad or self.device != "cpu" or self.dtype == "torch.bfloat16":
            raise TypeError("not as it is")
        return self.array


@pytest.fixture
def torch(monkeypatch):
    module = SimpleNamespace(from_numpy=TorchTensor)
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


def test_values_move_to_torch_as_copies(torch):
    layer = Linear(2, 3)
    sent = to_torch(layer)
    assert sent.keys() == {"weight", "bias"}
    np.testing.assert_array_equal(sent["weight"].array, layer.weight.numpy())
    sent["weight"].array[:] = 0
    assert layer.weight.numpy().any()
    assert to_torch(layer.weight).array.dtype == np.float32
    turned = to_torch(np.arange(6, dtype=">i8").reshape(2, 3).T).array
    assert turned.flags.c_contiguous
    assert turned.dtype == np.int64
    assert turned.dtype.isnative
    assert to_torch({"a": {"b": np.float64(2)}})["a"]["b"].array.shape == ()
    with pytest.raises(mg.DtypeError, match="got 'text'"):
        to_torch("text")


def test_values_come_from_torch_as_copies():
    array = np.ones((2, 2), np.float32)
    assert from_torch(TorchTensor(array, device="cuda:0", requires_grad=True)).tolist() == [
        [1, 1],
        [1, 1],
    ]
    halves = from_torch({"w": TorchTensor(array, "torch.bfloat16")})
    assert halves["w"].dtype == np.float32
    halves["w"][:] = 5
    assert array.tolist() == [[1, 1], [1, 1]]
    with pytest.raises(mg.DtypeError, match=r"from_torch: value must be .* got 3"):
        from_torch(3)


def test_a_model_goes_there_and_back(torch):
    one, other = Linear(2, 3), Linear(2, 3)
    theirs = SimpleNamespace(state_dict=lambda: to_torch(one))
    other.load_state_dict(from_torch(theirs))
    np.testing.assert_array_equal(other.weight.numpy(), one.weight.numpy())


def test_without_torch_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(mg.MissingPackageError, match="python -m pip install torch"):
        to_torch(np.zeros(1))
