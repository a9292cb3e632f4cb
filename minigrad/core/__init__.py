"""The heart: tensors, nodes, the backward pass, and how operations are declared and applied.

Imports nothing of the package but itself.
"""
