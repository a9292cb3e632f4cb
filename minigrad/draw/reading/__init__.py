"""From the tape to what is drawn: kernels opened, states, sequences and steps found.

May import `graph` and `style`.
"""
