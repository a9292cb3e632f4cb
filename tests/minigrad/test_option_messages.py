"""Options of the wrong kind: the message begins with the function called and names the argument.

Every call of `numpy_calls.txt` that this NumPy knows is made again with a text, 1.5, None and a
list with None in the place of each of its options.
"""

import ast
import inspect
import re

import numpy as np
import pytest

import minigrad as mg
from minigrad.numpy_api.protocols import numpy_functions
from tests.minigrad.test_numpy_dtypes import CALLS

OPTIONS = set(
    re.findall(
        r"\w+",
        """
        axis axis1 axis2 axisa axisb axisc axes k n N q ddof correction offset decimals shift
        repeats kth indices_or_sections a_min a_max min max dx rcond rtol atol ord tol M num
        start step edge_order nan posinf neginf reps shape size kind side method mode keepdims p
        prepend append source destination pad_width
        """,
    )
)
VALUES = ("'a'", "1.5", "None", "[0.1, None]")
ALIASES = {"np.concat": "concatenate", "np.permute_dims": "transpose"}
"""Names of functions that are one object with another one, by whose name they go."""


def tensors():
    rows = np.array([[1.0, 3.0, 2.0], [4.0, 0.0, 5.0]])
    square = np.eye(3) * 4 + 1
    arrays = {
        "x": rows,
        "z": rows + 1,
        "v": rows[0],
        "v_sorted": np.sort(rows[0]),
        "A": square,
        "S": square,
        "f": rows / 10,
    }
    made = {name: mg.Tensor(a, requires_grad=True) for name, a in arrays.items()}
    return {"np": np, "mg": mg, "m": rows > 1, **made}


def with_option(tree, place, option, value):
    """The text of a call with another value for one of its options."""
    call = ast.parse(ast.unparse(tree), mode="eval").body
    replaced = ast.parse(value, mode="eval").body
    if place < len(call.args):
        call.args[place] = replaced
    else:
        call.keywords = [w for w in call.keywords if w.arg != option]
        call.keywords.append(ast.keyword(option, replaced))
    return ast.unparse(call)


def cases():
    found = {}
    for line in CALLS:
        if not line.startswith("np.") or "weights=" in line:
            continue
        tree = ast.parse(line.strip(), mode="eval").body
        if not isinstance(tree, ast.Call):
            continue
        name = ast.unparse(tree.func)
        function = eval(name, {"np": np})
        ours = numpy_functions.get(function)
        try:
            parameters = list(inspect.signature(function).parameters)
        except ValueError:  # functions of C
            parameters = list(inspect.signature(ours).parameters)
        for place, option in enumerate(parameters):
            if option in OPTIONS and (name, option) not in found:
                calls = [with_option(tree, place, option, value) for value in VALUES]
                found[name, option] = list(zip(calls, VALUES, strict=True))
    return found


CASES = cases()
OURS = sorted(
    (name, option)
    for name, option in CASES
    if getattr(mg, (ours := numpy_functions[eval(name, {"np": np})]).__name__, None) is ours
    and option in inspect.signature(ours).parameters
)
"""The cases of functions that minigrad has too, under a name of its own and with the option's."""


def test_there_are_many():
    assert len(CASES) > 200
    assert len(OURS) > 180


def assert_named(calls, function, option):
    """Assert that what refuses a value names the function and the option, and that some are."""
    refused = 0
    for call, value in calls:
        try:
            eval(call, tensors())
        except Exception as error:
            message = str(error)
        else:
            continue  # the value is one that the function takes
        refused += 1
        assert re.match(rf"(\w+\.)*{function}\b", message), f"{call} says: {message}"
        named = re.search(rf"\b{option}\b", message) or value in message
        assert named, f"{call} says: {message}"
    # Some functions of NumPy take anything that is true or false as keepdims.
    assert refused or option == "keepdims", f"none of these is refused: {calls}"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("name", "option"), sorted(CASES))
def test_the_function_and_the_option_are_named(name, option):
    assert_named(CASES[name, option], ALIASES.get(name, name.rpartition(".")[2]), option)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("name", "option"), OURS)
def test_our_own_function_names_itself(name, option):
    own = numpy_functions[eval(name, {"np": np})].__name__
    calls = [(c.replace(f"{name}(", f"mg.{own}(", 1), value) for c, value in CASES[name, option]]
    assert_named(calls, own, option)
