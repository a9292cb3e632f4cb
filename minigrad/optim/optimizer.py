"""What all optimisers share: groups of parameters, their state, and a state dict."""

from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from minigrad.errors import GradientError, ShapeError, describe
from minigrad.tensors import Tensor

__all__ = ["Optimizer", "PlainArray", "State", "check_names", "follow", "pair_of"]

PlainArray = np.ndarray[Any, Any]
State = dict[str, Any]  # what an optimiser keeps of one parameter: by name, and its "steps"

SWITCHES = frozenset({"amsgrad", "centered", "decoupled_weight_decay", "maximize", "nesterov"})

# What PyTorch calls our arguments: whoever writes these is told so.
PYTORCH_NAMES = {
    "lr": "rate",
    "eps": "epsilon",
    "params": "parameters",
    "lr_decay": "rate_decay",
    "initial_accumulator_value": "initial_accumulator",
}


class Optimizer:
    """The base of optimisers.

    A subclass passes the defaults of its options to `__init__` and defines `update`.

    Args:
        parameters: the tensors to update, leaves; or groups of them: dicts with the key
            "parameters" and any of the options, which then hold for that group alone. Those that
            do not require grad are passed over.
        rate: the learning rate.
        maximize: go up along the gradient instead of down.
        options: the other options by name, with what they are where a group says nothing else.

    Zero-dimensional and empty parameters are updated like all others. What float16 parameters
    need is computed and kept in float32, in which squares of gradients neither overflow nor vanish.

    Attributes:
        groups: the groups, each with its parameters and all options; these may be changed
            between steps.
        steps: how many steps were made.

    Raises:
        GradientError: when no parameter is a leaf that requires grad, or one is no leaf.
        ValueError: when a parameter is there twice, or an option is out of its range.
        TypeError: for an unknown option, and for PyTorch's names of those that are named otherwise.
    """

    _fractions: ClassVar[frozenset[str]] = frozenset()  # the options that must be below 1
    _numbers: ClassVar[frozenset[str]] = frozenset()  # what of a state is a number, not an array

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        check_names(cls.__name__, kwargs)
        return object.__new__(cls)

    def __init__(
        self, parameters: Any, rate: float, *, maximize: bool = False, **options: Any
    ) -> None:
        self.defaults: dict[str, Any] = {"rate": rate, **options, "maximize": maximize}
        self.groups: list[dict[str, Any]] = []
        self.steps = 0
        self._state: dict[Tensor, State] = {}
        for group in _groups_of(type(self).__name__, parameters):
            self.add_group(group)
        if not self.parameters:
            raise GradientError(f"{type(self).__name__}: parameters is empty, nothing to optimise")
        if not any(parameter.requires_grad for parameter in self.parameters):
            raise GradientError(
                f"{type(self).__name__}: parameters[0] {describe(self.parameters[0])} is not a "
                "leaf that requires grad, nor is any other; make it with requires_grad=True."
            )

    def add_group(self, group: Mapping[str, Any]) -> None:
        """Update more parameters from now on.

        Args:
            group: a dict with the key "parameters" and any of the options.

        Raises:
            As the constructor.
        """
        name = type(self).__name__
        check_names(name, group)
        if "parameters" not in group:
            raise TypeError(f"{name}: a group must have the key 'parameters', got {list(group)}")
        for option in group.keys() - {"parameters"} - self.defaults.keys():
            raise TypeError(
                f"{name}: a group has the option {option!r}; known are "
                f"{', '.join(sorted(self.defaults))}"
            )
        given = group["parameters"]
        parameters = [given] if isinstance(given, Tensor) else list(given)
        known = {id(parameter) for parameter in self.parameters}
        for i, parameter in enumerate(parameters):
            if not isinstance(parameter, Tensor):
                raise TypeError(
                    f"{name}: parameters[{i}] must be a tensor, got {describe(parameter)}"
                )
            if not parameter.is_leaf:
                raise GradientError(
                    f"{name}: parameters[{i}] {describe(parameter)} is not a leaf that requires "
                    "grad: it was computed"
                )
            if id(parameter) in known:
                raise ValueError(
                    f"{name}: parameters[{i}] {describe(parameter)} is there twice, and would be "
                    "updated twice in every step"
                )
            known.add(id(parameter))
        options = {**self.defaults, **group, "parameters": parameters}
        self.check(options)
        self.groups.append(options)

    def check(self, options: Mapping[str, Any]) -> None:
        """Refuse options that are out of their range."""
        for option, value in options.items():
            low, high = (0.0, 1.0) if option in self._fractions else (0.0, np.inf)
            if option == "parameters":
                continue
            numbers = value if isinstance(value, tuple) else (value,)
            fits = [isinstance(number, (bool, np.bool_)) for number in numbers]
            words = "True or False"
            if option not in SWITCHES:
                fits = [isinstance(number, Real) for number in numbers]
                words = "a number" if len(numbers) == 1 else "numbers"
            if not all(fits):
                raise TypeError(
                    f"{type(self).__name__}: {option} must be {words}, got {describe(value)}"
                )
            if isinstance(value, (bool, np.bool_)):  # a subclass may have switches of its own
                continue
            for number in numbers:
                if not (low <= number < high):
                    words = "in [0, 1)" if high == 1 else "0 or more, and finite"
                    raise ValueError(
                        f"{type(self).__name__}: {option} must be {words}, got {value}"
                    )

    @property
    def parameters(self) -> list[Tensor]:
        """The parameters of all groups."""
        return [parameter for group in self.groups for parameter in group["parameters"]]

    @property
    def rate(self) -> float:
        """The learning rate of all groups; setting it sets them all.

        Raises:
            ValueError: on reading, when the groups differ.
        """
        rates = [group["rate"] for group in self.groups]
        if any(rate != rates[0] for rate in rates):
            raise ValueError(
                f"{type(self).__name__}: the groups have the rates {rates}; read "
                'groups[i]["rate"] instead'
            )
        return float(rates[0])

    @rate.setter
    def rate(self, value: float) -> None:
        for group in self.groups:
            group["rate"] = value
            group.pop("base_rate", None)  # a schedule that is made now starts from this one

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters:
            if parameter.requires_grad:
                parameter.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient; on an error nothing is changed."""
        pending: list[tuple[Tensor, State, PlainArray]] = []
        for group in self.groups:
            for parameter in group["parameters"]:
                if parameter.grad is not None:
                    state = dict(self._state.get(parameter, {"steps": 0}))
                    pending.append((parameter, state, self._updated(parameter, state, group)))
        for parameter, state, value in pending:
            parameter.write(value)
            self._state[parameter] = state
        self.steps += 1

    def _updated(self, parameter: Tensor, state: State, group: Mapping[str, Any]) -> PlainArray:
        """The new value of a parameter; its state is a copy, in which arrays are replaced."""
        assert parameter.grad is not None
        value, gradient = _working(parameter.numpy()), _working(parameter.grad.numpy())
        if group["maximize"]:
            gradient = -gradient
        if state["steps"] == 0:
            self.begin(state, value, group)
        else:
            _fit(state, value.dtype)
        state["steps"] += 1
        new = np.asarray(self.update(value, gradient, state, group))
        if new.shape != value.shape:
            raise ShapeError(
                f"{type(self).__name__}: update must return the new value of {describe(parameter)}"
                f", got {describe(new)}"
            )
        return new.reshape(parameter.shape).astype(parameter.dtype, copy=False)

    def begin(self, state: State, value: PlainArray, options: Mapping[str, Any]) -> None:
        """Fill the state of one parameter before its first update."""

    def update(
        self, value: PlainArray, gradient: PlainArray, state: State, options: Mapping[str, Any]
    ) -> PlainArray:
        """The new value of one parameter, as a new array.

        Args:
            value, gradient: not to be written to; of one axis or more, and float32 for float16.
            state: its own to keep, by name; "steps" counts its updates, this one included. Arrays
                in it are replaced, not written to, so that a step that fails leaves them alone.
            options: of its group.
        """
        raise AttributeError(f"{type(self).__name__} defines no update")

    # -- saving and loading ----------------------------------------------------------------------

    def state_dict(self) -> dict[str, PlainArray]:
        """All that a run needs to go on exactly, as arrays by name: `minigrad.save` takes it.

        "steps"; "groups.0.rate" and so on, "groups.0.parameters" with the numbers of its
        parameters; and "state.3.mean" and so on for the parameter with the number 3.
        """
        arrays: dict[str, Any] = {"steps": self.steps}
        numbers = {id(parameter): i for i, parameter in enumerate(self.parameters)}
        for i, group in enumerate(self.groups):
            for name, value in group.items():
                if name == "parameters":
                    value = np.array([numbers[id(parameter)] for parameter in value], np.int64)
                arrays[f"groups.{i}.{name}"] = value
        for parameter in self.parameters:
            for name, value in self._state.get(parameter, {}).items():
                if isinstance(value, np.ndarray):
                    value = value.reshape(parameter.shape)
                arrays[f"state.{numbers[id(parameter)]}.{name}"] = value
        return {name: np.array(value) for name, value in arrays.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; on an error nothing is changed.

        Parameters are known by their order, so this optimiser must have been made like that one.

        Raises:
            KeyError: listing what is missing, unexpected or misshapen.
        """
        arrays = {name: np.asarray(value) for name, value in state.items()}
        parameters = self.parameters
        problems, groups = [], [dict(group) for group in self.groups]
        states: dict[Tensor, State] = {}
        if "steps" not in arrays:
            problems.append("missing: steps")
        start = 0
        for i, group in enumerate(groups):
            stop = start + len(group["parameters"])
            numbers = arrays.get(f"groups.{i}.parameters")
            if numbers is None or numbers.tolist() != list(range(start, stop)):
                problems.append(
                    f"group {i} has {stop - start} parameters here and "
                    f"{'none' if numbers is None else numbers.size} there"
                )
            missing = [
                name
                for name in self.defaults  # files from before there was `maximize` lack it
                if f"groups.{i}.{name}" not in arrays and name != "maximize"
            ]
            problems += [f"missing: groups.{i}.{name}" for name in missing]
            start = stop
        for key, array in arrays.items():
            kind, _, rest = key.partition(".")
            index, _, name = rest.partition(".")
            number = int(index) if index.isdecimal() else -1
            if kind == "state" and 0 <= number < len(parameters) and name:
                parameter = parameters[number]
                if name == "steps":
                    value: Any = int(array)
                elif name in self._numbers and array.size == 1:
                    value = float(array)
                elif array.shape == parameter.shape:
                    value = _working(array.astype(_working(parameter.numpy()).dtype))
                else:
                    problems.append(f"{key} has shape {array.shape} for {describe(parameter)}")
                    continue
                states.setdefault(parameter, {})[name] = value
            elif kind == "state" and index:
                problems.append(
                    f"state of parameter {index}, but there are {len(parameters)} parameters"
                )
            elif kind == "groups" and 0 <= number < len(groups) and name:
                if name != "parameters":
                    value = array.tolist()
                    groups[number][name] = tuple(value) if isinstance(value, list) else value
            elif key != "steps":
                problems.append(f"unexpected: {key}")
        if problems:
            raise KeyError(f"{type(self).__name__}.load_state_dict: {'; '.join(problems)}")
        self.steps, self._state = int(arrays["steps"]), states
        for group, loaded in zip(self.groups, groups, strict=True):
            group.pop("base_rate", None)
            group.update(loaded)

    def __repr__(self) -> str:
        lines = []
        for group in self.groups:
            shown = {"parameters": len(group["parameters"])} | {
                name: value for name, value in group.items() if name != "parameters"
            }
            lines.append(", ".join(f"{name}={value}" for name, value in shown.items()))
        name = type(self).__name__
        return (
            f"{name}({lines[0]})" if len(lines) == 1 else "\n  ".join([f"{name}(", *lines]) + "\n)"
        )


def follow(state: State, name: str, value: PlainArray, keep: float) -> PlainArray:
    """A moving average of a state, one step on: keep average + (1 - keep) value."""
    average: PlainArray = state[name] * keep
    average += (1 - keep) * value
    state[name] = average
    return average


def pair_of(owner: str, name: str, value: Any) -> tuple[Any, ...]:
    """An option that is a pair of numbers.

    Raises:
        TypeError: when it is none.
    """
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{owner}: {name} must be a pair of numbers, got {describe(value)}")
    return tuple(value)


def check_names(
    owner: str, given: Mapping[str, Any], theirs: Mapping[str, str] = PYTORCH_NAMES
) -> None:
    """Refuse PyTorch's names of arguments that are called otherwise here.

    Raises:
        TypeError: with what to write instead.
    """
    for name in given:
        if name in theirs:
            raise TypeError(
                f"{owner}: the argument {name}= of PyTorch is called {theirs[name]}= here: write "
                f"{theirs[name]}={describe(given[name])}"
            )


def _groups_of(owner: str, parameters: Any) -> list[Mapping[str, Any]]:
    """The groups in what a user passed as parameters."""
    if isinstance(parameters, Tensor):
        return [{"parameters": [parameters]}]
    if hasattr(parameters, "parameters") or not isinstance(parameters, Iterable):
        raise TypeError(
            f"{owner}: parameters must be a sequence of tensors or of groups, got "
            f"{type(parameters).__name__}; for a module, pass module.parameters()"
        )
    given = list(parameters)
    if given and all(isinstance(group, Mapping) for group in given):
        return given
    return [{"parameters": given}] if given else []


def _working(array: PlainArray) -> PlainArray:
    """An array as updates see it: of one axis or more, since ufuncs make scalars of others."""
    wide = array.astype(np.float32) if array.dtype == np.float16 else array
    return wide if wide.ndim else wide.reshape(1)


def _fit(state: State, dtype: Any) -> None:
    """Convert the arrays of a state whose parameter was converted in between."""
    for name, entry in state.items():
        if isinstance(entry, np.ndarray) and entry.dtype != dtype:
            state[name] = entry.astype(dtype)
