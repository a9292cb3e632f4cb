"""Parts of the NumPy back end: functions that write into arrays, and chains run block by block.

May import `minigrad.compiled.graph`.
"""
