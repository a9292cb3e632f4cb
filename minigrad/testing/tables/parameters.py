"""How random programs draw the parameters of a call: axes, indices, widths.

Each function takes hypothesis' `draw` and the shapes of the inputs, and returns the parameters by
name; those that take anything else return such a function.
"""

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minigrad.testing.tables.specifications import Draw, Shape

__all__: list[str] = []


def axis(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    count = len(shapes[0])
    return {"axis": draw(st.integers(-count, count - 1))}


def axes(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    """None, an axis, or several."""
    count = len(shapes[0])
    several = st.lists(st.integers(0, count - 1), min_size=1, unique=True).map(tuple)
    choice = st.none() if not count else st.none() | st.integers(-count, count - 1) | several
    return {"axis": draw(choice)}


def reducing(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    return {**axes(draw, shapes), "keepdims": draw(st.booleans())}


def triangle(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    return {"k": draw(st.integers(-1, 1))}


def diagonal(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    rows, columns = shapes[0][:2]
    return {"offset": draw(st.integers(-rows + 1, columns - 1))}


def reshape(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    size = math.prod(shapes[0])
    rows = draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0]))
    return {
        "shape": draw(st.sampled_from([(rows, -1), (-1,), (rows, 1, size // rows)])),
        "order": draw(st.sampled_from("CF")),
    }


def transpose(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    return {"axes": tuple(draw(st.permutations(range(len(shapes[0])))))}


def two_axes(first: str, second: str) -> Any:
    def params(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
        places = st.integers(-len(shapes[0]), len(shapes[0]) - 1)
        return {first: draw(places), second: draw(places)}

    return params


def wider(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    (shape,) = shapes
    grown = tuple(draw(st.integers(1, 3)) if n == 1 else n for n in shape)
    return {"shape": (*draw(st.sampled_from([(), (2,)])), *grown)}


def index(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    """An index of each kind that NumPy has."""
    length = shapes[0][0]
    place = st.integers(-length, length - 1)
    several = st.lists(place, min_size=1, max_size=4)
    kinds = [
        place,
        place.map(lambda i: (Ellipsis, slice(i % length, None))[::-1]),
        st.just((None, slice(None, None, -1))),
        several,
        st.lists(st.booleans(), min_size=length, max_size=length).map(np.array),
    ]
    if len(shapes[0]) > 1:
        kinds += [
            several.map(lambda rows: (rows, -1)),
            several.map(lambda rows: (np.array(rows)[:, None], slice(0, 1))),
        ]
    return {"index": draw(st.one_of(kinds))}


def places(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    count = len(shapes[0])
    axis = draw(st.integers(0, count - 1))
    place = st.integers(-shapes[0][axis], shapes[0][axis] - 1)
    return {"indices": draw(st.lists(place, min_size=1, max_size=4)), "axis": axis}


def places_along(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    """One to three places along an axis, the same for each line or not."""
    shape = list(shapes[0])
    axis = draw(st.integers(0, len(shape) - 1))
    length, shape[axis] = shape[axis], draw(st.integers(1, 3))
    code = draw(st.integers(0, 1000))
    numbers = np.arange(math.prod(shape)) * 7 + code
    return {"indices": numbers.reshape(shape) % length, "axis": axis}


def repeats(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    axis = draw(st.integers(0, len(shapes[0]) - 1))
    length = shapes[0][axis]
    counts = st.lists(st.integers(0, 2), min_size=length, max_size=length)
    return {"repeats": draw(st.integers(1, 2) | counts), "axis": axis}


def shifts(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    return {"shift": draw(st.integers(-3, 3)), **axis(draw, shapes)}


def widths(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    pair = st.tuples(st.integers(0, 2), st.integers(0, 1))
    modes = st.sampled_from(["constant", "edge", "reflect", "symmetric", "wrap"])
    return {"pad_width": [draw(pair) for _ in shapes[0]], "mode": draw(modes)}


def contracted(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    return {"axes": draw(st.sampled_from([0, 1, (-1, 0), ([0], [-1])]))}


def table_rows(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    place = st.integers(0, shapes[0][0] - 1)
    return {"index": np.array(draw(st.lists(place, min_size=1, max_size=4)))}


def targets(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    count, classes = shapes[0]
    places = st.lists(st.integers(0, classes - 1), min_size=count, max_size=count)
    smoothing = draw(st.sampled_from([0.0, 0.1]))
    return {"target": np.array(draw(places)), "label_smoothing": smoothing}


def windows(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    return {"stride": draw(st.integers(1, 2)), "padding": draw(st.integers(0, 1))}


def fixed(**choices: Any) -> Any:
    def params(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
        return {name: draw(st.sampled_from(values)) for name, values in choices.items()}

    return params
