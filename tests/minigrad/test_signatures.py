"""Signatures, in both directions: what is declared of `Tensor` is what is bound, with the same
kinds and defaults; and what stands for a function of NumPy has its parameters, or an exception
that is named here.
"""

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import tensors
from minigrad.numpy_api.protocols import METADATA, numpy_functions, public_name

PROTOCOLS = {"__array_function__", "__array_ufunc__", "__reduce_ex__"}
"""What is bound without a declaration: NumPy and pickle call these."""

# -- what is declared of Tensor --------------------------------------------------------------------


def declarations():
    """The syntax of every method that the stub declares for type checkers, by name."""
    stub = Path(mg.__file__).parent / "core" / "methods.pyi"
    tree = ast.parse(stub.read_text(encoding="utf-8"))
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


DECLARED = declarations()


def is_property(node):
    return any(ast.unparse(decorator) == "property" for decorator in node.decorator_list)


def declared_signature(node):
    """The signature of a declaration, without annotations."""
    for part in ast.walk(node.args):
        if isinstance(part, ast.arg):
            part.annotation = None
    return inspect.signature(eval(f"lambda {ast.unparse(node.args)}: None", {}))


def compared(signature, named):
    """What is compared of a signature: everything but annotations; names where they can be used."""
    return [
        (p.name if named else "", p.kind.name, p.default)
        for p in list(signature.parameters.values())[1:]
    ]


def test_what_is_declared_is_bound_and_the_other_way_round():
    assert len(DECLARED) > 150
    assert set(tensors.methods) - PROTOCOLS == set(DECLARED)
    for name, node in DECLARED.items():
        bound = inspect.getattr_static(tensors.Tensor, name)
        assert isinstance(bound, property) == is_property(node), name


METHODS = sorted(name for name, node in DECLARED.items() if not is_property(node))


@pytest.mark.parametrize("name", METHODS)
def test_declared_parameters_are_those_bound(name):
    bound = inspect.signature(inspect.getattr_static(tensors.Tensor, name))
    named = not (name.startswith("__") and name.endswith("__"))  # Python gives these by position
    assert compared(declared_signature(DECLARED[name]), named) == compared(bound, named)


REQUIRED = {
    "astype": ("float32",),
    "broadcast_to": ((2, 3, 3),),
    "choose": (np.zeros((2, 3, 3)),),
    "compress": ([True, False, True],),
    "expand_dims": (0,),
    "moveaxis": (0, 1),
    "pad": (1,),
    "quantile": (0.5,),
    "repeat": (2,),
    "reshape": (9,),
    "roll": (1,),
    "scatter_add": ([0, 1], np.ones((2, 3))),
    "searchsorted": (0.5,),
    "split": (3,),
    "swapaxes": (0, 1),
    "take": ([0, 1],),
    "take_along_axis": (np.zeros((3, 1), int),),
    "tile": (2,),
    "topk": (1,),
    "argpartition": (1,),
    "partition": (1,),
    "fill": (2.0,),
}
WITH_OPTIONS = [
    name
    for name in METHODS
    if not name.startswith("__")
    and name != "backward"  # it needs a graph, see test_tape.py
    and any(
        p.default is not p.empty
        for p in list(declared_signature(DECLARED[name]).parameters.values())[1:]
    )
]


@pytest.mark.parametrize("name", WITH_OPTIONS)
def test_defaults_that_are_given_by_name_change_nothing(name):
    """A signature may say what the function does not do: here it is called as declared."""
    parameters = declared_signature(DECLARED[name]).parameters
    options = {key: p.default for key, p in parameters.items() if p.default is not p.empty}
    data = np.array([[3.0, 1.0, 2.0], [0.5, 0.25, 4.0], [1.5, 2.5, 0.75]])
    if name == "choose":
        data = np.zeros((3, 3), int)
    elif name == "searchsorted":
        data = np.array([0.25, 0.5, 1.0])
    results = []
    for given in ({}, options):
        tensor = mg.Tensor(data)
        if name == "clip":  # which must be given a bound
            given = {**given, "max": 1.0}
        result = getattr(tensor, name)(*REQUIRED.get(name, ()), **given)
        results.append(tensor if result is None else result)
    plain, explicit = (r if isinstance(r, (tuple, list)) else [r] for r in results)
    for one, other in zip(plain, explicit, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one.numpy(), other.numpy())


# -- operations that stand for functions of NumPy --------------------------------------------------

MISSING_ANYWHERE = {
    "out": "taken by the protocol: a tensor gets the result in place",
    "subok": "tensors have no subclasses of NumPy's kind",
    "order": "of memory, which says nothing of a tensor; names of fields, which tensors lack",
    "device": "there is one",
    "casting": "of dtype=, which is missing beside it",
    "overwrite_input": "nothing is ever overwritten",
    "kind": "the way of sorting or searching, which changes no result",
}
"""Parameters that NumPy's functions have and ours do not, and why."""

MISSING = {
    **{f"np.{name}": {"dtype"} for name in ("concatenate", "hstack", "stack", "vstack")},
    **{f"np.{name}": {"mean"} for name in ("std", "var", "nanstd", "nanvar")},
    "np.astype": {"copy"},
    "np.cov": {"fweights", "aweights"},
    "np.einsum_path": {"einsum_call"},
    "np.interp": {"period"},
    "np.reshape": {"copy"},
    "np.where": {"x", "y"},
}
"""More of them, by function; a call that gives one is refused, unless it is the default."""

ADDED = {
    "np.argsort": {"descending"},
    "np.sort": {"descending"},
    "np.pad": {"constant_values", "end_values", "stat_length", "reflect_type"},  # NumPy's **kwargs
}
"""Options that ours have and NumPy's functions do not, or take under no name.

NumPy's sort has `descending` from 2.5 on.
"""

OTHER_DEFAULTS = {("np.einsum", "optimize")}
"""Ours finds a good order of products itself."""

OTHER_REQUIRED = {"np.put_along_axis"}
"""In older versions of NumPy its axis has no default."""


def standing_for():
    """Pairs of a NumPy function and ours by name; ufuncs and their methods have one signature."""
    found = {}
    for theirs, ours in numpy_functions.items():
        of_ufunc = isinstance(theirs, np.ufunc) or isinstance(
            getattr(theirs, "__self__", None), np.ufunc
        )
        if theirs in METADATA or of_ufunc:
            continue
        try:
            inspect.signature(theirs)
        except ValueError:  # functions of C in older versions of NumPy
            continue
        found[public_name(theirs)] = theirs, ours
    return found


PAIRS = standing_for()


def parameters(function):
    found = {p.name: p for p in inspect.signature(function).parameters.values()}
    return {k: p for k, p in found.items() if k != "like" and p.kind is not p.VAR_KEYWORD}


def options(function):
    return {name: p for name, p in parameters(function).items() if p.default is not p.empty}


def required(function):
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    found = parameters(function).values()
    return [p.name for p in found if p.default is p.empty and p.kind in kinds]


def test_there_are_many_pairs():
    assert len(PAIRS) > 150


@pytest.mark.present_numpy
@pytest.mark.parametrize("name", sorted(PAIRS))
def test_no_parameter_of_numpy_is_missing_and_none_is_added(name):
    theirs, ours = PAIRS[name]
    if name not in OTHER_REQUIRED:
        assert len(required(theirs)) == len(required(ours))
    missing = options(theirs).keys() - parameters(ours).keys() - MISSING_ANYWHERE.keys()
    added = options(ours).keys() - parameters(theirs).keys()
    assert missing == MISSING.get(name, set())
    assert added == ADDED.get(name, set()) - parameters(theirs).keys()


@pytest.mark.present_numpy
@pytest.mark.parametrize("name", sorted(PAIRS))
def test_options_have_the_defaults_and_kinds_of_numpy(name):
    theirs, ours = (options(function) for function in PAIRS[name])
    for option in theirs.keys() & ours.keys() - {o for n, o in OTHER_DEFAULTS if n == name}:
        default, own = theirs[option].default, ours[option].default
        if default is np._NoValue:  # which the protocol leaves out
            flags = ("keepdims", "descending")
            assert own is (False if option in flags else None), option
        else:
            assert type(own) is type(default), option
            assert own == default, option
    # By position in NumPy, ours may take it by name alone: the protocol gives it so. What both
    # take by position stands in the same place, or the protocol would mix them up.
    places = [
        [p for p in part if part[p].kind is part[p].POSITIONAL_OR_KEYWORD]
        for part in (theirs, ours)
    ]
    shared = [[p for p in own if p in other] for own, other in (places, places[::-1])]
    assert shared[0] == shared[1]


@pytest.mark.present_numpy
def test_no_exception_is_left_over():
    known = {name: parameters(theirs).keys() for name, (theirs, _) in PAIRS.items()}
    assert set(MISSING) | set(ADDED) | {name for name, _ in OTHER_DEFAULTS} <= set(PAIRS)
    for option in MISSING_ANYWHERE:
        assert any(
            option in of_theirs and option not in parameters(PAIRS[name][1])
            for name, of_theirs in known.items()
        ), option


GIVEN = {
    "np.concatenate": (lambda x: ([x, x],), {"dtype": "float32"}),
    "np.cov": (lambda x: (x,), {"fweights": [1, 2, 1]}),
    "np.interp": (lambda x: ([0.5], [0.0, 1.0], x[0, :2]), {"period": 1.0}),
    "np.hstack": (lambda x: ([x, x],), {"dtype": "float32"}),
    "np.stack": (lambda x: ([x, x],), {"dtype": "float32"}),
    "np.std": (lambda x: (x,), {"mean": 1.0}),
    "np.var": (lambda x: (x,), {"mean": 1.0}),
    "np.vstack": (lambda x: ([x, x],), {"dtype": "float32"}),
}


@pytest.mark.present_numpy
@pytest.mark.parametrize("name", sorted(GIVEN))
def test_what_is_missing_is_refused_and_not_passed_over(name):
    make, keywords = GIVEN[name]
    x = mg.Tensor(np.eye(3), requires_grad=True)
    with pytest.raises(mg.DtypeError, match=f"{next(iter(keywords))}=.* is not supported"):
        PAIRS[name][0](*make(x), **keywords)


def test_old_names_of_two_inputs_go_on_for_this_version():
    with pytest.warns(DeprecationWarning, match="multiply: the argument z= is called x2= now"):
        product = mg.multiply(mg.Tensor(2.0), z=3.0)
    assert product.item() == 6.0
    with pytest.raises(TypeError, match="unexpected keyword argument 'w'"):
        mg.multiply(2.0, w=3.0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'x'"):
        mg.multiply(x=1.0, x1=2.0, x2=3.0)
