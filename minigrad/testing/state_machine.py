"""Random interleavings of what a user may do with tensors, compared with the hyper-dual engine.

The model keeps, beside every tensor, the expression that it stands for and what is known of its
record: which parts of the graph were freed, which leaves were written since. From this it says
what `backward` must give, or that it must refuse.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.core.blocks import no_grad
from minigrad.core.errors import GradientError
from minigrad.core.tensors import Tensor
from minigrad.io.packages import require
from minigrad.testing import hyperdual
from minigrad.testing.hyperdual import Jet, jet
from minigrad.testing.model_terms import Source, Term
from minigrad.transforms.derivatives import gradients

require("hypothesis", "testing", "minigrad.testing.EngineMachine")

from hypothesis import strategies as st  # noqa: E402 - after the check that it is installed
from hypothesis.stateful import (  # noqa: E402
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

__all__ = ["EngineMachine"]

TOLERANCE = 1e-9
LARGEST = 300.0  # numbers beyond it are not computed with any further
SHAPES: list[tuple[int, ...]] = [(2,), (), (2, 2), (1,)]

UNARY: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Jet]]] = {
    "tanh": (np.tanh, hyperdual.tanh),
    "sin": (np.sin, hyperdual.sin),
    "square": (np.square, lambda x: x * x),
    "negative": (lambda t: -t, lambda x: -x),
    "sum": (lambda t: t.sum(), hyperdual.total),
    "first": (lambda t: t.reshape(-1)[0], lambda x: hyperdual.reshape(x, -1)[0]),
    "transpose": (lambda t: t.T, hyperdual.linear(np.transpose)),
}
BINARY: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Jet]]] = {
    "add": (lambda t, u: t + u, lambda x, z: x + z),
    "subtract": (lambda t, u: t - u, lambda x, z: x - z),
    "multiply": (lambda t, u: t * u, lambda x, z: x * z),
}
READS_INPUTS = {"sin", "square", "multiply"}  # whose rules cannot do without the inputs' values


class EngineMachine(RuleBasedStateMachine):
    """A hypothesis state machine; ``TestEngine = EngineMachine.TestCase`` is a test.

    Its rules make leaves, compute with and without `no_grad`, write in place, detach, run backward
    with and without `retain_graph`, differentiate twice, clear gradients and drop tensors.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[Source] = []
        self.pairs: list[tuple[Tensor, Term]] = []

    # -- making tensors --------------------------------------------------------------------------

    @initialize(shape=st.sampled_from(SHAPES), seed=st.integers(0, 1000))
    def begin(self, shape: tuple[int, ...], seed: int) -> None:
        """Start from one leaf."""
        self._add_leaf(shape, seed)

    @precondition(lambda self: len(self.sources) < 3)
    @rule(shape=st.sampled_from(SHAPES), seed=st.integers(0, 1000))
    def make_leaf(self, shape: tuple[int, ...], seed: int) -> None:
        """A leaf that requires grad."""
        self._add_leaf(shape, seed)

    def _add_leaf(self, shape: tuple[int, ...], seed: int) -> None:
        value = np.random.default_rng(seed).uniform(-2, 2, shape)
        tensor = Tensor(value, requires_grad=True)
        self.sources.append(Source(tensor, value))
        self._read_leaf(self.sources[-1])

    def _read_leaf(self, source: Source) -> None:
        term = Term("leaf", recorded=True)
        term.source, term.value, term.written = source, source.value, source.writes
        self.pairs.append((source.tensor, term))

    @rule(data=st.data(), names=st.lists(st.sampled_from(sorted(UNARY)), min_size=1, max_size=4))
    def compute(self, data: Any, names: list[str]) -> None:
        """A chain of operations on one tensor."""
        pair = self._draw(data)
        for name in names:
            ours, theirs = UNARY[name]
            tensor, term = pair
            self._record(name, ours, theirs, (tensor,), (term,))
            pair = self.pairs[-1]

    @rule(data=st.data(), name=st.sampled_from(sorted(UNARY)))
    def compute_under_no_grad(self, data: Any, name: str) -> None:
        """An operation that is not recorded."""
        ours, theirs = UNARY[name]
        tensor, term = self._draw(data)
        self._record(name, ours, theirs, (tensor,), (term,), quiet=True)

    @rule(data=st.data(), name=st.sampled_from(sorted(BINARY)))
    def combine(self, data: Any, name: str) -> None:
        """An operation on two tensors, perhaps one tensor twice."""
        ours, theirs = BINARY[name]
        (tensor, term), (other, second) = self._draw(data), self._draw(data)
        try:
            np.broadcast_shapes(tensor.shape, other.shape)
        except ValueError:
            return
        self._record(name, ours, theirs, (tensor, other), (term, second))

    def _record(
        self,
        name: str,
        ours: Any,
        theirs: Any,
        tensors: tuple[Tensor, ...],
        terms: tuple[Term, ...],
        quiet: bool = False,
    ) -> None:
        made = Term(name, theirs, terms, not quiet and any(t.recorded for t in terms))
        made.value = theirs(*(jet(term.value) for term in terms)).value
        if np.abs(made.value).max(initial=0) > LARGEST or made.value.size > 8:
            return
        if quiet:
            with no_grad():
                result = ours(*tensors)
        else:
            result = ours(*tensors)
        self.pairs.append((result, made))

    @rule(data=st.data())
    def detach(self, data: Any) -> None:
        """The same values without history."""
        tensor, term = self._draw(data)
        made = Term("constant")
        made.value = term.value
        self.pairs.append((tensor.detach(), made))

    # -- writing ---------------------------------------------------------------------------------

    @rule(data=st.data(), name=st.sampled_from(["+=", "*=", "[...]="]))
    def write_in_place(self, data: Any, name: str) -> None:
        """Augmented assignment, and assignment by index, while recording."""
        (tensor, term), (other, second) = self._draw(data), self._draw(data)
        if other.shape not in ((), tensor.shape):
            return
        if max(np.abs(t.value).max(initial=0) for t in (term, second)) > LARGEST**0.5:
            return
        target: Any = tensor  # operators are bound to tensors at run time, unseen by type checkers
        if term.name == "leaf":
            self._must_refuse(lambda: target.__iadd__(other), "a leaf that requires grad")
            return
        apply: Callable[..., Jet]
        before = [pair for pair in self.pairs if pair[0] is not tensor]
        if name == "[...]=":
            if not term.value.ndim:
                return
            if other.shape:  # only single numbers are written
                other, second = Tensor(2.0, dtype=np.float64), Term("constant")
                second.value = np.float64(2.0)
            if getattr(tensor, "_part", None) is not None:
                self._must_refuse(lambda: target.__setitem__(..., other), "not aliases")
                return
            target[..., :1] = other
            apply = _write_first
        else:
            if name == "+=":
                target += other
            else:
                target *= other
            apply = BINARY["add" if name == "+=" else "multiply"][1]
        made = Term(name, apply, (term, second), term.recorded or second.recorded)
        made.value = apply(jet(term.value), jet(second.value)).value
        self.pairs = [*before, (tensor, made)]

    @rule(data=st.data())
    def update_leaf(self, data: Any) -> None:
        """What an optimiser does: write a leaf under no_grad, preferably one that was used."""
        _, term = self._draw(data, computed=True)
        used = {t.source for t in term.history() if t.source is not None}
        source = data.draw(st.sampled_from([s for s in self.sources if s in used] or self.sources))
        with no_grad():
            source.tensor -= 0.25
        source.value = source.value - 0.25
        source.writes += 1
        self.pairs = [pair for pair in self.pairs if pair[0] is not source.tensor]
        self._read_leaf(source)

    @rule(data=st.data())
    def drop(self, data: Any) -> None:
        """Forget a tensor; what was computed from it keeps what it needs."""
        tensor, term = self._draw(data)
        if term.name != "leaf":
            self.pairs = [pair for pair in self.pairs if pair[0] is not tensor]

    # -- differentiating -------------------------------------------------------------------------

    @rule(data=st.data(), retained=st.lists(st.booleans(), min_size=1, max_size=2))
    def backward(self, data: Any, retained: list[bool]) -> None:
        """Once or twice, backward gives the hyper-dual engine's gradients, or is refused."""
        tensor, term = self._draw(data, computed=True)
        for retain in retained:
            self._backward(tensor, term, retain)

    def _backward(self, tensor: Tensor, term: Term, retain: bool) -> None:
        history = term.history()
        if not term.recorded:
            self._refused(tensor, "does not require grad")
            return
        freed = any(t.freed for t in history)
        stale, must_refuse = self._staleness(history)
        if freed or must_refuse:
            self._refused(tensor, "freed" if not stale else "")
            return
        weights = np.cos(np.arange(term.value.size)).reshape(term.value.shape)
        try:
            tensor.backward(weights, retain_graph=retain or stale)
        except GradientError as error:
            if not stale:
                raise AssertionError(f"backward refused a graph that is whole: {error}") from error
            return
        for source in {t.source for t in history if t.source is not None}:
            found = self._gradient(term, source, weights)
            source.grad = found if source.grad is None else source.grad + found
        if not (retain or stale):
            for part in history:
                part.freed = part.name != "leaf"

    def _refused(self, tensor: Tensor, reason: str) -> None:
        """Backward must refuse; with retain_graph, so that it frees nothing on the way."""
        self._must_refuse(lambda: tensor.backward(np.ones(tensor.shape), retain_graph=True), reason)

    @staticmethod
    def _must_refuse(action: Callable[[], Any], reason: str) -> None:
        try:
            action()
        except GradientError as error:
            if reason not in str(error):
                raise AssertionError(f"expected a refusal with {reason!r}, got: {error}") from error
            return
        raise AssertionError(f"this should have been refused: {reason or 'a leaf was written'}")

    def _staleness(self, history: list[Term]) -> tuple[bool, bool]:
        """Whether a leaf was written since it was read, and whether its old value is needed."""
        stale, needed = False, False
        for term in history:
            for part in term.terms:
                if part.source is not None and part.source.writes > part.written:
                    stale = True
                    needed |= self._needs(term, part)
        return stale, needed

    @staticmethod
    def _needs(term: Term, part: Term) -> bool:
        if term.name == "multiply":  # the value of one factor is read for the other's gradient
            first, second = term.terms
            return (part is first and second.recorded) or (part is second and first.recorded)
        return term.name in READS_INPUTS

    def _gradient(self, term: Term, source: Source, weights: Any) -> Any:
        """The gradient entry by entry, each by a pass of the hyper-dual engine."""
        found = np.zeros(source.value.shape)
        for i in np.ndindex(found.shape):
            unit = np.zeros(found.shape)
            unit[i] = 1.0
            moved = term.evaluate({source: (unit, unit)})
            found[i] = (weights * moved.parts[1]).sum()
        return found

    @rule(data=st.data())
    def differentiate_twice(self, data: Any) -> None:
        """Second derivatives along two directions; no `.grad` is touched and nothing is freed."""
        tensor, term = self._draw(data, computed=True)
        history = term.history()
        found = {t.source: t for t in history if t.source is not None}
        if not found or any(t.freed for t in history) or self._staleness(history)[0]:
            return
        if any(source.tensor._node is None for source in found):
            return
        sources = list(found)
        generator = np.random.default_rng(0)
        directions = {
            s: (generator.uniform(-1, 1, s.value.shape), generator.uniform(-1, 1, s.value.shape))
            for s in sources
        }
        leaves = [s.tensor for s in sources]
        firsts = gradients(tensor.sum(), leaves, create_graph=True)
        slope = sum((g * directions[s][0]).sum() for g, s in zip(firsts, sources, strict=True))
        expected = hyperdual.total(term.evaluate(directions))
        _compare("the slope", slope.item(), expected.parts[1], expected.largest)
        bend = 0.0
        if slope.requires_grad:
            before = [(t, None if t.grad is None else t.grad.numpy().copy()) for t in leaves]
            for leaf in leaves:
                leaf.zero_grad()
            slope.backward(retain_graph=True)
            for (leaf, grad), s in zip(before, sources, strict=True):
                if leaf.grad is not None:
                    bend += float((leaf.grad.numpy() * directions[s][1]).sum())
                leaf.grad = grad
        _compare("the second derivative", bend, expected.parts[3], expected.largest)

    @rule(data=st.data())
    def zero_grad(self, data: Any) -> None:
        """Forget the gradient of a leaf."""
        source = data.draw(st.sampled_from(self.sources))
        source.tensor.zero_grad()
        source.grad = None

    # -- what always holds -----------------------------------------------------------------------

    @invariant()
    def values_agree(self) -> None:
        """Every tensor has the model's value, and requires grad where the model recorded it."""
        for tensor, term in self.pairs:
            _compare(f"the value of {term.name}", tensor.numpy(), term.value, 0.0)
            assert tensor.requires_grad == term.recorded, term.name

    @invariant()
    def gradients_agree(self) -> None:
        """Every leaf has added up the model's gradients."""
        for source in self.sources:
            grad = source.tensor.grad
            assert (grad is None) == (source.grad is None)
            if grad is not None:
                _compare("a gradient", grad.numpy(), source.grad, np.abs(source.grad).max())

    def _draw(self, data: Any, computed: bool = False) -> tuple[Tensor, Term]:
        """A tensor with its term, the latest preferred; with `computed` one with a history."""
        pairs = [p for p in self.pairs if p[1].recorded and p[1].terms] if computed else []
        pairs = pairs or self.pairs
        pair: tuple[Tensor, Term] = pairs[-1 - data.draw(st.integers(0, len(pairs) - 1))]
        return pair


def _write_first(x: Jet, z: Jet) -> Jet:
    """What `t[..., :1] = u` stands for."""
    return hyperdual.updated(x, z, (..., slice(0, 1)))


def _compare(what: str, mine: Any, theirs: Any, largest: float) -> None:
    difference = float(np.abs(np.asarray(mine) - theirs).max(initial=0))
    assert np.shape(mine) == np.shape(theirs), (what, np.shape(mine), np.shape(theirs))
    bound = TOLERANCE * max(1.0, largest, float(np.abs(theirs).max(initial=0)))
    assert difference <= bound, f"{what} differs by {difference:.3g}, allowed {bound:.3g}"
