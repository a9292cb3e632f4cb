"""Training and evaluation mode of a whole model, for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from layers.base.module import Module

__all__ = ["evaluating"]


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """A block in which a model and its parts are in evaluation mode; each is then as it was.

    >>> import layers
    >>> model = layers.Dropout(0.5)
    >>> with evaluating(model):
    ...     model.training
    False
    >>> model.training
    True
    """
    learning = [module for module in model.modules() if module.training]
    try:
        for module in learning:
            module.training = False
        yield
    finally:
        for module in learning:
            module.training = True
