"""Looking at what was recorded: anomalies, replay, views of graphs, counts of operations.

May import `core`, `ops` and `numpy_api`.
"""
