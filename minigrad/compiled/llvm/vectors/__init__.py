"""LLVM IR as text, and arithmetic and mathematics on vectors.

May import `minigrad.compiled.graph`.
"""
