"""Native programs against the oracle of `evaluating`."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minigrad.compiled.flags import DIVISION, INVALID, OVERFLOW
from minigrad.compiled.graph import Graph, Loop, Unsupported, Value, View
from minigrad.compiled.llvm import native
from minigrad.compiled.llvm.planning.sums import sum_products
from minigrad.compiled.llvm.program import build
from minigrad.testing import examples
from tests.minigrad.compiled.evaluating import evaluate
from tests.minigrad.compiled.programs import share_everything

F4, F8 = np.float32, np.float64


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path / "cache"))


class Maker:
    """Graphs by short calls."""

    def __init__(self):
        self.inputs, self.values = [], []

    def input(self, shape, dtype=F4):
        value = Value("input", (), shape, dtype, (len(self.inputs),))
        self.inputs.append(value)
        return View(value)

    def constant(self, array):
        array = np.ascontiguousarray(array)
        return View(Value("constant", (), array.shape, array.dtype, array=array))

    def add(self, op, *operands, shape=None, dtype=None, options=()):
        views = [o for o in operands if isinstance(o, View)]
        shape = views[-1].shape if shape is None else shape
        value = Value(op, operands, shape, dtype or views[-1].dtype, options)
        self.values.append(value)
        return View(value)

    def row(self, op, x):
        return self.add(op, x, shape=(*x.shape[:-1], 1))

    def lead_sum(self, x, count):
        return self.add("lead_sum", x, shape=x.shape[count:], options=(count,))

    def matmul(self, a, b):
        return self.add("matmul", a, b, shape=(*a.shape[:-1], b.shape[-1]))

    def compare(self, op, x, y):
        return self.add(op, x, y, dtype=np.bool_)

    def graph(self, *outputs):
        return Graph(self.inputs, self.values, outputs)


def numbers(graph, seed=0):
    rng = np.random.default_rng(seed)
    result = []
    for value in graph.inputs:
        if value.dtype == np.int64:
            result.append(rng.integers(0, 3, value.shape))
        elif value.dtype == np.bool_:
            result.append(rng.random(value.shape) < 0.5)
        else:
            result.append(rng.standard_normal(value.shape).astype(value.dtype))
    return result


def check(graph, arrays=None, tolerance=None, **options):
    arrays = numbers(graph) if arrays is None else arrays
    program = build(graph, **options)
    for _ in range(2):  # a second call finds the room as the first one left it
        got = program(arrays)
    for mine, right in zip(got, evaluate(graph, arrays), strict=True):
        assert mine.shape == right.shape
        scale = max(float(np.abs(right, dtype=F8).max(initial=0)), 1.0)
        eps = 2e-6 if mine.dtype == F4 else 1e-13
        np.testing.assert_allclose(mine, right, rtol=tolerance or 20 * eps, atol=scale * 4 * eps)
    return program


SHAPES = [(), (1,), (3,), (5, 7), (4, 16), (2, 3, 33), (3, 1), (1, 40), (0, 4), (4, 0), (2, 8192)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [F4, F8])
def test_elementwise_kernels(shape, dtype):
    m = Maker()
    x, y = m.input(shape, dtype), m.input(shape, dtype)
    a = m.add("tanh", m.add("add", m.add("multiply", x, 0.5), y))
    b = m.add("where", m.compare("greater", a, 0.1), a, m.add("exp", y))
    check(m.graph(a, m.add("divide", b, 3.0), m.compare("less", x, y), x, x))


@pytest.mark.parametrize("shape", [(1,), (3,), (5, 7), (4, 16), (2, 3, 33), (3, 1), (6, 200)])
@pytest.mark.parametrize("dtype", [F4, F8])
def test_softmax_and_its_gradient(shape, dtype):
    m = Maker()
    x, g = m.input(shape, dtype), m.input(shape, dtype)
    e = m.add("exp", m.add("subtract", x, m.row("row_max", x).broadcast(shape)))
    y = m.add("divide", e, m.row("row_sum", e).broadcast(shape))
    inner = m.row("row_sum", m.add("multiply", y, g))
    dx = m.add("multiply", y, m.add("subtract", g, inner.broadcast(shape)))
    check(m.graph(y, dx, m.add("total", dx, shape=()), m.lead_sum(dx, len(shape) - 1)))


@pytest.mark.parametrize("rows", [1, 5, 4000])
def test_layer_norm(rows):
    m, shape = Maker(), (rows, 24)
    x, w, b = m.input(shape), m.input((24,)), m.input((24,))
    mean = m.add("divide", m.row("row_sum", x), 24.0)
    centred = m.add("subtract", x, mean.broadcast(shape))
    variance = m.add("divide", m.row("row_sum", m.add("square", centred)), 24.0)
    scale = m.add("divide", 1.0, m.add("sqrt", m.add("add", variance, 1e-5)))
    y = m.add("multiply", centred, scale.broadcast(shape))
    out = m.add("add", m.add("multiply", y, w.broadcast(shape)), b.broadcast(shape))
    check(m.graph(out, m.lead_sum(out, 1), scale))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "sizes",
    [
        (1, 1, 1),
        (3, 5, 7),
        (32, 128, 96),
        (1, 300, 70),
        (130, 33, 17),
        (250, 70, 800),
        (400, 65, 31),
    ],
)
@pytest.mark.parametrize("swapped", ["", "a", "b", "ab"])
def test_products(sizes, swapped, threads, monkeypatch):
    share_everything(monkeypatch)
    rows, columns, depth = sizes
    m = Maker()
    a = m.input((depth, rows) if "a" in swapped else (rows, depth))
    b = m.input((columns, depth) if "b" in swapped else (depth, columns))
    if "a" in swapped:
        a = a.seen_through(lambda x: x.T)
    if "b" in swapped:
        b = b.seen_through(lambda x: x.T)
    c = m.matmul(a, b)
    check(m.graph(m.add("multiply", c, 2.0), c), threads=threads)


@settings(examples(0.3), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.tuples(st.sampled_from([1, 3, 12, 40, 250]), st.sampled_from([1, 17, 64, 90])),
    st.lists(st.sampled_from([1, 5, 48, 390]), min_size=2, max_size=4),
    st.sampled_from([F4, F8]),
    st.booleans(),
)
def test_sums_of_products(monkeypatch, sizes, depths, dtype, turned):
    share_everything(monkeypatch)
    (rows, columns), m = sizes, Maker()
    total = None
    for depth in depths:
        a = m.input((depth, rows) if turned else (rows, depth), dtype)
        a = a.seen_through(lambda x: x.T) if turned else a
        one = m.matmul(a, m.input((depth, columns), dtype))
        total = one if total is None else m.add("add", total, one)
    apart = total.seen_through(lambda x: x.reshape(1, rows, columns))
    graph = m.graph(m.add("tanh", apart), m.lead_sum(apart, 2))
    (sum_of_all,) = [v for v in sum_products(graph).values if v.op == "matmul"]
    assert len(sum_of_all.operands) == 2 * len(depths)
    arrays = [dtype(0.1) * array for array in numbers(graph)]
    check(graph, arrays)
    one, two = (build(graph, threads=threads)(arrays) for threads in (1, 2))
    for x, y in zip(one, two, strict=True):
        np.testing.assert_array_equal(x, y)


def test_products_that_something_else_reads_are_stored():
    m = Maker()
    a, b = m.input((6, 5)), m.input((5, 6))
    first, second, third = m.matmul(a, b), m.matmul(b, a), m.matmul(a, b)
    total = m.add("add", first, third)
    graph = m.graph(total, m.add("exp", first), second)
    assert [v.op for v in sum_products(graph).values].count("add") == 1
    check(graph)


def test_a_sum_of_products_that_goes_out_in_another_shape():
    m = Maker()
    a, b = m.input((6, 5)), m.input((5, 4))
    parts = [m.matmul(a, b).seen_through(lambda x: x.reshape(2, 3, 4)) for _ in range(2)]
    check(m.graph(m.add("add", *parts)))


@pytest.mark.parametrize("dtype", [F4, F8])
def test_batches_of_products(dtype):
    m = Maker()
    q = m.input((2, 9, 3, 8), dtype).seen_through(lambda x: x.transpose(0, 2, 1, 3))
    k = m.input((2, 9, 3, 8), dtype).seen_through(lambda x: x.transpose(0, 2, 3, 1))
    s = m.matmul(q, k)
    check(m.graph(m.matmul(m.add("exp", s), q), s))


def test_products_and_sums_have_the_same_bits_with_any_number_of_threads(monkeypatch):
    share_everything(monkeypatch)
    m = Maker()
    a, b = m.input((300, 200)), m.input((200, 150))
    c = m.add("tanh", m.matmul(a, b))
    graph = m.graph(c, m.lead_sum(c, 1), m.add("total", c, shape=()))
    arrays = numbers(graph)
    results = [build(graph, threads=threads)(arrays) for threads in (1, 2, 3)]
    for other in results[1:]:
        for x, y in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(x, y)


def test_assemble_with_gaps_and_parts_of_several_kinds():
    m = Maker()
    x, w = m.input((4, 6)), m.input((6, 6))
    product, tanh = m.matmul(x, w), m.add("tanh", x)
    whole = m.add(
        "assemble", product, tanh, x, shape=(4, 24), dtype=F4,
        options=(((24, 1), 0), ((24, 1), 6), ((24, 1), 18)),
    )  # fmt: skip
    check(m.graph(whole, m.add("exp", product), m.add("add", whole, 1.0)))


def test_gather_and_scatter():
    m = Maker()
    table, index = m.input((3, 20)), m.input((2, 5), np.int64)
    rows = m.add("gather", table, index, shape=(2, 5, 20), dtype=F4)
    back = m.add("scatter_add", index, m.add("tanh", rows), shape=(3, 20))
    program = check(m.graph(rows, back))
    with pytest.raises(IndexError, match="below the number of rows"):
        program([np.zeros((3, 20), F4), np.full((2, 5), 3)])
    program([np.zeros((3, 20), F4), np.full((2, 5), 2)])


def recurrence(m, steps, batch, size, down, keep):
    """h = tanh(x[t] + h W), all steps or the last one."""
    x, w, first = m.input((steps, batch, size)), m.input((size, size)), m.input((batch, size))
    loop = Loop(steps, down)
    moving = Value(
        "moving", [View(x.value, (batch, size), (size, 1))], (batch, size), F4, (batch * size,)
    )
    h = Value("tanh", (), (batch, size), F4)
    previous = Value("previous", (), (batch, size), F4, (h,))
    product = Value("matmul", (View(previous), w), (batch, size), F4)
    total = Value("add", (View(moving), View(product)), (batch, size), F4)
    h.operands = (View(total),)
    loop.body, loop.initial = [product, total, h], {h: first}
    value = Value("loop", (x, w, first), (), F4, (loop,))
    m.values.append(value)
    stack = Value("stack", (View(value),), (steps + 1, batch, size), F4, (h,))
    m.values.append(stack)
    loop.stacked[h] = stack
    if keep:
        return View(stack)
    last = 0 if down else steps
    return View(stack, (batch, size), (size, 1), last * batch * size)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("sizes", [(1, 2, 3), (5, 4, 8), (7, 32, 200)])
def test_loops(sizes, down, threads, monkeypatch):
    share_everything(monkeypatch)
    for keep in (False, True):
        m = Maker()
        h = recurrence(m, *sizes, down, keep)
        graph = m.graph(h, m.add("exp", h)) if keep else m.graph(m.add("multiply", h, 2.0))
        arrays = numbers(graph)
        arrays[1] /= sizes[2] ** 0.5  # so that errors do not grow with the steps
        check(graph, arrays, threads=threads)


OPERATIONS = ["add", "multiply", "tanh", "maximum", "matmul", "row_sum", "lead_sum", "softmax"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 50)), max_size=25), st.booleans()
)
def test_random_graphs(steps, wide):
    m = Maker()
    n = 6
    pool = [m.input((n, n), F8 if wide else F4) for _ in range(3)]
    for op, number in steps:
        x, y = pool[number % len(pool)], pool[(number * 7 + 1) % len(pool)]
        if number % 3 == 0:
            y = y.seen_through(lambda a: a.T)
        if op == "tanh":
            z = m.add(op, y)
        elif op == "matmul":
            z = m.add("multiply", m.matmul(x, y), 0.2)
        elif op == "row_sum":
            z = m.add("multiply", m.row(op, x).broadcast((n, n)), m.add("multiply", y, 0.1))
        elif op == "lead_sum":
            z = m.add("add", m.lead_sum(x, 1).broadcast((n, n)), y)
        elif op == "softmax":
            e = m.add("exp", m.add("subtract", x, m.row("row_max", x).broadcast((n, n))))
            z = m.add("divide", e, m.row("row_sum", e).broadcast((n, n)))
        else:
            z = m.add(op, x, y)
        pool.append(m.add("tanh", z))
    check(m.graph(pool[-1], pool[len(pool) // 2], m.add("total", pool[-1], shape=())))


@pytest.mark.parametrize("cpu", ["x86-64-v3", "x86-64"])
def test_narrower_vectors(cpu):
    if native.host().architecture != "x86":
        return
    m = Maker()
    a, b = m.input((30, 40)), m.input((40, 50))
    check(m.graph(m.add("tanh", m.matmul(a, b))), target=native.host(cpu))


@pytest.mark.parametrize(
    ("op", "x", "flag"),
    [("divide", 0.0, DIVISION), ("log", -1.0, INVALID), ("exp", 1000.0, OVERFLOW)],
)
def test_status_flags_tell_what_went_wrong(op, x, flag):
    m = Maker()
    given = m.input((3,))
    built = build(m.graph(m.add(op, 1.0, given) if op == "divide" else m.add(op, given)))
    built([np.ones(3, F4)])
    assert built.status == 0
    built([np.array([1, x, 2], F4)])
    assert built.status == flag
    built([np.ones(3, F4)])
    assert built.status == 0


@pytest.mark.parametrize("shape", [(1,), (2,), (3,), (5,), (7, 3), (17,), (33, 2)])
@pytest.mark.parametrize("dtype", [F4, F8])
def test_lanes_without_elements_raise_no_flags(shape, dtype):
    m = Maker()
    x, y = m.input(shape, dtype), m.input(shape, dtype)
    z = m.add("log", m.add("divide", 1.0, m.add("subtract", x, y)))
    program = build(m.graph(z, m.add("sqrt", m.row("row_sum", z))))
    program([np.full(shape, 0.5, dtype), np.zeros(shape, dtype)])
    assert program.status == 0


@pytest.mark.parametrize("sizes", [(1, 3, 1), (3, 5, 17), (20, 7, 33), (130, 130, 131)])
@pytest.mark.parametrize("turned", [False, True])
def test_columns_that_there_are_not_raise_no_flags(sizes, turned):
    rows, depth, columns = sizes
    m = Maker()
    x = m.input((rows, depth))
    y = (
        m.input((columns, depth)).seen_through(lambda a: a.T)
        if turned
        else m.input((depth, columns))
    )
    program = build(m.graph(m.matmul(x, y)))
    x, y = np.ones(sizes[:2], F4), np.ones(y.value.shape, F4)
    x[-1, depth // 2] = np.inf
    assert np.isinf(program([x, y])[0][-1]).all()
    assert program.status == 0
    assert program([x, 0 * y])[0].shape == (rows, columns)
    assert program.status == INVALID


def test_elements_that_are_added_twice_raise_no_flags():
    m = Maker()
    program = build(m.graph(m.lead_sum(m.input((1, 19)), 1)))
    program([np.full((1, 19), 3e38, F4)])
    assert program.status == 0


def test_a_view_beyond_its_value_is_refused():
    m = Maker()
    x = m.input((3,))
    with pytest.raises(Unsupported, match="beyond its value"):
        build(m.graph(m.add("exp", View(x.value, (2,), (1,), 2))))


def test_scalars_are_taken_for_arrays():
    m = Maker()
    program = build(m.graph(m.add("exp", m.input((), F8))))
    assert program([np.float64(0.0)])[0] == 1.0
