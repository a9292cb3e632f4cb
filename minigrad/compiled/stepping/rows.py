"""Whether a step treats the sequences of a batch one by one, so that some may be left out or added.

A program has a fixed number of rows. It serves batches of other sizes where no row depends on
another one, nor on its place, and where a row whose results have no gradient adds nothing to the
gradients of weights. That is shown here for the graph of a step, value by value; what is not known
does not pass.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

from minigrad.compiled.graph import ELEMENTWISE, ROWS, Unsupported, Value, View, contiguous
from minigrad.compiled.stepping.linear import is_zero

__all__ = ["FREE", "Kind", "Mixed", "Role", "check_rows", "row_wise", "seen_role"]
__all__ += ["without_rows"]


class Mixed(Exception):
    """Rows may depend on each other; the message says where."""


class Kind(Enum):
    """How a value depends on the rows."""

    FREE = "not at all"
    ROWS = "each row on its own row"
    SUM = "a sum over rows"


class Role(NamedTuple):
    """What is known of a value.

    Attributes:
        kind: how it depends on the rows.
        axis: along which the rows lie, if they do.
        linear: whether it is zero where all gradients that arrive are zero.
    """

    kind: Kind
    axis: int = 0
    linear: bool = False


FREE: Final = Role(Kind.FREE)


def row_wise(axis: int = 0, linear: bool = False) -> Role:
    """The role of a value of which each row is that of one sequence."""
    return Role(Kind.ROWS, axis, linear)


_FAR: Final = 1 << 40
"""A distance between rows that no way within a row can have."""

_LINEAR: Final = frozenset(("negative", "copy", "convert"))


def check_rows(
    values: Iterable[Value], given: Mapping[Value, Role], rows: int
) -> dict[Value, Role]:
    """The roles of values.

    Args:
        values: in order.
        given: the roles of the inputs.
        rows: how many rows the step was traced with, 2 or more.

    Raises:
        Mixed: when rows may depend on each other.
    """
    roles = dict(given)
    for value in values:
        roles[value] = _Check(value, roles, rows).role()
    return roles


def without_rows(
    values: Sequence[Value],
    given: Sequence[Value],
    roles: Mapping[Value, Role],
    read: Iterable[View],
) -> list[Any]:
    """What values are computed from, but for how many rows there are.

    Two steps traced with other numbers of rows agree in it, unless numbers of theirs, or what they
    read within a row, depend on how many there are.

    Args:
        values: of one step, in order.
        given: its inputs.
        roles: of both.
        read: the views of them that are results.
    """
    numbers = {value: i for i, value in enumerate((*given, *values))}

    def seen(view: View, reader: Value | None = None) -> Any:
        value = view.value
        if value.array is not None:
            known: Any = value.shape, value.array.tobytes()
        else:
            known = numbers[value]
        role = roles.get(value, FREE)
        if role.kind is Kind.FREE and reader is not None and roles[reader].kind is Kind.ROWS:
            axis, shape = roles[reader].axis, list(view.shape)
            if axis < len(shape) and not view.strides[axis]:
                shape[axis] = 0  # repeated for every row
            return known, shape, view.strides, view.offset
        return known, _within_a_row(view, role)

    found: list[Any] = []
    for value in values:
        options: Any = value.options
        if value.op == "assemble":
            pairs = zip(value.views, value.options, strict=True)
            parts = [View(value, view.shape, *place) for view, place in pairs]
            options = [_within_a_row(part, roles[value]) for part in parts]
        operands = [seen(o, value) if isinstance(o, View) else repr(o) for o in value.operands]
        shape = _within_a_row(View(value), roles[value])
        found.append((value.op, value.dtype, shape, options, operands))
    return [*found, *map(seen, read)]


def _within_a_row(view: View, role: Role) -> Any:
    """Where a view reads within each row; all of it, if there are no rows."""
    if role.kind is not Kind.ROWS:
        return view.shape, view.strides, view.offset
    shape, axis = view.value.shape, role.axis
    strides = list(contiguous((*shape[:axis], *shape[axis + 1 :])))
    strides.insert(axis, _FAR)
    offset, moves = view.within(tuple(strides))
    lengths = [n for n, move in zip(view.shape, moves, strict=True) if move != _FAR]
    return lengths, moves, offset


def seen_role(view: View, roles: Mapping[Value, Role], rows: int) -> Role:
    """The role of a view, which reads all rows or none.

    Raises:
        Mixed: when it reads some of them, or in another order.
    """
    role = roles.get(view.value, FREE)
    if role.kind is not Kind.ROWS:
        return role
    axis = _axis_of_rows(view, role.axis, rows)
    if axis is None:
        raise Mixed(f"{view.value.place or view.value.op} is read across the rows of a batch")
    return role._replace(axis=axis)


class _Check:
    """The role of one value, from those of what it reads."""

    def __init__(self, value: Value, roles: Mapping[Value, Role], rows: int) -> None:
        self._value, self._rows = value, rows
        self._views = list(value.views)
        self._roles = [seen_role(view, roles, rows) for view in self._views]

    def role(self) -> Role:
        """The role of the value."""
        value, op = self._value, self._value.op
        if all(role.kind is Kind.FREE for role in self._roles):
            return FREE
        if any(role.kind is Kind.SUM for role in self._roles):
            return self._of_sums()
        if op in ELEMENTWISE:
            linear = is_zero(value, [role.linear for role in self._roles])
            return row_wise(self._common_axis(), linear)
        if op in ROWS:
            last = len(self._views[0].shape) - 1
            return self._reduced(range(last, last + 1), kept=True)
        if op == "lead_sum":
            return self._reduced(range(value.options[0]))
        if op == "total":
            return self._reduced(range(len(self._views[0].shape)))
        if op == "matmul":
            return self._product()
        if op == "assemble":
            return self._assembled()
        if op == "scatter_add" and self._roles == [row_wise(), row_wise(linear=True)]:
            return Role(Kind.SUM, 0, True)
        if op == "gather" and self._roles[0].kind is Kind.FREE:
            return row_wise(self._roles[1].axis)
        raise self._mixed()

    def _mixed(self) -> Mixed:
        return Mixed(f"{self._value.place or self._value.op} may mix the rows of a batch")

    def _common_axis(self) -> int:
        """The axis of rows that all operands share; what has no rows must not move along it."""
        axes = {role.axis for role in self._roles if role.kind is Kind.ROWS}
        if len(axes) != 1:
            raise self._mixed()
        (axis,) = axes
        for view, role in zip(self._views, self._roles, strict=True):
            if role.kind is Kind.FREE and view.strides[axis]:
                raise self._mixed()
        return axis

    def _reduced(self, over: range, kept: bool = False) -> Role:
        """A sum over some axes; the largest of a row stays within it."""
        (role,) = self._roles
        if role.axis not in over:
            before = 0 if kept else sum(axis < role.axis for axis in over)
            linear = role.linear and self._value.op != "row_max"
            return row_wise(role.axis - before, linear)
        if self._value.op == "row_max" or not role.linear:
            raise self._mixed()
        return Role(Kind.SUM, 0, True)

    def _product(self) -> Role:
        (a, b), (left, right) = self._roles, self._views
        last = len(left.shape) - 1
        linear = a.linear or b.linear
        if a.kind is Kind.ROWS and b.kind is Kind.ROWS:
            if a.axis == b.axis < last - 1:
                return row_wise(a.axis, linear)
            if a.axis == last and b.axis == last - 1 and linear:
                return Role(Kind.SUM, 0, True)
        elif a.kind is Kind.ROWS and (a.axis == last - 1 or self._still(right, a.axis, last)):
            return row_wise(a.axis, linear)
        elif b.kind is Kind.ROWS and (b.axis == last or self._still(left, b.axis, last)):
            return row_wise(b.axis, linear)
        raise self._mixed()

    @staticmethod
    def _still(view: View, axis: int, last: int) -> bool:
        """Whether the other operand of a product is the same for all rows, which it repeats."""
        return axis < last - 1 and not view.strides[axis]

    def _assembled(self) -> Role:
        value, axes = self._value, set()
        for view, role, (strides, offset) in zip(
            self._views, self._roles, value.options, strict=True
        ):
            if role.kind is not Kind.ROWS:
                raise self._mixed()
            step = strides[role.axis]
            there = View(value, view.shape, strides, offset)
            for axis, length in enumerate(value.shape):
                if length == self._rows and contiguous(value.shape)[axis] == step:
                    found = _axis_of_rows(there, axis, self._rows)
                    axes.add(axis if found == role.axis else -1)
        if -1 in axes or not axes:
            raise self._mixed()
        if len(axes) != 1:
            raise self._mixed()
        return row_wise(axes.pop(), all(role.linear for role in self._roles))

    def _of_sums(self) -> Role:
        """What is computed from sums over rows, which must stay sums."""
        op = self._value.op
        kinds = {role.kind for role in self._roles}
        if op == "scatter_add" or Kind.ROWS in kinds:
            raise self._mixed()
        added = op in ("add", "subtract", "assemble") and kinds == {Kind.SUM}
        added = added and all(isinstance(o, View) for o in self._value.operands)
        one = sum(role.kind is Kind.SUM for role in self._roles) == 1
        scaled = op in ("multiply", "matmul") and one
        scaled = scaled or (op == "divide" and one and self._roles[0].kind is Kind.SUM)
        alone = op in _LINEAR | {"row_sum", "lead_sum", "total"}
        if not (added or scaled or alone):
            raise self._mixed()
        return Role(Kind.SUM, 0, True)


def _axis_of_rows(view: View, axis: int, rows: int) -> int | None:
    """Along which axis of a view the rows of its value lie; None where not all do, in order."""
    strides = list(contiguous(view.value.shape))
    strides[axis] = _FAR
    try:
        offset, moves = view.within(tuple(strides))
    except Unsupported:
        return None
    along = [i for i, move in enumerate(moves) if abs(move) >= _FAR // 2]
    if len(along) != 1 or moves[along[0]] != _FAR or offset >= _FAR // 2:
        return None
    return along[0] if view.shape[along[0]] == rows else None
