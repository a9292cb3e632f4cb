"""Back ends by name."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest

import minigrad as mg


@pytest.mark.parametrize("name", ["plain", *(["native"] if find_spec("llvmlite") else [])])
def test_back_ends_have_names(name):
    compiled = mg.compile(np.tanh, backend=name)
    x = mg.Tensor(np.linspace(-1, 1, 5))
    np.testing.assert_allclose(compiled(x).numpy(), np.tanh(x.numpy()), rtol=1e-14)
    assert len(compiled.programs) == 1


def test_what_is_no_back_end_is_refused(monkeypatch):
    with pytest.raises(ValueError, match='"native" or "plain", got \'numpy\''):
        mg.compile(np.exp, backend="numpy")
    with pytest.raises(TypeError, match=r"build\(graph\), got 3"):
        mg.compile(np.exp, backend=3)
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    with pytest.raises(ImportError, match="pip install llvmlite"):
        mg.compile(np.tanh, backend="native")
