"""Graphs as plain records: their JSON, and passes from graph to graph.

May import nothing else of `minigrad.draw`.
"""
