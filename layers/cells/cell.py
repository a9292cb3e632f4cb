"""`Cell`: what a recurrent cell needs, so that layers, `scan` and drawings can run it."""

import inspect
from collections import namedtuple
from typing import Any, ClassVar

import numpy as np

import minigrad as mg
from layers.base.hooks import call_with_hooks
from layers.base.inputs import cast_input, parameter_dtype
from layers.base.module import Module, Parameter
from layers.cells.cell_checks import (
    check_declaration,
    check_features,
    check_state,
    check_step,
    made_states,
    states_of,
)
from layers.cells.steps import Routes, freeze_finished, label_states
from minigrad import Tensor
from minigrad.core.errors import describe
from minigrad.core.tensors import wrap
from minigrad.ops.checks import check_sizes

__all__ = ["Cell"]

States = tuple[Any, ...]


class Cell(Module):
    """The base of recurrent cells: a subclass declares its states and defines one step.

    ``layers.Recurrent(MyCell, 3, 8)`` then stacks it, runs it in both directions, over sequences
    of several lengths and so on; `layers.scan` runs it as it is. See docs/guides/cells.md.

    Args:
        input_size: features of the input.
        hidden_size: the width of the states.
        state_sizes: the width of each state, if they differ.

    Attributes:
        states: the names of the states; one, called "h", unless a subclass says otherwise.
        output_state: the name of the state that layers hand on; the first one if empty.
        gates: the names of the gates that `step` returns besides the states; None for none.
        routes: by which ways a gradient gets from one step to the next, for drawings.

    >>> import minigrad as mg
    >>> from layers import Linear
    >>> class Leaky(Cell):
    ...     def __init__(self, input_size, hidden_size, leak=0.9):
    ...         super().__init__(input_size, hidden_size)
    ...         self.leak, self.inner = leak, Linear(input_size, hidden_size)
    ...     def step(self, x, states):
    ...         (h,) = states
    ...         return self.leak * h + mg.tanh(self.inner(x))
    >>> Leaky(3, 5)(np.zeros((2, 3), np.float32)).shape
    (2, 5)
    """

    states: ClassVar[tuple[str, ...]] = ("h",)
    output_state: ClassVar[str] = ""
    gates: ClassVar[Any] = None
    routes: ClassVar[Routes] = Routes()
    _step_takes: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        check_declaration(cls)
        check_step(cls)
        if isinstance(vars(cls).get("gates"), tuple):
            make: Any = namedtuple  # whose name type checkers want to be a literal
            cls.gates = make(f"{cls.__name__}Gates", cls.gates)
        cls._step_takes = frozenset(inspect.signature(cls.step).parameters)

    def __init__(
        self, input_size: int, hidden_size: int, *, state_sizes: tuple[int, ...] | None = None
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_sizes(name, 1, input_size=input_size, hidden_size=hidden_size)
        if type(self).step is Cell.step:
            raise TypeError(f"{name} defines no step(self, x, states) that returns the new states")
        self.input_size, self.hidden_size = input_size, hidden_size
        sizes: Any = (hidden_size,) * len(self.states) if state_sizes is None else state_sizes
        if not isinstance(sizes, tuple) or len(sizes) != len(self.states):
            raise ValueError(
                f"{name}: state_sizes must be a tuple with a width for each of the states "
                f"({', '.join(self.states)}), got {state_sizes!r}"
            )
        for size in sizes:
            check_sizes(name, 1, state_sizes=size)
        self.state_sizes: tuple[int, ...] = sizes

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, (Module, Parameter)) and hasattr(Cell, name):
            raise TypeError(
                f"{type(self).__name__}: {name!r} is a name that every cell has and cannot be a "
                f"part of it; call the {type(value).__name__} something else, such as {name}_part"
            )
        super().__setattr__(name, value)

    def step(self, x: Any, states: Any) -> Any:
        """The mathematics of one step; every subclass defines it.

        A parameter `active=None` is given where the sequences of a batch go on, booleans (batch,),
        or None for all: such a step keeps the states of the others itself, with
        `layers.freeze_finished`, which one needs where one new state is made from another. A
        parameter `keep=None` is given the mask of the layer's `recurrent_dropout`, with which the
        products in the step multiply the output state, or None.

        Args:
            x: the inputs, (batch, input_size).
            states: a tuple of the states before, (batch, width) each.

        Returns:
            The new state, or a tuple of the new states, shaped as before; and, if the class names
            gates, beside it a tuple of these.
        """
        # `__init__` refuses a class without a step: only `super().step` comes here.
        raise NotImplementedError(f"{type(self).__name__}: Cell itself has no step")

    @classmethod
    def takes(cls, parameter: str) -> bool:
        """Whether `step` has a parameter of a name."""
        return parameter in cls._step_takes

    def init_state(self, batch: tuple[int, ...], dtype: Any) -> States:
        """The states before the first step if none are given; zeros unless a subclass overrides.

        Args:
            batch: the axes before the features, (batch,) or () for a single one.
            dtype: that of the cell.

        Returns:
            A tuple of the states, (*batch, width) each.
        """
        return tuple(np.zeros((*batch, size), dtype) for size in self.state_sizes)

    @property
    def output_index(self) -> int:
        """Which of the states is the output."""
        return self.states.index(self.output_state) if self.output_state else 0

    @property
    def output_size(self) -> int:
        """The features of the output."""
        return self.state_sizes[self.output_index]

    def forward(
        self, x: Any, state: Any = None, *, active: Any = None, return_gates: bool = False
    ) -> Any:
        """One step.

        Args:
            x: the inputs, (batch, input_size) or (input_size,).
            state: the states before, in the form in which they are returned; those of
                `init_state` if None.
            active: where False, (batch,), the states stay as they are; None when all go on.
            return_gates: whether to return the gates as well.

        Returns:
            The state after the step, (batch, width), or a tuple if there are several; and the
            gates if asked for, None where the cell has none.
        """
        name = type(self).__name__
        check_features(name, x, ("batch", self.input_size), optional=1)
        x = cast_input(name, "x", x, parameter_dtype(self))
        batch = tuple(x.shape[:-1])
        if state is None:
            states = self.initial_states(batch, x)
        else:
            states = self._checked(name, states_of(name, state, self.states), batch, x)
        new, gates = self.advance(x, states, active)
        label_states(self.states, new, states)
        after = new if len(new) > 1 else new[0]
        return (after, gates) if return_gates else after

    def initial_states(self, batch: tuple[int, ...], x: Any) -> States:
        """The states of `init_state` for some inputs x, checked."""
        given: Any = self.init_state(batch, x.dtype)
        if type(self).init_state is Cell.init_state:
            return given  # type: ignore[no-any-return]
        name = f"{type(self).__name__}.init_state"
        if not isinstance(given, tuple) or len(given) != len(self.states):
            raise TypeError(
                f"{name} must return a tuple ({', '.join(self.states)},), got {describe(given)}"
            )
        return self._checked(name, given, batch, x)

    def _checked(self, name: str, states: States, batch: tuple[int, ...], x: Any) -> States:
        """States in the dtype of the inputs, (*batch, width) each, or refused."""
        for label, value, size in zip(self.states, states, self.state_sizes, strict=True):
            check_state(name, label, value, (*batch, size), x)
        return tuple(
            cast_input(name, f"state {label}", value, x.dtype)
            for label, value in zip(self.states, states, strict=True)
        )

    def advance(
        self, x: Any, states: States, active: Any = None, keep: Any = None
    ) -> tuple[tuple[Tensor, ...], Any]:
        """One step on inputs and states that were checked: the new states, and the gates or None.

        Sequences that have ended keep their states, whether `step` cares for that or not.
        """
        x, *states_before = (v if isinstance(v, Tensor) else wrap(v, None) for v in (x, *states))
        options: dict[str, Any] = {}
        if self.takes("active"):
            options["active"] = active
        if keep is not None:
            options["keep"] = keep
        before = tuple(states_before)
        made, gates = self.step(x, before, **options), None
        if self.gates is not None:
            made, gates = self._split(made)
        new = made_states(type(self).__name__, made, self.states, before)
        new = _apart(new, (x, *before))
        if not self.takes("active"):
            new = tuple(freeze_finished(active, a, b) for a, b in zip(new, before, strict=True))
        return new, gates

    def hooked_advance(
        self, x: Any, states: States, active: Any = None, keep: Any = None
    ) -> tuple[tuple[Tensor, ...], Any]:
        """`advance` with the hooks of the cell, which see what a call of it would show them."""
        if not self._pre_hooks and not self._hooks:
            return self.advance(x, states, active, keep)
        name, gates = type(self).__name__, None

        def forward(x: Any, state: Any) -> Any:
            nonlocal gates
            new, gates = self.advance(x, states_of(name, state, self.states), active, keep)
            return new if len(new) > 1 else new[0]

        state = states if len(states) > 1 else states[0]
        made = call_with_hooks(self, forward, (x, state), {})
        return made_states(name, made, self.states, states), gates

    def _split(self, made: Any) -> tuple[Any, Any]:
        """States and gates of what a step returned."""
        fields = self.gates._fields
        if not isinstance(made, tuple) or len(made) != 2:
            raise TypeError(
                f"{type(self).__name__}.step must return the states and, beside them, its gates "
                f"({', '.join(fields)}): return states, gates; got {describe(made)}"
            )
        states, gates = made
        gates = (gates,) if isinstance(gates, Tensor) and len(fields) == 1 else gates
        if not isinstance(gates, tuple) or len(gates) != len(fields):
            raise TypeError(
                f"{type(self).__name__}.step must return the gates ({', '.join(fields)}) as a "
                f"tuple, got {describe(gates)}"
            )
        return states, self.gates(*gates)

    def extra_repr(self) -> str:
        """The sizes and options; the widths of the states where they differ."""
        alike = (self.hidden_size,) * len(self.states)
        return super().extra_repr().replace(f", state_sizes={alike!r}", "")


def _apart(new: tuple[Tensor, ...], others: States) -> tuple[Tensor, ...]:
    """New states of which each is a value of its own, so that each is labelled in graphs.

    A step may return one tensor as two states, or what it was given.
    """
    seen, apart = list(others), []
    for value in new:
        apart.append(mg.positive(value) if any(value is other for other in seen) else value)
        seen.append(apart[-1])
    return tuple(apart)
