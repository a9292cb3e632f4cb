"""What all optimisers share: groups of parameters, their state, and a state dict."""

from collections.abc import Mapping
from operator import is_
from typing import Any, ClassVar

import numpy as np

from minigrad.core.errors import GradientError, ShapeError, describe
from minigrad.core.nodes import PlainArray
from minigrad.core.tensors import Tensor
from minigrad.ops.parts import refuse_part
from minigrad.optim.loading import Loaded, read_state
from minigrad.optim.options import (
    OptimizerType,
    check_names,
    check_ranges,
    groups_of,
    plain_options,
    warnings_raise,
    with_rate,
)
from minigrad.optim.states import State, fitting, working
from minigrad.optim.together.ready import Job, Point, Ready, by_point
from minigrad.optim.together.updates import update_together

__all__ = ["Optimizer"]


class Optimizer(metaclass=OptimizerType):
    """The base of optimisers.

    A subclass passes the defaults of its options to `__init__` and defines `update`.

    Args:
        parameters: the tensors to update, leaves; or groups of them: dicts with the key
            "parameters" and any of the options, which then hold for that group alone. Those that
            do not require grad are passed over.
        rate: the learning rate; `lr` is another name for it, also in groups.
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
    _numbers: ClassVar[Mapping[str, float]] = {}  # what of a state is a number, and its largest
    _sizes: ClassVar[frozenset[str]] = frozenset()  # the arrays of a state that are 0 or more
    _zeros: ClassVar[tuple[str, ...]] = ()  # the arrays of a state that begin at zero

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
        self._seen: list[dict[str, Any]] = []  # the groups as they were last checked
        self._ready = Ready()
        for group in groups_of(type(self).__name__, parameters):
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
        group = with_rate(name, group)
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
        options = plain_options({**self.defaults, **group, "parameters": parameters})
        self.check(options)
        self.groups.append(options)

    def check(self, options: Mapping[str, Any]) -> None:
        """Refuse options that are out of their range."""
        check_ranges(type(self).__name__, options, self.defaults, self._fractions)

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

    lr = rate  # the name that PyTorch gives it

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters:
            if parameter.requires_grad:
                parameter.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient; on an error nothing is changed.

        What is wrong with options, gradients and states is found before anything is written.
        Then all are updated in one pass of native code, with the extra `fast`, or else one after
        the other, with the same bits; states in place, so that memory is needed for one parameter
        at most. Old values are kept for going back only where an update may still fail: in classes
        defined elsewhere, and while warnings of NumPy are errors.

        Raises:
            GradientError: when a parameter that has a gradient is no leaf any more.
            ShapeError: when a gradient or a state does not fit its parameter.
            ValueError, TypeError: when an option was set to what it cannot be.
        """
        # An update that is defined elsewhere may fail for reasons of its own.
        foreign = not type(self).__module__.startswith("minigrad.")
        handling: Any = np.geterr()
        keep = foreign or warnings_raise(handling)
        self._check_groups()
        known = None if keep else self._ready.points(self.groups)
        points, left = self._pending(foreign) if known is None else (known, [])
        jobs = [*left, *(job for point in points for job in point.jobs)] if keep else []
        undo = [self._kept(job[0]) for job in jobs]
        try:
            left = [*left, *update_together(self, points, keep, handling)]
            for parameter, leaf, state, group in left:
                new = self._updated(parameter, leaf.grad._array, state, group)
                if foreign:  # which may return an array that it keeps
                    new = new.copy()
                leaf.write(new)
                parameter._array = new
        except BaseException:
            for parameter, value, old in undo:
                if parameter._array is not value:
                    parameter.write(value)
                self._state[parameter] = old
            raise
        if known is None and not keep:
            self._ready.note(self.groups, [] if left else points)
        for point in points:
            point.forget()
        self.steps += 1

    def _pending(self, foreign: bool) -> tuple[list[Point], list[Job]]:
        """Parameters that have gradients: checked, and nothing written; see `by_point`.

        Args:
            foreign: the update is defined elsewhere, and not for native code.
        """
        pending: list[Job] = []
        for group in self.groups:
            for parameter in group["parameters"]:
                held = parameter.grad
                if held is None:
                    continue
                value, gradient = parameter._array, held._array
                if gradient.shape != value.shape or gradient.dtype != value.dtype:
                    raise ShapeError(
                        f"{type(self).__name__}.step: the gradient of {describe(parameter)} is "
                        f"{describe(gradient)}; call zero_grad() and backward() again"
                    )
                refuse_part(parameter, "step")
                leaf = parameter._leaf("step")
                state = self._state.get(parameter)
                if not state or not state["steps"]:
                    state = {"steps": 0}
                    self.begin(state, working(value), group)
                elif len(state) > 1:
                    state = fitting(type(self).__name__, parameter, state, not foreign)
                pending.append((parameter, leaf, state, group))
        return ([], pending) if foreign else by_point(pending)

    def _check_groups(self) -> None:
        """Check the options of groups that were changed since they were last checked."""
        for i, group in enumerate(self.groups):
            seen = self._seen[i] if i < len(self._seen) else {}
            if len(seen) == len(group) and all(map(is_, group.values(), seen.values())):
                continue
            for option in self.defaults.keys() - group.keys():
                raise ValueError(f"{type(self).__name__}.step: groups[{i}] has no {option!r}")
            group.update(plain_options(group))
            self.check(group)
            self._seen[i : i + 1] = [dict(group)]

    def _kept(self, parameter: Tensor) -> tuple[Tensor, PlainArray, State]:
        """What an update of a parameter changes, to go back to."""
        state = self._state.get(parameter, {})
        copies = {
            name: entry.copy() if isinstance(entry, np.ndarray) else entry
            for name, entry in state.items()
        }
        return parameter, parameter._array, copies

    def _updated(
        self, parameter: Tensor, gradient: PlainArray, state: State, group: Mapping[str, Any]
    ) -> PlainArray:
        """The new value of one parameter, which `_pending` has checked; its state is updated."""
        value = array = parameter._array
        usual = array.ndim > 0 and array.dtype != np.float16
        if not usual:
            value, gradient = working(array), working(gradient)
        if group["maximize"]:
            gradient = -gradient
        self._state[parameter] = state
        state["steps"] += 1
        new = np.asarray(self.update(value, gradient, state, group))
        if new.shape != value.shape:
            raise ShapeError(
                f"{type(self).__name__}: update must return the new value of {describe(parameter)}"
                f", got {describe(new)}"
            )
        if not usual or new.dtype != array.dtype:
            new = new.reshape(array.shape).astype(array.dtype, copy=False)
        return new

    def begin(self, state: State, value: PlainArray, options: Mapping[str, Any]) -> None:
        """Fill the state of one parameter before its first update: `_zeros` begin at zero."""
        for name in self._zeros:
            state[name] = np.zeros_like(value)

    def update(
        self, value: PlainArray, gradient: PlainArray, state: State, options: Mapping[str, Any]
    ) -> PlainArray:
        """The new value of one parameter, as a new array.

        Args:
            value, gradient: not to be written to; of one axis or more, and float32 for float16.
            state: its own to keep and to write to, by name; "steps" counts its updates, this one
                included.
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
                if isinstance(value, np.ndarray) and not parameter.shape:
                    value = value.reshape(())
                arrays[f"state.{numbers[id(parameter)]}.{name}"] = value
        return {name: np.array(value) for name, value in arrays.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; on an error, or Ctrl-C, nothing is changed.

        Parameters are known by their order, so this optimiser must have been made like that one.

        Raises:
            StateDictError: listing what is missing, unexpected, misshapen or out of its range; it
                is a KeyError and a ValueError.
        """
        loaded = read_state(self, state)
        before = Loaded(self.steps, [dict(group) for group in self.groups], self._state)
        try:
            self._take(loaded)
        except BaseException:
            self._take(before)
            raise

    def _take(self, loaded: Loaded) -> None:
        self.steps, self._state, self._ready = loaded.steps, loaded.states, Ready()
        for group, options in zip(self.groups, loaded.groups, strict=True):
            group.clear()
            group.update(options)

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
