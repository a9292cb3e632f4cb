"""Random loops by native code and by NumPy, against the oracle of `evaluating`."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.compiled import plain
from minigrad.compiled.graph import Loop, Value, View
from minigrad.compiled.llvm import emit
from minigrad.compiled.llvm.program import build
from minigrad.testing import examples
from tests.minigrad.compiled.evaluating import evaluate
from tests.minigrad.compiled.programs import share_everything
from tests.minigrad.compiled.test_programs import F4, F8, Maker
from tests.minigrad.compiled.test_programs import numbers as inputs_of

N = 5


@pytest.fixture(autouse=True, scope="module")
def own_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIGRAD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


KINDS = ["add", "multiply", "tanh", "where", "matmul", "row_max", "lead_sum", "assemble", "turned"]


@st.composite
def loops(draw):
    """A graph with one loop over matrices: what it reads, computes, carries and leaves behind."""
    m, dtype = Maker(), F8 if draw(st.booleans()) else F4
    count, down = draw(st.integers(1, 6)), draw(st.booleans())
    matrix = (N, N)
    outer = [m.input(matrix, dtype), m.add("tanh", m.input(matrix, dtype))]
    series = m.add("tanh", m.input((count + 2, N, 2 * N), dtype))
    loop = Loop(count, down)
    read = [*outer]
    for offset in draw(st.lists(st.integers(0, 2 * N * N + N), min_size=1, max_size=2)):
        seen = View(series.value, matrix, (2 * N, 1), offset)
        back = draw(st.booleans()) and offset + 2 * N * N * (count - 1) <= 2 * N * N
        step = 2 * N * N if not back else -0
        read.append(View(Value("moving", [seen], matrix, dtype, (step,))))
    carried = draw(st.integers(1, 2))
    made = [Value("copy", (), matrix, dtype) for _ in range(carried)]
    read += [View(Value("previous", (), matrix, dtype, (value,))) for value in made]

    def add(op, *operands, shape=matrix, kind=dtype, options=()):
        loop.body.append(Value(op, operands, shape, kind, options))
        return View(loop.body[-1])

    for _ in range(draw(st.integers(0, 6))):
        op = draw(st.sampled_from(KINDS))
        x, y = draw(st.sampled_from(read)), draw(st.sampled_from(read))
        if op == "tanh":
            z = add(op, x)
        elif op == "where":
            z = add(op, add("less", x, y, kind=np.bool_), x, 0.5)
        elif op == "matmul":
            z = add("multiply", add(op, x, y), 0.2)
        elif op == "row_max":
            z = add("subtract", y, add(op, x, shape=(N, 1)).broadcast(matrix))
        elif op == "lead_sum":
            z = add("add", add(op, x, shape=(N,), options=(1,)).broadcast(matrix), y)
        elif op == "assemble":
            top = View(x.value, (2, N), x.strides, x.offset)
            z = add(op, top, add("tanh", top, shape=(2, N)), options=(((N, 1), 0), ((N, 1), 15)))
        elif op == "turned":
            z = add("add", x, y.seen_through(lambda a: a.T))
        else:
            z = add(op, x, y)
        read.append(add("tanh", z))
    for value in made:
        value.operands = (add("multiply", draw(st.sampled_from(read)), 0.9),)
        loop.body.append(value)
        start = draw(st.sampled_from([outer[0], outer[1].seen_through(lambda a: a.T), series]))
        loop.initial[value] = start if start.shape == matrix else View(start.value, matrix, (1, 2))
    node = m.add("loop", *outer, series, shape=(), dtype=np.bool_, options=(loop,))
    outputs = [m.add("exp", outer[1])]
    places = st.integers(0, len(loop.body) - 1)
    chosen = draw(st.lists(places, max_size=3, unique=True))
    for value in dict.fromkeys([made[0], *(loop.body[place] for place in chosen)]):
        if value.dtype == np.bool_:
            continue
        shape = (count + 1, *value.shape)
        stack = m.add("stack", node, shape=shape, dtype=value.dtype, options=(value,))
        loop.stacked[value] = stack.value
        every = stack.seen_through(lambda a: a[:-1] if down else a[1:])
        outputs.append(m.add("multiply", every, 2.0))
        outputs.append(m.add("total", every, shape=()))
    return m.graph(*outputs)


@examples(0.5)
@given(loops(), st.sampled_from([1, 2]))
def test_random_loops(graph, threads):
    arrays = inputs_of(graph)
    with pytest.MonkeyPatch.context() as patch:
        share_everything(patch)
        for name in ("_SHARED_LOOP", "_SHARED_STEPS", "_SHARED_ELEMENTS"):
            patch.setattr(emit, name, 0)
        patch.setattr(emit, "_CHUNK", 1)
        built = build(graph, threads=threads)
    by_numpy = plain.build(graph)
    for _ in range(2):
        found, others = built(arrays), by_numpy(arrays)
    for mine, other, right in zip(found, others, evaluate(graph, arrays), strict=True):
        eps = 1e-4 if mine.dtype == F4 else 1e-11
        np.testing.assert_allclose(mine, right, rtol=eps, atol=eps * (1 + abs(right).max()))
        np.testing.assert_allclose(other, right, rtol=eps, atol=eps * (1 + abs(right).max()))
