"""The tables of operations that the property tests go through.

May import `minigrad.testing` and what it may import.
"""
