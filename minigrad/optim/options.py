"""Options of optimisers: their names, their ranges, and the groups that they are given by."""

import math
import warnings
from collections.abc import Collection, Container, Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np

from minigrad.core.errors import describe
from minigrad.core.tensors import Tensor

__all__ = [
    "check_names",
    "check_ranges",
    "groups_of",
    "pair_of",
    "plain_options",
    "warnings_raise",
    "with_rate",
]

SWITCHES = frozenset({"amsgrad", "centered", "decoupled_weight_decay", "maximize", "nesterov"})

# What PyTorch calls our arguments: whoever writes these is told so.
PYTORCH_NAMES = {
    "eps": "epsilon",
    "params": "parameters",
    "lr_decay": "rate_decay",
    "initial_accumulator_value": "initial_accumulator",
}


def check_ranges(
    owner: str,
    options: Mapping[str, Any],
    defaults: Mapping[str, Any],
    fractions: Container[str],
) -> None:
    """Refuse options that are no numbers, or none in their range: [0, 1) for fractions.

    Those whose default is a tuple must be as many numbers.

    Raises:
        TypeError, ValueError: naming the option.
    """
    for option, value in options.items():
        high = 1.0 if option in fractions else math.inf
        default = defaults.get(option)
        # What is usual, quickly: under a schedule, options are checked in every step.
        if value.__class__ is bool:  # a subclass may have switches of its own
            continue
        if value.__class__ is default.__class__ is float and 0 <= value < high:
            continue
        if option == "parameters":
            continue
        numbers, words = (value,), "a number"
        if isinstance(default, tuple):
            numbers, words = value, "numbers"
            if not isinstance(value, tuple) or len(value) != len(default):
                raise TypeError(
                    f"{owner}: {option} must be {len(default)} numbers, got {describe(value)}"
                )
        fits = [isinstance(number, Real) for number in numbers]
        if option in SWITCHES:
            fits, words = [False], "True or False"
        if not all(fits):
            raise TypeError(f"{owner}: {option} must be {words}, got {describe(value)}")
        for number in numbers:
            if not (0 <= number < high):
                words = "in [0, 1)" if high == 1 else "0 or more, and finite"
                raise ValueError(f"{owner}: {option} must be {words}, got {value}")


def plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with NumPy's numbers as Python's, which do not widen float32, and lists as tuples."""
    plain = dict(options)
    for option, value in options.items():
        if value.__class__ is float or value.__class__ is bool:
            continue
        if isinstance(value, np.generic):
            plain[option] = value.item()
        elif isinstance(value, (tuple, list)) and option != "parameters":
            plain[option] = tuple(x.item() if isinstance(x, np.generic) else x for x in value)
    return plain


def pair_of(owner: str, name: str, value: Any) -> tuple[Any, ...]:
    """An option that is a pair of numbers.

    Raises:
        TypeError: when it is none.
    """
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{owner}: {name} must be a pair of numbers, got {describe(value)}")
    return tuple(value)


def warnings_raise(handling: Mapping[str, str]) -> bool:
    """Whether what NumPy warns of, such as an overflow, is an error now.

    Args:
        handling: as `numpy.geterr` tells it.
    """
    global _last
    filters, before, answer = _last
    if warnings.filters != filters or handling != before:  # every step asks; mostly the same
        answer = _raised_by(handling.values())
        _last = list(warnings.filters), dict(handling), answer
    return answer


_last: tuple[Any, Mapping[str, str], bool] = [], {}, False


def _raised_by(actions: Collection[str]) -> bool:
    if "raise" in actions or "call" in actions:
        return True
    for action, message, category, module, _ in warnings.filters:
        if "warn" in actions and issubclass(RuntimeWarning, category):
            if action == "error":
                return True
            if message is None and module is None:  # which hides all filters after it
                return False
    return False


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


def with_rate(owner: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments in which `lr`, PyTorch's name of the rate, is called `rate`.

    Raises:
        TypeError: when both are given.
    """
    renamed = {"rate" if name == "lr" else name: value for name, value in given.items()}
    if len(renamed) < len(given):
        raise TypeError(f"{owner}: lr= and rate= are the same argument; give one of them")
    return renamed


class OptimizerType(type):
    """Lets every optimiser be called with `lr=`, as PyTorch has it, in place of `rate=`."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **with_rate(cls.__name__, kwargs))


def groups_of(owner: str, parameters: Any) -> list[Mapping[str, Any]]:
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
