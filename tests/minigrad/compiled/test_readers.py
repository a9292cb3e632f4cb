"""Whatever reads numbers, by an index, a condition, a text or a shape: never those of another call.

Each function is called with numbers on one side of a threshold, and then with others beyond it. It
gives what it gives without being compiled, whether it was compiled, guarded or refused.
"""

import warnings

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad.ops.pytree import labelled_leaves

LOW, HIGH = np.array([1.0, 2.0, 3.0, 4.0]), np.array([500.0, 600.0, 700.0, 800.0])
LEVELS = np.array([0.0, 100.0, 300.0, 600.0, 900.0])


def large(x):
    return x > 100


def code(x):
    return (x > 100).astype(int)


def one(x):
    return code(x)[0]


OF_TENSORS = {
    # an index or a condition
    "choose": lambda x: mg.choose(code(x), [x, x * 2]),
    "compress": lambda x: mg.compress(large(x), x).sum() + x,
    "extract": lambda x: mg.extract(large(x), x).sum() + x,
    "select": lambda x: mg.select([large(x), x > 1e6], [x * 2, x * 3], x),
    "insert": lambda x: mg.insert(x, code(x), x),
    "insert at one place": lambda x: mg.insert(x, one(x), x[0]),
    "delete": lambda x: mg.delete(x, code(x)),
    "put_along_axis": lambda x: mg.put_along_axis(x, code(x), x[::-1] * 3),
    "add_along_axis": lambda x: mg.add_along_axis(x, code(x), x),
    "take_along_axis": lambda x: mg.take_along_axis(x, code(x)),
    "take": lambda x: mg.take(x, code(x)),
    "split": lambda x: mg.split(x, code(x)[:1] + 1)[0].sum() * x,
    "array_split": lambda x: mg.array_split(x, one(x) + 1)[0].sum() * x,
    "index": lambda x: x[code(x)],
    "slice": lambda x: x[one(x) :].sum() * x,
    "scatter_add": lambda x: mg.scatter_add(x, code(x), x),
    "scatter_reduce": lambda x: mg.scatter_reduce(x, 0, code(x), x, "amax"),
    "roll": lambda x: mg.roll(x, one(x)),
    "pad": lambda x: mg.pad(x, code(x)[:2]),
    "pad with a value": lambda x: mg.pad(x, 1, constant_values=one(x)),
    "embedding": lambda x: mg.embedding(mg.stack([x, x * 2]), code(x)),
    "searchsorted": lambda x: x * mg.searchsorted(LEVELS, x),
    "digitize": lambda x: x * mg.digitize(x, LEVELS),
    "isin": lambda x: x * mg.isin(code(x), [1]),
    "argsort": lambda x: x * mg.argsort(x * (1 - 2 * code(x))),
    "argmax": lambda x: x[mg.argmax(x * (1 - 2 * code(x)))],
    # a constant
    "quantile": lambda x: mg.quantile(x, code(x) * 0.5 + 0.25),
    "quantile by weights": lambda x: mg.quantile(
        x, 0.5, weights=code(x) * LOW[::-1] * 9 + LOW, method="inverted_cdf"
    ),
    "nanmedian": lambda x: mg.nanmedian(mg.where(large(x), x, np.nan)),
    "median": lambda x: mg.median(mg.where(x < 100, x, np.nan)),
    "nanmean": lambda x: mg.nanmean(x, where=code(x) + np.array([1, 0, 0, 0])) * x,
    "mean": lambda x: mg.mean(x, where=code(x) + np.array([1, 0, 0, 0])) * x,
    "sum": lambda x: mg.sum(x, initial=one(x)) * x,
    "logaddexp.reduce": lambda x: x * np.logaddexp.reduce(x, where=code(x), initial=one(x)),
    "average": lambda x: mg.average(x, weights=code(x) * LOW + 1) * x,
    "gradient": lambda x: np.gradient(x, one(x) + 1.0),
    "gradient at places": lambda x: np.gradient(x, LOW * (one(x) + 1.0)),
    "interp": lambda x: mg.interp(x, LEVELS, np.array([0.0, 1.0, 4.0, 9.0, 2.0])),
    "interp between its numbers": lambda x: mg.interp(np.array([1.0, 2.0, 450.0]), x, x * 2),
    "cond": lambda x: np.linalg.cond((x * large(x)).reshape(2, 2), 1),
    "isclose": lambda x: mg.isclose(x, x + 1, atol=one(x) + 0.5) * x,
    "nan_to_num": lambda x: mg.nan_to_num(mg.where(large(x), np.nan, x), nan=one(x)),
    "cross_entropy": lambda x: mg.cross_entropy(mg.stack([x, x * 2] * 2), code(x)),
    "jacobian": lambda x: mg.jacobian(lambda z: z * z * code(z))(x),
    # a Python value
    "allclose": lambda x: x * (2 if mg.allclose(x, HIGH) else 3),
    "array_equal": lambda x: x * (2 if mg.array_equal(code(x), [1, 1, 1, 1]) else 3),
    "array_equiv": lambda x: x * (2 if mg.array_equiv(code(x), 1) else 3),
    "in": lambda x: x * (2 if 1 in code(x) else 3),
    "bool": lambda x: x * (2 if large(x).all() else 3),
    "repr": lambda x: x * repr(large(x)).count("True"),
    "str": lambda x: x * str(large(x)).count("True"),
    "an f-string": lambda x: x * f"{large(x)}".count("True"),
    "a format": lambda x: x * len(f"{x[0]:.1f}"),
    "array2string": lambda x: x * np.array2string(large(x)).count("True"),
    "array_repr": lambda x: x * np.array_repr(large(x)).count("True"),
    "array_str": lambda x: x * np.array_str(large(x)).count("True"),
    "min_scalar_type": lambda x: x * np.min_scalar_type(one(x) * 300).itemsize,
    # a shape
    "nonzero": lambda x: x * len(mg.nonzero(large(x))[0]),
    "where": lambda x: x * np.where(large(x))[0].shape[0],
    "argwhere": lambda x: x * len(mg.argwhere(large(x))),
    "flatnonzero": lambda x: x * mg.flatnonzero(large(x)).size,
    "one_hot": lambda x: x * mg.one_hot(code(x)).shape[-1],
    "repeat": lambda x: x * len(mg.repeat(x, code(x) + 1)),
    "tile": lambda x: x * len(mg.tile(x, code(x)[:1] + 1)),
    "a boolean index": lambda x: x * len(x[large(x)]),
    "a sum of picked elements": lambda x: x + x[large(x)].sum(),
}


def tensor(value):
    return mg.Tensor([1.0]) * value


OF_ARRAYS = {
    "memoryview": lambda a: tensor(2 if memoryview(a)[0] > 100 else 3),
    "frombuffer": lambda a: tensor(2 if np.frombuffer(a)[0] > 100 else 3),
    "data": lambda a: tensor(2 if a.data[0] > 100 else 3),
    "tobytes": lambda a: tensor(2 if a.tobytes()[7] > 63 else 3),
    "view": lambda a: tensor(2 if a.view(np.ndarray)[0] > 100 else 3),
    "flat": lambda a: tensor(2 if a.flat[0] > 100 else 3),
    "in": lambda a: tensor(2 if 500.0 in a else 3),
    "repr": lambda a: tensor(repr(a > 100).count("True")),
    "str": lambda a: tensor(str(a > 100).count("True")),
    "an f-string": lambda a: tensor(f"{a > 100}".count("True")),
    "complex": lambda a: tensor(2 if complex(a[0]).real > 100 else 3),
    "allclose": lambda a: tensor(2 if np.allclose(a, HIGH) else 3),
    "array_equal": lambda a: tensor(2 if np.array_equal(a > 100, [1, 1, 1, 1]) else 3),
    "nonzero": lambda a: tensor(len(np.nonzero(a > 100)[0])),
    "the method nonzero": lambda a: tensor(len((a > 100).nonzero()[0])),
    "where": lambda a: tensor(len(np.where(a > 100)[0])),
    "flatnonzero": lambda a: tensor(len(np.flatnonzero(a > 100))),
    "a boolean index": lambda a: tensor(len(a[a > 100])),
    "unique": lambda a: tensor(len(np.unique(a > LEVELS[1:] / [1, 900, 900, 900]))),
    "bincount": lambda a: tensor(len(np.bincount(code(a)))),
    "repeat": lambda a: tensor(len(np.repeat(a, code(a)))),
    "the method repeat": lambda a: tensor(len(a.repeat(code(a)))),
    "the method compress": lambda a: tensor(len(a.compress(a > 100))),
    "the method argmax": lambda a: tensor((a * np.where(a > 100, -1, 1)).argmax()),
    "the method argsort": lambda a: tensor((a * np.where(a > 100, -1, 1)).argsort()),
    "the method choose": lambda a: tensor(code(a).choose([a, a * 2])),
    "the method searchsorted": lambda a: tensor(a.searchsorted(50.0)),
    "the method take": lambda a: tensor(a.take([0, 1])),
    "the method dot": lambda a: tensor(code(a).dot(code(a))),
    "the method trace": lambda a: tensor(code(a).reshape(2, 2).trace()),
    "divmod": lambda a: tensor(divmod(a, 7)[1]),
    "frexp": lambda a: tensor(np.frexp(a)[1]),
    "split": lambda a: tensor(np.split(a * 2, 2)[0]),
    "histogram": lambda a: tensor(np.histogram(a, LEVELS)[0]),
    "index of a tensor": lambda a: mg.Tensor([3.0, 7.0])[code(a)],
}


def numbers(result):
    leaves = [leaf for _, leaf in labelled_leaves(result)]
    return [leaf.numpy() if isinstance(leaf, mg.Tensor) else np.asarray(leaf) for leaf in leaves]


def check(function, before, after):
    """Results of calls beyond the threshold are those of the function itself."""
    compiled = mg.compile(function)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mg.CompileWarning)
        warnings.simplefilter("ignore", RuntimeWarning)  # of means of nothing
        for given in (before, before, after, before):
            found, expected = numbers(compiled(given)), numbers(function(given))
            assert [part.shape for part in found] == [part.shape for part in expected]
            for one_, other in zip(found, expected, strict=True):
                np.testing.assert_allclose(one_, other, rtol=1e-6)


@pytest.mark.parametrize("values", [(LOW, HIGH), (HIGH, LOW)], ids=["rising", "falling"])
@pytest.mark.parametrize("name", OF_TENSORS)
def test_tensors_beyond_a_threshold(name, values):
    check(OF_TENSORS[name], *map(mg.Tensor, values))


@pytest.mark.parametrize("values", [(LOW, HIGH), (HIGH, LOW)], ids=["rising", "falling"])
@pytest.mark.parametrize("name", OF_ARRAYS)
def test_arrays_beyond_a_threshold(name, values):
    check(OF_ARRAYS[name], *values)


def test_the_numbers_differ_beyond_the_threshold():
    """Else the tables would show nothing."""
    for table, made in ((OF_TENSORS, mg.Tensor), (OF_ARRAYS, np.asarray)):
        for name, function in table.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                low, high = numbers(function(made(LOW))), numbers(function(made(HIGH)))
            same = [np.array_equal(a, b) for a, b in zip(low, high, strict=True)]
            assert not all(same), name


SHAPES = ("nonzero", "where", "argwhere", "flatnonzero", "one_hot", "repeat", "a boolean index")


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_that_depend_on_values_are_refused_by_name(name):
    with pytest.warns(mg.CompileWarning, match="its shape depends on its values"):
        mg.compile(OF_TENSORS[name])(mg.Tensor(LOW))


def test_fixed_booleans_pick_what_is_compiled():
    mask = np.array([True, False, True, True])
    compiled = mg.compile(lambda x: x[mask] * 2)
    for values in (LOW, HIGH):
        assert compiled(mg.Tensor(values)).tolist() == (values[mask] * 2).tolist()
    assert compiled.refusals == []


def test_a_step_of_a_scan_that_chooses_by_its_state():
    def step(x, h):
        z = h + x
        return mg.choose((z > 10).astype(int), [z, z * 0])

    ones, zero = np.ones((1, 30, 1), np.float32), np.zeros((1, 1), np.float32)
    found = layers.scan(step, ones, zero)[0].numpy().ravel()
    expected = [(k + 1) % 11 for k in range(30)]
    assert found.tolist() == expected


def test_a_tensor_from_outside_that_decides_is_read_at_every_call():
    codes = mg.Tensor([0, 1, 0, 1])
    compiled = mg.compile(lambda x: mg.choose(codes, [x, x * 2]))
    assert compiled(mg.Tensor(LOW)).tolist() == [1, 4, 3, 8]
    codes[...] = np.array([1, 0, 1, 0])
    assert compiled(mg.Tensor(LOW)).tolist() == [2, 2, 6, 4]
