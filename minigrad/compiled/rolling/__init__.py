"""Repeated steps of a straight graph become loops.

May import `minigrad.compiled.graph` and the builder of `minigrad.compiled.tracing`.
"""
