"""NumPy's own names on tensors: operators, protocols, writing in place.

May import `core` and `ops`.
"""
