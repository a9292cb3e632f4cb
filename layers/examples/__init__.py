"""Small models to draw, and the demonstration.

May import everything of `layers` up to `training`.
"""
