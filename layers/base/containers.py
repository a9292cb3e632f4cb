"""Modules that hold modules: `Sequential`, `ModuleList`, `ModuleDict`."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, overload

from layers.base.module import Module

__all__ = ["ModuleDict", "ModuleList", "Sequential"]

Self = TypeVar("Self", bound="_Row")


class _Row(Module):
    """Modules in a row, numbered from 0 in paths and state dicts."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    @overload
    def __getitem__(self: Self, index: slice) -> Self: ...
    @overload
    def __getitem__(self, index: int) -> Module: ...
    def __getitem__(self, index: Any) -> Any:
        """One module; or, for a slice, a container of the same modules, not of copies."""
        if not isinstance(index, slice):
            return self._modules[self._key(index)]
        part = self._empty()
        chosen = list(self._modules.items())[index]
        # Straight into the table: in graphs, the modules keep the names that they have here.
        if isinstance(self, Sequential):
            part._modules.update(chosen)
        else:
            part._modules.update((str(i), module) for i, (_, module) in enumerate(chosen))
        return part

    def __setitem__(self, index: int, module: Module) -> None:
        self.register_module(self._key(index), module)

    def __delitem__(self, index: int) -> None:
        del self._modules[self._key(index)]
        self._number(list(self._modules.items()))

    def append(self: Self, module: Module) -> Self:
        """Add a module at the end, and return this container."""
        self.register_module(self._free_key(), module)
        return self

    def extend(self: Self, modules: Iterable[Module]) -> Self:
        """Add modules at the end, and return this container."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> None:
        """Put a module before the one with that index; those after it get the next numbers."""
        self.append(module)
        items = list(self._modules.items())
        items.insert(index if index >= 0 else max(0, index + len(self) - 1), items.pop())
        self._number(items)

    def _empty(self: Self) -> Self:
        part = object.__new__(type(self))
        Module.__init__(part)
        return part

    def _free_key(self) -> str:
        number = len(self)
        while str(number) in self._modules:
            number += 1
        return str(number)

    def _key(self, index: Any) -> str:
        name = type(self).__name__
        if not isinstance(index, int):
            raise TypeError(f"{name}: index must be an integer or a slice, got {index!r}")
        if not -len(self) <= index < len(self):
            raise IndexError(f"{name}: index {index}, but there are {len(self)} modules")
        return list(self._modules)[index]

    def _number(self, items: list[tuple[str, Module]]) -> None:
        """Give the modules their names anew, in order; names that are no numbers stay."""
        self._modules.clear()
        for position, (name, module) in enumerate(items):
            self.register_module(str(position) if name.isdigit() else name, module)


class Sequential(_Row):
    """Modules of which each gets what the one before it returns.

    Args:
        modules: in order; or one dict of modules by name.

    >>> from layers import Linear
    >>> model = Sequential(Linear(3, 4), Linear(4, 2))
    >>> model
    Sequential(
      (0): Linear(in_features=3, out_features=4)
      (1): Linear(in_features=4, out_features=2)
    )
    """

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.register_module(name, module)
        else:
            if len(modules) == 1 and isinstance(modules[0], (list, tuple)):
                raise TypeError("Sequential: pass the modules one by one: Sequential(*modules)")
            self.extend(modules)

    def forward(self, x: Any) -> Any:
        """Pass x through all modules."""
        for module in self:
            x = module(x)
        return x


class _Holder(Module):
    """A module that is never called: in graphs, its modules go by paths such as "layers.0"."""

    def register_module(self, name: str, value: Module) -> None:
        super().register_module(name, value)
        value._set_scope_name(f"{self._name}.{name}" if self._name else name)

    def _set_scope_name(self, name: str) -> None:
        super()._set_scope_name(name)
        for inner, module in self._modules.items():
            module._set_scope_name(f"{name}.{inner}")

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Refused: the module around this one says in what order its modules run."""
        raise TypeError(
            f"{type(self).__name__} only holds modules and cannot be called: loop over it, or use "
            "Sequential to chain them."
        )


class ModuleList(_Holder, _Row):
    """A list of modules, whose parameters belong to the module that it is assigned to.

    Args:
        modules: in order.

    Graphs show a call of the first as "layers.0" where the list is the attribute `layers`.

    >>> from layers import Linear
    >>> layers = ModuleList(Linear(4, 4) for _ in range(3))
    >>> layers.append(Linear(4, 1))
    ModuleList(
      (0-2): 3 x Linear(in_features=4, out_features=4)
      (3): Linear(in_features=4, out_features=1)
    )
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)


class ModuleDict(_Holder):
    """A dict of modules, whose parameters belong to the module that it is assigned to.

    Args:
        modules: by name; names must not contain dots.

    >>> from layers import Linear
    >>> heads = ModuleDict({"words": Linear(4, 9), "tags": Linear(4, 3)})
    >>> list(heads), heads["tags"]
    (['words', 'tags'], Linear(in_features=4, out_features=3))
    """

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    def update(self, modules: Mapping[str, Module]) -> None:
        """Add or replace modules by name."""
        for name, module in modules.items():
            self[name] = module

    def __getitem__(self, name: str) -> Module:
        if name not in self._modules:
            raise KeyError(
                f"ModuleDict: there is no module {name!r}; there are: "
                f"{', '.join(self._modules) or 'none'}"
            )
        return self._modules[name]

    def __setitem__(self, name: str, module: Module) -> None:
        self.register_module(name, module)

    def __delitem__(self, name: str) -> None:
        self.pop(name)

    def pop(self, name: str) -> Module:
        """Take a module out and return it."""
        module = self[name]
        del self._modules[name]
        return module

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> Iterable[Module]:
        """The modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """The names with their modules."""
        return self._modules.items()
