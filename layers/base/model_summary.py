"""`summary`: what a model consists of, what comes out of its parts, and what it costs."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import minigrad as mg
from layers.base.modes import evaluating
from layers.base.module import Module
from minigrad.core.modes import ModeChange, current_mode
from minigrad.debug.extras import HookHandle
from minigrad.debug.flops import multiply_adds
from minigrad.debug.scopes import Scope
from minigrad.ops.pytree import labelled_leaves
from minigrad.restoring import Restoring

__all__ = ["ModelSummary", "ModuleRow", "summary"]


class ModuleRow(NamedTuple):
    """One module of a summary; all numbers include the modules within it.

    Attributes:
        path: its path, "" for the model itself.
        kind: its class.
        shapes: of the tensors that its last call returned; None if it was not called.
        calls: how often it was called.
        parameters: the number of its parameters' numbers, shared ones once.
        trainable: how many of them are learned.
        multiply_adds: of all its calls.
    """

    path: str
    kind: str
    shapes: tuple[tuple[int, ...], ...] | None
    calls: int
    parameters: int
    trainable: int
    multiply_adds: int


class ModelSummary:
    """A summary; printed as a table.

    Attributes:
        rows: one for each module, the model itself first.
    """

    def __init__(self, rows: tuple[ModuleRow, ...]) -> None:
        self.rows = rows

    @property
    def parameters(self) -> int:
        """The number of the model's parameters' numbers, shared ones once."""
        return self.rows[0].parameters

    @property
    def trainable(self) -> int:
        """How many of them are learned."""
        return self.rows[0].trainable

    @property
    def multiply_adds(self) -> int:
        """The multiply-adds of one call of the model."""
        return self.rows[0].multiply_adds

    def __str__(self) -> str:
        table = [("module", "output shape", "parameters", "multiply-adds")]
        for row in self.rows:
            depth = row.path.count(".") + 1 if row.path else 0
            name = f"{row.path.rpartition('.')[2]}: {row.kind}" if row.path else row.kind
            times = f" ({row.calls} calls)" if row.calls > 1 else ""
            shapes = "-" if row.shapes is None else " ".join(str(list(s)) for s in row.shapes)
            table.append(
                (
                    "  " * depth + name + times,
                    shapes,
                    f"{row.parameters:,}",
                    f"{row.multiply_adds:,}",
                )
            )
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}"
            for a, b, c, d in table
        ]
        rule = "-" * len(lines[0])
        frozen = self.parameters - self.trainable
        return "\n".join(
            [
                lines[0],
                rule,
                *lines[1:],
                rule,
                f"{self.parameters:,} parameters" + (f", {frozen:,} of them frozen" * bool(frozen)),
                f"{self.multiply_adds:,} multiply-adds: matrix products, einsum and convolutions "
                "of one forward pass",
                "Each row includes the modules within it.",
            ]
        )

    __repr__ = __str__


def summary(model: Module, *inputs: Any, **keywords: Any) -> ModelSummary:
    """A table of a model's modules: output shapes, parameters and multiply-adds.

    The model runs once in evaluation, step by step where it has kernels, and is left as it was:
    no gradient, no buffer and no random generator changes. Multiply-adds are those of matrix and
    vector products, `einsum` and convolutions, counted from the recorded graph; operations on
    single elements (activations, sums, normalisation) and lookups are not counted. An operation
    counts for the innermost module that was running.

    Args:
        model: any module.
        inputs, keywords: what to call it with.

    Returns:
        The rows; printing them gives the table.

    >>> import numpy as np
    >>> from layers import Linear, Sequential
    >>> summary(Sequential(Linear(3, 4), Linear(4, 2)), np.zeros((5, 3), np.float32))
    module       output shape  parameters  multiply-adds
    ----------------------------------------------------
    Sequential   [5, 2]                26            100
      0: Linear  [5, 4]                16             60
      1: Linear  [5, 2]                10             40
    ----------------------------------------------------
    26 parameters
    100 multiply-adds: matrix products, einsum and convolutions of one forward pass
    Each row includes the modules within it.
    """
    modules = dict(model.named_modules())
    scopes: dict[int, tuple[str, Scope]] = {}  # the scope is kept, so that its id stays its own
    shapes: dict[str, tuple[tuple[int, ...], ...]] = {}
    calls = dict.fromkeys(modules, 0)
    hooks: list[tuple[Callable[[Any], HookHandle], Any]] = []
    for path, module in modules.items():

        def enter(module: Module, args: Any, path: str = path) -> None:
            scope = current_mode().scope
            assert scope is not None
            scopes[id(scope)] = path, scope

        def leave(module: Module, args: Any, output: Any, path: str = path) -> None:
            calls[path] += 1
            shapes[path] = tuple(
                leaf.shape for _, leaf in labelled_leaves(output) if hasattr(leaf, "shape")
            )

        hooks += [(module.register_forward_pre_hook, enter), (module.register_forward_hook, leave)]
    recording = mg.recording(replay=True, fused=False)
    with _Hooked(hooks), evaluating(model), ModeChange(scope=None), recording:
        work = multiply_adds(model(*inputs, **keywords))
    counts = dict.fromkeys(modules, 0)
    for operation in work:
        around = operation.scope.chain() if operation.scope is not None else []
        for path in {scopes[id(scope)][0] for scope in around if id(scope) in scopes}:
            counts[path] += operation.multiply_adds
    for path in modules:  # a list of modules is never called: what it holds counts for it
        if not calls[path] and not counts[path]:
            inner = [p for p in modules if p.startswith(f"{path}.")]
            tops = [p for p in inner if calls[p] and not any(_within(p, q, calls) for q in inner)]
            counts[path] = sum(counts[p] for p in tops)
    rows = []
    for path, module in modules.items():
        sizes = [(p.size, p.requires_grad) for p in module.parameters()]
        rows.append(
            ModuleRow(
                path,
                type(module).__name__,
                shapes.get(path),
                calls[path],
                sum(size for size, _ in sizes),
                sum(size for size, learned in sizes if learned),
                counts[path],
            )
        )
    return ModelSummary(tuple(rows))


def _within(path: str, other: str, calls: dict[str, int]) -> bool:
    """Whether one module is within another one that was called."""
    return calls[other] > 0 and path.startswith(f"{other}.")


class _Hooked(Restoring):
    """A block with hooks: what registers each, and the hook."""

    def __init__(self, hooks: Iterable[tuple[Callable[[Any], HookHandle], Any]]) -> None:
        super().__init__()
        self._hooks = hooks

    def begin(self) -> None:
        """Register them."""
        handles: list[HookHandle] = []
        self.undone_by(_remove, handles)
        for register, hook in self._hooks:
            handles.append(register(hook))


def _remove(handles: list[HookHandle]) -> None:
    for handle in handles:
        handle.remove()
