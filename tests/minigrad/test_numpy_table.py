"""The table of NumPy's functions: every line of it is true of this NumPy and this minigrad."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad.numpy_api.protocols import numpy_functions
from minigrad.numpy_api.unsupported import REFUSED, UNREACHED
from tools.numpy_table import STATUSES, markdown, table

ROWS = table()
PAGE = Path(__file__).parents[2] / "docs" / "numpy-functions.md"


def resolve(name):
    function = np
    for part in name.split(".")[1:]:
        function = getattr(function, part)
    return function


def leaf(*shape):
    numbers = np.random.default_rng(0).uniform(0.2, 0.8, shape or (4,))
    return mg.Tensor(numbers, requires_grad=True)


def spd():
    a = leaf(3, 3)
    return a @ a.T + 3 * np.eye(3)


CALLS = {
    "np.allclose": lambda f: f(leaf(), 1.0),
    "np.append": lambda f: f(leaf(), leaf()),
    "np.arccosh": lambda f: f(leaf() + 1),
    "np.acosh": lambda f: f(leaf() + 1),
    "np.argpartition": lambda f: f(leaf(), 2),
    "np.array_equal": lambda f: f(leaf(), leaf()),
    "np.array_equiv": lambda f: f(leaf(), leaf()),
    "np.array_split": lambda f: f(leaf(), 2),
    "np.astype": lambda f: f(leaf(), np.float32),
    "np.bitwise_count": lambda f: f(mg.Tensor([1, 2])),
    "np.block": lambda f: f([[leaf(), leaf()]]),
    "np.broadcast_arrays": lambda f: f(leaf(), leaf(2, 4)),
    "np.broadcast_to": lambda f: f(leaf(), (2, 4)),
    "np.can_cast": lambda f: f(leaf().dtype, np.float64),
    "np.choose": lambda f: f([0, 1], [leaf(2), leaf(2)]),
    "np.clip": lambda f: f(leaf(), 0.3, 0.6),
    "np.column_stack": lambda f: f([leaf(), leaf()]),
    "np.compress": lambda f: f([True, False], leaf()),
    "np.concat": lambda f: f([leaf(), leaf()]),
    "np.concatenate": lambda f: f([leaf(), leaf()]),
    "np.convolve": lambda f: f(leaf(), leaf(2)),
    "np.copyto": lambda f: f(mg.Tensor(np.zeros(4)), leaf()),
    "np.correlate": lambda f: f(leaf(), leaf(2)),
    "np.cross": lambda f: f(leaf(3), leaf(3)),
    "np.delete": lambda f: f(leaf(), 1),
    "np.diag_indices_from": lambda f: f(leaf(3, 3)),
    "np.diagonal": lambda f: f(leaf(3, 3)),
    "np.digitize": lambda f: f(leaf(), [0.0, 0.5]),
    "np.dot": lambda f: f(leaf(), leaf()),
    "np.dsplit": lambda f: f(leaf(2, 2, 2), 2),
    "np.dstack": lambda f: f([leaf(), leaf()]),
    "np.einsum": lambda f: f("i,i", leaf(), leaf()),
    "np.einsum_path": lambda f: f("i,i", leaf(), leaf()),
    "np.expand_dims": lambda f: f(leaf(), 0),
    "np.extract": lambda f: f([True, False, True, True], leaf()),
    "np.fill_diagonal": lambda f: f(mg.Tensor(np.zeros((3, 3))), leaf(3)),
    "np.fliplr": lambda f: f(leaf(3, 3)),
    "np.full_like": lambda f: f(leaf(), leaf(1)),
    "np.hsplit": lambda f: f(leaf(), 2),
    "np.hstack": lambda f: f([leaf(), leaf()]),
    "np.inner": lambda f: f(leaf(), leaf()),
    "np.insert": lambda f: f(leaf(), 1, 5.0),
    "np.interp": lambda f: f(leaf(), [0.0, 0.5, 1.0], leaf(3)),
    "np.invert": lambda f: f(mg.Tensor([1, 2])),
    "np.bitwise_invert": lambda f: f(mg.Tensor([1, 2])),
    "np.bitwise_not": lambda f: f(mg.Tensor([1, 2])),
    "np.isclose": lambda f: f(leaf(), 1.0),
    "np.isin": lambda f: f(leaf(), [1.0]),
    "np.kron": lambda f: f(leaf(), leaf()),
    "np.ldexp": lambda f: f(leaf(), 2),
    "np.linspace": lambda f: f(0.0, leaf(), 5),
    "np.matrix_transpose": lambda f: f(leaf(2, 3)),
    "np.matvec": lambda f: f(leaf(2, 3), leaf(3)),
    "np.may_share_memory": lambda f: f(leaf(), leaf()),
    "np.meshgrid": lambda f: f(leaf(), leaf(2)),
    "np.moveaxis": lambda f: f(leaf(2, 3), 0, 1),
    "np.nanpercentile": lambda f: f(leaf(), 50),
    "np.nanquantile": lambda f: f(leaf(), 0.5),
    "np.outer": lambda f: f(leaf(), leaf()),
    "np.pad": lambda f: f(leaf(), 1),
    "np.partition": lambda f: f(leaf(), 2),
    "np.percentile": lambda f: f(leaf(), 30),
    "np.polyval": lambda f: f(leaf(), leaf()),
    "np.put_along_axis": lambda f: f(mg.Tensor(np.zeros(4)), [0, 1], leaf(2), 0),
    "np.quantile": lambda f: f(leaf(), 0.3),
    "np.repeat": lambda f: f(leaf(), 2),
    "np.reshape": lambda f: f(leaf(), (2, 2)),
    "np.result_type": lambda f: f(leaf(), np.float32),
    "np.roll": lambda f: f(leaf(), 1),
    "np.rollaxis": lambda f: f(leaf(2, 3), 1),
    "np.rot90": lambda f: f(leaf(2, 3)),
    "np.row_stack": lambda f: f([leaf(), leaf()]),
    "np.searchsorted": lambda f: f(np.arange(3.0), leaf()),
    "np.select": lambda f: f([np.array([True] * 4)], [leaf()]),
    "np.shares_memory": lambda f: f(leaf(), leaf()),
    "np.split": lambda f: f(leaf(), 2),
    "np.stack": lambda f: f([leaf(), leaf()]),
    "np.swapaxes": lambda f: f(leaf(2, 3), 0, 1),
    "np.take": lambda f: f(leaf(), [0, 2]),
    "np.take_along_axis": lambda f: f(leaf(), [0, 2], 0),
    "np.tensordot": lambda f: f(leaf(2, 3), leaf(3, 2), 1),
    "np.tile": lambda f: f(leaf(), 2),
    "np.trace": lambda f: f(leaf(3, 3)),
    "np.tril": lambda f: f(leaf(3, 3)),
    "np.tril_indices_from": lambda f: f(leaf(3, 3)),
    "np.triu": lambda f: f(leaf(3, 3)),
    "np.triu_indices_from": lambda f: f(leaf(3, 3)),
    "np.vdot": lambda f: f(leaf(), leaf()),
    "np.vecdot": lambda f: f(leaf(), leaf()),
    "np.vecmat": lambda f: f(leaf(2), leaf(2, 3)),
    "np.vsplit": lambda f: f(leaf(2, 2), 2),
    "np.vstack": lambda f: f([leaf(), leaf()]),
    "np.where": lambda f: f([True, False, True, True], leaf(), 0.0),
    "np.linalg.cross": lambda f: f(leaf(3), leaf(3)),
    "np.linalg.lstsq": lambda f: f(leaf(4, 2), leaf(4)),
    "np.linalg.matmul": lambda f: f(spd(), leaf(3)),
    "np.linalg.matrix_norm": lambda f: f(leaf(3, 3)),
    "np.linalg.matrix_power": lambda f: f(leaf(3, 3), 3),
    "np.linalg.matrix_transpose": lambda f: f(leaf(2, 3)),
    "np.linalg.multi_dot": lambda f: f([leaf(2, 3), leaf(3, 2)]),
    "np.linalg.norm": lambda f: f(leaf()),
    "np.linalg.outer": lambda f: f(leaf(), leaf()),
    "np.linalg.solve": lambda f: f(spd(), leaf(3)),
    "np.linalg.tensordot": lambda f: f(leaf(2, 3), leaf(3, 2), axes=1),
    "np.linalg.tensorinv": lambda f: f(spd().reshape(3, 1, 3), 1),
    "np.linalg.tensorsolve": lambda f: f(spd(), leaf(3)),
    "np.linalg.vecdot": lambda f: f(leaf(), leaf()),
    "np.linalg.vector_norm": lambda f: f(leaf()),
}
INTEGERS = {"bitwise_and", "bitwise_or", "bitwise_xor", "gcd", "lcm"}
INTEGERS |= {"left_shift", "right_shift", "bitwise_left_shift", "bitwise_right_shift"}


def call(name):
    function = resolve(name)
    if name in CALLS:
        return CALLS[name](function)
    if name.startswith("np.linalg."):
        return function(spd())
    if isinstance(function, np.ufunc) and function.nin == 2:
        integers = name.removeprefix("np.") in INTEGERS
        x = mg.Tensor([1, 2]) if integers else leaf()
        return function(x, mg.Tensor([1, 3]) if integers else leaf())
    return function(leaf())


def parts(result):
    return [p for r in result for p in parts(r)] if isinstance(result, (tuple, list)) else [result]


def names(status):
    return [row.name for row in ROWS if row.status == status]


@pytest.mark.parametrize("name", names("differentiable"))
def test_differentiable_functions_reach_ours_and_are_recorded(name):
    changed = {"np.copyto": 0, "np.fill_diagonal": 0, "np.put_along_axis": 0}
    if name in changed:  # they write into their first argument
        targets = []
        CALLS[name](lambda target, *rest: targets.append(target) or resolve(name)(target, *rest))
        results = targets
    else:
        with warnings.catch_warnings():
            if name == "np.row_stack":  # NumPy warns that it will go
                warnings.simplefilter("ignore", DeprecationWarning)
            results = parts(call(name))
    assert all(isinstance(r, mg.Tensor) for r in results if not isinstance(r, (int, np.integer)))
    recorded = [r for r in results if isinstance(r, mg.Tensor) and r.requires_grad]
    assert recorded
    recorded[0].sum().backward()


@pytest.mark.parametrize("name", names("constant"))
def test_constant_functions_run_and_record_nothing(name):
    for result in parts(call(name)):
        assert not (isinstance(result, mg.Tensor) and result.requires_grad)
        assert not isinstance(result, np.ndarray)


@pytest.mark.present_numpy
@pytest.mark.parametrize("name", names("metadata"))
def test_metadata_functions_answer_as_for_arrays(name, monkeypatch):
    answer = call(name)
    monkeypatch.setattr(mg, "Tensor", lambda data, requires_grad=False: np.array(data))
    np.testing.assert_equal(answer, call(name))


# Where the tensor stands, when it is not the only argument that is needed.
REFUSED_CALLS = {
    "np.apply_along_axis": lambda f: f(np.sum, 0, leaf()),
    "np.apply_over_axes": lambda f: f(np.sum, leaf(), 0),
    "np.busday_count": lambda f: f(leaf(), leaf()),
    "np.busday_offset": lambda f: f(leaf(), leaf()),
    "np.geomspace": lambda f: f(1.0, leaf()),
    "np.histogram2d": lambda f: f(leaf(), leaf()),
    "np.logspace": lambda f: f(1.0, leaf()),
    "np.piecewise": lambda f: f(leaf(), [leaf() > 0], [1.0]),
    "np.place": lambda f: f(leaf(), leaf() > 0, [1.0]),
    "np.put": lambda f: f(leaf(), [0], [1.0]),
    "np.putmask": lambda f: f(leaf(), leaf() > 0, [1.0]),
    "np.ravel_multi_index": lambda f: f((leaf(), leaf()), (5, 5)),
    "np.resize": lambda f: f(leaf(), 7),
    "np.save": lambda f: f("nowhere", leaf()),
    "np.savetxt": lambda f: f("nowhere", leaf()),
    "np.savez": lambda f: f("nowhere", leaf()),
    "np.savez_compressed": lambda f: f("nowhere", leaf()),
    "np.unravel_index": lambda f: f(leaf(), (5, 5)),
    "np.polyfit": lambda f: f(leaf(), leaf(), 1),
}
REFUSED_CALLS |= {
    name: lambda f: f(leaf(), leaf())
    for name in (
        "np.intersect1d",
        "np.polyadd",
        "np.polydiv",
        "np.polymul",
        "np.polysub",
        "np.setdiff1d",
        "np.setxor1d",
        "np.union1d",
    )
}


@pytest.mark.present_numpy
@pytest.mark.parametrize("name", names("refused"))
def test_refused_functions_name_themselves_and_the_alternative(name):
    function = resolve(name)
    with pytest.raises(mg.DtypeError) as info:
        REFUSED_CALLS.get(name, lambda f: f(leaf()))(function)
    message = str(info.value)
    assert message.startswith(f"{name} ")
    assert REFUSED[name] in message


@pytest.mark.parametrize("name", names("conversion"))
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of np.matrix
def test_conversions_refuse_to_detach(name):
    function = resolve(name)
    calls = {
        "np.full": lambda: function(3, leaf(1)),
        "np.fromiter": lambda: function([leaf(1)], float),
        "np.arange": lambda: function(leaf(1)[0]),
        "np.bmat": lambda: function([[leaf(2, 2)]]),
    }
    with pytest.raises((mg.DetachError, mg.DtypeError, ValueError)) as info:
        calls.get(name, lambda: function(leaf()))()
    # NumPy puts an error of its own around ours where it fills an array.
    error = info.value
    ours = (mg.DetachError, mg.DtypeError)
    assert isinstance(error, ours) or isinstance(error.__cause__, ours)


SETTINGS = re.compile(r"np\.(get|set|show|test|info|print|from|load|gen)")


@pytest.mark.parametrize("name", [n for n in names("other") if not SETTINGS.match(n)])
def test_functions_that_take_no_array_give_no_plain_numbers_of_a_tensor(name):
    try:
        result = resolve(name)(leaf(1)[0])
    except Exception:  # NumPy's own error for what it cannot take: any will do, silence would not
        return
    assert not any(isinstance(r, (np.ndarray, np.number, float)) for r in parts(result))


def test_every_text_belongs_to_a_function():
    known = {row.name for row in ROWS}
    assert {row.status for row in ROWS} == set(STATUSES)
    for name in REFUSED | UNREACHED:
        assert name in known or not hasattr(np, name.split(".")[1])
        assert not (name in known and resolve(name) in numpy_functions)


def test_the_page_of_the_documentation_is_up_to_date():
    page, now = PAGE.read_text(encoding="utf-8"), markdown()
    version = re.search(r"NumPy (\d+\.\d+)", now).group(1)
    if f"NumPy {version}" in page:
        assert page == now, "run: python -m tools.numpy_table docs/numpy-functions.md"
    else:  # another NumPy has a few functions more or less; the lines of the others must agree
        lines = {line.split("|")[1]: line for line in page.splitlines() if line.startswith("| `")}
        for line in now.splitlines():
            if line.startswith("| `"):
                assert lines.get(line.split("|")[1], line) == line
