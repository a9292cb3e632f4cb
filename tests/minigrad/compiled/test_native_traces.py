"""Traced calls by native code: what the eager engine computes, gradients included."""

import builtins
import ctypes
import sys

import numpy as np
import pytest
from hypothesis import given

import minigrad as mg
from minigrad.compiled import backends
from minigrad.compiled.graph import Unsupported
from minigrad.compiled.llvm.planning.places import LINE
from minigrad.compiled.llvm.program import build
from minigrad.compiled.rolling.rolled import roll
from minigrad.compiled.trace import settle, trace
from minigrad.compiled.tracing.watching import Watch
from minigrad.testing import examples
from minigrad.testing.random_programs import programs
from tests.minigrad.compiled.programs import eager, run_traced
from tests.minigrad.compiled.test_trace import CASES, numbers


@pytest.fixture(autouse=True, scope="module")
def own_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIGRAD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def compare(function, arrays, rtol):
    tensors = [mg.Tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    traced = trace(function, tensors, {})
    settle(traced, {})
    assert traced.refusal is None, traced.refusal
    found = run_traced(traced, arrays, lambda graph: build(roll(graph, lift=True)))
    for one, other in zip(found, eager(function, arrays), strict=True):
        assert one.dtype == other.dtype
        scale = np.abs(other[np.isfinite(other)]).max(initial=1.0)
        np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol * scale, equal_nan=True)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_traced_calls(name, dtype):
    function, shapes = CASES[name]
    arrays = [numbers(*shape, dtype=dtype, seed=i) for i, shape in enumerate(shapes)]
    compare(function, arrays, rtol=1e-5 if dtype is np.float32 else 1e-12)


@examples(0.5)
@given(programs(max_operations=12))
def test_random_programs(program):
    def loss(*leaves):
        return program.loss(program.run(leaves))

    tensors = [mg.Tensor(a, requires_grad=True) for a in program.leaves]
    if trace(loss, tensors, {}).refusal is None:
        try:
            compare(loss, list(program.leaves), rtol=1e-9)
        except Unsupported as missing:
            SEEN.append(str(missing))


SEEN = []


def cell(steps):
    def run(x, w, u):
        h = np.zeros((3, 8), x.dtype)
        total = 0.0
        for t in range(steps):
            h = mg.tanh(x[t] @ w + h @ u)
            total = total + (h**2).mean()
        return total

    return run


@pytest.mark.parametrize("steps", [1, 2, 5, 30])
def test_recurrences_with_their_gradients(steps):
    arrays = [numbers(steps, 3, 4), numbers(4, 8, seed=1) / 2, numbers(8, 8, seed=2) / 3]
    compare(cell(steps), [a.astype(np.float32) for a in arrays], rtol=3e-5)


@pytest.mark.parametrize("name", ["rows", "attention", "attention_gradient"])
def test_kernels_are_imported_while_nobody_watches(name, monkeypatch):
    """What an import runs, such as hooks, may be anybody's code."""
    watching, imported = [], builtins.__import__

    def noted(*args, **options):
        watching.append(sys.getprofile())
        return imported(*args, **options)

    backends._kernel.cache_clear()
    with Watch() as watch:
        monkeypatch.setattr(builtins, "__import__", noted)
        kernel = backends._kernel(name)
        monkeypatch.undo()
        assert sys.getprofile().of_watch is watch
    assert callable(kernel)
    assert watching
    assert set(watching) == {None}


@pytest.mark.parametrize("kept", [0x00, 0xFF], ids=["zeros", "NaN"])
def test_forward_and_backward_work_in_one_memory(kept):
    """Each writes what it reads there, whatever the other one left."""
    f = mg.compile(lambda x, w: mg.softmax(mg.tanh(x @ w) @ w.T + x, axis=1))
    x, w = (numbers(*shape, seed=i).astype(np.float32) for i, shape in enumerate([(7, 5), (5, 9)]))

    def run():
        leaves = [mg.Tensor(a, requires_grad=True) for a in (x, w)]
        y = f(*leaves)
        (y * y).sum().backward()
        return [array.tobytes() for array in (y.numpy(), *(leaf.grad.numpy() for leaf in leaves))]

    run()
    wanted = run()
    (program,) = f.programs
    parts = [part for built in program.built for part in built.native_parts]
    assert len(parts) == 2
    assert len({part._room for part in parts}) == 1
    part = max(parts, key=lambda part: part.size)
    room = (ctypes.c_ubyte * (part._first_counter - LINE)).from_address(part._room + LINE)
    ctypes.memset(room, kept, len(room))
    assert run() == wanted
