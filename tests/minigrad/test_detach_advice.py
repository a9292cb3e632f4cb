"""Calls that would turn a tensor into numbers: the error names them and what to write instead."""

import math
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import minigrad as mg
from minigrad.numpy_api.unsupported import OF_SCIPY

T = mg.Tensor(np.ones(2), requires_grad=True)
S = mg.Tensor(np.float64(0.5), requires_grad=True)
X = np.ones((2, 2))
HOLDER = SimpleNamespace(X=X, rows={"x": X})

CASES = """
X.dot(T) | X.dot(...) | Write X @ T
HOLDER.X.dot(T) | HOLDER.X.dot(...) | Write HOLDER.X @ T
HOLDER.rows["x"].dot(T) | (...).dot(...) | Write array @ T
(X * 2).dot(T) | (...).dot(...) | Write array @ T
np.array([T, T]) | np.array(...) | minigrad.stack for a list of tensors
np.asarray(T) | np.asarray(...) | Use the tensor itself
np.mean([S, S]) | np.mean(...) | np.mean(np.stack([...]))
np.linalg.norm([S, S]) | np.linalg.norm(...) | np.linalg.norm(np.stack([...]))
np.where(X > 0, [S, S], 0) | np.where(...) | np.stack([...]) makes one tensor of several
np.r_[T, T] | np.r_[...] | Write np.concatenate([...])
np.r_[1.0, S] | np.r_[...] | Write np.concatenate([...])
np.c_[T, T] | np.c_[...] | Write np.column_stack([...])
np.full(3, S) | np.full(...) | minigrad.full_like
np.arange(S) | np.arange(...) | start + step * np.arange(count)
np.float64(S) | np.float64(...) | Write t.astype('float64')
math.erf(S) | math.erf(...) | Write mg.erf(t)
math.lgamma(S) | math.lgamma(...) | Write mg.gammaln(t)
math.exp(S) | math.exp(...) | Write np.exp(t)
math.acos(S) | math.acos(...) | Write np.arccos(t)
math.atan2(S, 1) | math.atan2(...) | Write np.arctan2(y, x)
math.hypot(S, S) | math.hypot(...) | Write np.hypot(x1, x2), or
math.copysign(S, S) | math.copysign(...) | Write np.copysign(x1, x2)
math.remainder(S, S) | math.remainder(...) | Write x - y * np.round(x / y)
math.log(S, 2) | math.log(...) | np.log(t) / np.log(base)
math.frexp(S) | math.frexp(...) | The exponent is a constant
math.fsum([S, S]) | math.fsum(...) | Write np.sum(np.stack([...]))
math.pow(S, 2) | math.pow(...) | Write t ** exponent
np.random.default_rng(0).normal(S) | conversion to a NumPy array | t.item()
GENERATOR.normal(T) | GENERATOR.normal(...) | mean + scale * generator.standard_normal
GENERATOR.normal(loc=T) | GENERATOR.normal(...) | mean + scale * generator.standard_normal
GENERATOR.normal(0, scale=T) | GENERATOR.normal(...) | mean + scale * generator.standard_normal
GENERATOR.gumbel(T) | GENERATOR.gumbel(...) | loc + scale * generator.gumbel(size=loc.shape)
GENERATOR.gamma(T) | GENERATOR.gamma(...) | scale * generator.standard_gamma(shape.detach().numpy())
GENERATOR.poisson(T) | GENERATOR.poisson(...) | The whole numbers of poisson have no derivative
GENERATOR.poisson(lam=T) | GENERATOR.poisson(...) | The whole numbers of poisson have no derivative
GENERATOR.binomial(3, T) | GENERATOR.binomial(...) | The whole numbers of binomial
GENERATOR.choice(2, p=T) | GENERATOR.choice(...) | index with them: values[places]
GENERATOR.permutation(T) | GENERATOR.permutation(...) | t[generator.permutation(len(t))]
GENERATOR.beta(T, T) | GENERATOR.beta(...) | no derivative by its parameters here
np.random.poisson(lam=S) | np.random.poisson(...) | The whole numbers of poisson have no derivative
X.dot(b=T) | X.dot(...) | Write X @ T
X.dot(T, out=None) | X.dot(...) | Write X @ T
X.put(0, S) | X.put(...) | flat[index] = t and flat.reshape(X.shape)
X.__setitem__(0, T) | X.__setitem__(...) | X[index] = t, after X = mg.Tensor(X)
X @ [S, S] | operator @ | np.stack
"%f" % S | % with a text | {t.item():.3f}
float(S) | float() | t.item()
int(S) | int() | t.item()
[1, 2][S] | use as an index | t.item()
list(map(math.sin, [S])) | float() | t.item()
np.testing.assert_allclose(T, X) | np.testing.assert_allclose(...) | Pass t.numpy()
"""
GENERATOR = np.random.default_rng(0)


def rows(text):
    return [tuple(part.strip() for part in line.split(" | ")) for line in text.strip().splitlines()]


def message(call, kind=mg.DetachError):
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize(("text", "what", "instead"), rows(CASES))
def test_the_call_and_its_replacement_are_named(text, what, instead):
    call = eval(f"lambda: {text}", {**globals(), "math": math})
    found = message(call)
    assert found.startswith(f"{what}: this tensor f64")
    assert instead.replace("@ T", "@ t") in found
    assert "or, to leave the graph on purpose, t.item(), t.detach() or t.numpy()." in found


def test_writing_into_an_array_names_the_array():
    buffer, rest = np.zeros((3, 2)), {"part": np.zeros((2, 2))}

    def one():
        buffer[0] = T

    def two():
        rest["part"][0] = T

    def element():
        buffer[0, 0] = S

    def whole():
        buffer.fill(S)

    def expression():
        (buffer * 1).fill(S)

    found = message(one)
    assert found.startswith("buffer[...] = t: ")
    assert "buffer = mg.Tensor(buffer)" in found
    assert message(two).startswith("the array[...] = t: ")
    for call, instead in (
        (element, "buffer = mg.Tensor(buffer)"),
        (whole, "buffer.fill(...): this tensor f64[] requires grad"),
        (whole, "Write mg.full_like(buffer, t)"),
        (expression, "Write mg.full_like(array, t)"),
    ):
        with pytest.raises(ValueError, match="sequence") as caught:  # NumPy puts its text in front
            call()
        assert isinstance(caught.value.__cause__, mg.DetachError)
        assert instead in str(caught.value.__cause__)
    buffer = mg.Tensor(buffer)
    one()
    assert buffer.requires_grad
    assert buffer.tolist()[0] == [1.0, 1.0]


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("name", ["matrix", "asmatrix"])
def test_matrices_of_numpy(name):
    found = message(lambda: getattr(np, name)(T))
    assert found.startswith(f"np.{name}(...): this tensor f64[2]")
    assert "Use the tensor itself and @" in found


def test_functions_that_call_others_are_named_themselves():
    special = pytest.importorskip("scipy.special")
    for call, name in (
        (lambda: np.full_like(X, S), "np.full_like: writes f64[] into an array f64[2, 2]"),
        (lambda: np.copyto(X, T), "np.copyto: writes into its first argument"),
        (lambda: special.zeta(T), "scipy.special.zeta has no derivative"),
        (lambda: special.zeta(T, 2.0), "scipy.special.zeta has no derivative"),
        (lambda: special.lambertw(T), "scipy.special.lambertw has no derivative"),
        (lambda: special.jv(1, T), "scipy.special.jv has no derivative"),
    ):
        assert message(call, mg.DtypeError).startswith(name)


def test_writing_into_a_part_of_an_array_names_the_array_itself():
    holder = SimpleNamespace(Y=np.zeros((2, 2)))
    Y = holder.Y

    def one():
        Y.T[0] = T

    def two():
        holder.Y.T[:, 0] = T

    assert "Y = mg.Tensor(Y), and assign into Y itself" in message(one)
    assert message(one).startswith("Y.T[...] = t: ")
    assert "holder.Y = mg.Tensor(holder.Y), and assign into holder.Y itself" in message(two)
    Y = mg.Tensor(Y)
    Y[:, 0] = T
    assert Y.requires_grad


def test_the_advice_for_put_is_writable():
    t = mg.Tensor(np.ones((2, 2)), requires_grad=True)
    with pytest.raises(mg.DtypeError, match=r"flat = t.ravel\(\).copy\(\), flat\[index\] = values"):
        np.put(t, 0, 5)
    flat = t.ravel().copy()
    flat[[0, 3]] = 5
    flat = flat.reshape(t.shape)
    flat.sum().backward()
    assert flat.tolist() == [[5, 1], [1, 5]]
    assert t.grad.tolist() == [[0, 1], [1, 0]]


def test_a_class_of_numpy_is_named_itself():
    for t in (T, T.detach()):
        with pytest.raises(mg.DtypeError, match=r"np\.poly1d does not take tensors: .*np\.polyval"):
            np.poly1d(t)


@pytest.mark.parametrize("name", sorted(OF_SCIPY))
def test_what_is_written_instead_of_scipy_gives_the_same(name):
    special = pytest.importorskip("scipy.special")
    function = getattr(special, name.rpartition(".")[2])
    formula = OF_SCIPY[name].removeprefix("write ").partition(", for ")[0]
    values = np.array([0.9, 0.4])[: function.nin]
    names = {
        **dict.fromkeys(("t", "a", "n", "x", "z", "delta"), 0),
        **dict.fromkeys(("b", "k", "y", "m", "r"), 1),
    }
    tensors = [mg.Tensor(v, requires_grad=True) for v in values]
    scope = {n: tensors[i] for n, i in names.items() if i < len(tensors)}
    found = eval(formula, {"mg": mg, "np": np, **scope})
    np.testing.assert_allclose(found.detach(), function(*values), rtol=1e-12)
    with pytest.raises(mg.DtypeError, match=re.escape(f"{name} does not take tensors: write ")):
        function(*tensors)


def test_a_private_ufunc_has_the_name_of_its_function():
    special = pytest.importorskip("scipy.special")
    with pytest.raises(mg.DtypeError, match=r"^scipy\.special\.lambertw has no derivative"):
        special.lambertw(T)


def test_a_name_that_means_something_else_is_not_taken_for_numpy():
    def dot(a):
        return np.asarray(a)

    class Other:
        def dot(self, a):
            return np.asarray(a)

    assert message(lambda: dot(T)).startswith("np.asarray(...): ")
    assert message(lambda: Other().dot(T)).startswith("np.asarray(...): ")


def test_a_call_over_several_lines():
    def spread():
        return X.dot(
            T,
        )

    assert message(spread).startswith("X.dot(...): ")


def test_code_without_columns_gets_the_general_message():
    script = "import numpy, minigrad as mg; numpy.ones(2).dot(mg.Tensor([1.0], requires_grad=True))"
    ran = subprocess.run(
        [sys.executable, "-X", "no_debug_ranges", "-c", script], capture_output=True, text=True
    )
    assert "DetachError: conversion to a NumPy array: this tensor f32[1]" in ran.stderr


def test_a_call_inside_of_a_library_is_not_described():
    import statistics

    assert message(lambda: statistics.fmean([S, S])).startswith("float(): ")


def test_our_own_frames_are_not_described():
    assert message(lambda: mg.Tensor([S, S])).startswith("data: a sequence of tensors")


def test_scipy_functions_name_ours():
    special = pytest.importorskip("scipy.special")
    for name, instead in {
        "softmax": "mg.softmax(t, axis=...)",
        "log_softmax": "mg.log_softmax(t, axis=...)",
        "logsumexp": "mg.logsumexp(t, axis=...)",
        "polygamma": "mg.polygamma(n, t)",
    }.items():
        function = getattr(special, name)
        found = message(lambda f=function, n=name: f(1, T) if n == "polygamma" else f(T))
        assert found.startswith(f"scipy.special.{name}(...): ")
        assert f"Write {instead}" in found
    linalg = pytest.importorskip("scipy.linalg")
    found = message(lambda: linalg.expm(mg.Tensor(X, requires_grad=True)))
    assert found.startswith("scipy.linalg.expm(...): ")
    assert "no derivative here" in found
