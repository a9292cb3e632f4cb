"""`Recurrent`: layers over sequences, made of any cell."""

import inspect
import itertools
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

import minigrad as mg
from layers.base.inputs import cast_input, parameter_dtype
from layers.base.module import Module
from layers.cells.cell import Cell
from layers.cells.cell_checks import (
    BATCH_FIRST,
    check_features,
    check_lengths,
    check_state,
    states_of,
)
from layers.cells.steps import Run, Step, freeze_finished, label_states, run_steps
from layers.recurrent.arguments import all_states_type, bind_sizes, check_options
from minigrad import Tensor
from minigrad.core.modes import ModeChange, current_mode
from minigrad.ops.checks import check_probabilities, check_sizes
from minigrad.ops.fusing import runs_whole
from minigrad.ops.nn.neural import draw_mask, keep_scale

__all__ = ["Recurrent"]


class Recurrent(Module):
    """Layers of any cell over sequences (batch, time, features): batch first, unlike PyTorch's.

    ``Recurrent(MyCell, 3, 8)`` makes layers of a subclass of `layers.Cell`; a class of layers of
    its own names the cell: ``class MyLayers(Recurrent): cell = MyCell``, and is made as
    ``MyLayers(3, 8)``.

    Args:
        cell: the class of the cells, unless the class of the layers names it.
        input_size: features of the input; it comes first where the class names the cell.
        hidden_size: what each cell is given as its hidden_size.
        num_layers: layers stacked on each other.
        batch_first: False for inputs and outputs of shape (time, batch, features).
        dropout: the probability with which outputs of all layers but the last are zeroed, in
            training.
        bidirectional: read in both directions; the outputs are joined on the last axis.
        reverse: read from the last step of each sequence to the first.
        recurrent_dropout: the probability with which the recurrent products do not see a unit of
            the output state, in training; drawn once for a whole sequence (Gal and Ghahramani
            2016). For cells whose `step` takes the mask, as `keep`.
        zoneout: the probability with which a unit of a state stays as it was in a step, in
            training; in evaluation it stays to that part (Krueger et al. 2017). One number, or
            one for each state.
        generator: draws all masks; the default generator if None.
        options: passed on to the constructor of every cell.

    Attributes:
        cell: the class of the cells that the layers run.
        kernel: a fused operation for one layer and direction, or None, in which case cells run
            step by step. It is called as ``kernel(x, *states, *parameters, lengths=lengths,
            reverse=reverse)``, with all parameters of the cell, and returns the output at all
            steps and the last states. It belongs to the cell that its class names: a subclass that
            names another cell has no kernel unless it names one too.

    Shapes: x (batch, time, input_size), or (time, input_size) for one sequence; output (batch,
    time, directions x width of the output state); each state (layers x directions, batch, width),
    ordered as layer 0, layer 0 reverse, layer 1 ... The cells are modules called l0, l0_reverse,
    l1 ..., which begins the names of their parameters.

    >>> from layers import GRUCell
    >>> both = Recurrent(GRUCell, 3, 5, bidirectional=True, bias=False)
    >>> output, h = both(np.zeros((2, 7, 3), np.float32))
    >>> output.shape, h.shape
    ((2, 7, 10), (2, 2, 5))
    >>> list(both.state_dict())
    ['l0.weight_ih', 'l0.weight_hh', 'l0_reverse.weight_ih', 'l0_reverse.weight_hh']
    """

    cell: type[Cell]
    kernel: ClassVar[Callable[..., Any] | None] = None

    def __init__(
        self,
        *sizes: Any,
        cell: Any = None,
        input_size: Any = None,
        hidden_size: Any = None,
        num_layers: int = 1,
        batch_first: bool = True,
        dropout: float = 0.0,
        bidirectional: bool = False,
        reverse: bool = False,
        recurrent_dropout: float = 0.0,
        zoneout: float | tuple[float, ...] = 0.0,
        generator: "np.random.Generator | None" = None,
        **options: Any,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        given = {"cell": cell, "input_size": input_size, "hidden_size": hidden_size}
        given = bind_sizes(type(self), sizes, given | {"num_layers": num_layers})
        cell, input_size, hidden_size, num_layers = given.values()
        check_sizes(name, 1, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        check_options(name, cell, options, LAYER_OPTIONS)
        check_probabilities(name, dropout=dropout, recurrent_dropout=recurrent_dropout)
        if recurrent_dropout and not cell.takes("keep"):
            raise ValueError(
                f"{name}: recurrent_dropout needs a step of {cell.__name__} that takes the mask, "
                "step(self, x, states, keep=None), and multiplies with it what its products read"
            )
        zoneouts = zoneout if isinstance(zoneout, tuple) else (zoneout,) * len(cell.states)
        if len(zoneouts) != len(cell.states):
            raise ValueError(
                f"{name}: zoneout must be a number, or one for each of the states "
                f"({', '.join(cell.states)}), got {zoneout!r}"
            )
        for p in zoneouts:
            check_probabilities(name, zoneout=p)
        if bidirectional and reverse:
            raise ValueError(
                f"{name}: bidirectional=True already reads in both directions; drop reverse=True"
            )
        if dropout and num_layers == 1:
            kinds = type(self).__mro__[: type(self).__mro__.index(Recurrent) + 1]
            warnings.warn(
                f"{name}: dropout={dropout} acts between layers, and there is only one",
                stacklevel=1 + sum("__init__" in vars(kind) for kind in kinds),
            )
        if cell is not getattr(type(self), "cell", None):
            self.cell = cell
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.batch_first, self.dropout, self.generator = batch_first, dropout, generator
        self.bidirectional, self.reverse = bidirectional, reverse
        self.recurrent_dropout, self.zoneout = recurrent_dropout, zoneouts
        self.cell_options = options
        owner: Any = next(kind for kind in type(self).__mro__ if "kernel" in vars(kind))
        self._has_kernel = owner.kernel is not None and getattr(owner, "cell", None) is cell
        width = input_size
        for layer in range(num_layers):
            for place in self._places(layer):
                made = cell(width, hidden_size, **options)
                if made.input_size != width:
                    raise ValueError(
                        f"{name}: {place} gets {width} features, and its {cell.__name__} says "
                        f"input_size={made.input_size}; its constructor must hand on input_size"
                    )
                self._add_cell(place, made)
            width = made.output_size * (2 if bidirectional else 1)

    # -- where the cells are -----------------------------------------------------------------------

    def _places(self, layer: int) -> list[str]:
        """What the cells of one layer are called, for each of its directions."""
        return [f"l{layer}", f"l{layer}_reverse"] if self.bidirectional else [f"l{layer}"]

    def _add_cell(self, place: str, cell: Cell) -> None:
        self.register_module(place, cell)

    def _cell_at(self, place: str) -> Cell:
        cell = self._modules[place]
        assert isinstance(cell, Cell)
        return cell

    @property
    def output_size(self) -> int:
        """The features of the output of one direction."""
        return self._cell_at("l0").output_size

    # -- kernels -----------------------------------------------------------------------------------

    @property
    def fused(self) -> bool:
        """Whether sequences run as one operation now, rather than step by step.

        With llvmlite, sequences of 8 steps or more run as programs made of one traced step,
        whatever the options, and this tells once they did; but not where a cell cannot be
        compiled: it has hooks, writes, or branches on numbers. Kernels need no llvmlite and know
        lengths, reverse and initial states; not zoneout, recurrent dropout in training, and calls
        that ask for gates or for all states of a cell with several. Everything runs step by step
        under ``minigrad.recording(fused=False)``.
        """
        places = [place for layer in range(self.num_layers) for place in self._places(layer)]
        return current_mode().fused and (
            self._fits_kernel
            or all(self._step_of(self._cell_at(place)).compiled for place in places)
        )

    @property
    def _fits_kernel(self) -> bool:
        dropped = self.training and self.recurrent_dropout > 0
        return self._has_kernel and not any(self.zoneout) and not dropped

    def _kernel_arguments(self, cell: Cell) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What the kernel is given besides inputs, states, lengths and direction."""
        return tuple(cell.parameters()), {}

    def _run_kernel(
        self, step: Step, x: Any, start: tuple[Any, ...], lengths: Any, reverse: bool
    ) -> Run:
        parameters, options = self._kernel_arguments(step.owner)
        kernel: Any = type(self).kernel
        output, *last = kernel(x, *start, *parameters, **options, lengths=lengths, reverse=reverse)
        return Run((output,), (), tuple(last))

    # -- running -----------------------------------------------------------------------------------

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
            state: the initial states, in the form in which they are returned; those of the cells
                if None, which are zeros unless a cell says otherwise.
            lengths: integers (batch,), in any order, 0 allowed: how many steps of each sequence
                count. The others are padding: not read, even if NaN, and zero in the output; the
                last states are those after the last step that counts.
            return_states: "last", or "all" for a third result with the states of every step.
            return_gates: whether that third result has the gates too.

        Returns:
            The outputs of the last layer at all steps, (batch, time, directions x output_size),
            laid out like x; the last states (layers x directions, batch, width) of all layers; and
            `AllStates` if asked for.

        Raises:
            ShapeError, DtypeError, ValueError: naming the argument, both shapes and what to write.
        """
        name = type(self).__name__
        if return_states not in ("last", "all"):
            raise ValueError(
                f'{name}: return_states must be "last" or "all", got {return_states!r}'
            )
        axes = ("batch", "time") if self.batch_first else ("time", "batch")
        hint = BATCH_FIRST if self.batch_first else "batch_first=False was given, so time is first."
        check_features(name, x, (*axes, self.input_size), optional=1, hint=hint)
        x = cast_input(name, "x", x, parameter_dtype(self))
        unbatched = x.ndim == 2
        inputs = x[None] if unbatched else x if self.batch_first else x.swapaxes(0, 1)
        batch, time = inputs.shape[:2]
        if unbatched and lengths is not None:
            raise ValueError(f"{name}: lengths needs a batch, got x {x.shape}; pass x[:length]")
        lengths = check_lengths(name, lengths, batch, time, x)
        states = None if state is None else self._given_states(state, batch, x, unbatched, hint)
        if not time:  # as one step of padding, so that states and gradients are handed through
            blank = np.zeros((batch, 1, self.input_size), x.dtype)
            inputs = mg.concatenate([inputs, blank], axis=1)
            lengths = np.zeros(batch, np.intp)
        everything = return_gates or return_states == "all"
        output, runs = self._run(inputs, states, lengths, everything, return_gates)
        output = output if time else output[:, :0]
        last = tuple(map(_together, zip(*(run.last for run in runs), strict=True)))
        if unbatched:
            output, last = output[0], tuple(value[:, 0] for value in last)
        elif not self.batch_first:
            output = output.swapaxes(0, 1)
        results = output, last if len(last) > 1 else last[0]
        if not everything:
            return results
        return *results, self._collect(runs, time, return_gates, unbatched)

    def _given_states(
        self, state: Any, batch: int, x: Any, unbatched: bool, hint: str
    ) -> tuple[Any, ...]:
        """The initial states, (layers x directions, batch, width) each."""
        name, names = type(self).__name__, self.cell.states
        count = self.num_layers * (2 if self.bidirectional else 1)
        states = states_of(name, state, names)
        for label, value, size in zip(names, states, self._cell_at("l0").state_sizes, strict=True):
            shape = (count, size) if unbatched else (count, batch, size)
            check_state(name, label, value, shape, x, hint)
        states = tuple(
            cast_input(name, f"state {label}", value, x.dtype)
            for label, value in zip(names, states, strict=True)
        )
        return tuple(value[:, None] for value in states) if unbatched else states

    def _run(
        self,
        x: Any,
        states: tuple[Any, ...] | None,
        lengths: Any,
        everything: bool,
        gates: bool,
    ) -> tuple[Any, list[Run]]:
        """The output, and what each layer and direction did."""
        runs: list[Run] = []
        alone = not gates and not (everything and len(self.cell.states) > 1)
        large = itertools.chain([x], self.parameters())
        fused = alone and self._fits_kernel
        fused = fused and runs_whole(type(self).kernel, large, lengths=lengths)
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = mg.dropout(x, self.dropout, self.training, self.generator)
            outputs = []
            for direction, place in enumerate(self._places(layer)):
                cell, reverse = self._cell_at(place), self.reverse or direction == 1
                start = None if states is None else tuple(value[len(runs)] for value in states)
                with ModeChange(scope=cell._call_scope()):
                    if start is None:
                        start = cell.initial_states((len(x),), x)
                    step = self._advance(cell, start, x.dtype, gates, everything)
                    if fused:
                        run = self._run_kernel(step, x, start, lengths, reverse)
                        outputs.append(run.states[0])
                    else:
                        run = run_steps(step, x, start, lengths=lengths, reverse=reverse)
                        outputs.append(run.states[cell.output_index])
                runs.append(run)
            x = outputs[0] if len(outputs) == 1 else mg.concatenate(outputs, axis=-1)
        return x, runs

    def _advance(
        self, cell: Cell, start: tuple[Any, ...], dtype: Any, gates: bool, everything: bool
    ) -> Step:
        """The steps of a cell for one sequence."""
        keep = None
        if self.recurrent_dropout and self.training:
            p, shape = self.recurrent_dropout, start[cell.output_index].shape
            mask = draw_mask(type(self).__name__, shape, p, True, self.generator)
            keep = None if mask is None else mask * dtype.type(keep_scale(p))
        return self._step_of(cell, () if keep is None else (keep,), gates, everything)

    def _step_of(
        self, cell: Cell, fixed: tuple[Any, ...] = (), gates: bool = False, everything: bool = False
    ) -> Step:
        shown = None if everything else cell.output_index
        return Step(_step, cell, (self, cell, gates), fixed, shown)

    def _zone_out(self, p: float, before: Any, after: Any) -> Any:
        """A state of which each number stays as it was with probability p; on average, in eval."""
        if not p:
            return after
        if not self.training:
            return p * before + (1 - p) * after
        new = draw_mask(type(self).__name__, after.shape, p, True, self.generator)
        return mg.where(new, after, before)

    def _collect(self, runs: list[Run], time: int, gates: bool, unbatched: bool) -> Any:
        """The states and gates of all layers, stacked."""

        def together(parts: tuple[Any, ...]) -> Tensor:
            whole = _together(parts)  # (layers x directions, batch, time, features)
            whole = whole if time else whole[:, :, :0]
            return whole[:, 0] if unbatched else whole

        states = map(together, zip(*(run.states for run in runs), strict=True))
        made = None
        if gates and self.cell.gates is not None:
            made = self.cell.gates(*map(together, zip(*(r.gates for r in runs), strict=True)))
        return all_states_type(self.cell.states)(*states, made)

    def extra_repr(self) -> str:
        """The cell, unless the class names it, the sizes and the options."""
        cell = f"{self.cell.__name__}, " if "cell" in vars(self) else ""
        return cell + super().extra_repr()


def _together(values: tuple[Any, ...]) -> Tensor:
    """The values (...) of all layers and directions as (layers x directions, ...)."""
    alone = len(values) == 1  # then nothing is copied
    return mg.reshape(values[0], (1, *values[0].shape)) if alone else mg.stack(list(values))


def _step(
    x: Any,
    states: Any,
    active: Any,
    fixed: tuple[Any, ...],
    layer: Recurrent,
    cell: Cell,
    gates: bool,
) -> tuple[Any, Any]:
    """A step of a cell with what its layer adds to it, as `Step` calls it."""
    new, made = cell.hooked_advance(x, states, active, *fixed)
    if any(layer.zoneout):
        zoned = map(layer._zone_out, layer.zoneout, states, new)
        # Once more: a mean of a number with itself may differ from it in the last bit.
        new = tuple(freeze_finished(active, s, b) for s, b in zip(zoned, states, strict=True))
    label_states(cell.states, new, states)
    return new, made if gates and made is not None else ()


LAYER_OPTIONS = tuple(
    name
    for name, parameter in inspect.signature(Recurrent.__init__).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
)
