"""What the names of columns say of times: which part of a date they are."""

import re
from typing import Final

__all__ = ["UNSURE", "named_as_time", "part_named"]

_WORDS: Final = {
    "year": "year years yr jahr jahre jaar annee année ano año anno",
    "half": "halfyear semester semestre halbjahr",
    "quarter": "quarter quarters qtr quartal kwartaal trimestre trimester",
    "month": "month months mth monat monate maand mois mes mese",
    "week": "week weeks wk woche wochen kw semaine semana settimana isoweek weekofyear",
    "day": "day days tag tage jour dia día giorno mday",
    "yearday": "doy yday yearday dayofyear",
    "hour": "hour hours hr hrs stunde stunden uur heure hora",
    "minute": "minute minutes minuut minuto",
    "second": "seconds sekunde sekunden seconde segundo",
    "weekday": "weekday dow wday wochentag dayofweek",
    "date": "date dates datum fecha datetime timestamp",
}
_SHORT: Final = {"y": ("year",), "q": ("quarter",), "m": ("month", "minute"), "w": ("week",),
                 "d": ("day",), "h": ("half", "hour"), "s": ("half", "second"), "hh": ("hour",),
                 "mm": ("month", "minute"), "dd": ("day",), "ss": ("second",), "yyyy": ("year",),
                 "half": ("half",), "mon": ("month",), "mo": ("month",), "min": ("minute",),
                 "sec": ("second",), "second": ("second",), "std": ("hour",)}  # fmt: skip
"""Names that mean a part of a date only beside other parts."""

_PARTS: Final = {word: part for part, words in _WORDS.items() for word in words.split()}
_OTHERS: Final = frozenset(("time", "times", "zeit", "period", "periods", "periode"))
_COUNTS: Final = frozenset(
    ("index", "idx", "step", "steps", "t", "id", "no", "nr", "row", "obs", "observation", "#")
)
_ORDINALS: Final = frozenset(("number", "num", "no", "nr", "nummer", "index", "id", "utc", "local"))

UNSURE: Final = frozenset(
    ("years", "quarters", "months", "weeks", "days", "hours", "hrs", "minutes", "seconds", "jahre",
     "monate", "wochen", "tage", "stunden", "sekunden", *_SHORT.keys() - {"half"})
)  # fmt: skip
"""Names, in lower case, that may be amounts of time, or of something else, as well."""


def _bare(name: str) -> str:
    """A name in lower case, without units in brackets and what it is a part of."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    name = re.sub(r"[\[(].*?[\])]", " ", name.lower())
    name = re.sub(r"[\s_.-]+", " ", name).strip()
    name = re.sub(r"^day of (the )?year$", "yearday", name)
    name = re.sub(r"^day of (the )?week$", "weekday", name)
    return re.sub(r" (of|in) (the )?(year|month|day|hour)$", "", name)


def part_named(name: str) -> tuple[str, ...]:
    """The parts of a date that a column of this name may be, the likeliest one first.

    >>> [part_named(name) for name in ("Year", "week_no", "KW", "DayOfYear", "h", "rain per year")]
    [('year',), ('week',), ('week',), ('yearday',), ('half', 'hour'), ()]
    """
    bare = _bare(name)
    if bare in _SHORT:
        return _SHORT[bare]
    words = re.findall(r"[^\W\d_]+", bare)
    if len(words) > 1 and words[-1] in _ORDINALS:
        words.pop()
    if not words or len(words) > 2 or words[-1] not in _PARTS:
        return ()
    return (_PARTS[words[-1]],)


def named_as_time(name: str) -> int | None:
    """0 for the name of a column of times, 1 for one of counts, None for others.

    >>> [named_as_time(name) for name in ("Year", "obs_date", "time [s]", "id", "price per year")]
    [0, 0, 0, 1, None]
    """
    bare = _bare(name)
    if bare in _COUNTS:
        return 1
    if bare in _SHORT:
        return None
    words = re.findall(r"[^\W\d_]+", bare)
    other = bool(words) and len(words) <= 2 and words[-1] in _OTHERS
    return 0 if other or part_named(name) else None
