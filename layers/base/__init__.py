"""What every layer stands on: modules, parameters, initialization, containers.

May import `minigrad` and nothing else of `layers`.
"""
