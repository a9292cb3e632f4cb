"""The data sets that ship with the package: a text, names, a time series and small pictures."""

import io
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray


def _read(name: str) -> bytes:
    """Read one file of the data folder, also when the package lives in a zip archive."""
    return files("layers.datasets").joinpath("data", name).read_bytes()


def shakespeare() -> str:
    """Read some 40,000 lines of nine Shakespeare plays, in the form ``Speaker:\\nline``.

    Returns:
        A string of 1,120,277 characters, 64 of them distinct.

    Source: the plays are in the public domain; see ``data/SOURCES.md``.

    >>> text = shakespeare()
    >>> print(text[:62])
    First Citizen:
    Before we proceed any further, hear me speak.
    >>> len(text), len(set(text))
    (1120277, 64)
    """
    # Some builds of Python lack lzma; only packed data need it.
    import lzma

    return lzma.decompress(_read("shakespeare.txt.xz")).decode("utf-8")


def names() -> list[str]:
    """Read 5,163 distinct first names in lower case, in alphabetical order.

    Source: United States Census Bureau 1990, public domain; see ``data/SOURCES.md``.

    >>> names()[:4]
    ['aaron', 'abbey', 'abbie', 'abby']
    """
    return _read("names.txt").decode("utf-8").split()


def sunspots() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Read the yearly sunspot numbers of 1700 to 2008.

    Returns:
        ``(years, activity)``: int64 and float64, both of shape (309,). The activity is the mean
        sunspot number of the year, at least 0.

    Source: public domain, as in the statsmodels data sets; see ``data/SOURCES.md``.

    >>> years, activity = sunspots()
    >>> int(years[0]), int(years[-1]), float(activity.max())
    (1700, 2008, 190.2)
    """
    table = np.loadtxt(io.BytesIO(_read("sunspots.csv")), delimiter=",", skiprows=1)  # (309, 2)
    return table[:, 0].astype(np.int64), np.ascontiguousarray(table[:, 1])


def digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read 1,797 handwritten digits as grey pictures of 8 by 8 points.

    Returns:
        ``(x, y)``: x uint8 of shape (1797, 8, 8) with grey levels 0 to 16, y int64 of shape (1797,)
        with the labels 0 to 9.

    Source: UCI Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998), CC BY 4.0; see
    ``data/SOURCES.md``.

    >>> x, y = digits()
    >>> x.shape, int(x.max()), y[:5].tolist()
    ((1797, 8, 8), 16, [0, 1, 2, 3, 4])
    """
    with np.load(io.BytesIO(_read("digits.npz")), allow_pickle=False) as archive:
        return archive["x"].astype(np.uint8), archive["y"].astype(np.int64)
