"""Random numbers: the default generator, and the one function through which all are drawn.

The default generator is, besides the mode, the only state that the package keeps.
Whatever draws random numbers takes `generator=`, a `numpy.random.Generator`, and uses the default
one when it is given none. A generator may be shared between threads, but the order in which they
draw from it is not fixed: give each thread its own where results must repeat.

Operations, layers and models call `draw_numbers` for each draw and never a method of a generator.
That is how `checkpoint` can repeat the draws of a function exactly, whichever generators they come
from (see `minigrad.transforms.recorded_draws`), and whatever else has to know of a draw can look
on.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.core.errors import DtypeError, describe
from minigrad.core.modes import current_mode
from minigrad.core.observer import Drawn, Observer
from minigrad.forks import wait_before_forks
from minigrad.restoring import new_bits, new_generator

__all__ = [
    "DrawRequest",
    "choose_generator",
    "default_generator",
    "draw_numbers",
    "generator_state",
    "seed",
    "set_generator_state",
]

_generator = np.random.default_rng()
wait_before_forks(lambda: _generator.bit_generator.lock)  # while another thread draws


def seed(number: Any = None) -> None:
    """Start the default generator anew.

    Args:
        number: what `numpy.random.default_rng` takes: an integer of 0 or more, or a sequence of
            them; None for the system's entropy.

    Raises:
        ValueError: when it is negative.
        TypeError: when it is not made of integers.

    >>> seed(3)
    >>> first = default_generator().random()
    >>> seed(3)
    >>> default_generator().random() == first
    True
    """
    global _generator
    try:
        _generator = new_generator(number)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"seed: number must be an integer of 0 or more, a sequence of them or None, got "
            f"{describe(number)}"
        ) from error


def default_generator() -> "np.random.Generator":
    """The generator that operations and layers use when they are given none."""
    return _generator


def choose_generator(generator: Any, name: str = "generator") -> "np.random.Generator":
    """The generator given, or the default one for None.

    Raises:
        DtypeError: when it is something else; `name` begins the message.
    """
    if generator is None:
        return _generator
    if not isinstance(generator, np.random.Generator):
        raise DtypeError(
            f"{name}: generator must be a numpy.random.Generator, got {describe(generator)}; "
            "numpy.random.default_rng(seed) makes one."
        )
    return generator


def draw_numbers(
    generator: "np.random.Generator | None", method: str, *args: Any, name: str, **options: Any
) -> Any:
    """Random numbers: what every operation, layer and model calls to draw them.

    Args:
        generator: the generator that the user gave; None for the default one.
        method: the name of a method of `numpy.random.Generator`, called with `args` and `options`.
        name: the operation or layer that draws, for messages.

    Returns:
        What the method returns.

    Raises:
        DtypeError: when `generator` is not a `numpy.random.Generator`.

    >>> draw_numbers(np.random.default_rng(0), "integers", 10, size=4, name="example").tolist()
    [8, 6, 5, 2]
    """
    request = DrawRequest(choose_generator(generator, name), name, method, args, options)
    observers = [observer for observer in current_mode().observers if observer.looks_at_draws]
    return request.drawn_by(observers)[0] if observers else request.straight()


class DrawRequest(NamedTuple):
    """Random numbers that somebody asks for.

    Attributes:
        generator: which draws them.
        name: the operation or layer that draws.
        method: a method of `numpy.random.Generator`, called with `args` and `options`.
    """

    generator: np.random.Generator
    name: str
    method: str
    args: tuple[Any, ...]
    options: dict[str, Any]

    def straight(self) -> Any:
        """The numbers."""
        return getattr(self.generator, self.method)(*self.args, **self.options)

    def drawn_by(self, observers: Sequence[Observer]) -> Drawn:
        """The numbers by way of observers, the innermost last, and the generator's states.

        Nothing else can draw from the generator between the two states, in other threads either.
        """
        if observers:
            *outer, innermost = observers
            return innermost.draw(self, lambda: self.drawn_by(outer))
        bits = self.generator.bit_generator
        with bits.lock:
            before = bits.state
            numbers, after = self.numbers_from(type(bits), before)
            bits.state = after
        return numbers, before, after

    def numbers_from(self, kind: Any, state: Any) -> tuple[Any, Any]:
        """The numbers that a bit generator of a class gives from a state on; its state then."""
        bits = new_bits(kind)
        bits.state = state
        return self._replace(generator=np.random.Generator(bits)).straight(), bits.state


def generator_state(generator: "np.random.Generator | None" = None) -> dict[str, Any]:
    """The state of a generator (None: the default one); made of numbers and text only."""
    state: Any = choose_generator(generator, "generator_state").bit_generator.state
    return copy.deepcopy(dict(state))


def set_generator_state(state: Any, generator: "np.random.Generator | None" = None) -> None:
    """Put a generator (None: the default one) back into a state that `generator_state` gave.

    Raises:
        ValueError: when it is not such a state, or that of another kind of generator.

    >>> state = generator_state()
    >>> first = default_generator().random()
    >>> set_generator_state(state)
    >>> default_generator().random() == first
    True
    """
    global _generator
    kind = state.get("bit_generator") if isinstance(state, Mapping) else None
    maker = getattr(np.random, kind, None) if isinstance(kind, str) else None
    if not (isinstance(maker, type) and issubclass(maker, np.random.BitGenerator)):
        raise ValueError(
            "set_generator_state: state must be a dict that generator_state() gave, with the "
            f"name of a NumPy bit generator under 'bit_generator', got {describe(state)}"
        )
    try:
        restored = new_bits(maker)
        _check_state("state", state, restored.state)
        restored.state = dict(state)
        if generator is None:
            _generator = np.random.Generator(restored)
        else:
            generator.bit_generator.state = dict(state)
    # `BitGenerator` itself, which a file may name, has no state: NotImplementedError.
    except (LookupError, TypeError, ValueError, OverflowError, NotImplementedError) as error:
        raise ValueError(f"set_generator_state: not a state of this generator ({error})") from error


RANGES = {"pos": 624, "buffer_pos": 4, "has_uint32": 1}
"""Where a generator goes on reading its numbers, of how many, and whether it keeps half a one."""


def _check_state(name: str, state: Any, known: Any) -> None:
    """Refuse a state with which a generator would read memory beyond its own; NumPy takes those.

    Args:
        name: of this part of the state.
        state: the new one.
        known: one that the generator gave.

    Raises:
        ValueError: naming the part.
    """
    if isinstance(known, Mapping):
        for inner, value in known.items():
            _check_state(inner, state[inner], value)
    elif isinstance(known, np.ndarray):
        if np.shape(state) != known.shape:
            raise ValueError(f"{name} must have shape {known.shape}, got {describe(state)}")
    elif name in RANGES and not 0 <= state <= RANGES[name]:
        raise ValueError(f"{name} must be from 0 to {RANGES[name]}, got {state}")
