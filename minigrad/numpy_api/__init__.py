"""NumPy's own names on tensors: operators, protocols, writing in place, ways out to numbers.

May import `core` and `ops`. Importing it makes all of them methods of `Tensor`.
"""

from minigrad.numpy_api import array_methods as array_methods
from minigrad.numpy_api import detaching as detaching
from minigrad.numpy_api import operators as operators
