"""Layers without time: linear, embedding, convolution, normalization, activations, losses.

May import `minigrad` and `base`.
"""
