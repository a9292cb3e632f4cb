"""Optional packages: imported where they are used, and a missing one says how to install it."""

import importlib
from types import ModuleType

from minigrad.forks import importing

__all__ = ["MissingPackageError", "require"]


class MissingPackageError(ImportError):
    """An optional package is needed here and is not installed."""


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional package where it is used.

    The message does not ask for this package by name: what package indexes call minigrad need not
    be this project.

    Raises:
        MissingPackageError: when it is missing; the message names the ``pip install``.
    """
    package = module.partition(".")[0]
    try:
        with importing:
            return importlib.import_module(module)
    except ImportError as error:
        raise MissingPackageError(
            f"{purpose} needs the package {package!r}, which cannot be imported ({error}). Install "
            f"it with: python -m pip install {package}, or with all of its kind, in the checkout: "
            f'python -m pip install -e ".[{extra}]"'
        ) from error
