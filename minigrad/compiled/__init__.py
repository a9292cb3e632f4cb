"""Compiled functions: a call traced once into a graph, which a back end then runs as a whole.

May import everything of minigrad but `optim`, `testing` and `draw`.
"""
