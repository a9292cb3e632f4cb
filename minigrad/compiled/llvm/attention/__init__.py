"""Attention as native code: kernels of both passes, and the calls of them.

Heads, queries and keys are counted at run time; a kernel is made for the features and the options.
"""
