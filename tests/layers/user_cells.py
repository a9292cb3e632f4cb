"""Cells as a user would write them, each beside the same step in plain NumPy."""

import numpy as np

import minigrad as mg
from layers import Cell, Linear, Parameter, Recurrent, Routes, freeze_finished


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


class MGUCell(Cell):
    """The minimal gated unit (Zhou et al. 2016, equation 7)."""

    gates = ("forget", "candidate")
    routes = Routes("h", ("forget gate", "candidate"))

    def __init__(self, input_size, hidden_size, bias=True):
        super().__init__(input_size, hidden_size)
        self.forget = Linear(input_size + hidden_size, hidden_size, bias)
        self.candidate = Linear(input_size + hidden_size, hidden_size, bias)

    def step(self, x, states):
        (h,) = states
        with mg.scope("forget gate"):
            f = mg.sigmoid(self.forget(mg.concatenate([x, h], axis=-1)))
        with mg.scope("candidate"):
            n = mg.tanh(self.candidate(mg.concatenate([x, f * h], axis=-1)))
        return (1 - f) * h + f * n, (f, n)


class MGU(Recurrent):
    cell = MGUCell


def mgu_step(x, states, w):
    """One step of one sequence: the new states and the gates."""
    (h,) = states
    f = sigmoid(w["forget.weight"] @ np.concatenate([x, h]) + w["forget.bias"])
    n = np.tanh(w["candidate.weight"] @ np.concatenate([x, f * h]) + w["candidate.bias"])
    return ((1 - f) * h + f * n,), (f, n)


class TraceCell(Cell):
    """Two states of different widths, two linear parts, and parameters of its own."""

    states = ("trace", "out")
    output_state = "out"
    gates = ("write",)
    routes = Routes("trace", ("write gate", "readout"))

    def __init__(self, input_size, hidden_size, trace_size=3):
        super().__init__(input_size, hidden_size, state_sizes=(trace_size, hidden_size))
        self.write = Linear(input_size + hidden_size, trace_size)
        self.read = Linear(trace_size, hidden_size)
        self.decay = Parameter([0.5 + 0.1 * k for k in range(trace_size)])
        self.start = Parameter([0.1] * trace_size)

    def init_state(self, batch, dtype):
        trace = self.start + np.zeros((*batch, 1), dtype)
        return trace, np.zeros((*batch, self.hidden_size), dtype)

    def step(self, x, states, active=None):
        trace, out = states
        with mg.scope("write gate"):
            w = mg.sigmoid(self.write(mg.concatenate([x, out], axis=-1)))
        new = freeze_finished(active, self.decay * trace + w, trace)
        with mg.scope("readout"):
            shown = mg.tanh(self.read(new))
        return (new, freeze_finished(active, shown, out)), w


class TraceLayers(Recurrent):
    cell = TraceCell


def trace_step(x, states, w):
    trace, out = states
    write = sigmoid(w["write.weight"] @ np.concatenate([x, out]) + w["write.bias"])
    trace = w["decay"] * trace + write
    return (trace, np.tanh(w["read.weight"] @ trace + w["read.bias"])), (write,)


def reference(layer, step, first, x, lengths):
    """The layers over each sequence in plain NumPy loops.

    Args:
        layer: the layers; their sizes and parameters are read.
        step: one step of one sequence.
        first: from the parameters of a cell to its first states.
        x: (batch, time, features).
        lengths: of the sequences.

    Returns:
        The outputs (batch, time, features), the last states (layers x directions, batch, width),
        and all states and gates (layers x directions, batch, time, width) in one list.
    """
    directions = 2 if layer.bidirectional else 1
    saved, index = layer.state_dict(), layer._cell_at("l0").output_index
    lasts, series = [], []
    for k in range(layer.num_layers):
        outputs = []
        for place in (f"l{k}", f"l{k}_reverse")[:directions]:
            w = {n.removeprefix(f"{place}."): a for n, a in saved.items()}
            w = {n: w[n] for n in w if f"{place}.{n}" in saved}
            ends, parts = [], []
            for sequence, length in zip(x, lengths, strict=True):
                states, made = first(w), {}
                backwards = layer.reverse or place.endswith("reverse")
                for t in reversed(range(length)) if backwards else range(length):
                    states, gates = step(sequence[t], states, w)
                    made[t] = (*states, *gates)
                ends.append(states)
                blank = [np.zeros_like(v) for v in (*states, *step(sequence[0], states, w)[1])]
                parts.append([made.get(t, blank) for t in range(len(sequence))])
            lasts.append([np.array([e[i] for e in ends]) for i in range(len(ends[0]))])
            series.append(
                [
                    np.array([[row[i] for row in rows] for rows in parts])
                    for i in range(len(parts[0][0]))
                ]
            )
            outputs.append(series[-1][index])
        x = np.concatenate(outputs, axis=-1)
    stacked = [np.array(parts) for parts in zip(*lasts, strict=True)]
    return x, stacked, [np.array(parts) for parts in zip(*series, strict=True)]
