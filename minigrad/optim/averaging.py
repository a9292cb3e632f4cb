"""Averages of weights over the steps of a run."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minigrad.core.errors import GradientError, describe
from minigrad.core.nodes import PlainArray
from minigrad.core.tensors import Tensor
from minigrad.io.state_dicts import StateDictError, count_of, entry_of, real_of
from minigrad.restoring import Restoring

__all__ = ["ExponentialAverage"]


class ExponentialAverage:
    """An exponential moving average of weights (Tarvainen and Valpola 2017).

    Often better on new data than the last weights. Update it after each step of the optimiser:

        average = decay average + (1 - decay) weights

    Args:
        parameters: the tensors to follow.
        decay: how slowly the average follows; between 0 and 1. The first update takes the weights
            as they are.

    >>> from minigrad import Tensor
    >>> w = Tensor([1.0], requires_grad=True)
    >>> average = ExponentialAverage([w], decay=0.5)
    >>> for value in [1.0, 3.0]:
    ...     w.write(np.full(1, value, np.float32))
    ...     average.update()
    >>> with average.swapped_in():
    ...     w.item()
    2.0
    >>> w.item()
    3.0
    """

    def __init__(self, parameters: Iterable[Tensor], decay: float = 0.999) -> None:
        self.parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
        if not self.parameters:
            raise ValueError("ExponentialAverage: parameters is empty, nothing to average")
        if not 0 <= decay <= 1:
            raise ValueError(f"ExponentialAverage: decay must be between 0 and 1, got {decay}")
        self.decay = decay
        self.updates = 0
        self.averages: list[PlainArray] = [p.numpy().copy() for p in self.parameters]

    def update(self) -> None:
        """Let the averages follow the weights by one step."""
        averages = []
        for parameter, before in zip(self.parameters, self.averages, strict=True):
            value = parameter.numpy()
            if self.updates and value.dtype.kind == "f":
                after = before + (1 - self.decay) * (value - before)
                averages.append(np.asarray(after, value.dtype))
            else:
                averages.append(value.copy())
        self.averages = averages
        self.updates += 1

    def swapped_in(self) -> Restoring:
        """A block in which the parameters hold the averages; afterwards the weights come back.

        Raises:
            GradientError: at the end, when the parameters were written inside of the block; the
                weights of before are back all the same.
        """
        return _SwappedIn(self)

    def _write(self, arrays: list[PlainArray]) -> None:
        for parameter, array in zip(self.parameters, arrays, strict=True):
            parameter.write(array)

    def state_dict(self) -> dict[str, PlainArray]:
        """The averages and the number of updates, as arrays by name."""
        averages = {f"averages.{i}": array.copy() for i, array in enumerate(self.averages)}
        return {"updates": np.array(self.updates), **averages}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; on an error nothing is changed.

        Raises:
            StateDictError: when names are missing or unexpected, a shape is another one, or an
                average is no finite number.
        """
        owner, expected = f"{type(self).__name__}.load_state_dict", self.state_dict()
        if state.keys() != expected.keys():
            raise StateDictError(
                f"{owner}: {len(self.parameters)} parameters here, and names for {len(state) - 1} "
                "there"
            )
        averages = []
        for i, parameter in enumerate(self.parameters):
            array = entry_of(owner, state, f"averages.{i}")
            if array.shape != parameter.shape:
                raise StateDictError(
                    f"{owner}: averages.{i} has shape {array.shape} there and {parameter.shape} "
                    "here"
                )
            averages.append(real_of(f"{owner}: averages.{i}", array, dtype=parameter.dtype))
        updates = count_of(f"{owner}: updates", entry_of(owner, state, "updates"))
        self.averages, self.updates = averages, updates


class _SwappedIn(Restoring):
    """See `ExponentialAverage.swapped_in`."""

    def __init__(self, average: ExponentialAverage) -> None:
        super().__init__()
        self._average = average

    def begin(self) -> None:
        """Write the averages into the parameters."""
        average = self._average
        weights = [parameter.numpy() for parameter in average.parameters]
        inside: list[PlainArray] = []
        self.undone_by(self._swap_back, weights, inside, sys.exc_info()[1])
        average._write([a.astype(w.dtype) for a, w in zip(average.averages, weights, strict=True)])
        inside += [parameter._array for parameter in average.parameters]

    def _swap_back(
        self, weights: list[PlainArray], inside: list[PlainArray], handled: BaseException | None
    ) -> None:
        average = self._average
        written = [
            f"{parameter.name or 'a parameter'} {describe(parameter)}"
            for parameter, array in zip(average.parameters, inside, strict=False)
            if parameter._array is not array
        ]
        inside.clear()  # what is written now is right, if this has to be repeated
        average._write(weights)
        if written and sys.exc_info()[1] is handled:  # else that error is told
            raise GradientError(
                f"ExponentialAverage: {', '.join(written)} was written while the averages were "
                "swapped in, and that is lost. Train outside of the block."
            )
