"""Anomaly mode: the first operation that makes NaN or infinity, forward or backward.

The forward check runs where an operation records its result, the backward check between a node
and the nodes that it sends gradients to. Both leave flags on the nodes, which survive a backward.
"""

import linecache
import math
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minigrad.core.errors import AnomalyError, describe
from minigrad.core.modes import Mode, ModeChange
from minigrad.core.nodes import Array, Bundle, Leaf, Node, Patch, Wrap, extras_of
from minigrad.core.scopes import place
from minigrad.debug.anomaly_advice import backward_advice, came_from_zero, forward_advice
from minigrad.numpy_api.call_sites import OWN_DIRECTORIES

__all__ = ["BackwardWatch", "is_finite", "user_line", "watch"]

# Frames in these directories belong to the engine, its layers or NumPy's own Python code.
_OWN_DIRECTORIES = (
    *OWN_DIRECTORIES,
    os.path.join(os.path.dirname(os.path.abspath(np.__file__)), ""),
)
_own_files: dict[str, bool] = {}

_SMALL = 8192  # up to here a dot product is the faster check, and BLAS uses one thread for it


def is_finite(value: Any) -> bool:
    """Whether every number in an array, tensor or bundle of gradients is finite."""
    if isinstance(value, Bundle):
        return all(is_finite(g) for g in value.slots.values())
    array = _numbers(value)
    if array.dtype.kind not in "fc":
        return True
    # A sum of squares cannot lose NaN or infinity; when it overflows the numbers are looked at.
    if array.size <= _SMALL and array.dtype.kind == "f" and math.isfinite(np.vdot(array, array)):
        return True
    return bool(np.isfinite(array).all())


def user_line() -> str:
    """The file and line outside minigrad, layers and NumPy from which the running call came."""
    frame = sys._getframe(1)
    while True:
        name = frame.f_code.co_filename
        own = _own_files.get(name)
        if own is None:
            own = name.startswith("<minigrad ") or os.path.abspath(name).startswith(
                _OWN_DIRECTORIES
            )
            _own_files[name] = own
        if not own or frame.f_back is None:
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back


def with_source(line: str) -> str:
    """A file and line followed by what is written there, if it can be read."""
    name, _, number = line.rpartition(":")
    text = linecache.getline(name, int(number)).strip()
    return f"{line}: {text}" if text else line


def count_bad(values: Iterable[Any]) -> str:
    """How many of the numbers are NaN and how many infinite."""
    nans = infinities = total = 0
    for value in values:
        array = _numbers(value)
        nans += int(np.isnan(array).sum())
        infinities += int(np.isinf(array).sum())
        total += array.size
    parts = [f"{nans} NaN"] * (nans > 0) + [f"{infinities} infinite"] * (infinities > 0)
    return f"{' and '.join(parts) or 'none'} of {total}"


def _numbers(value: Any) -> "np.ndarray[Any, Any]":
    """The array of an array, tensor, number or patch of a gradient."""
    if value.__class__ is np.ndarray:
        return value
    return np.asarray(value.part if value.__class__ is Patch else getattr(value, "_array", value))


def _has_nan(value: Any) -> bool:
    return bool(np.isnan(_numbers(value)).any())


def _summary(name: str, value: Any) -> str:
    """An argument with its shape, and its range or what is wrong with it."""
    text = f"{name}: {describe(value)}"
    array = _numbers(value)
    if not is_finite(array):
        return f"{text} ({count_bad([array])})"
    if array.dtype.kind == "f" and array.size > 0 and hasattr(value, "shape"):
        return f"{text} from {array.min() + 0:.4g} to {array.max() + 0:.4g}"
    return text


# -- forward ---------------------------------------------------------------------------------------


def watch(
    op: Any,
    mode: Mode,
    inputs: Sequence[Any],
    params: dict[str, Any],
    tensors: Sequence[Any],
    node: Node | None,
) -> None:
    """Check the results of an operation, and note on its node what was seen.

    Raises:
        AnomalyError: when this operation is to blame, unless anomalies are only marked.
    """
    finite = all(is_finite(t) for t in tensors)
    extras = None
    if node is not None:
        extras = extras_of(node)
        extras.line, extras.value_finite = user_line(), finite
    if finite or mode.deriving:
        return  # of a derivative rule, the gradients that it sends are checked instead
    finding = _blame_forward(op, mode, inputs, params, tensors)
    if finding is None:
        return
    message = f"{finding} Line: {with_source(user_line())}"
    if extras is not None:
        extras.value_anomaly = message
    if mode.anomaly == "raise":
        raise AnomalyError(message, finding)


def _blame_forward(
    op: Any, mode: Mode, inputs: Sequence[Any], params: dict[str, Any], tensors: Sequence[Any]
) -> str | None:
    """What this operation did wrong, or which bad numbers enter with it; None if neither."""
    names = (
        [f"{op.inputs[0]}[{i}]" for i in range(len(inputs))] if op.list_input else list(op.inputs)
    )
    where = place(op.name, mode.scope)
    nan_result = any(_has_nan(t) for t in tensors)
    bad = [(name, value) for name, value in zip(names, inputs, strict=True) if not is_finite(value)]
    for name, value in bad:
        leaf = getattr(value, "_node", None)
        if leaf is not None and leaf.__class__ is not Leaf:
            continue
        if leaf is None and not (nan_result and _has_nan(value)):
            continue  # an infinite constant, as masks are made of
        what = (
            "a constant" if leaf is None else f"the leaf {leaf.name!r}" if leaf.name else "a leaf"
        )
        return (
            f"{where}: its argument {name} is {what} that was not finite when it came in: "
            f"{describe(value)} with {count_bad([value])}."
        )
    if bad and (not nan_result or any(_has_nan(value) for _, value in bad)):
        return None
    opening = (
        f"infinite numbers in {', '.join(name for name, _ in bad)} gave NaN"
        if bad
        else "finite inputs gave numbers that are not finite"
    )
    arguments = ", ".join(_summary(n, v) for n, v in zip(names, inputs, strict=True))
    results = ", ".join(describe(t) for t in tensors)
    hint = forward_advice(op.name)
    return (
        f"{where}: {opening}: {arguments} -> {results} with {count_bad(tensors)}."
        + (f" {hint}" if hint else "")
        + _inside(op, inputs, params)
    )


def _inside(op: Any, inputs: Sequence[Any], params: dict[str, Any]) -> str:
    """What the reference of a fused operation says about the same inputs, step by step."""
    if op.reference is None:
        return ""
    try:
        with ModeChange(recording=False, replay=False, fused=False, anomaly="raise"):
            op.reference(*inputs, **params)
    except AnomalyError as error:
        return f" Step by step, in its reference: {error.finding}"
    return " Step by step, its reference stays finite."


# -- backward --------------------------------------------------------------------------------------


class BackwardWatch:
    """The checks of one backward pass: who was the first to send a gradient that is not finite.

    Args:
        action: "raise" or "mark".
        wrap: makes a tensor of an array and its node.
    """

    def __init__(self, action: str, wrap: Wrap) -> None:
        self.action = action
        self.wrap = wrap
        self.arrived: dict[Node, int] = {}  # how many gradients were sent to a node
        self.senders: dict[Node, list[Node]] = {}  # who sent them
        self.spoiled: set[Node] = set()  # to which one that was not finite was sent
        self.blamed: set[Node] = set()

    def start(self, node: Node, g: Array) -> None:
        """Check a gradient that the pass starts from."""
        self.arrived[node] = self.arrived.get(node, 0) + 1
        if not is_finite(g):
            self._report(
                node,
                f"backward from {_label(node)}: the gradient that it starts from is not finite: "
                f"{', '.join(describe(one) for one in _parts(g))} with {count_bad(_parts(g))}.",
            )
            self.spoiled.add(node)

    def arrive(self, node: Node, g: Array) -> None:
        """Check the whole gradient of a node: the sum of those sent to it, after its hooks."""
        extras = extras_of(node)
        spoiled = node in self.spoiled
        if spoiled or extras.hooks or self.arrived[node] > 1:
            finite = is_finite(g)
        else:
            finite = True
        extras.grad_finite = finite
        if node not in self.blamed:
            extras.grad_anomaly = None  # of an earlier pass
        if finite:
            self.spoiled.discard(node)
            return
        self.spoiled.add(node)
        if not spoiled:
            self._report(
                node,
                f"backward at {_label(node)}: finite gradients became "
                f"{', '.join(describe(one) for one in _parts(g))} with {count_bad(_parts(g))} when "
                + ("a hook changed them." if extras.hooks else "they were added up."),
            )

    def leave(self, node: Node, g: Array, slot: int, source: Node, part: Array) -> None:
        """Check a gradient that a node sends to one of its inputs."""
        self.arrived[source] = self.arrived.get(source, 0) + 1
        self.senders.setdefault(source, []).append(node)
        if is_finite(part):
            return
        self.spoiled.add(source)
        if node in self.spoiled:
            return
        bad_values = _met_bad_values(node)
        hint = backward_advice(node, came_from_zero(g, part), self.senders, bad_values)
        blame = None if bad_values else getattr(node.plan, "blame", None)
        inside = None if blame is None else blame(node, g, self.wrap)
        self._report(
            node,
            f"backward through {node.where}: the finite gradient of its result, "
            f"{', '.join(describe(one) for one in _parts(g))}, became "
            f"{', '.join(describe(one) for one in _parts(part))} with {count_bad(_parts(part))} "
            f"for its input {_input_name(node, slot)}."
            + (f" {hint}" if hint else "")
            + (f" {inside}" if inside else ""),
        )

    def _report(self, node: Node, finding: str) -> None:
        extras = extras_of(node)
        if node.__class__ is Leaf:
            line = ""
        elif extras.line is None:
            line = " Run the forward pass under anomaly_mode() too, and its line is named here."
        else:
            line = f" Line of the forward: {with_source(extras.line)}"
        if node not in self.blamed:
            self.blamed.add(node)
            extras.grad_anomaly = finding + line
        if self.action == "raise":
            raise AnomalyError(finding + line, finding)


def _parts(g: Array) -> list[Array]:
    """The gradients of all outputs of a node."""
    return list(g.slots.values()) if isinstance(g, Bundle) else [g]


def _label(node: Node) -> str:
    return f"leaf {node.name!r}" if node.name else node.where


def _met_bad_values(node: Node) -> bool:
    """Whether the forward check saw numbers at this node that were not finite."""
    return any(
        n is not None and n.extras is not None and n.extras.value_finite is False
        for n in (node, *node.inputs)
    )


def _input_name(node: Node, slot: int) -> str:
    operation = getattr(node.plan, "operation", None)
    if operation is None:
        return f"number {slot}"
    names: tuple[str, ...] = operation.inputs
    return f"{names[0]}[{slot}]" if operation.list_input else names[slot]


def first_anomaly(nodes: Sequence[Node]) -> str | None:
    """The first notes that anomaly mode left on nodes, forward and backward; None without any.

    Args:
        nodes: in the order of recording.
    """
    sentences = []
    for label, field, order in (
        ("Forward", "value_anomaly", nodes),
        ("Backward", "grad_anomaly", reversed(nodes)),
    ):
        for node in order:
            note = None if node.extras is None else getattr(node.extras, field)
            if note is not None:
                sentences.append(f"{label}: {note}")
                break
    return "\n".join(sentences) or None
