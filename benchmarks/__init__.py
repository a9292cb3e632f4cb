"""Measurements: of speed beside other libraries (`benchmarks.speed`), and of parts of our own."""
