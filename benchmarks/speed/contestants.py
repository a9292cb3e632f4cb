"""Who takes part: libraries and the forms in which they are used."""

import importlib.util
from dataclasses import dataclass
from typing import Final

__all__ = ["CONTESTANTS", "Contestant", "missing"]


@dataclass(frozen=True)
class Contestant:
    """One way to compute a case.

    Attributes:
        name: on the command line and in tables.
        peer: the module of `benchmarks.speed.peers`.
        form: what `build` of that module is given.
        package: what must be installed.
        hidden: a package that is made to look as if it were not installed.
        compiles: the first call compiles, so a second process is worth measuring.
    """

    name: str
    peer: str
    form: str
    package: str
    hidden: str = ""
    compiles: bool = False


CONTESTANTS: Final[dict[str, Contestant]] = {
    each.name: each
    for each in (
        Contestant("minigrad", "ours", "eager", "minigrad"),
        Contestant("compiled, backward", "ours", "backward", "llvmlite", compiles=True),
        Contestant("compiled", "ours", "value_and_grad", "llvmlite", compiles=True),
        Contestant("core, backward", "ours", "backward", "minigrad", "llvmlite", compiles=True),
        Contestant("core", "ours", "value_and_grad", "minigrad", "llvmlite", compiles=True),
        Contestant("torch", "pytorch", "eager", "torch"),
        Contestant("torch.compile", "pytorch", "compiled", "torch", compiles=True),
        Contestant("jax.jit", "with_jax", "jit", "jax", compiles=True),
        Contestant("autograd", "tapes", "autograd", "autograd"),
        Contestant("mygrad", "tapes", "mygrad", "mygrad"),
    )
}
"""The first is the one with whose results the others' are compared.

"compiled" is ``mg.compile(mg.value_and_grad(loss))``, or, where modules hold the parameters, a
compiled function that returns the loss and its `mg.gradients`; "compiled, backward" is
``mg.compile(loss)(...).backward()``; "core" is the same without the extra `fast`.
"""


def missing(contestant: Contestant) -> str:
    """Why a contestant cannot take part at all; empty if it can."""
    if importlib.util.find_spec(contestant.package) is None:
        return f"{contestant.package} is not installed"
    return ""
