"""Time and memory by operation and by module: what `minigrad.profile` is made of.

`watching` sees operations begin and end, and `live_arrays` what they allocate; `records` makes
records of that, `tables` and `chrome` show them; `profiles` has the block.
"""
