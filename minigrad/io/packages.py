"""Optional packages: imported where they are used, and a missing one says how to install it."""

import importlib
from types import ModuleType

__all__ = ["MissingPackageError", "require"]


class MissingPackageError(ImportError):
    """An optional package is needed here and is not installed."""


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional package where it is used.

    Raises:
        MissingPackageError: when it is missing; the message names the ``pip install``.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPackageError(
            f"{purpose} needs the package {module.partition('.')[0]!r}, which cannot be imported "
            f'({error}). Install it with: python -m pip install "minigrad[{extra}]"'
        ) from error
