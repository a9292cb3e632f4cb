"""What recurrent layers over sequences have in common."""

import warnings
from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple, TypedDict

import numpy as np

import minigrad as mg
from layers.base.inputs import cast_input
from layers.base.module import Module
from layers.cells.cell_checks import (
    BATCH_FIRST,
    check_features,
    check_lengths,
    check_probability,
    check_sizes,
    check_state,
    states_of,
    zeros,
)
from layers.cells.cell_equations import Run, Weights, freeze_finished, run_steps
from layers.cells.gated_cells import Cell, add_parameters, weights_of
from minigrad import Tensor
from minigrad.core.modes import current_mode
from minigrad.ops.nn.neural import draw_mask, keep_scale

__all__ = ["AllStates", "Options", "Recurrent"]


class AllStates(NamedTuple):
    """The inside of a recurrent layer at every step.

    Attributes:
        h: the hidden states, (layers x directions, batch, time, hidden_size or proj_size).
        c: the cell states of an LSTM likewise; else None.
        gates: when asked for, a named tuple of the gates, each likewise: input, forget, candidate
            and output of an LSTM; reset, update and candidate of a GRU; else None.
    """

    h: Tensor
    c: Tensor | None
    gates: Any


class Options(TypedDict, total=False):
    """The options that all recurrent layers share; see `layers.recurrent.layers.LSTM`."""

    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    reverse: bool
    recurrent_dropout: float
    zoneout: float | tuple[float, ...]
    layer_norm: bool
    generator: "np.random.Generator | None"


class Recurrent(Module):
    """What RNN, LSTM and GRU have in common; see there.

    Attributes:
        cell: the class of the cells that the layers run.
    """

    cell: ClassVar[type[Cell]]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = True,
        dropout: float = 0.0,
        bidirectional: bool = False,
        reverse: bool = False,
        recurrent_dropout: float = 0.0,
        zoneout: float | tuple[float, ...] = 0.0,
        layer_norm: bool = False,
        proj_size: int = 0,
        generator: "np.random.Generator | None" = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_sizes(name, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        check_probability(name, dropout=dropout, recurrent_dropout=recurrent_dropout)
        if not 0 <= proj_size < hidden_size or (proj_size and "c" not in self.cell.states):
            raise ValueError(
                f"{name}: proj_size must be 0 for no projection, or for an LSTM below "
                f"hidden_size={hidden_size}, got {proj_size!r}"
            )
        zoneouts = zoneout if isinstance(zoneout, tuple) else (zoneout,) * len(self.cell.states)
        if len(zoneouts) != len(self.cell.states):
            raise ValueError(
                f"{name}: zoneout must be a number, or one for each of the states "
                f"({', '.join(self.cell.states)}), got {zoneout!r}"
            )
        for p in zoneouts:
            check_probability(name, zoneout=p)
        if bidirectional and reverse:
            raise ValueError(
                f"{name}: bidirectional=True already reads in both directions; drop reverse=True"
            )
        if dropout and num_layers == 1:
            warnings.warn(
                f"{name}: dropout={dropout} acts between layers, and there is only one",
                stacklevel=2 if type(self).__init__ is Recurrent.__init__ else 3,
            )
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, dropout
        self.bidirectional, self.reverse = bidirectional, reverse
        self.recurrent_dropout, self.zoneout, self.layer_norm = (
            recurrent_dropout,
            zoneouts,
            layer_norm,
        )
        self.proj_size, self.generator = proj_size, generator
        self.step_options: dict[str, Any] = {}
        width = self.output_size * (2 if bidirectional else 1)
        for layer in range(num_layers):
            for suffix in self._suffixes(layer):
                add_parameters(
                    self,
                    self.cell,
                    suffix,
                    width if layer else input_size,
                    hidden_size,
                    bias,
                    proj_size,
                    layer_norm,
                )

    def _suffixes(self, layer: int) -> list[str]:
        """How the parameter names of one layer end, for each of its directions."""
        return [f"_l{layer}", f"_l{layer}_reverse"] if self.bidirectional else [f"_l{layer}"]

    @property
    def output_size(self) -> int:
        """The features of the hidden state of one direction."""
        return self.proj_size or self.hidden_size

    @property
    def fused(self) -> bool:
        """Whether sequences run as one kernel now, rather than step by step.

        The kernels know lengths, reverse and initial states. Layer normalisation, projection,
        zoneout, recurrent dropout in training, and calls that ask for gates or for all cell states
        run step by step, and so does everything under ``minigrad.recording(fused=False)``.
        """
        dropped = self.training and self.recurrent_dropout > 0
        unknown = self.layer_norm or self.proj_size > 0 or any(self.zoneout) or dropped
        return current_mode().fused and not unknown

    def forward(
        self,
        x: Any,
        state: Any = None,
        *,
        lengths: Any = None,
        return_states: str = "last",
        return_gates: bool = False,
    ) -> Any:
        """Run the layers over sequences.

        Args:
            x: the inputs, (batch, time, input_size), or (time, input_size) for one sequence;
                (time, batch, input_size) with batch_first=False.
            state: the initial states, in the form in which they are returned; zeros if None.
            lengths: integers (batch,), in any order, 0 allowed: how many steps of each sequence
                count. Those beyond are padding: not looked at, be they NaN, and zero in the output;
                the last states are those after the last step that counts.
            return_states: "last", or "all" for a third result with the states of every step.
            return_gates: whether that third result has the gates too.

        Returns:
            The hidden states of the last layer at all steps, (batch, time, directions x
            hidden_size), laid out like x; the last states (layers x directions, batch,
            hidden_size) of all layers; and `AllStates` if asked for.

        Raises:
            ShapeError, DtypeError, ValueError: naming the argument, both shapes and what to write.
        """
        name, names = type(self).__name__, self.cell.states
        if return_states not in ("last", "all"):
            raise ValueError(
                f'{name}: return_states must be "last" or "all", got {return_states!r}'
            )
        axes = ("batch", "time") if self.batch_first else ("time", "batch")
        hint = BATCH_FIRST if self.batch_first else "batch_first=False was given, so time is first."
        check_features(name, x, (*axes, self.input_size), optional=1, hint=hint)
        x = cast_input(name, "x", x, self.weight_ih_l0.dtype)
        unbatched = x.ndim == 2
        inputs = x[None] if unbatched else x if self.batch_first else x.swapaxes(0, 1)
        batch, time = inputs.shape[:2]
        if unbatched and lengths is not None:
            raise ValueError(f"{name}: lengths needs a batch, got x {x.shape}; pass x[:length]")
        lengths = check_lengths(name, lengths, batch, time, x)
        states = self._initial(state, batch, x, unbatched, hint)
        if not time:  # as one step of padding, so that states and gradients are handed through
            blank = np.zeros((batch, 1, self.input_size), x.dtype)
            inputs = mg.concatenate([inputs, blank], axis=1)
            lengths = np.zeros(batch, np.intp)
        everything = return_gates or return_states == "all"
        output, runs = self._run(inputs, states, lengths, everything, return_gates)
        output = output if time else output[:, :0]
        last = tuple(
            mg.stack([run.last[k] for run in runs]) for k in range(len(names))
        )  # (layers x directions, batch, features)
        if unbatched:
            output, last = output[0], tuple(value[:, 0] for value in last)
        elif not self.batch_first:
            output = output.swapaxes(0, 1)
        results = output, last if len(last) > 1 else last[0]
        if not everything:
            return results
        return *results, self._collect(runs, time, return_gates, unbatched)

    def _initial(
        self, state: Any, batch: int, x: Any, unbatched: bool, hint: str
    ) -> tuple[Any, ...]:
        """The initial states, (layers x directions, batch, features) each."""
        name, names = type(self).__name__, self.cell.states
        count = self.num_layers * (2 if self.bidirectional else 1)
        sizes = {"h": self.output_size, "c": self.hidden_size}
        if state is None:
            return tuple(zeros((count, batch, sizes[label]), x.dtype) for label in names)
        states = states_of(name, state, names)
        for label, value in zip(names, states, strict=True):
            shape = (count, sizes[label]) if unbatched else (count, batch, sizes[label])
            check_state(name, label, value, shape, x, hint)
        states = tuple(
            cast_input(name, f"state {label}", value, x.dtype)
            for label, value in zip(names, states, strict=True)
        )
        return tuple(value[:, None] for value in states) if unbatched else states

    def _run(
        self, x: Any, states: tuple[Any, ...], lengths: Any, everything: bool, gates: bool
    ) -> tuple[Any, list[Run]]:
        """The output, and what each layer and direction did."""
        runs: list[Run] = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = mg.dropout(x, self.dropout, self.training, self.generator)
            ends = self._suffixes(layer)
            for direction, suffix in enumerate(ends):
                start = tuple(value[len(runs)] for value in states)
                reverse = self.reverse or direction == 1
                kind, routes = self.cell.__name__, self.cell.routes
                with mg.scope(suffix[1:], kind=kind, routes=routes):
                    weights = weights_of(self, suffix)
                    if self.fused and not gates and not (everything and len(start) > 1):
                        runs.append(self._run_kernel(x, start, weights, lengths, reverse))
                    else:
                        runs.append(self._run_steps(x, start, weights, lengths, reverse, gates))
            outputs = [run.states[0] for run in runs[-len(ends) :]]
            x = outputs[0] if len(outputs) == 1 else mg.concatenate(outputs, axis=-1)
        return x, runs

    def _run_kernel(
        self, x: Any, start: tuple[Any, ...], weights: Weights, lengths: Any, reverse: bool
    ) -> Run:
        b_ih, b_hh = weights.b_ih, weights.b_hh
        if not self.bias:
            b_ih = b_hh = zeros((len(weights.hh),), weights.hh.dtype)
        output, *last = type(self)._kernel(
            x,
            *start,
            weights.ih,
            weights.hh,
            b_ih,
            b_hh,
            **self.step_options,
            lengths=lengths,
            reverse=reverse,
        )
        return Run((output,), (), tuple(last))

    def _run_steps(
        self,
        x: Any,
        start: tuple[Any, ...],
        weights: Weights,
        lengths: Any,
        reverse: bool,
        gates: bool,
    ) -> Run:
        keep = None
        if self.recurrent_dropout and self.training:
            p, shape = self.recurrent_dropout, start[0].shape
            mask = draw_mask(type(self).__name__, shape, p, True, self.generator)
            keep = None if mask is None else mask * x.dtype.type(keep_scale(p))

        def step(x: Any, states: tuple[Any, ...], active: Any) -> Any:
            new, made = self.cell.step(x, states, weights, keep, active, **self.step_options)
            if any(self.zoneout):
                zoned = map(self._zone_out, self.zoneout, states, new)
                # Once more: a mean of a number with itself may differ from it in the last bit.
                new = tuple(
                    freeze_finished(active, s, b) for s, b in zip(zoned, states, strict=True)
                )
            return new, made

        count = len(self.cell.gates._fields) if gates and self.cell.gates is not None else 0
        return run_steps(
            step, self.cell.states, x, start, lengths=lengths, reverse=reverse, gates=count
        )

    def _zone_out(self, p: float, before: Any, after: Any) -> Any:
        """A state of which each number stays as it was with probability p; on average, in eval."""
        if not p:
            return after
        if not self.training:
            return p * before + (1 - p) * after
        new = draw_mask(type(self).__name__, after.shape, p, True, self.generator)
        return mg.where(new, after, before)

    def _collect(self, runs: list[Run], time: int, gates: bool, unbatched: bool) -> AllStates:
        """The states and gates of all layers, stacked."""

        def together(parts: list[Any]) -> Tensor:
            stacked = mg.stack(parts)  # (layers x directions, batch, time, features)
            stacked = stacked if time else stacked[:, :, :0]
            return stacked[:, 0] if unbatched else stacked

        h, *rest = (together(list(parts)) for parts in zip(*(r.states for r in runs), strict=True))
        made = None
        if gates and self.cell.gates is not None:
            series = zip(*(run.gates for run in runs), strict=True)
            made = self.cell.gates(*(together(list(parts)) for parts in series))
        return AllStates(h, rest[0] if rest else None, made)

    @staticmethod
    @abstractmethod
    def _kernel(*arguments: Any, **options: Any) -> Any:
        """The fused operation of one layer and direction."""
