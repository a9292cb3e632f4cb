"""What an optimiser takes over from a state dict, read whole and checked before it is used."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from minigrad.core.errors import describe
from minigrad.core.nodes import PlainArray
from minigrad.core.tensors import Tensor
from minigrad.io.state_dicts import StateDictError, count_of, entry_of, number_of, real_of
from minigrad.optim.options import plain_options
from minigrad.optim.states import State, working, working_dtype

__all__ = ["Loaded", "read_state"]


class Loaded(NamedTuple):
    """What `Optimizer.state_dict` gave, as an optimiser keeps it.

    Attributes:
        steps: how many were made.
        groups: each with all options and its parameters.
        states: of the parameters that have one.
    """

    steps: int
    groups: list[dict[str, Any]]
    states: dict[Tensor, State]


def read_state(optimizer: Any, state: Mapping[str, Any]) -> Loaded:
    """Read a state dict for an optimiser, which stays as it is.

    Raises:
        StateDictError: listing what is missing, unexpected, misshapen or out of its range.
    """
    owner = f"{type(optimizer).__name__}.load_state_dict"
    arrays = {name: entry_of(owner, state, name) for name in state}
    groups, problems = _read_groups(optimizer, arrays)
    parameters: list[Tensor] = optimizer.parameters
    states: dict[Tensor, State] = {}
    steps = 0
    for key, array in arrays.items():
        kind, _, rest = key.partition(".")
        index, _, name = rest.partition(".")
        number = int(index) if index.isdecimal() and len(index) < 10 else -1
        try:
            if key == "steps":
                steps = count_of(key, array)
            elif kind == "state" and 0 <= number < len(parameters) and name:
                parameter = parameters[number]
                value = _read_entry(optimizer, key, name, array, parameter)
                states.setdefault(parameter, {})[name] = value
            elif kind == "state" and index:
                problems.append(
                    f"state of parameter {index:.20}, but there are {len(parameters)} parameters"
                )
            elif not (kind == "groups" and 0 <= number < len(groups) and name):
                problems.append(f"unexpected: {key}")
        except StateDictError as error:
            problems.append(str(error))
    for number, parameter in enumerate(parameters):
        begun: State = {"steps": 0}
        if parameter in states:
            optimizer.begin(begun, working(parameter.numpy()), optimizer.groups[0])
            needed = [f"state.{number}.{name}" for name in sorted(begun)]
            problems += [f"missing: {key}" for key in needed if key not in arrays]
    if problems:
        raise StateDictError(f"{owner}: {'; '.join(problems)}")
    return Loaded(steps, groups, states)


def _read_groups(
    optimizer: Any, arrays: Mapping[str, PlainArray]
) -> tuple[list[dict[str, Any]], list[str]]:
    """The groups with the options that were saved, and what is wrong with them."""
    problems = [] if "steps" in arrays else ["missing: steps"]
    groups = [dict(group) for group in optimizer.groups]
    start = 0
    for i, group in enumerate(groups):
        stop = start + len(group["parameters"])
        numbers = arrays.get(f"groups.{i}.parameters")
        if numbers is None or numbers.tolist() != list(range(start, stop)):
            problems.append(
                f"group {i} has {stop - start} parameters here and "
                f"{'none' if numbers is None else numbers.size} there"
            )
        start = stop
        problems += [
            f"missing: groups.{i}.{name}"
            for name in optimizer.defaults  # files from before there was `maximize` lack it
            if f"groups.{i}.{name}" not in arrays and name != "maximize"
        ]
        group.pop("base_rate", None)  # it is in the state if a schedule had set the rate
        begin = f"groups.{i}."
        saved = {k.removeprefix(begin): a for k, a in arrays.items() if k.startswith(begin)}
        options = {name: a.tolist() for name, a in saved.items() if name not in ("parameters", "")}
        group.update(plain_options(options))
        try:
            optimizer.check(group)
        except (TypeError, ValueError) as error:
            problems.append(f"groups.{i}: {error}")
    return groups, problems


def _read_entry(
    optimizer: Any, key: str, name: str, array: PlainArray, parameter: Tensor
) -> "int | float | PlainArray":
    """One entry of the state of a parameter.

    Raises:
        StateDictError: when it is misshapen or out of its range.
    """
    if name == "steps":
        return count_of(key, array)
    if name in optimizer._numbers and array.size == 1:
        most, number = optimizer._numbers[name], number_of(key, array, 0)
        if number > most:
            raise StateDictError(f"{key} must be at most {most}, got {number}")
        return number
    if array.shape != parameter.shape:
        raise StateDictError(f"{key} has shape {array.shape} for {describe(parameter)}")
    dtype = working_dtype(parameter.numpy())
    if name in optimizer._sizes:  # squares of large gradients are infinite, and stay so
        return working(real_of(key, array, 0, endless=True, dtype=dtype))
    return working(real_of(key, array, dtype=dtype))
