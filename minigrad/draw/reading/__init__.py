"""Reading the tape: kernels opened; states, sequences and time steps found; terms measured.

May import `graph` and `style`.
"""

from minigrad.draw.reading.backward_passes import Adjoints, backward_pass
from minigrad.draw.reading.edge_sums import EdgeSum, EdgeSums
from minigrad.draw.reading.measure import Measured, Tape, measure_terms, read_tape
from minigrad.draw.reading.named_states import NamedStates, labels_on, open_with_states
from minigrad.draw.reading.opening import has_kernels, open_kernels
from minigrad.draw.reading.recorded_data import with_data
from minigrad.draw.reading.tape_states import Lane, States
from minigrad.draw.reading.targets import results_of

__all__ = [
    "Adjoints",
    "EdgeSum",
    "EdgeSums",
    "Lane",
    "Measured",
    "NamedStates",
    "States",
    "Tape",
    "backward_pass",
    "has_kernels",
    "labels_on",
    "measure_terms",
    "open_kernels",
    "open_with_states",
    "read_tape",
    "results_of",
    "with_data",
]
