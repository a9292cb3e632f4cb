"""Arguments and gradients in every layout of memory give the results of the function."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.compiled import backends, plain

LAYOUTS = {
    "transposed": lambda a: np.asfortranarray(a),
    "backwards": lambda a: a[::-1, ::-1],
    "every second": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "part": lambda a: np.pad(a, 2)[2:-2, 2:-2],
    "spread": lambda a: np.broadcast_to(a[:1], a.shape),
    "misaligned": lambda a: shifted(a),
    "read-only": lambda a: read_only(a),
}
FUNCTIONS = {
    "elementwise": lambda x, y: mg.tanh(x) * y,
    "product": lambda x, y: x @ y.T,
    "reduced": lambda x, y: mg.softmax(x, axis=0) + y.sum(axis=1, keepdims=True),
    "returned": lambda x, y: (x[::-1].T, y + 0),
    "turned": lambda x, y: np.rot90(x, -1).sum(axis=0) + y.T.sum(axis=0),
}


def shifted(a):
    room = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    room[...] = a
    return room


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


@pytest.mark.parametrize("backend", [plain, backends.default_backend()], ids=["plain", "native"])
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_arguments_and_gradients(layout, name, backend):
    generator = np.random.default_rng(0)
    function, lay = FUNCTIONS[name], LAYOUTS[layout]
    compiled = mg.compile(function, backend=backend)
    for k in range(3):
        arrays = [lay(generator.standard_normal((3, 5))) for _ in range(2)]
        outcomes = []
        for f in (compiled, function):
            leaves = [mg.Tensor(a, requires_grad=True) for a in arrays]
            if k == 1:  # tensors of the layout itself
                for leaf, a in zip(leaves, arrays, strict=True):
                    leaf.write(a)
            results = f(*leaves)
            results = results if isinstance(results, tuple) else (results,)
            seeds = [lay(np.arange(15.0).reshape(3, 5)) for r in results]
            seeds = [s[:1, :1] * np.ones(r.shape) for s, r in zip(seeds, results, strict=True)]
            total = sum((r * mg.Tensor(s)).sum() for r, s in zip(results, seeds, strict=True))
            outcomes.append([*results, *mg.gradients(total, leaves)])
        for one, other in zip(*outcomes, strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-10, atol=1e-12)
    assert compiled.refusals == []


@pytest.mark.parametrize("backend", [plain, backends.default_backend()], ids=["plain", "native"])
def test_plain_arrays_of_every_layout(backend):
    compiled = mg.compile(lambda x, a: (x * a).sum(axis=0), backend=backend)
    x = mg.Tensor(np.arange(15.0).reshape(3, 5), requires_grad=True)
    for lay in (np.ascontiguousarray, *LAYOUTS.values()):
        a = lay(np.random.default_rng(1).standard_normal((3, 5)))
        for _ in range(2):
            y, expected = compiled(x, a), (x * a).sum(axis=0)
            np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=1e-12)


def test_the_bytes_of_another_machine_are_refused():
    a = np.arange(3.0).astype(np.dtype(float).newbyteorder())
    for given in (a, mg.Tensor(a)):
        compiled = mg.compile(lambda x: mg.tanh(mg.exp(x) * 2))
        with pytest.warns(mg.CompileWarning, match="order of bytes"):
            compiled(given)
        np.testing.assert_allclose(compiled(given).numpy(), np.tanh(np.exp(np.arange(3.0)) * 2))


@pytest.mark.parametrize("backend", [plain, backends.default_backend()], ids=["plain", "native"])
def test_gradients_that_arrive_transposed_or_spread(backend):
    compiled = mg.compile(lambda x: mg.tanh(x) * x, backend=backend)
    x = mg.Tensor(np.random.default_rng(2).standard_normal((3, 5)), requires_grad=True)
    weights = np.arange(15.0).reshape(5, 3)
    for after in (lambda y: (y.T * weights).sum(), lambda y: y.sum(), lambda y: y[1].sum()):
        for _ in range(2):
            found, expected = (
                mg.gradients(after(f(x)), x) for f in (compiled, lambda x: mg.tanh(x) * x)
            )
            np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-10)
    assert compiled.refusals == []
