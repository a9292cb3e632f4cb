"""Whether a program still holds: keys of calls, guards on what was read, and two traces compared.

May import `minigrad.compiled.graph` and `minigrad.compiled.tracing`.
"""
