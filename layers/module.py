"""`Module`: a part of a model with parameters, and a scope for everything that it computes."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from minigrad import Tensor
from minigrad.errors import ShapeError
from minigrad.mode import ModeChange, Scope, current_mode
from minigrad.nodes import Leaf

__all__ = ["Module", "Parameter"]

Self = TypeVar("Self", bound="Module")


class Parameter(Tensor):
    """A tensor that a module learns: it requires grad, in the default dtype unless told otherwise.

    Args:
        data: the initial values; floating arrays keep their dtype.
        requires_grad: False freezes it.
    """

    __slots__ = ()

    def __init__(self, data: Any, dtype: Any = None, requires_grad: bool = True) -> None:
        super().__init__(data, dtype=dtype, requires_grad=requires_grad)

    def requires_grad_(self, value: bool = True) -> Tensor:
        """Learn this parameter, or freeze it."""
        super().requires_grad_(value)
        if isinstance(self._node, Leaf):
            self._node.learned = True
        return self


class Module:
    """The base of all layers and models.

    A subclass calls ``super().__init__()``, assigns parameters and submodules to attributes and
    defines ``forward``. Calling the module runs `forward` in a scope of its own, so that graphs
    group by module and by time step.
    """

    training: bool

    def __init__(self) -> None:
        set_attribute = object.__setattr__
        set_attribute(self, "_parameters", {})
        set_attribute(self, "_modules", {})
        set_attribute(self, "_buffers", {})
        set_attribute(self, "_name", "")
        set_attribute(self, "training", True)

    _parameters: dict[str, Parameter]
    _modules: dict[str, "Module"]
    _buffers: dict[str, Tensor]
    _name: str

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes."""
        raise AttributeError(f"{type(self).__name__} defines no forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        kind = type(self).__name__
        scope = Scope(current_mode().scope, self._name or kind, kind)
        with ModeChange(scope=scope):
            return self.forward(*args, **kwargs)

    # -- what it is made of ----------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError(
                f"{type(self).__name__}: call super().__init__() before assigning {name!r}"
            )
        for table in (self._parameters, self._modules, self._buffers):
            if name in table and not isinstance(value, (Parameter, Module)):
                if table is self._buffers and isinstance(value, Tensor):
                    table[name] = value
                    return
                raise TypeError(
                    f"{type(self).__name__}.{name} is a {type(table[name]).__name__} and cannot be "
                    f"replaced by a {type(value).__name__}; delete it first, or assign one."
                )
            table.pop(name, None)
        if isinstance(value, Parameter):
            self._parameters[name] = value
            if value.requires_grad and value.name is None:
                value.name = name
        elif isinstance(value, Module):
            self._modules[name] = value
            object.__setattr__(value, "_name", name)
        else:
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

    def register_buffer(self, name: str, value: Any) -> None:
        """Keep a tensor that is saved with the parameters but not learned."""
        self._buffers[name] = value if isinstance(value, Tensor) else Tensor(value)

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
        return (module for _, module in self.named_modules())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their paths; shared ones once."""
        seen: set[int] = set()
        for path, module in self.named_modules():
            for name, parameter in module._parameters.items():
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    yield (f"{path}.{name}" if path else name), parameter

    def parameters(self) -> Iterator[Parameter]:
        """All parameters; shared ones once."""
        return (parameter for _, parameter in self.named_parameters())

    def parameter_count(self) -> int:
        """The number of learned numbers; shared ones once."""
        return sum(parameter.size for parameter in self.parameters())

    def train(self: Self, mode: bool = True) -> Self:
        """Switch this module and those within to training (dropout on) or to evaluation."""
        for module in self.modules():
            object.__setattr__(module, "training", mode)
        return self

    def eval(self: Self) -> Self:
        """Switch this module and those within to evaluation."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            if parameter.requires_grad:
                parameter.grad = None

    # -- saving and loading ----------------------------------------------------------------------

    def _entries(self) -> dict[str, Tensor]:
        """Every parameter and buffer by its path; shared parameters under each of their paths."""
        entries: dict[str, Tensor] = {}
        for path, module in self.named_modules():
            for table in (module._parameters, module._buffers):
                for name, value in table.items():
                    entries[f"{path}.{name}" if path else name] = value
        return entries

    def state_dict(self) -> dict[str, "np.ndarray[Any, Any]"]:
        """Copies of all parameters and buffers as arrays, by their paths."""
        return {name: np.array(value.numpy()) for name, value in self._entries().items()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Take over the values of a state dict; on an error nothing is changed.

        Args:
            state: arrays or tensors by path, as `state_dict` gives them.
            strict: whether missing and unexpected names are errors.

        Raises:
            KeyError: listing missing, unexpected and misshapen entries together.
        """
        entries = self._entries()
        arrays = {
            n: v.numpy() if isinstance(v, Tensor) else np.asarray(v) for n, v in state.items()
        }
        problems = []
        if strict:
            missing = sorted(entries.keys() - arrays.keys())
            unexpected = sorted(arrays.keys() - entries.keys())
            problems += [f"missing: {', '.join(missing)}"] * bool(missing)
            problems += [f"unexpected: {', '.join(unexpected)}"] * bool(unexpected)
        shared = entries.keys() & arrays.keys()
        misshapen = [
            f"{name} has shape {arrays[name].shape} there and {entries[name].shape} here"
            for name in sorted(shared)
            if arrays[name].shape != entries[name].shape
        ]
        if problems or misshapen:
            raise StateDictError(
                f"{type(self).__name__}.load_state_dict: {'; '.join(problems + misshapen)}"
            )
        with ModeChange(recording=False):
            for name in shared:
                entries[name][...] = arrays[name].astype(entries[name].dtype)


class StateDictError(KeyError, ShapeError):
    """A state dict does not fit the module."""

    __str__ = ShapeError.__str__
