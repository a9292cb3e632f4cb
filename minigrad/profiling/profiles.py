"""`profile`: a block that measures what runs inside of it."""

import json
import operator
import os
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from time import perf_counter_ns
from typing import NamedTuple

from minigrad.core.modes import Mode, current_mode, set_mode
from minigrad.core.nodes import Node
from minigrad.debug.scopes import ScopeNames
from minigrad.forks import give_lock
from minigrad.io.serialize import write_atomically
from minigrad.profiling.chrome import trace_events
from minigrad.profiling.records import Nested, ProfileRecord, nested, records_of
from minigrad.profiling.tables import SORTS, by_module, by_operation, kernels_text, table_text
from minigrad.profiling.watching import ProfileObserver, label_of, timed
from minigrad.restoring import Restoring

__all__ = ["profile"]


class _Span:
    """A stretch of time in which the profile is open in a thread; in ns."""

    def __init__(self) -> None:
        self.thread, self.start = threading.get_ident(), perf_counter_ns()
        self.end: int | None = None

    @property
    def length(self) -> int:
        """How long it is, or is by now."""
        return (perf_counter_ns() if self.end is None else self.end) - self.start


class _Block(NamedTuple):
    """A `with` block that is open."""

    of: "profile"
    before: tuple["_Block", ...]  # those around it
    mode: Mode  # around it
    span: _Span | None  # None within another block of the same profile


_blocks: ContextVar[tuple[_Block, ...]] = ContextVar("minigrad_profiles", default=())


class profile(Restoring):
    """Measure time and memory of what runs in a block, by operation and by module.

    What is measured:

    - of each operation its time, without the Python around it. Backward, the time from the arrival
      of a node's gradient to that of the next one's: its rule, and the sums of what it sent. It
      counts for the module that made the node.
    - bytes of the arrays that operations return, keep for their backward and send back, each piece
      of memory once, from their making to their end. What an operation uses for itself and gives
      back is not seen, nor is what was made before the block.
    - of a compiled function, each call as one operation, `compiled` and its name, and each call
      that compiles as one of `compile`. Compiled functions go on being compiled.

    Operations take some microseconds more while a profile looks on, which the table tells apart
    but for one or two of them; without a profile, nothing does. A profile sees its own thread, or
    task, alone, and may be opened in several; opened again, it adds to what it has.

    Args:
        inside: look into compiled programs, too. Those of the NumPy back end are timed call by
            call. Native code is timed as a whole, or between the calls of NumPy that it needs; the
            table lists its kernels with an estimate of their work.

    Attributes:
        inside: the same.

    >>> import numpy as np
    >>> import minigrad as mg
    >>> x = mg.Tensor(np.ones((100, 100)), requires_grad=True)
    >>> with mg.profile() as p:
    ...     mg.tanh(x @ x).sum().backward()
    >>> [(r.operation, r.phase) for r in p.records][:4]
    [('matmul', 'forward'), ('tanh', 'forward'), ('sum', 'forward'), ('sum', 'backward')]
    >>> p.records[0].allocated
    80000
    >>> print(p.table(sort="name", limit=1))
    operation                count  forward ms backward ms    total ms        self   allocated ...
    matmul                       1 ...
    (2 more)
    <BLANKLINE>
    all operations ...
    Python between them ...
    the profile itself ...
    """

    _lock: threading.Lock

    def __init__(self, *, inside: bool = False) -> None:
        super().__init__()
        self.inside = inside
        self._observer = ProfileObserver(inside)
        self._spans: list[_Span] = []
        self._open: list[_Block] = []
        give_lock(self, "_lock", threading.Lock)

    def __enter__(self) -> "profile":
        before, mode = _blocks.get(), current_mode()
        known = self._observer in mode.observers
        block = _Block(self, before, mode, None if known else _Span())
        try:
            with self._lock:
                self._open.append(block)
            observers = mode.observers if known else (*mode.observers, self._observer)
            set_mode(timed(mode.replace(observers=observers)))
            if block.span is not None:
                self._spans.append(block.span)
            _blocks.set((*before, block))
            self.undone_by(self._end, [])  # which finds its block: threads may take turns
        except BaseException:
            self._end([block])
            raise
        return self

    def _end(self, ending: list[_Block]) -> None:
        """End the innermost block, and note which one that is, to go on with after Ctrl-C."""
        end, blocks = perf_counter_ns(), _blocks.get()
        if not ending:
            if not blocks or blocks[-1].of is not self:
                raise RuntimeError(
                    "profile: this block was entered in another thread or task, or around another "
                    "profile that is still open; leave blocks where and in the order in which they "
                    "were entered (a generator must not hold one across a yield)"
                )
            ending.append(blocks[-1])
        block = ending[0]
        set_mode(block.mode)
        _blocks.set(block.before)
        if block.span is not None:
            block.span.end = end
        with self._lock:
            self._open[:] = filter(partial(operator.is_not, block), self._open)
            if not self._open:
                self._observer.live.clear()

    # -- what was measured -------------------------------------------------------------------------

    @property
    def records(self) -> list[ProfileRecord]:
        """What ran so far, in the order in which it began."""
        found, names = self._found()
        return records_of(found, names, self._origin())

    @property
    def seconds(self) -> float:
        """How long its blocks were open, together."""
        return sum(span.length for span in self._spans) / 1e9

    @property
    def peak(self) -> int:
        """The most bytes that arrays made in a block held together."""
        return self._observer.live.peak

    def table(self, by: str = "operation", *, sort: str = "total", limit: int | None = None) -> str:
        """A table of what was measured.

        Its columns: how often the operation ran forward, or the module was called; milliseconds
        forward, backward, and both, each with what ran within; the share of all measured time
        without what ran within; bytes of new arrays; and the most bytes that were alive.

        Args:
            by: "operation" or "module". Modules have their paths, as in messages and pictures.
            sort: "total", "self", "forward", "backward", "count", "allocated", "peak" or "name".
            limit: show so many rows; None for all.

        Raises:
            ValueError: for another `by` or `sort`, or a limit below 1.
        """
        if by not in ("operation", "module"):
            raise ValueError(f'table: by must be "operation" or "module", got {by!r}')
        if sort not in SORTS:
            raise ValueError(f"table: sort must be one of {', '.join(SORTS)}, got {sort!r}")
        if limit is not None and limit < 1:
            raise ValueError(f"table: limit must be at least 1, or None, got {limit}")
        found, names = self._found()
        rows = by_operation(found) if by == "operation" else by_module(found, names)
        rows.sort(key=SORTS[sort])
        threads = {span.thread for span in self._spans}
        inside = sum(one.own for one in found if one.entry.thread in threads)
        lost = sum(self._observer.threads[thread].lost for thread in threads)
        between = sum(span.length for span in self._spans) - inside - lost
        ends = [
            ("all operations", sum(one.own for one in found)),
            ("Python between them", between),
            ("the profile itself", lost),
        ]
        texts = [table_text(by, rows, ends, limit)]
        for operation in list(self._observer.programs):
            for phase, program in zip(("forward", "backward"), operation.built, strict=False):
                kernels = getattr(program, "kernels", ())
                if kernels:
                    texts.append(kernels_text(f"{label_of(operation)}, {phase}", kernels))
        return "\n\n".join(texts)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a trace that chrome://tracing and https://ui.perfetto.dev open; returns its path.

        Modules are events around the operations that they ran, forward and backward. The file, in
        JSON, appears whole or not at all.

        Raises:
            OSError: where it cannot be written; FileNotFoundError without the folder.
        """
        found, _ = self._found()
        observer, process = self._observer, os.getpid()
        events = trace_events(
            found, list(observer.passes), dict(observer.entered), self._origin(), process
        )
        text = json.dumps({"traceEvents": events, "displayTimeUnit": "ms"})
        write_atomically(path, lambda file: file.write_text(text, encoding="utf-8"))
        return Path(path)

    def node_seconds(self) -> Iterator[tuple[Node, float]]:
        """The nodes of the tape that are alive, with the seconds of their operations.

        A node comes once for its forward, and once for every backward pass through it.
        """
        for entry in list(self._observer.entries):
            node = None if entry.node is None else entry.node()
            if node is not None:
                yield node, entry.duration / 1e9

    def __repr__(self) -> str:
        return f"profile({len(self._observer.entries)} records, {self.seconds:.3g} s)"

    def _found(self) -> tuple[list[Nested], ScopeNames]:
        found = nested(list(self._observer.entries))
        ordered = sorted(found, key=lambda one: one.entry.start)
        return found, ScopeNames(one.scope for one in ordered)

    def _origin(self) -> int:
        """When it was first opened, in ns."""
        return min((span.start for span in self._spans), default=0)
