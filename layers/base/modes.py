"""Training and evaluation mode of a whole model, for a while."""

from collections.abc import Sequence

from layers.base.module import Module
from minigrad.restoring import Restoring

__all__ = ["evaluating", "learning_parts", "switch"]


class evaluating(Restoring):
    """A block in which a model and its parts are in evaluation mode; each is then as it was.

    >>> import layers
    >>> model = layers.Dropout(0.5)
    >>> with evaluating(model):
    ...     model.training
    False
    >>> model.training
    True
    """

    def __init__(self, model: Module) -> None:
        super().__init__()
        self._model = model

    def begin(self) -> None:
        """Switch the parts that are learning."""
        learning = learning_parts(self._model)
        self.undone_by(switch, learning, True)
        switch(learning, False)


def learning_parts(model: Module) -> list[Module]:
    """The model and those of its parts that are in training mode."""
    return [module for module in model.modules() if module.training]


def switch(modules: Sequence[Module], training: bool) -> None:
    """Put these alone, without their parts, into training or evaluation mode."""
    for module in modules:
        object.__setattr__(module, "training", training)
