"""Ctrl-C at every place where Python can act on it: what stays switched, and what is swallowed.

    python -m benchmarks.reliability.interrupts
    python -m benchmarks.reliability.interrupts --cases training --most 2000 --signals 5000

Python acts on signals as a function of its own begins, and after calls of functions written in C.
A profile function sends SIGINT to the process at the first of these places, then at the second, and
so on, until the work ends; of long work, `--most` places that are drawn. After each, everything
that can be switched must be as it was, and the work must have ended early or say that it was
interrupted. Python also acts on signals where a loop goes back; whether all such jumps are within
the blocks around them is read from the code, by `tests/test_loops_in_blocks.py`.

`--signals` more come from a timer at random times; the cases share them so that each takes about as
long. The exit code is 1 if anything is left behind or swallowed.
"""

import argparse
import gc
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final

import numpy as np

import layers
import minigrad as mg
from layers.datasets import CharacterTokenizer
from layers.models import GPT, GPTConfig
from layers.training import TrainingOptions, fit
from minigrad.core.modes import Mode, current_mode, set_mode
from minigrad.draw import draw
from minigrad.ops.fusing import kernels_kept
from minigrad.restoring import errstate

__all__ = ["CASES", "Case", "Outcome", "at_random", "everywhere", "shares"]


@dataclass(frozen=True)
class Case:
    """Some work that Ctrl-C may end anywhere.

    Attributes:
        run: does it; true if it noted Ctrl-C by itself, and ended early.
        models: whose modes it switches.
        folder: where it writes; emptied after each run.
        trains: it leaves the models in evaluation mode, as training does; each run begins anew.
    """

    run: Callable[[], object]
    models: tuple[layers.Module, ...] = ()
    folder: Path | None = None
    trains: bool = False

    def tidy(self) -> None:
        """Empty the folder, and put back what training changes on purpose."""
        for model in self.models if self.trains else ():
            model.train()
        if self.folder is not None:
            shutil.rmtree(self.folder)
            self.folder.mkdir()

    def state(self) -> dict[str, Any]:
        """Everything that the work, or Ctrl-C in it, may leave switched."""
        mode = current_mode()
        return {
            **{f"mode.{name}": getattr(mode, name) for name in Mode.FIELDS},
            "numpy.errstate": (np.geterr(), np.geterrcall()),
            "garbage collection": gc.isenabled(),
            "kernels kept": kernels_kept.get(),
            "profile function": sys.getprofile(),
            "signal handlers": [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)],
            "warnings": list(warnings.filters),
            "training": [m.training for model in self.models for m in model.modules()],
            "tape": [p._node is None for model in self.models for p in model.parameters()],
            "hooks": [len(m._hooks) for model in self.models for m in model.modules()],
        }


@dataclass
class Outcome:
    """What came of the interrupts of one case.

    Attributes:
        interrupts: how many there were.
        left: by what was left switched, how often.
        swallowed: of those that nobody heard of, where they came.
        in_callbacks: those that Python itself reports and drops, because they came in a destructor
            or in a callback of a weak reference.
    """

    interrupts: int = 0
    left: Counter[str] = field(default_factory=Counter)
    swallowed: Counter[str] = field(default_factory=Counter)
    in_callbacks: Counter[str] = field(default_factory=Counter)


class _Sender:
    """Sends SIGINT once: at the place of a number among those where Python acts on signals.

    Attributes:
        count: the places so far.
        where: it was sent; empty before.
    """

    def __init__(self, place: int = 0) -> None:
        self.place, self.count, self.where = place, 0, ""

    def begin(self) -> None:
        """Count from now on."""
        sys.setprofile(self._look)

    def end(self) -> None:
        """Send nothing any more."""
        sys.setprofile(None)

    def _look(self, frame: FrameType, event: str, argument: object) -> None:
        if event not in ("call", "c_return") or frame.f_code.co_filename == __file__:
            return
        self.count += 1
        if self.count == self.place:
            sys.setprofile(None)
            self.send(frame, event)

    def send(self, frame: FrameType | None, event: str) -> None:
        """Send it here."""
        code = None if frame is None else frame.f_code
        place = code and f"{Path(code.co_filename).name}:{code.co_name}:{frame and frame.f_lineno}"
        self.where = f"{place} ({event})"
        signal.raise_signal(signal.SIGINT)


class _Timer(_Sender):
    """Sends SIGINT after some seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def begin(self) -> None:
        """Start the clock."""
        signal.signal(signal.SIGALRM, lambda number, frame: self.send(frame, "timer"))
        signal.setitimer(signal.ITIMER_REAL, self.seconds)

    def end(self) -> None:
        """Stop the clock."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)


def everywhere(case: Case, most: int = 0, seed: int = 0) -> Outcome:
    """Interrupt a case at every place, each time anew.

    Args:
        case: the work.
        most: how many places to draw at most; 0 for all.
        seed: of the choice.
    """
    case.run()
    case.tidy()
    counting = _Sender()
    _attempt(case, counting)
    case.tidy()
    places: Sequence[int] = range(1, counting.count + 1)
    if most and len(places) > most:
        places = sorted(random.Random(seed).sample(places, most))
    outcome = Outcome()
    for place in places:
        _interrupt(case, outcome, _Sender(place))
    return outcome


def at_random(case: Case, signals: int, seed: int = 0) -> Outcome:
    """Interrupt a case by a timer, at random times of its run."""
    chosen, times = random.Random(seed), []
    for _ in range(5):
        start = time.perf_counter()
        case.run()
        times.append(time.perf_counter() - start)
        case.tidy()
    usual = min(times)  # beside other work some take many times as long, and signals come too late
    outcome = Outcome()
    while outcome.interrupts < signals:
        _interrupt(case, outcome, _Timer(max(chosen.random() * usual, 1e-5)))
    return outcome


def shares(seconds: Sequence[float], signals: int) -> list[int]:
    """How many signals each case gets, so that all take about as long.

    Args:
        seconds: what one interrupt takes, by case.
        signals: how many there are together.
    """
    rates = np.cumsum(1 / np.array(seconds))
    ends = np.rint(signals * rates / rates[-1]).astype(int)  # so that the sum is exact
    return [int(share) for share in np.diff(ends, prepend=0)]


def _interrupt(case: Case, outcome: Outcome, sender: _Sender) -> None:
    """One run with one interrupt, and what came of it."""
    dropped: list[object] = []
    hook, sys.unraisablehook = sys.unraisablehook, dropped.append
    before = case.state()
    try:
        heard = _attempt(case, sender)
    finally:
        sys.unraisablehook = hook
        case.tidy()
    after = case.state()
    if not sender.where:
        return
    outcome.interrupts += 1
    if dropped:
        outcome.in_callbacks[f"dropped in {sender.where}"] += 1
    if not heard and not dropped:
        outcome.swallowed[sender.where] += 1
    for name, value in before.items():
        if after[name] != value:
            outcome.left[f"{name}, by Ctrl-C in {sender.where}"] += 1
    set_mode(Mode(dtype=current_mode().dtype))  # so that each fault is counted once
    np.seterr(**before["numpy.errstate"][0])
    gc.enable()
    for model in case.models:
        model.train()


def _attempt(case: Case, sender: _Sender) -> bool:
    """Run a case; whether it was interrupted."""
    try:
        try:
            sender.begin()
            return bool(case.run())
        finally:
            sender.end()
    except KeyboardInterrupt:
        return True


# -- the work --------------------------------------------------------------------------------------


def _training(compiled: bool = False) -> Case:
    folder = Path(tempfile.mkdtemp())
    model = layers.Sequential(layers.Linear(2, 4), layers.Dropout(0.1), layers.Linear(4, 1))

    def batches(generator: np.random.Generator) -> Any:
        x = generator.standard_normal((4, 2), np.float32)
        return x, x.sum(axis=1, keepdims=True)

    def loss(model: Any, batch: Any) -> Any:
        return mg.mse_loss(model(batch[0]), batch[1])

    def run() -> bool:
        options = TrainingOptions(steps=3, warmup=1, validate_every=2, average=0.9)
        done = fit(
            model, batches, options, loss=loss, folder=folder / "run", progress=False,
            compiled=compiled, validate=lambda: float(np.square(model[0].weight.numpy()).sum()),
        )  # fmt: skip
        return done.interrupted

    return Case(run, (model,), folder, trains=True)


def _drawing() -> Case:
    cell = layers.LSTM(2, 3)
    next(iter(cell.parameters())).requires_grad_(False)
    x = np.ones((1, 3, 2), np.float32)
    return Case(lambda: draw(cell(x)[0].sum(), grad="norm").svg() and None, (cell,))


def _model() -> GPT:
    tokenizer = CharacterTokenizer("ab\n")
    return GPT(GPTConfig.preset("tiny", vocabulary_size=len(tokenizer)), tokenizer)


def _saving() -> Case:
    model, folder = _model(), Path(tempfile.mkdtemp())

    def run() -> None:
        model.save(folder / "model")
        GPT.load(folder / "model")

    return Case(run, (model,), folder)


def _generating() -> Case:
    model = _model()
    model.train()
    return Case(lambda: "".join(model.generate("ab", 3)) and None, (model,))


def _blocks() -> Case:
    layer = layers.Linear(2, 2)
    x = mg.Tensor(np.ones(2, np.float32), requires_grad=True)

    def run() -> None:
        with mg.no_grad(), mg.enable_grad(), mg.step(1), mg.scope("part"):
            pass
        with mg.anomaly_mode(), mg.default_dtype("float64"), errstate(over="raise"):
            pass
        with mg.paused_gc(), mg.profile(), mg.recording(replay=True):
            mg.checkpoint(layer)(x).sum().backward()
        mg.no_grad()(layer)(x)

    return Case(run, (layer,))


def _compiled() -> Case:
    function = mg.compile(lambda x: mg.exp(mg.tanh(x @ x)).sum())
    x = mg.Tensor(np.ones((64, 64), np.float32), requires_grad=True)
    function(x).backward()

    def run() -> None:
        for _ in range(5):
            function(x).backward()

    return Case(run)


def _compiling() -> Case:
    x = mg.Tensor(np.ones((4, 4), np.float32), requires_grad=True)

    def run() -> None:
        mg.compile(lambda x: mg.exp(mg.tanh(x @ x)).sum())(x).backward()

    return Case(run)


CASES: Final[dict[str, Callable[[], Case]]] = {
    "blocks": _blocks,
    "training": _training,
    "drawing": _drawing,
    "saving": _saving,
    "generating": _generating,
    "compiling": _compiling,
    "compiled": _compiled,
    "compiled training": partial(_training, compiled=True),
}
"""By name, what makes each case."""


def _tell(name: str, how: str, outcome: Outcome) -> None:
    """Print the line of a case, and below it what its interrupts did most."""
    left, lost, dropped = outcome.left, outcome.swallowed, outcome.in_callbacks
    print(
        f"{name:18}{how:12}{outcome.interrupts:12,}{left.total():8,}{lost.total():11,}"
        f"{dropped.total():9,}",
        flush=True,
    )
    for what, count in (left + lost + dropped).most_common(9):
        print(f"    {count:6,} {what}", flush=True)


def main() -> int:
    """Interrupt, and print a line for each case; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--most", type=int, default=2000, help="places of each case; 0 for all")
    parser.add_argument(
        "--signals", type=int, default=4000, help="by a timer, of all cases together"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell's `&` began it
    warnings.simplefilter("error", mg.CompileWarning)  # an interrupt does harm to the next trace
    cases = {name: CASES[name]() for name in options.cases}
    print(f"{'case':18}{'how':12}{'interrupts':>12}{'left':>8}{'swallowed':>11}{'dropped':>9}")
    outcomes, seconds = [], []
    for name, case in cases.items():
        start = time.perf_counter()
        outcomes.append(everywhere(case, options.most, options.seed))
        seconds.append((time.perf_counter() - start) / max(outcomes[-1].interrupts, 1))
        _tell(name, "each place", outcomes[-1])
    for (name, case), signals in zip(cases.items(), shares(seconds, options.signals), strict=True):
        outcomes.append(at_random(case, signals, options.seed))
        _tell(name, "by a timer", outcomes[-1])
    print(f"{sum(outcome.interrupts for outcome in outcomes):,} interrupts together")
    print("dropped: Python drops what a destructor or the callback of a weak reference raises")
    return int(any(outcome.left or outcome.swallowed for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
