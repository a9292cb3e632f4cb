"""Numbers of state dicts that the dtype of their tensor cannot hold, and names that are no text."""

import numpy as np
import pytest

import minigrad as mg
from layers import BatchNorm1d, Linear, Module
from minigrad.io.state_dicts import StateDictError


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        (
            "float32",
            np.array([1.0, -1e300]),
            r"bias has -1e\+300 there, beyond what f32\[2\] holds",
        ),
        ("float16", np.array([1, 70000]), r"bias has 70000 there, beyond what f16\[2\] holds"),
        ("float16", np.float32([65520, 1]), r"bias has 65520\.0 there, beyond what f16\[2\] holds"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_a_finite_number_does_not_become_infinite(dtype, value, message, strict):
    with mg.default_dtype(dtype):
        layer = Linear(1, 2)
    before = layer.state_dict()
    with pytest.raises(StateDictError, match=message):
        layer.load_state_dict({**before, "bias": value}, strict=strict)
    assert all(np.array_equal(array, before[name]) for name, array in layer.state_dict().items())


def test_what_is_rounded_or_not_finite_before_is_taken():
    layer = Linear(1, 3)
    state = {"weight": np.array([[0.1], [1e-300], [3.4028235e38]]), "bias": [np.inf, np.nan, 1]}
    layer.load_state_dict({name: np.asarray(value) for name, value in state.items()})
    assert layer.weight.numpy().ravel().tolist() == [np.float32(0.1), 0.0, np.float32(3.4028235e38)]
    assert layer.bias.numpy()[[0, 2]].tolist() == [np.inf, 1.0]
    assert np.isnan(layer.bias.numpy()[1])


def test_a_whole_number_does_not_become_another_one():
    class Counted(Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("counts", mg.Tensor(np.zeros(2, np.int8)))

    module = Counted()
    module.load_state_dict({"counts": np.array([127, -128])})
    assert module.counts.numpy().tolist() == [127, -128]
    with pytest.raises(StateDictError, match=r"counts has 300 there, beyond what i8\[2\] holds"):
        module.load_state_dict({"counts": np.array([1, 300])})
    norm = BatchNorm1d(1)
    with pytest.raises(StateDictError, match="num_batches_tracked has 18446744073709551615 there"):
        norm.load_state_dict({**norm.state_dict(), "num_batches_tracked": np.uint64(2**64 - 1)})


def test_names_that_are_no_text_are_refused_in_words():
    with pytest.raises(TypeError, match=r"^Linear\.load_state_dict: names must be text, got 1$"):
        Linear(1, 1).load_state_dict({1: np.zeros(1)}, strict=False)


def test_no_state_loses_a_mask():
    masked = np.ma.masked_array(np.ones(2), [True, False])
    layer = Linear(1, 2)
    with pytest.raises(mg.DtypeError, match=r"^Linear\.load_state_dict: bias: .* lose its mask"):
        layer.load_state_dict({"weight": np.ones((2, 1)), "bias": masked})
    optimizer = mg.optim.SGD(layer.parameters(), rate=0.1)
    state = {**optimizer.state_dict(), "steps": np.ma.masked_array(1, True)}
    with pytest.raises(mg.DtypeError, match=r"^SGD\.load_state_dict: steps: .* lose its mask"):
        optimizer.load_state_dict(state)


def test_a_complex_buffer_loads_what_it_gave():
    class Phases(Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("phases", mg.Tensor(np.array([1j, 2.0], np.complex64)))

    module = Phases()
    module.load_state_dict({"phases": np.array([3.0, 4j])})
    assert module.phases.dtype == np.complex64
    assert module.phases.numpy().tolist() == [3.0, 4j]
    module.load_state_dict(Phases().state_dict())
    assert module.phases.numpy().tolist() == [1j, 2.0]
    module.load_state_dict({"phases": np.array([5, 6])})
    assert module.phases.numpy().tolist() == [5.0, 6.0]
    with pytest.raises(StateDictError, match="beyond what c64"):
        module.load_state_dict({"phases": np.array([1e300, 0])})
    with pytest.raises(StateDictError, match=r"bias is c64\[2\] there and f32\[2\] here"):
        Linear(1, 2).load_state_dict({"bias": np.zeros(2, np.complex64)}, strict=False)
