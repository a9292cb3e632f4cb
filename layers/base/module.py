"""`Module`: a part of a model with parameters, and a scope for everything that it computes."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from layers.base.hooks import call_with_hooks
from layers.base.module_state import (
    IncompatibleKeys,
    convert,
    load_entries,
    state_entries,
)
from layers.base.module_text import constructor_arguments, tree
from layers.base.parameter import Parameter
from minigrad import Tensor
from minigrad.core.errors import GradientError, describe
from minigrad.core.modes import current_mode, set_mode
from minigrad.debug.extras import HookHandle, add_hook
from minigrad.debug.scopes import ModuleToken, Scope
from minigrad.io.state_dicts import StateDictError

__all__ = ["Module", "Parameter", "StateDictError"]

Self = TypeVar("Self", bound="Module")


class Module:
    """The base of all layers and models.

    A subclass calls ``super().__init__()``, assigns parameters and submodules to attributes and
    defines ``forward``. Calling the module runs `forward` in a scope of its own, so that graphs
    group by module and by time step. A repr shows the arguments of the constructor that were kept
    in attributes of the same name; override `extra_repr` to show something else.

    Attributes:
        training: whether dropout and its like are on; `train` and `eval` switch it.

    >>> from layers import Linear
    >>> class Scorer(Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.hidden = Linear(3, 4)
    ...         self.readout = Linear(4, 1, bias=False)
    ...     def forward(self, x):
    ...         return self.readout(np.tanh(self.hidden(x)))
    >>> Scorer()
    Scorer(
      (hidden): Linear(in_features=3, out_features=4)
      (readout): Linear(in_features=4, out_features=1, bias=False)
    )
    >>> [name for name, _ in Scorer().named_parameters()]
    ['hidden.weight', 'hidden.bias', 'readout.weight']
    """

    training: bool
    _parameters: dict[str, Parameter]
    _modules: dict[str, "Module"]
    _buffers: dict[str, Tensor | None]
    _transient: set[str]  # the buffers that state dicts leave out
    _pre_hooks: dict[int, Callable[..., Any]]
    _hooks: dict[int, Callable[..., Any]]
    _name: str
    _token: ModuleToken  # who this module is, in graphs; names are not unique

    def __init__(self) -> None:
        self.__dict__.update(_parameters={}, _modules={}, _buffers={}, _transient=set())
        self.__dict__.update(_pre_hooks={}, _hooks={}, _name="", _token=ModuleToken())
        self.__dict__["training"] = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes."""
        raise AttributeError(f"{type(self).__name__} defines no forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        before = current_mode()
        try:
            set_mode(before.replace(scope=self._call_scope()))
            if not self._pre_hooks and not self._hooks:
                return self.forward(*args, **kwargs)
            return call_with_hooks(self, self.forward, args, kwargs)
        finally:
            set_mode(before)

    def _call_scope(self) -> Scope:
        # Cells declare as `routes` which ways their states take (see `layers.Routes`).
        kind, routes = type(self).__name__, getattr(type(self), "routes", None)
        mode = current_mode()
        scope = Scope(mode.scope, self._name or kind, kind, routes=routes, token=self._token)
        for observer in mode.observers:
            observer.enter(self, scope)
        return scope

    def register_forward_pre_hook(
        self, hook: Callable[["Module", tuple[Any, ...]], Any]
    ) -> HookHandle:
        """Call `hook(module, args)` before `forward`; what it returns, if not None, replaces args.

        Returns:
            A handle: `handle.remove()`, or the end of a `with` block on it, takes the hook out.
        """
        return add_hook(self._pre_hooks, hook)

    def register_forward_hook(
        self, hook: Callable[["Module", tuple[Any, ...], Any], Any]
    ) -> HookHandle:
        """Call `hook(module, args, output)` after `forward`; a result not None replaces output.

        Returns:
            A handle: `handle.remove()`, or the end of a `with` block on it, takes the hook out.

        >>> from layers import Linear
        >>> layer, shapes = Linear(3, 2), []
        >>> with layer.register_forward_hook(lambda module, args, y: shapes.append(y.shape)):
        ...     y = layer(np.ones((5, 3), np.float32))
        >>> shapes
        [(5, 2)]
        """
        return add_hook(self._hooks, hook)

    # -- what it is made of ----------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError(
                f"{type(self).__name__}: call super().__init__() before assigning {name!r}"
            )
        if isinstance(value, Parameter):
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self.register_module(name, value)
        elif name in self._buffers and (value is None or isinstance(value, Tensor)):
            self.register_buffer(name, value, persistent=name not in self._transient)
        else:
            for table in (self._parameters, self._modules, self._buffers):
                if name in table and value is not None:
                    raise TypeError(
                        f"{type(self).__name__}.{name} is a {type(table[name]).__name__} and "
                        f"cannot be replaced by a {type(value).__name__}; delete it first, or "
                        "assign one. New values are written under no_grad: "
                        f"`with minigrad.no_grad(): module.{name}[...] = values`."
                    )
                table.pop(name, None)
            if isinstance(getattr(value, "__wrapped__", None), Module):
                raise TypeError(
                    f"{type(self).__name__}.{name}: the parameters of a compiled module would not "
                    "be learned. Assign the module itself, and compile what calls it."
                )
            if type(value) is Tensor and value.requires_grad and value.is_leaf:
                raise TypeError(
                    f"{type(self).__name__}.{name}: a plain tensor is neither learned nor saved. "
                    "Make it a layers.Parameter, or keep a constant with t.detach()."
                )
            parts = value.values() if isinstance(value, dict) else value
            hiding = isinstance(value, (list, dict))
            if hiding and any(isinstance(part, (Module, Parameter)) for part in parts):
                kind = "dict" if isinstance(value, dict) else "list"
                raise TypeError(
                    f"{type(self).__name__}.{name}: in a {kind}, parameters are neither learned "
                    f"nor saved. Use Module{kind.title()}, or a tuple to keep them out on purpose."
                )
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        for table in ("_parameters", "_modules", "_buffers"):
            entries = self.__dict__.get(table, {})
            if name in entries:
                return entries[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        for table in (self._parameters, self._modules, self._buffers):
            if name in table:
                del table[name]
                return
        object.__delattr__(self, name)

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *self._parameters, *self._modules, *self._buffers]

    def _claim(self, name: str, owner: dict[str, Any]) -> None:
        """Free a name for an entry of one table: it hides behind nothing and is in no other."""
        if not name or "." in name:
            raise ValueError(
                f"{type(self).__name__}: {name!r} cannot name a part of a module; names must not "
                "be empty or contain a dot, which separates them in paths"
            )
        self.__dict__.pop(name, None)
        for table in (self._parameters, self._modules, self._buffers):
            if table is not owner:
                table.pop(name, None)

    def register_parameter(self, name: str, value: Parameter) -> None:
        """Add a parameter, as assigning it to an attribute does."""
        if not isinstance(value, Parameter):
            raise TypeError(
                f"{type(self).__name__}.{name} must be a Parameter, got {describe(value)}"
            )
        self._claim(name, self._parameters)
        self._parameters[name] = value
        if value.requires_grad and value.name is None:
            value.name = name

    def register_module(self, name: str, value: "Module") -> None:
        """Add a submodule, as assigning it to an attribute does; for names made by a program."""
        if not isinstance(value, Module):
            raise TypeError(f"{type(self).__name__}.{name} must be a Module, got {describe(value)}")
        self._claim(name, self._modules)
        self._modules[name] = value
        value._set_scope_name(name)

    def register_buffer(self, name: str, value: Any, persistent: bool = True) -> None:
        """Keep a tensor that is not learned, such as a running mean.

        Args:
            name: it becomes an attribute of this name.
            value: a tensor, an array or numbers; None for a buffer that is not there yet.
            persistent: whether state dicts hold it.

        Raises:
            GradientError: when it requires grad, and would keep its graph alive.
        """
        if value is not None and not isinstance(value, Tensor):
            value = Tensor(value)
        if value is not None and value.requires_grad:
            raise GradientError(
                f"{type(self).__name__}.{name} is a buffer, and {describe(value)} requires grad: "
                "it would keep its whole graph alive. Assign value.detach(), or a Parameter if it "
                "is to be learned."
            )
        self._claim(name, self._buffers)
        self._buffers[name] = value
        (self._transient.discard if persistent else self._transient.add)(name)

    def _set_scope_name(self, name: str) -> None:
        """Take the name under which graphs show calls of this module."""
        object.__setattr__(self, "_name", name)

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """The modules directly within this one, each once, with their names."""
        seen: set[int] = set()
        for name, module in self._modules.items():
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator["Module"]:
        """The modules directly within this one, each once."""
        return (module for _, module in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """This module and those within, each once, with their paths."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            path, module = stack.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield path, module
            inner = [(f"{path}.{n}" if path else n, m) for n, m in module._modules.items()]
            stack.extend(reversed(inner))

    def modules(self) -> Iterator["Module"]:
        """This module and those within, each once."""
        found: dict[int, Module] = {}
        stack: list[Module] = [self]
        while stack:  # no paths, as in `named_modules`: each token that is generated asks
            if id(module := stack.pop()) not in found:
                found[id(module)] = module
                stack += [*module._modules.values()][::-1] if module._modules else ()
        return iter(found.values())

    def get_submodule(self, path: str) -> "Module":
        """The module at a path such as "encoder.layers.0"; this module itself at "".

        Raises:
            AttributeError: when there is none; the message lists what there is.
        """
        module = self
        for name in path.split(".") if path else ():
            if name not in module._modules:
                known = ", ".join(module._modules) or "none"
                raise AttributeError(
                    f"{type(self).__name__}: there is no module {path!r}: "
                    f"{type(module).__name__} has no {name!r}; its modules are: {known}"
                )
            module = module._modules[name]
        return module

    def named_parameters(
        self, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their paths; shared ones once. Own ones only without `recurse`."""
        return self._named("_parameters", prefix, recurse)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters; shared ones once."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        """All buffers with their paths; shared ones once."""
        return self._named("_buffers", prefix, recurse)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers; shared ones once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def _named(self, table: str, prefix: str, recurse: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for path, module in self.named_modules(prefix) if recurse else [(prefix, self)]:
            for name, value in getattr(module, table).items():
                if value is not None and id(value) not in seen:
                    seen.add(id(value))
                    yield (f"{path}.{name}" if path else name), value

    def parameter_count(self) -> int:
        """The number of learned numbers; shared ones once."""
        return sum(parameter.size for parameter in self.parameters())

    # -- what is done to all of it ---------------------------------------------------------------

    def apply(self: Self, function: Callable[["Module"], object]) -> Self:
        """Call a function on every module within, the innermost first, then on this one."""
        for module in reversed(list(self.modules())):
            function(module)
        return self

    def train(self: Self, mode: bool = True) -> Self:
        """Switch this module and those within to training (dropout on) or to evaluation."""
        for module in self.modules():
            object.__setattr__(module, "training", bool(mode))
        return self

    def eval(self: Self) -> Self:
        """Switch this module and those within to evaluation."""
        return self.train(False)

    def requires_grad_(self: Self, value: bool = True) -> Self:
        """Learn all parameters, or freeze them. Optimisers pass over frozen ones."""
        for parameter in self.parameters():
            parameter.requires_grad_(value)
        return self

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            if parameter.requires_grad:
                parameter.grad = None

    def to(self: Self, dtype: Any) -> Self:
        """Convert floating parameters, their gradients and floating buffers, in place.

        They stay the same tensors, so optimisers keep hold of them. A graph that saved the values
        of before refuses to run backward.

        Raises:
            DtypeError: when the dtype is not floating.
        """
        convert(type(self).__name__, (*self.parameters(), *self.buffers()), dtype)
        return self

    # -- saving, loading, showing ----------------------------------------------------------------

    def state_dict(self) -> dict[str, "np.ndarray[Any, Any]"]:
        """Copies of all parameters and persistent buffers as arrays, by their paths.

        Shared ones are there under each of their paths, as in PyTorch.
        """
        return {name: np.array(value.numpy()) for name, value in state_entries(self).items()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Take over the values of a state dict; on an error nothing is changed.

        A shared parameter may be missing under all but one of its paths. Values keep the dtypes
        of this module.

        Args:
            state: arrays or tensors by path, as `state_dict` or PyTorch's gives them.
            strict: whether missing and unexpected names are errors. Misshapen ones always are, and
                so is a dict in which no name fits.

        Returns:
            A named tuple of `missing_keys` and `unexpected_keys`.

        Raises:
            TypeError: the state is no dict.
            StateDictError: listing missing, unexpected, misshapen and contradictory entries
                together, and how to rename those of a wrapped module, or which entry of a
                checkpoint to take. It is a KeyError and a ShapeError.
        """
        return load_entries(type(self).__name__, state_entries(self), state, strict)

    def extra_repr(self) -> str:
        """What a repr shows in parentheses: sizes and options."""
        return constructor_arguments(self)

    def __repr__(self) -> str:
        return tree(type(self).__name__, self.extra_repr(), self._modules)
