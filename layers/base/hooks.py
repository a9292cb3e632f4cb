"""Calls of modules that have hooks."""

from collections.abc import Callable
from typing import Any

__all__ = ["call_with_hooks"]


def call_with_hooks(
    module: Any, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call a function of a module, with the module's hooks before and after it."""
    for hook in list(module._pre_hooks.values()):
        changed = hook(module, args)
        if changed is not None:
            args = changed if isinstance(changed, tuple) else (changed,)
    output = function(*args, **kwargs)
    for hook in list(module._hooks.values()):
        changed = hook(module, args, output)
        output = output if changed is None else changed
    return output
