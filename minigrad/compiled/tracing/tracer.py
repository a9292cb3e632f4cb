"""The observer that turns what runs into a graph.

It knows a value by the identity of its array, as replay does: arrays of tensors never change. An
array that dies is forgotten at once, since its identity may be given to another one.
"""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from minigrad.compiled.flags import settings
from minigrad.compiled.graph import PlainArray, View
from minigrad.compiled.tracing.called import CalledOperation, Request, of_leaves
from minigrad.compiled.tracing.conversions import convert, with_index
from minigrad.compiled.tracing.conversions.functions import NumpyFunction, convert_function
from minigrad.compiled.tracing.conversions.registry import Recorded, what_hinders
from minigrad.compiled.tracing.earlier import Calls, is_plain
from minigrad.compiled.tracing.followed import Followed, NumpyCall, follow
from minigrad.compiled.tracing.inputs import Inputs
from minigrad.compiled.tracing.kernels import KeptKernels, is_kept
from minigrad.compiled.tracing.memory import owner_of
from minigrad.compiled.tracing.watching import UnwatchedPasses, Watch, is_users
from minigrad.core.modes import current_mode
from minigrad.core.observer import Applied, Drawn
from minigrad.ops.fusing import FusedOperation, KernelObserver
from minigrad.ops.pytree import labelled_leaves, replace_leaves
from minigrad.ops.randomness import DrawRequest
from minigrad.restoring import errstate

__all__ = ["Request", "Tracer"]


class Tracer(Inputs, KernelObserver, UnwatchedPasses):
    """Makes values of a graph from the operations that it sees.

    Args:
        states: where given, draws come from these states of generators by their identity, so that
            the generators themselves stay where they are; else they are drawn as always.
        kernels: whether large kernels stay what they are, see `minigrad.compiled.tracing.kernels`.
        before: see `Inputs`.

    Attributes:
        calls: the operations that were converted.
        written: tensors that were written in-place, with the array and node that they held before.
        assumed: values that our own code looked at, with what they were: a program holds for these.
        followed: arrays that NumPy computed, with the views that they are.
        plain: what operations keep for their derivatives that is no array, such as lengths.
        nodes: of the operations that were seen, to look for hooks.
        derivatives: of outputs that the function itself differentiated, by the numbers of nodes.
    """

    records_passes = True

    def __init__(
        self,
        states: dict[int, Any] | None = None,
        kernels: bool = False,
        before: "Tracer | None" = None,
    ) -> None:
        super().__init__(before)
        self.calls: Calls = Calls(None if before is None else before.calls)
        self._kernels = KeptKernels(self) if kernels else None
        self.written: dict[int, tuple[weakref.ref[Any], PlainArray, Any]] = {}
        self.assumed: list[tuple[View, PlainArray]] = []
        self.followed: list[tuple[PlainArray, View]] = []
        self.plain: list[Any] = []
        self._states = states
        self.nodes: list[Any] = []
        self.derivatives: dict[int, dict[int, View]] = {}
        self._unknown = 0  # arrays that NumPy's functions read and nobody had followed
        self._settings = settings()  # under which warnings are those of a call

    # -- values ------------------------------------------------------------------------------------

    def source(self, value: Any, array: Any) -> Any:
        """A view of an operand, or the number that it is."""
        if hasattr(value, "_array"):
            found = self.view_of(value._array)
            if found is not None:
                self.capture_again(value)
            return self.capture(value) if found is None else found
        for candidate in (value, array):
            if isinstance(candidate, ndarray) and (found := self.view_of(candidate)) is not None:
                return found
        if isinstance(array, (ndarray, np.generic)):
            return self.builder.constant(np.asarray(array))
        return array

    def let_go(self) -> None:
        """Forget the arrays that were met, once nobody will ask for them."""
        self.forget()
        self.nodes.clear()
        self._kernels = None

    # -- events ------------------------------------------------------------------------------------

    def constant(self, value: Any, array: Any) -> Any:
        """A copy of what may be written later, in C order, so that rules make known views of it."""
        return array if is_plain(array) else self._constant(value, array)

    @Watch.pausing
    def _constant(self, value: Any, array: Any) -> Any:
        if isinstance(array, ndarray):
            known = None
            if hasattr(value, "_array"):
                known = self.view_of(value._array)
                if known is not None and current_mode().deriving:
                    return array  # within a rule: nobody writes what it has computed
                known = known or self.capture(value)
            for one in (array, value):
                if known is None and isinstance(one, ndarray):
                    known = self.view_of(one)
            whole = known is not None and array.base is None and array.flags.c_contiguous
            kept = array if whole else np.array(array, order="C")
            view = known or self.builder.constant(kept)
            self.enter_array(kept, view)
            # What a rule computes of it is followed, too, and of a tensor among the parameters.
            return kept if view.value.op == "constant" else self._known_as(kept, view)
        if hasattr(array, "_array"):
            return self._constant(array, array._array)
        leaves = [leaf for _, leaf in labelled_leaves(array)]
        if not any(map(_is_array, leaves)):
            return array
        return replace_leaves(array, [self.constant(leaf, leaf) for leaf in leaves])

    @Watch.pausing
    def numbers(self, value: Any, array: Any) -> Any:
        """Follow what our own code computes from arguments and draws, and copies of them."""
        known = self.numbers_of(value, array)
        return array if known is None else self._known_as(array, known)

    @Watch.pausing
    def call(self, applied: Applied) -> None:
        """Make the values of an operation; a failure here is ours, and no error of the call."""
        if self.refusal is not None:
            return
        try:
            self._convert(applied)
        except Exception as error:
            self.refuse(f"{applied.operation.name} fails with {type(error).__name__}: {error}")

    def _convert(self, applied: Applied) -> None:
        operation, params, result = applied.operation, applied.params, applied.results[0]
        if applied.node is not None:
            self.nodes.append(applied.node)
        pairs = zip(applied.inputs, applied.arrays, strict=True)
        operands = [self.source(value, array) for value, array in pairs]
        self.listen()
        key = self.calls.key(operation, operands, params)
        known = None if self.builder.heard else self.calls.again(key)
        if known is not None and len(applied.results) == 1 and _fits(known, result):
            self.enter_array(result, known)
            return
        self.builder.place = f"{operation.name}{getattr(current_mode().scope, 'place', '')}"
        leaves = [] if key is not None else [leaf for _, leaf in labelled_leaves(params)]
        traced = [i for i, leaf in enumerate(leaves) if self._is_followed(leaf)]
        recorded = Recorded(operation.name, operands, params, bool(traced), result)
        converted = convert(self.builder, recorded)
        views = [] if converted is None else [converted]
        if not views:
            views = with_index(self.builder, recorded, lambda x: self.source(x, x)) or []
        aux = applied.results[1:]
        self.plain.extend(r for r in aux if r.__class__ is not ndarray and r is not None)
        arrays = [result, *(r for r in aux if r.__class__ is ndarray)]
        if len(views) == len(arrays) and all(map(_fits, views, arrays)):
            if len(views) == 1:
                self.calls.note(key, views[0])
            for array, view in zip(arrays, views, strict=True):
                self.enter_array(array, view)
        else:
            self._call(applied, operands, leaves, traced)

    def listen(self) -> None:
        """Find out whether what is computed now would warn: in no derivative, in no quiet block.

        Nobody asks that of a second trace.
        """
        loud = self._before is None and not current_mode().deriving
        self.builder.heard = loud and settings() == self._settings

    def _by_formula(self, applied: Applied, operands: Sequence[Any]) -> View | None:
        """The result of an operation that is a formula of NumPy's elementwise functions.

        Its function runs again, on arrays that are followed; nothing stays of that unless all of
        it was converted.
        """
        if len(applied.results) != 1 or applied.operation.list_input:
            return None
        mark, assumed, refusal = self.builder.mark(), len(self.assumed), self.refusal
        converted = self.calls.mark()
        unknown = self._unknown
        given = []
        for operand, array in zip(operands, applied.arrays, strict=True):
            if isinstance(operand, View) and isinstance(array, ndarray):
                array = array if array.base is None else array.copy()  # parts of it lead to it
                self.enter_array(array, operand)
                array = self._known_as(array, operand)
            given.append(array)
        followed_before, before = len(self.followed), self._settings
        try:
            with errstate(all="call", call=lambda *_: None):  # as silent as "ignore"
                self._settings = settings()
                result = applied.operation.forward(*given, **applied.params)
        except Exception:  # some functions want arrays of NumPy's own
            result = None
        self._settings = before
        del self.followed[followed_before:]
        view = self.view_of(result) if isinstance(result, Followed) else None
        clean = len(self.assumed) == assumed and self.refusal is refusal
        clean = clean and self._unknown == unknown  # else it wrote into an array of its own
        clean = clean and all(value.op != "call" for value in self.builder.since(mark))
        if view is not None and clean and _fits(view, applied.results[0]):
            return view
        self.builder.back_to(mark)
        self.calls.back_to(converted)
        del self.assumed[assumed:]
        self.refusal = refusal
        return None

    def keeps(self, operation: FusedOperation, arrays: Sequence[Any], params: Any) -> bool:
        """Whether a large kernel runs as it is."""
        return self._kernels is not None and is_kept(operation, arrays, params)

    def kernel(self, operation: FusedOperation, args: Sequence[Any], params: Any) -> Any:
        """Run a large kernel as it is, if the back end wants that."""
        return None if self._kernels is None else self._kernels.apply(operation, args, params)

    def kernel_gradients(self, node: Any, g: Any) -> Sequence[Any] | None:
        """What such a kernel sends back."""
        return None if self._kernels is None else self._kernels.gradients(node, g)

    @Watch.pausing
    def derivative(self, output: Any, found: dict[Any, Any]) -> None:
        """Note the gradients of an output, which may be returned with them, unless hooks ran."""
        views = {node.number: self.view_of(g._array) for node, g in found.items()}
        known = {number: view for number, view in views.items() if view is not None}
        if len(known) == len(found) and all(node.extras is None for node in found):
            self.derivatives[output.number] = known

    def _is_followed(self, leaf: Any) -> bool:
        known = isinstance(leaf, ndarray) and self.view_of(leaf) is not None
        return known or hasattr(leaf, "_array")

    def _call(
        self, applied: Applied, operands: list[Any], leaves: list[Any], traced: list[int]
    ) -> None:
        operation = applied.operation
        formula = self._by_formula(applied, operands) if not traced else None
        if formula is not None:
            self.enter_array(applied.results[0], formula)
            return
        known = [self.source(leaves[i], leaves[i]) for i in traced]
        hinders = what_hinders(applied, operands, known)
        if hinders:
            self.refuse(f"{operation.name}: its {hinders} depends on its values")
        count = len(operands)
        places: list[int | None] = [i for i, o in enumerate(operands) if isinstance(o, View)]
        views = [*(o for o in operands if isinstance(o, View)), *known]
        places += [count + i for i in traced]
        called = CalledOperation(operation, applied.arrays, applied.params, places, applied.results)
        value = self.builder.make("call", views, (), bool, (called,))
        for i, result in enumerate(applied.results):
            if result.__class__ is ndarray:
                part = self.builder.make("result", [value], result.shape, result.dtype, (i,))
                self.enter_array(result, part)

    @Watch.pausing
    def numpy_call(
        self, name: str, function: Any, args: Any, options: dict[str, Any], result: Any
    ) -> Any:
        """Make the values of a NumPy function of followed arrays, and follow what it gives."""
        self.listen()
        array = np.asarray(result)
        if not isinstance(result, np.generic) and (known := self.view_of(array)) is not None:
            return self._follow(array, known)
        leaves = [leaf for _, leaf in labelled_leaves((args, options))]
        if any(isinstance(leaf, Followed) and self.view_of(leaf) is None for leaf in leaves):
            self.refuse(f"np.{name} reads a part of an array that is not followed")
        view = None
        if name in ("positive", "astype"):
            view = self.view_of(leaves[0])
            if view is not None and array.dtype.kind in "fiub":
                view = self.builder.convert(view, array.dtype)
        elif name == "reshaped":
            view = self.builder.reshape(self.source(leaves[0], leaves[0]), array.shape)
        else:
            call = NumpyFunction(name, args, options, array)
            view = convert_function(self.builder, call, self._operand, lambda x: self.source(x, x))
        if view is None or not _fits(view, array):
            run = of_leaves(function, (args, options))
            plain = [np.asarray(x) if isinstance(x, Followed) else x for x in leaves]
            places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Followed)]
            views = [self.source(leaves[i], leaves[i]) for i in places]
            called = CalledOperation(NumpyCall(name, run), plain, {}, places, [array])
            value = self.builder.make("call", views, (), bool, (called,))
            view = self.builder.make("result", [value], array.shape, array.dtype, (0,))
        followed = self._follow(array, view)
        followed.number = isinstance(result, np.generic)
        return followed

    def _follow(self, array: PlainArray, view: View) -> Any:
        """The array, followed; its owner is known, too, since views of it lead there."""
        self.enter_array(array, view)
        self.followed.append((array, view))
        return self._known_as(array, view)

    def _known_as(self, array: PlainArray, view: View) -> Any:
        followed = follow(array, self)
        self.know(followed, view)
        return followed

    def overwrite(self, out: Any, result: Any) -> None:
        """Know an array that NumPy wrote into by what it holds now, if nobody else looks at it."""
        view, owner = self.view_of(out), owner_of(out)
        others = [a for a in self.sharing(owner) if a is not out and a is not owner]
        shared = owner.shape != out.shape or bool(others)
        if view is None or view.value.op == "input" or shared or is_users():
            self.refuse("NumPy writes into an array")
            return
        view = self.builder.convert(self._views[id(result)], out.dtype)
        for array in (out, owner):
            self.know(array, view)

    def _operand(self, leaf: Any) -> Any:
        array = isinstance(leaf, (ndarray, np.generic))
        # One number may be a constant of a formula; a truth value is of something else.
        if array and (leaf.size > 1 or leaf.dtype == bool) and self.view_of(leaf) is None:
            self._unknown += 1
        return self.source(leaf, leaf) if array else leaf

    def looked_at(self, followed: Any, array: PlainArray, name: str) -> None:
        """Refuse that a number of a followed array leaves; in our own code, assume it."""
        view = self.view_of(followed)
        if view is None or is_users():
            self.refuse(f"{name} takes numbers out of the graph")
        else:
            self.assumed.append((view, array.copy()))

    def draw(self, request: DrawRequest, ask: Callable[[], Drawn]) -> Drawn:
        """Random numbers become an input; without moving their generators, if asked to."""
        if self._states is None:
            drawn = ask()
        else:
            bits = request.generator.bit_generator
            before = self._states.get(id(bits), bits.state)
            numbers, after = request.numbers_from(type(bits), before)
            self._states[id(bits)] = after
            drawn = numbers, before, after
        numbers = drawn[0]
        given = (*request.args, *request.options.values())
        if not isinstance(numbers, ndarray) or any(map(_is_array, given)):
            self.refuse(f"{request.name} draws one number, or by other numbers of arrays")
            return drawn
        view = self.drawn(request, numbers, drawn[1])
        numbers = self._follow(numbers, view)
        return numbers, *drawn[1:]

    def leave(self, tensor: Any, read_by: str = "") -> None:
        """Refuse what takes numbers out of the graph, unless they are always the same."""
        if read_by:
            view = self.view_of(tensor._array)
            if view is None or is_users():
                self.refuse(f"{read_by} takes numbers out of the graph")
            elif view.value.op != "constant":
                self.assumed.append((view, tensor._array))

    def enter(self, module: Any, scope: Any) -> None:
        """Refuse modules with hooks, which are the user's to run."""
        if getattr(module, "_hooks", None) or getattr(module, "_pre_hooks", None):
            self.refuse(f"there is a hook on {type(module).__name__}")

    def check_nodes(self) -> None:
        """Refuse hooks and retained gradients on what was computed."""
        for node in self.nodes:
            if node.extras is not None and (node.extras.hooks or node.extras.node_hooks):
                self.refuse(f"it registers a hook on the result of {node.where}")
            elif node.extras is not None and node.extras.retain:
                self.refuse(f"it retains the gradient of {node.where}")
        self.nodes.clear()

    def write(self, tensor: Any) -> None:
        """Note what a tensor held before it is written."""
        key = id(tensor)
        if key not in self.written:
            if self.view_of(tensor._array) is None:
                self.capture(tensor)
            self.written[key] = weakref.ref(tensor), tensor._array, tensor._node


def _is_array(value: Any) -> bool:
    return isinstance(value, ndarray) or hasattr(value, "_array")


def _fits(view: View, result: Any) -> bool:
    return bool(view.shape == result.shape and view.dtype == result.dtype)
