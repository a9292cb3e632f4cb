"""Parts of the NumPy back end: calls of its functions on arrays made beforehand, block by block.

May import `minigrad.compiled.graph`.
"""
