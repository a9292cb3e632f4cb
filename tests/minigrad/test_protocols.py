"""Operators and NumPy's protocols."""

import ast
import inspect
import operator
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.numpy_api.scipy_ufuncs import SCIPY_UFUNCS
from tools.tensor_methods import stub


def leaf(value=(1.5, 2.0), dtype="float64"):
    return mg.Tensor(value, dtype=dtype, requires_grad=True)


# -- operators -----------------------------------------------------------------------------------

REAL = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
    operator.eq,
    operator.ne,
    divmod,
]
BITS = [operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift]
number = st.floats(0.5, 4.0)


@given(st.sampled_from(REAL), number, number, st.sampled_from(["scalar", "list", "array", "numpy"]))
def test_operators_agree_with_numpy_on_either_side(op, a, b, kind):
    other = {
        "scalar": b,
        "list": [b, a],
        "array": np.array([b, a]),
        "numpy": np.float64(b),
    }[kind]
    array = np.array([a, b])
    tensor = mg.Tensor(array)
    plain = np.asarray(other)  # a list on the left would compare itself
    for mine, theirs in (
        (op(tensor, other), op(array, plain)),
        (op(other, tensor), op(plain, array)),
    ):
        if op is not divmod:
            mine, theirs = (mine,), (theirs,)
        for x, y in zip(mine, theirs, strict=True):
            assert isinstance(x, mg.Tensor)
            assert x.dtype == y.dtype
            np.testing.assert_allclose(x.numpy(), y)


@given(st.sampled_from(BITS), st.integers(0, 7), st.integers(0, 7))
def test_operators_of_bits_agree_with_numpy_on_either_side(op, a, b):
    tensor = mg.Tensor(np.array([a, b]))
    np.testing.assert_array_equal(op(tensor, b).numpy(), op(np.array([a, b]), b))
    np.testing.assert_array_equal(op(b, tensor).numpy(), op(b, np.array([a, b])))
    np.testing.assert_array_equal(
        op(np.array([b, a]), tensor).numpy(), op([b, a] * tensor**0, tensor).numpy()
    )


@pytest.mark.parametrize(
    "mix",
    [
        lambda t: np.array([2.0, 3.0]) * t,
        lambda t: np.float64(2) * t,
        lambda t: np.float32(2) + t,
        lambda t: [1, 2] * t,
        lambda t: (1.0, 2.0) - t,
        lambda t: 2**t,
        lambda t: 7 % t,
        lambda t: t @ np.ones(2),
        lambda t: np.ones(2) @ t,
        lambda t: np.ones((3, 2)) @ t,
        lambda t: t @ [1.0, 2.0],
        lambda t: np.divmod(t, 2)[1],
        lambda t: round(t) * t,
        lambda t: abs(t),
        lambda t: np.array([t[0].item(), 1.0]) ** t,
    ],
)
def test_mixed_operands_record(mix):
    t = leaf()
    y = mix(t)
    assert isinstance(y, mg.Tensor)
    y.sum().backward()
    assert t.grad is not None


@pytest.mark.parametrize("op", [o for o in REAL if o.__name__ not in "lt le gt ge eq ne divmod"])
def test_augmented_assignment_rebinds(op):
    start = np.array([3.0, 5.0])
    t = leaf(start) * 1
    before = t
    augmented = getattr(operator, {"floordiv": "ifloordiv"}.get(op.__name__, "i" + op.__name__))
    after = augmented(t, 2.0)
    assert after is before
    np.testing.assert_allclose(after.numpy(), op(start, 2.0))


def test_augmented_assignment_of_bits():
    mask = mg.Tensor([True, False])
    mask |= np.array([False, True])
    mask &= [True, False]
    mask ^= True
    assert mask.tolist() == [False, True]
    assert (~mask).tolist() == [True, False]
    bits = mg.Tensor([1, 2])
    bits <<= 3
    bits >>= 1
    assert bits.tolist() == [4, 8]


def test_an_array_takes_no_tensor_in_place():
    array = np.zeros(2)
    with pytest.raises(mg.DtypeError, match=r"Write `a = a \+ t`"):
        array += leaf()
    assert not array.any()


@pytest.mark.parametrize("other", [None, "text", b"bytes", object(), {"a": 1}, {1}, print, ["a"]])
def test_no_tensor_equals_what_is_no_number(other):
    t = leaf()
    assert (t == other) is False
    assert (t != other) is True
    assert (other == t) is False
    assert t not in [other]
    assert other not in t


def test_comparison_is_elementwise_and_identity_is_found_in_lists():
    t, u = leaf(), leaf()
    assert (t == [1.5, 0]).tolist() == [True, False]
    assert (t != np.float64(1.5)).tolist() == [False, True]
    assert 2.0 in t
    assert 7.0 not in t
    assert t in [t, u]
    with pytest.raises(mg.ShapeError, match="compare with `is`"):
        assert t in [u, t]
    assert len({t: 1, u: 2}) == 2
    assert mg.Tensor(2.0) in [1.0, 2.0]


class Unit:
    """A class of the user's own, which knows tensors; they do not know it."""

    def __radd__(self, other):
        return "radd"

    def __add__(self, other):
        return "add"

    def __eq__(self, other):
        return "eq"

    __hash__ = None


class Deferred:
    __array_ufunc__ = None

    def __rmul__(self, other):
        return "rmul"

    def __rmatmul__(self, other):
        return "rmatmul"


def test_the_other_operands_class_may_take_over():
    t = leaf()
    assert t + Unit() == "radd"
    assert Unit() + t == "add"
    assert (t == Unit()) == "eq"
    assert t * Deferred() == "rmul"
    assert t @ Deferred() == "rmatmul"
    with pytest.raises(TypeError, match="unsupported operand"):
        t + Deferred()
    with pytest.raises(mg.DtypeError, match="multiply: x2: must be numbers"):
        t * Unit()


@pytest.mark.parametrize("other", [None, "a", {"a": 1}, print, b"b"])
def test_arithmetic_with_what_is_no_number_says_so(other):
    t = leaf()
    with pytest.raises(mg.DtypeError, match="must be a tensor, an array or a number"):
        t + other
    with pytest.raises(TypeError):
        other + t


def test_real_and_imaginary_part():
    t = leaf()
    assert t.real.tolist() == t.tolist()
    assert t.imag.tolist() == [0, 0]
    t.real.sum().backward()
    assert t.grad.tolist() == [1, 1]
    assert mg.Tensor([1 + 2j]).imag.tolist() == [2]


def test_round_and_format():
    t = mg.Tensor([1.25, 2.75])
    assert round(t).tolist() == [1, 3]
    np.testing.assert_array_equal(round(t, 1).numpy(), np.round(t.numpy(), 1))
    assert f"{t[0]:.1f}|{t}" == f"{1.25:.1f}|{t!r}"
    with pytest.raises(mg.ShapeError, match=r"'.2f' is for one number, got f64\[2\]"):
        f"{leaf():.2f}"


def test_masked_arrays_are_refused():
    masked = np.ma.array([1.0, 2.0], mask=[True, False])
    with pytest.raises(mg.DtypeError, match="lose its mask"):
        leaf() * masked
    with pytest.raises(mg.DtypeError, match="lose its mask"):
        mg.Tensor(masked)


# -- __array_function__ and __array_ufunc__ --------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda t: np.sum(a=t), 3.5),
        (lambda t: np.sum(t, 0, None, None, True), [3.5]),
        (lambda t: np.mean(axis=0, a=t), 1.75),
        (lambda t: np.std(t, 0, None, None, 1), np.std([1.5, 2.0], ddof=1)),
        (lambda t: np.take(t, [1], 0, None, "clip"), [2.0]),
        (lambda t: np.max(t, 0, None, True), [2.0]),
        (lambda t: np.concatenate((t, [1.0]), axis=0), [1.5, 2.0, 1.0]),
        (lambda t: np.concatenate([[1.0], t]), [1.0, 1.5, 2.0]),
        (lambda t: np.stack(arrays=[t, t], axis=-1), [[1.5, 1.5], [2, 2]]),
        (lambda t: np.where([True, False], t, 0.0), [1.5, 0.0]),
        (lambda t: np.clip(a=t, a_min=1.75, a_max=None), [1.75, 2.0]),
        (lambda t: np.linalg.norm(x=t), 2.5),
        (lambda t: np.linalg.solve(a=np.eye(2) * 2, b=t), [0.75, 1.0]),
        (lambda t: np.linalg.multi_dot([np.eye(2), np.eye(2), t]), [1.5, 2.0]),
        (lambda t: np.dot(a=t, b=t), 6.25),
        (lambda t: np.einsum("i,i->i", t, t, optimize=True), [2.25, 4.0]),
        (lambda t: np.interp(1.75, t, [0.0, 1.0]), 0.5),
        (lambda t: np.full_like(np.ones(2), 1.0) * t, [1.5, 2.0]),
        (lambda t: np.sqrt(t * t, order="C", subok=False), [1.5, 2.0]),
        (lambda t: np.add(t, 1, casting="same_kind", where=True, out=None, dtype=None), [2.5, 3]),
        (lambda t: np.add.reduce(t), 3.5),
        (lambda t: np.add.reduce(t[None], axis=(0, 1), keepdims=True), [[3.5]]),
        (lambda t: np.multiply.reduce(t), 3.0),
        (lambda t: np.maximum.reduce(t), 2.0),
        (lambda t: np.logaddexp.reduce(t), np.logaddexp(1.5, 2.0)),
        (lambda t: np.add.accumulate(t), [1.5, 3.5]),
        (lambda t: np.multiply.accumulate(t), [1.5, 3.0]),
        (lambda t: np.multiply.outer(t, [1.0, 2.0]), [[1.5, 3.0], [2.0, 4.0]]),
        (lambda t: np.subtract.outer([1.0], t), [[-0.5, -1.0]]),
        (lambda t: np.power.outer(t, t).shape, (2, 2)),
    ],
)
def test_calls_in_numpys_own_ways(call, expected):
    result = call(leaf())
    if isinstance(result, mg.Tensor):
        assert result.requires_grad
        result = result.numpy()
    np.testing.assert_allclose(result, expected)


def test_a_tensor_as_out_is_rebound():
    t, out = leaf(), mg.Tensor(np.zeros(2))
    assert np.add(t, 1, out=out) is out
    assert np.multiply(out, out, out=out, where=[True, False]) is out
    np.testing.assert_allclose(out.numpy(), [6.25, 3.0])
    out.sum().backward()
    np.testing.assert_allclose(t.grad.numpy(), [5.0, 1.0])
    total = mg.Tensor(0.0, dtype="float64")
    assert np.sum(t, out=total) is total
    assert total.requires_grad
    with pytest.raises(mg.ShapeError, match=r"np\.add: out="):
        np.add(t, 1, out=mg.Tensor(np.zeros(3)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: np.add(t, 1, out=np.zeros(2)), r"np\.add: out= must be a tensor"),
        (lambda t: np.cumsum(t, out=np.zeros(2)), r"np\.cumsum: out= must be a tensor"),
        (lambda t: np.add(t, 1, where=[True, False]), r"np\.add: where= is not supported"),
        (lambda t: np.add(t, 1, dtype="float32"), r"np\.add: dtype='float32' is not.*astype"),
        (lambda t: np.add(t, 1, casting="unsafe"), r"np\.add: casting='unsafe' is not supported"),
        (lambda t: np.var(t, mean=1.0), r"np\.var: mean=1\.0 is not supported"),
        (lambda t: np.add.reduceat(t, [0]), r"np\.add\.reduceat: this method of a ufunc"),
        (lambda t: np.hypot.reduce(t), r"np\.hypot\.reduce: this method of a ufunc"),
        (lambda t: np.fft.fft(t), r"np\.fft\.fft has no derivative"),
        (lambda t: np.linalg.eigvals(t), r"np\.linalg\.eigvals .*eigvalsh"),
        (lambda t: np.unique(t), r"np\.unique does not take tensors"),
        (lambda t: np.frexp(t), r"np\.frexp does not take tensors"),
        (lambda t: np.full_like(np.ones(2), t), r"np\.full_like: writes .* minigrad\.full_like"),
        (lambda t: np.copyto(np.zeros(2), t), "An array cannot remember"),
    ],
)
def test_what_cannot_be_right_is_refused_by_name(call, message):
    with pytest.raises(mg.DtypeError, match=message):
        call(leaf())


def test_metadata_comes_from_shape_and_dtype():
    t = leaf(np.ones((2, 3)), dtype="float32")
    assert (np.shape(t), np.ndim(t), np.size(t), np.size(t, 1)) == ((2, 3), 2, 6, 3)
    assert np.result_type(t, 1.0) == np.float32
    assert np.result_type(t, np.float64(1)) == np.float64
    assert np.common_type(t) is np.float32
    assert np.iterable(t)
    assert not np.isscalar(t)
    assert np.isrealobj(t)
    assert np.shares_memory(t, t.detach())
    assert len(np.tril_indices_from(t)[0]) == 3
    assert "[1., 1., 1.]" in np.array2string(t, separator=", ")


def test_numpy_reads_a_tensor_without_grad_and_cannot_change_it():
    t = mg.Tensor([1.0, 2.0])
    assert np.asarray(t).tolist() == [1, 2]
    assert np.asarray(t, dtype=int).dtype == int
    view = np.asarray(t)
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 5
    own = np.array(t)
    own[0] = 5
    assert t.tolist() == [1, 2]


# -- what is declared ------------------------------------------------------------------------------


STUB = Path(mg.__file__).parent / "core" / "methods.pyi"


def test_the_declarations_are_up_to_date():
    assert STUB.read_text("utf-8") == stub(), "run: python -m tools.tensor_methods"


def test_every_module_of_operations_is_public():
    modules = {m.name for m in pkgutil.walk_packages(mg.ops.__path__, "minigrad.ops.")}
    assert len(mg.ops.MODULES) > 20
    assert {m.__name__ for m in mg.ops.MODULES} <= modules
    for module in mg.ops.MODULES:
        assert set(module.__all__) <= set(mg.ops.__all__)
        assert {n for n in module.__all__ if hasattr(mg, n)} == set(module.__all__)


def test_type_checkers_see_every_public_name():
    """They follow imports `as` themselves and stars; a list that they cannot read is hidden."""
    tree = ast.parse(inspect.getsource(mg))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    seen = {a.name for node in imports for a in node.names if a.asname == a.name}
    stars = {node.module for node in imports if node.names[0].name == "*"}
    assert stars == {"minigrad.ops"}
    assert set(mg.__all__) - set(mg.ops.__all__) - {"tensor"} <= seen


# -- functions of SciPy ----------------------------------------------------------------------------


def test_ufuncs_of_scipy_run_as_ours():
    special = pytest.importorskip("scipy.special")
    x = np.array([0.3, 0.7])
    t = mg.Tensor(x, requires_grad=True)
    for name in SCIPY_UFUNCS:
        if hasattr(special, name):
            result = getattr(special, name)(*[t] * getattr(special, name).nin)
            assert result.requires_grad
            expected = getattr(special, name)(*[x] * getattr(special, name).nin)
            np.testing.assert_allclose(result.numpy(), expected, rtol=1e-14)
    assert special.digamma(t).requires_grad
    assert special.xlogy(np.ones(2), t).requires_grad


def test_other_ufuncs_are_named_truly():
    special = pytest.importorskip("scipy.special")
    with pytest.raises(mg.DtypeError, match=r"^scipy\.special\.jv has no derivative"):
        special.jv(0, mg.Tensor([1.0]))
    with pytest.raises(mg.DtypeError, match=r"^the ufunc twice"):
        np.frompyfunc(twice, 1, 1)(mg.Tensor([1.0]))
    with pytest.raises(mg.DtypeError, match=r"^np\.frexp"):
        np.frexp(mg.Tensor([1.0]))


def twice(x):
    return 2 * x


def test_scipy_is_not_imported_by_the_package():
    script = (
        "import sys, numpy as np, minigrad as mg; np.exp(mg.erfinv(mg.gammaln([1.5])));"
        "assert not any(m.partition('.')[0] == 'scipy' for m in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_clip_method_of_an_array_takes_tensors():
    t = mg.Tensor(np.array([0.5, 3.0]), requires_grad=True)
    assert np.array([1.0, 2.0]).clip(0.0, t).tolist() == [0.5, 2.0]
