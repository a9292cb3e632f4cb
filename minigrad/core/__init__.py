"""The heart: tensors, nodes, the backward pass, and how operations are applied.

Imports nothing of the package but itself. `README.md` in this folder reads it along one expression,
``(x * w).sum().backward()``.
"""
