"""What of a graph runs together, when, and where its values are in memory.

May import `vectors`, and `minigrad.compiled.graph`.
"""
