"""Functions that programs call: kernels over rows, products, waiting, rows by index.

May import `vectors`, `planning`, and `minigrad.compiled.graph`.
"""
