"""Recorded draws of random numbers, and their repetition: what recomputing a function needs.

`minigrad.ops.randomness.draw_numbers` makes every draw of the package, and observers may look on. A
`Recorder` notes each draw with the states of its generator before and after; a `Replayer` gives
each draw the numbers of the recorded one. A draw goes through the innermost observer, and a
recorder asks those around it, so a recorder inside of a replayer notes the replayed draws.

Numbers are repeated from the noted state by a generator made for it. The generator that was drawn
from is left alone, so that other threads may go on drawing from it. There are two exceptions, in
which it must move along because code that is not ours draws from it, too: generators that were
rewound for it, and generators that the repeated function has made itself.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.core.errors import GradientError
from minigrad.core.observer import Drawn, Observer
from minigrad.ops.arguments import as_numbers
from minigrad.ops.randomness import DrawRequest, default_generator

__all__ = ["Draw", "Recorder", "Replayer", "State", "restore_state", "same_state", "state_of"]

State = Any


class Draw(NamedTuple):
    """One draw of random numbers.

    Attributes:
        source: the bit generator; None for that of the default generator, whichever that is.
        kind: its class.
        name: the operation or layer that drew.
        method: the method of `numpy.random.Generator` that was called.
        shape: of the numbers.
        before, after: the states of the bit generator.
        numbers: what was drawn, where it is not what the generator gives from that state on.
    """

    source: Any
    kind: Any
    name: str
    method: str
    shape: tuple[int, ...]
    before: State
    after: State
    numbers: Any = None

    def __str__(self) -> str:
        return f"{self.method} {self.shape} by {self.name}"


def state_of(source: Any) -> State:
    """The state of a source of random numbers; None stands for the default generator."""
    if source is None:
        source = default_generator().bit_generator
    if isinstance(source, np.random.RandomState):
        return source.get_state(legacy=False)
    return source.getstate() if hasattr(source, "getstate") else source.state


def restore_state(source: Any, state: State) -> None:
    """Put a source of random numbers into a state that `state_of` gave."""
    if source is None:
        source = default_generator().bit_generator
    if isinstance(source, np.random.RandomState):
        source.set_state(state)
    elif hasattr(source, "setstate"):
        source.setstate(state)
    else:
        source.state = state


def same_state(x: State, z: State) -> bool:
    """Whether two states are equal; some hold arrays."""
    if isinstance(x, dict):
        return x.keys() == z.keys() and all(same_state(x[key], z[key]) for key in x)
    return bool(np.array_equal(x, z)) if isinstance(x, np.ndarray) else bool(x == z)


def _source_of(generator: "np.random.Generator") -> Any:
    bits = generator.bit_generator
    return None if bits is default_generator().bit_generator else bits


class Recorder(Observer):
    """Notes draws, in `draws`."""

    def __init__(self) -> None:
        self.draws: list[Draw] = []

    def draw(self, request: DrawRequest, ask: Callable[[], Drawn]) -> Drawn:
        """Note the numbers that were drawn."""
        drawn = numbers, before, after = ask()
        kind = type(request.generator.bit_generator)
        source = _source_of(request.generator)
        shape = np.shape(numbers)
        kept = numbers if before is after else None  # then the generator did not draw them
        states = before, after
        self.draws.append(Draw(source, kind, request.name, request.method, shape, *states, kept))
        return drawn

    def drawn_elsewhere(self, before: Sequence[tuple[Any, State]]) -> list[tuple[Any, State]]:
        """The sources that other code drew from as well, with their states before that.

        Args:
            before: sources with their states before the block. Others are known by the draws.
        """
        first: dict[Any, State] = {}
        for draw in self.draws:
            first.setdefault(draw.source, draw.before)
        states = [*before, *((s, state) for s, state in first.items() if not _among(s, before))]
        return [(source, state) for source, state in states if self._elsewhere(source, state)]

    def _elsewhere(self, source: Any, state: State) -> bool:
        now = state_of(source)
        if same_state(now, state):
            return False
        for draw in self.draws:
            if draw.source is source:
                if not same_state(draw.before, state):
                    return True
                state = draw.after
        return not same_state(now, state)


def _among(source: Any, pairs: Sequence[tuple[Any, State]]) -> bool:
    return any(source is other for other, _ in pairs)


class Replayer(Observer):
    """Gives draws the numbers of recorded ones, in the same order.

    Args:
        draws: what a recorder noted.
        rewound: sources that were put back and will be restored.
        where: what is being repeated, for messages.

    Raises:
        GradientError: when anything else is drawn; `finish` raises it for what is missing.
    """

    def __init__(self, draws: Sequence[Draw], rewound: Sequence[Any], where: str) -> None:
        self.draws, self.where = draws, where
        self.rewound = rewound
        self.known = {draw.source for draw in draws}
        self.count = 0

    def draw(self, request: DrawRequest, ask: Callable[[], Drawn]) -> Drawn:
        """The numbers of the next recorded draw."""
        expected = self.draws[self.count] if self.count < len(self.draws) else None
        source = _source_of(request.generator)
        if expected is None or expected.method != request.method:
            raise self._differs(expected, f"{request.method} by {request.name}")
        self.count += 1
        if expected.numbers is not None:
            return expected.numbers, expected.before, expected.after
        numbers, after = request.numbers_from(expected.kind, expected.before)
        if source not in self.known or any(source is other for other in self.rewound):
            restore_state(source, after)
        if np.shape(numbers) != expected.shape:
            raise self._differs(expected, f"{request.method} {np.shape(numbers)} by {request.name}")
        return as_numbers(expected.before, numbers), expected.before, after

    def finish(self) -> None:
        """Check that every recorded draw was repeated."""
        if self.count < len(self.draws):
            raise self._differs(self.draws[self.count], "nothing more")

    def _differs(self, expected: Draw | None, found: str) -> GradientError:
        return GradientError(
            f"backward through {self.where}: recomputed, it drew other random numbers than in the "
            f"forward pass: {found} where it had drawn {expected or 'nothing more'}. A "
            "checkpointed function must do the same every time; was a module switched between "
            "train() and eval() in the meantime?"
        )
