"""What a system is, what it measured, and whether that reaches its bars."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

__all__ = [
    "BROKEN",
    "ComparisonRow",
    "Figure",
    "Result",
    "Setting",
    "System",
    "at_least",
    "at_most",
    "noted",
    "within",
]


BROKEN: Final = "runs to its end"
"""The one figure of a system that did not."""


@dataclass(frozen=True)
class Figure:
    """One number that was measured.

    Attributes:
        name: what it is.
        value: the number.
        bar: what it has to be, in words; "" where it is only noted.
        reference: what is known of it from elsewhere, in words.
        passed: whether the bar is reached; None without a bar.
        reason: why not, where it is known.
    """

    name: str
    value: float
    bar: str = ""
    reference: str = ""
    passed: bool | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        # NumPy's numbers and truths are not what JSON knows.
        object.__setattr__(self, "value", float(self.value))
        if self.passed is not None:
            object.__setattr__(self, "passed", bool(self.passed))


def number(value: float) -> str:
    """A number with five digits that count.

    >>> number(1.69413), number(3.1e-13), number(100.0), number(14.90714), number(0.0)
    ('1.6941', '3.1e-13', '100', '14.907', '0')
    """
    if value == 0 or not 1e-3 <= abs(value) < 1e6:
        return f"{value:.2g}"
    return str(int(value)) if value == int(value) else f"{value:.5g}"


def at_most(name: str, value: float, bar: float, reference: str = "", reason: str = "") -> Figure:
    """A figure that has to be at most `bar`."""
    return Figure(name, value, f"at most {number(bar)}", reference, value <= bar, reason)


def at_least(name: str, value: float, bar: float, reference: str = "", reason: str = "") -> Figure:
    """A figure that has to be at least `bar`."""
    return Figure(name, value, f"at least {number(bar)}", reference, value >= bar, reason)


def within(name: str, value: float, target: float, tolerance: float, reference: str = "") -> Figure:
    """A figure that has to be `target`, give or take `tolerance`."""
    bar = f"{target:g} ± {tolerance:g}"
    return Figure(name, value, bar, reference, abs(value - target) <= tolerance)


def noted(name: str, value: float, reference: str = "") -> Figure:
    """A figure without a bar."""
    return Figure(name, value, "", reference)


@dataclass(frozen=True)
class ComparisonRow:
    """A model's line in the table that compares models on one data set.

    Attributes:
        data: "text" or "series".
        model: its name.
        parameters: how many numbers it holds.
        seconds: of training.
        values: the measures by name: nats per character, or relative errors by period.
    """

    data: str
    model: str
    parameters: int
    seconds: float
    values: dict[str, float]


@dataclass
class Setting:
    """What a system runs with.

    Attributes:
        out: the folder for its pictures and models.
        seed: of weights, batches and samples.
        scale: the share of the training steps to make; below 1 to try a system out.
        progress: whether to show bars.
        pictures: whether to draw; False measures alone.
        written: what was written so far: the file, and what it shows.
        comparisons: lines for the tables that compare models.
        remarks: sentences on what was measured.
        sample: something that the model made, to be printed.
    """

    out: Path
    seed: int = 0
    scale: float = 1.0
    progress: bool = True
    pictures: bool = True
    written: dict[str, str] = field(default_factory=dict)
    comparisons: list[ComparisonRow] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    sample: str = ""

    def steps(self, count: int) -> int:
        """So many training steps, scaled."""
        return max(1, round(count * self.scale))

    def picture(self, name: str, what: str, draw: Callable[[Path], object]) -> None:
        """Make a picture; a missing optional package costs the picture and nothing else.

        Args:
            name: of the file.
            what: what it shows.
            draw: writes it to a path.
        """
        from minigrad.io.packages import MissingPackageError

        if not self.pictures:
            return
        try:
            draw(self.out / name)
        except MissingPackageError as error:
            self.remarks.append(f"{name} was not drawn: {error}")
        else:
            self.written[name] = what

    def keep(self, model: Any, name: str = "model") -> None:
        """Save a model into a folder."""
        model.save(self.out / name)
        self.written[f"{name}/"] = f"the model; `minigrad sample {self.out / name}`"


@dataclass(frozen=True)
class System:
    """One of the systems.

    Attributes:
        number: its place in the list.
        name: for the command line.
        title: what it is called.
        capability: what it can do.
        run: measures it.
    """

    number: int
    name: str
    title: str
    capability: str
    run: Callable[[Setting], Sequence[Figure]]


@dataclass(frozen=True)
class Result:
    """What a run of a system measured.

    Attributes:
        number, name, title: of the system.
        figures: what was measured.
        seconds: how long everything took, pictures included.
        seed, scale: as in `Setting`.
        written, comparisons, remarks, sample: as in `Setting`.
    """

    number: int
    name: str
    title: str
    figures: tuple[Figure, ...]
    seconds: float
    seed: int
    scale: float = 1.0
    written: dict[str, str] = field(default_factory=dict)
    comparisons: tuple[ComparisonRow, ...] = ()
    remarks: tuple[str, ...] = ()
    sample: str = ""

    @property
    def passed(self) -> bool:
        """Whether every bar is reached."""
        return all(figure.passed is not False for figure in self.figures)

    @property
    def measured(self) -> bool:
        """Whether the system ran to its end; else its one figure says why not."""
        return [figure.name for figure in self.figures] != [BROKEN]

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON knows it."""
        return {**asdict(self), "passed": self.passed}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Result":
        """The result that `to_dict` took apart."""
        fields = {name: value for name, value in content.items() if name != "passed"}
        fields["figures"] = tuple(Figure(**figure) for figure in fields["figures"])
        fields["comparisons"] = tuple(ComparisonRow(**row) for row in fields["comparisons"])
        fields["remarks"] = tuple(fields["remarks"])
        return cls(**fields)
