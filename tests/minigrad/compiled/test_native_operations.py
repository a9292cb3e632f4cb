"""Each operation at three shapes, by native code: values, gradients and second derivatives."""

import contextlib
import functools

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

import minigrad as mg
from minigrad.compiled import backends
from minigrad.testing.random_programs import SPECIFICATIONS, programs

SHAPES = 3
HELPERS = [s for s in SPECIFICATIONS if s.name in ("multiply", "sin", "sum", "getitem", "outer")]
ROUNDING = {np.float32: 2e-4, np.float64: 1e-10}


@functools.cache
def calls(specification):
    """Up to three calls of an operation, of other shapes: the inputs and the parameters."""
    found = {}

    class EnoughError(Exception):
        """Ends the search: most of the time goes into examples."""

    @settings(
        max_examples=40,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(programs(max_operations=8, operations=[specification] * 4 + HELPERS))
    def collect(program):
        with np.errstate(all="ignore"):
            values = program.run([mg.Tensor(leaf) for leaf in program.leaves])
        for step in program.steps:
            if step.operation is specification and len(found) < SHAPES:
                inputs = step.apply(lambda *inputs, **_: inputs, np.sin, values)
                shapes = tuple(value.shape for value in inputs)
                found.setdefault(shapes, ([value.numpy() for value in inputs], step.params))
        if len(found) == SHAPES:
            raise EnoughError

    with contextlib.suppress(EnoughError):
        collect()
    return list(found.values())


def derivatives(function, arrays):
    """Values, gradients of a weighted sum, and gradients of a weighted sum of these."""
    leaves = [mg.Tensor(array, requires_grad=True) for array in arrays]
    results = function(*leaves)
    total = sum((r * weights(r)).sum() for r in (*results, *leaves))
    first = mg.gradients(total, leaves, create_graph=True)
    total = sum((g * weights(g)).sum() for g in (*first, *leaves))
    second = mg.gradients(total, leaves)
    return [[t.numpy() for t in tensors] for tensors in (results, first, second)]


def weights(tensor):
    return np.cos(1.0 + np.arange(tensor.size)).reshape(tensor.shape).astype(tensor.dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("specification", SPECIFICATIONS, ids=lambda s: s.name)
def test_native_code_of_each_operation(specification, dtype):
    given_calls = calls(specification)
    assert given_calls

    def function(*inputs):
        rest = list(inputs)
        results = []
        for arrays, params in given_calls:
            mine = [rest.pop(0) for _ in arrays]
            results.append(specification.function(*mine, **params))
        return tuple(results)

    arrays = [array.astype(dtype) for inputs, _ in given_calls for array in inputs]
    compiled = mg.compile(function, backend=backends.default_backend())
    derivatives(compiled, arrays)
    found, expected = derivatives(compiled, arrays), derivatives(function, arrays)
    for mine, theirs in zip(found, expected, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
            scale = np.abs(other[np.isfinite(other)]).max(initial=1.0)
            np.testing.assert_allclose(
                one, other, rtol=ROUNDING[dtype], atol=ROUNDING[dtype] * scale, equal_nan=True
            )
    assert compiled.refusals == []
    assert len(compiled.programs) == 1
