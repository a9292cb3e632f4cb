"""Anomaly mode: the first operation that makes NaN or infinity, forward or backward.

The forward check runs where an operation records its result, the backward check between a node
and the nodes that it sends gradients to. Both leave flags on the nodes, which survive a backward.
"""

from collections.abc import Sequence
from typing import Any

from minigrad.core.backward import pull_back
from minigrad.core.contributions import OutputGradients
from minigrad.core.errors import AnomalyError, describe
from minigrad.core.modes import Mode, ModeChange, current_mode
from minigrad.core.nodes import Array, Leaf, Node, place
from minigrad.core.observer import Applied, Observer
from minigrad.core.tensors import as_array
from minigrad.debug.anomaly_advice import backward_advice, came_from_zero, forward_advice
from minigrad.debug.extras import extras_of
from minigrad.debug.findings import count_bad, has_nan, is_finite, summary, user_line, with_source
from minigrad.ops.fusing import FusedPlan, roots_of, run_reference

__all__ = [
    "AnomalyNote",
    "AnomalyObserver",
    "anomaly_mode",
    "anomaly_note",
    "first_anomaly",
]


class AnomalyNote:
    """What anomaly mode saw at a node.

    Attributes:
        line: the file and line of user code that recorded the node.
        value_finite, grad_finite: whether value and gradient are finite; None if not checked.
        value_anomaly, grad_anomaly: what went wrong at this very node, in a sentence, or None.
    """

    def __init__(self) -> None:
        self.line: str | None = None
        self.value_finite: bool | None = None
        self.grad_finite: bool | None = None
        self.value_anomaly: str | None = None
        self.grad_anomaly: str | None = None


def anomaly_note(node: Node) -> AnomalyNote | None:
    """What anomaly mode saw at a node; None where it looked at neither value nor gradient."""
    return None if node.extras is None else node.extras.notes.get(AnomalyNote)


def _note_of(node: Node) -> AnomalyNote:
    note: AnomalyNote = extras_of(node).notes.setdefault(AnomalyNote, AnomalyNote())
    return note


class anomaly_mode(ModeChange):
    """Check every result, forward and backward, for NaN and infinity.

    An operation is to blame when finite numbers go in and others come out (for NaN: when none went
    in), in its result or in the gradients that its derivative rule sends back. NaN in constants
    and in leaves is reported where it enters; infinite constants, such as those of masks, may pass.
    Checked are the operations, and the backward passes, that run inside of the block.

    A training step of the character LSTM takes 1.03 times as long with its kernels and 1.6 times
    as long recorded step by step: ``python benchmarks/anomaly_cost.py [--unfused]``.

    Args:
        action: "raise" raises at the first such operation. "mark" goes on, and leaves a note on
            its node, which `graph(y).first_anomaly()` reads; it survives the backward pass.

    Raises:
        AnomalyError: names the operation, its module path and time step, the shapes, how many
            numbers are NaN or infinite, and the line of user code.
        ValueError: for another action.

    >>> import minigrad as mg
    >>> x = mg.Tensor([0.0, 4.0], requires_grad=True)
    >>> with mg.anomaly_mode():
    ...     mg.sqrt(x).sum().backward()
    Traceback (most recent call last):
    minigrad.core.errors.AnomalyError: backward through sqrt: ...
    """

    def __init__(self, action: str = "raise") -> None:
        super().__init__()
        if action not in ("raise", "mark"):
            raise ValueError(f'anomaly_mode: action must be "raise" or "mark", got {action!r}')
        self._observer = AnomalyObserver(action)

    def changes(self, mode: Mode) -> dict[str, Any]:
        """The observers, with this one in the place of another block's around it."""
        return {"observers": (*mode.without(AnomalyObserver), self._observer)}


class AnomalyObserver(Observer):
    """Checks what operations return, and the gradients that go along edges.

    Args:
        action: "raise" or "mark".
    """

    def __init__(self, action: str) -> None:
        self.action = action

    def call(self, applied: Applied) -> None:
        """Check the results of an operation, and note on its node what was seen.

        Raises:
            AnomalyError: when this operation is to blame, unless anomalies are only marked.
        """
        finite = all(is_finite(t) for t in applied.tensors)
        note = None
        if applied.node is not None:
            note = _note_of(applied.node)
            note.line, note.value_finite = user_line(), finite
        mode = current_mode()
        if finite or mode.deriving:
            # What a rule computes on the way may be infinite and masked out again: the gradients
            # that it sends are checked instead.
            return
        finding = _blame_forward(
            applied.operation, mode, applied.inputs, applied.params, applied.tensors
        )
        if finding is None:
            return
        message = f"{finding} Line: {with_source(user_line())}"
        if note is not None:
            note.value_anomaly = message
        if self.action == "raise":
            raise AnomalyError(message, finding)

    def of_pass(self) -> Observer:
        """The checks of one backward pass."""
        return BackwardChecks("mark" if current_mode().deriving else self.action)


# -- forward ---------------------------------------------------------------------------------------


def _blame_forward(
    op: Any, mode: Mode, inputs: Sequence[Any], params: dict[str, Any], tensors: Sequence[Any]
) -> str | None:
    """What this operation did wrong, or which bad numbers enter with it; None if neither."""
    names = (
        [f"{op.inputs[0]}[{i}]" for i in range(len(inputs))] if op.list_input else list(op.inputs)
    )
    where = place(op.name, mode.scope)
    nan_result = any(has_nan(t) for t in tensors)
    bad = [(name, value) for name, value in zip(names, inputs, strict=True) if not is_finite(value)]
    for name, value in bad:
        leaf = getattr(value, "_node", None)
        if leaf is not None and leaf.__class__ is not Leaf:
            continue
        if leaf is None and not (nan_result and has_nan(value)):
            continue  # an infinite constant, as masks are made of
        what = (
            "a constant" if leaf is None else f"the leaf {leaf.name!r}" if leaf.name else "a leaf"
        )
        return (
            f"{where}: its argument {name} is {what} that was not finite when it came in: "
            f"{describe(value)} with {count_bad([value])}."
        )
    if bad and (not nan_result or any(has_nan(value) for _, value in bad)):
        return None
    opening = (
        f"infinite numbers in {', '.join(name for name, _ in bad)} gave NaN"
        if bad
        else "finite inputs gave numbers that are not finite"
    )
    arguments = ", ".join(summary(n, v) for n, v in zip(names, inputs, strict=True))
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
        with ModeChange(recording=False, fused=False, observers=(AnomalyObserver("raise"),)):
            op.reference(*inputs, **params)
    except AnomalyError as error:
        return f" Step by step, in its reference: {error.finding}"
    return " Step by step, its reference stays finite."


# -- backward --------------------------------------------------------------------------------------


class BackwardChecks(Observer):
    """The checks of one backward pass: who was the first to send a gradient that is not finite.

    Args:
        action: "raise" or "mark".
    """

    def __init__(self, action: str) -> None:
        self.action = action
        self.arrived: dict[Node, int] = {}  # how many gradients were sent to a node
        self.senders: dict[Node, list[Node]] = {}  # who sent them
        self.nonfinite: set[Node] = set()  # to which one that was not finite was sent
        self.blamed: set[Node] = set()

    def edge(
        self, node: Node | None, gradient: Array, slot: int, source: Node | None, part: Array
    ) -> None:
        """Check a gradient on its way."""
        if node is None:
            assert source is not None
            self._start(source, part)
            return
        if source is None:
            self._arrive(node, gradient)
        else:
            self._leave(node, gradient, slot, source, part)

    def _start(self, node: Node, g: Array) -> None:
        """Check a gradient that the pass starts from."""
        self.arrived[node] = self.arrived.get(node, 0) + 1
        if not is_finite(g):
            self._report(
                node,
                f"backward from {_label(node)}: the gradient that it starts from is not finite: "
                f"{', '.join(describe(one) for one in _parts(g))} with {count_bad(_parts(g))}.",
            )
            self.nonfinite.add(node)

    def _arrive(self, node: Node, g: Array) -> None:
        """Check the whole gradient of a node: the sum of those sent to it, after its hooks."""
        hooks = bool(node.extras is not None and node.extras.hooks)
        note = _note_of(node)
        sent = node in self.nonfinite
        finite = is_finite(g) if sent or hooks or self.arrived[node] > 1 else True
        note.grad_finite = finite
        if node not in self.blamed:
            note.grad_anomaly = None  # of an earlier pass
        if finite:
            self.nonfinite.discard(node)
            return
        self.nonfinite.add(node)
        if not sent:
            self._report(
                node,
                f"backward at {_label(node)}: finite gradients became "
                f"{', '.join(describe(one) for one in _parts(g))} with {count_bad(_parts(g))} when "
                + ("a hook changed them." if hooks else "they were added up."),
            )

    def _leave(self, node: Node, g: Array, slot: int, source: Node, part: Array) -> None:
        """Check a gradient that a node sends to one of its inputs."""
        self.arrived[source] = self.arrived.get(source, 0) + 1
        self.senders.setdefault(source, []).append(node)
        if is_finite(part):
            return
        self.nonfinite.add(source)
        if node in self.nonfinite:
            return
        bad_values = _met_bad_values(node)
        hint = backward_advice(node, came_from_zero(g, part), self.senders, bad_values)
        inside = "" if bad_values else _inside_backward(node, g)
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
        note = _note_of(node)
        if node.__class__ is Leaf:
            line = ""
        elif note.line is None:
            line = " Run the forward pass under anomaly_mode() too, and its line is named here."
        else:
            line = f" Line of the forward: {with_source(note.line)}"
        if node not in self.blamed:
            self.blamed.add(node)
            note.grad_anomaly = finding + line
        if self.action == "raise":
            raise AnomalyError(finding + line, finding)


def _parts(g: Array) -> list[Array]:
    """The gradients of all outputs of a node."""
    return list(g.slots.values()) if isinstance(g, OutputGradients) else [g]


def _label(node: Node) -> str:
    return f"leaf {node.name!r}" if node.name else node.where


def _inside_backward(node: Node, g: Array) -> str:
    """Where the reference of a fused operation, differentiated step by step, goes wrong."""
    if not isinstance(node.plan, FusedPlan):
        return ""
    try:
        with ModeChange(fused=False, deriving=False, observers=(AnomalyObserver("raise"),)):
            _, outs = run_reference(node)
            pull_back(roots_of(node, outs, as_array(g)), retain=False)
    except AnomalyError as error:
        return f"Step by step, in its reference: {error.finding}"
    return "Step by step, its reference stays finite."


def _met_bad_values(node: Node) -> bool:
    """Whether the forward check saw numbers at this node that were not finite."""
    notes = (None if n is None else anomaly_note(n) for n in (node, *node.inputs))
    return any(note is not None and note.value_finite is False for note in notes)


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
            seen = anomaly_note(node)
            found = None if seen is None else getattr(seen, field)
            if found is not None:
                sentences.append(f"{label}: {found}")
                break
    return "\n".join(sentences) or None
