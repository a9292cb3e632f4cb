"""The errors that minigrad raises, and the small words that their messages share.

Every class also derives from the built-in that a NumPy user would catch.
"""

from typing import Any

import numpy as np

__all__ = ["AnomalyError", "AxisError", "DetachError", "DtypeError", "GradientError"]
__all__ += ["ReadOnlyError", "ShapeError", "describe", "short_dtype"]


class GradientError(RuntimeError):
    """A derivative was asked for that the recorded graph cannot give."""


class ReadOnlyError(GradientError, ValueError):
    """A tensor that is a part of another value was about to be written, and the write lost."""


class DetachError(TypeError):
    """A tensor that requires grad was about to be turned silently into plain numbers."""


class DtypeError(TypeError):
    """The dtype of an argument is one that the operation cannot work with."""


class ShapeError(ValueError):
    """The shapes of the arguments do not fit each other."""


class AxisError(ShapeError, np.exceptions.AxisError):
    """There is no such axis. As in NumPy it is an IndexError, too."""


class IndexDtypeError(DtypeError, IndexError):
    """An index holds something else than integers or booleans; in NumPy that is an IndexError."""


class MatrixError(ShapeError, np.linalg.LinAlgError):
    """An array does not hold the matrices that linear algebra needs; a LinAlgError as in NumPy."""


class OutOfBoundsError(ShapeError, IndexError):
    """An index names a place that is not there."""


class AnomalyError(FloatingPointError):
    """Anomaly mode saw finite numbers turn into NaN or infinity.

    Attributes:
        finding: the message without the line of user code.
    """

    def __init__(self, message: str, finding: str = "") -> None:
        super().__init__(message)
        self.finding = finding or message


_SHORT = {"f": "f", "i": "i", "u": "u", "c": "c", "b": "bool"}


def short_dtype(dtype: Any) -> str:
    """The dtype in a few letters.

    >>> import numpy as np
    >>> short_dtype(np.dtype("float32")), short_dtype(np.dtype(bool))
    ('f32', 'bool')
    """
    letter = _SHORT.get(dtype.kind)
    if letter is None:
        return str(dtype)
    return letter if letter == "bool" else f"{letter}{dtype.itemsize * 8}"


def describe(value: Any) -> str:
    """Dtype and shape of an array or tensor, or a short repr of anything else.

    >>> import numpy as np
    >>> describe(np.zeros((3, 4), np.float32)), describe(2.5)
    ('f32[3, 4]', '2.5')
    """
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is None or dtype is None or isinstance(value, type):
        if isinstance(value, (list, tuple)) and any(hasattr(v, "shape") for v in value):
            inner = [describe(v) for v in value[:4]] + ["..."] * (len(value) > 4)
            return f"[{', '.join(inner)}]"
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    return f"{short_dtype(dtype)}{list(shape)}"
