"""Interactive pages: one HTML file that needs no network.

May import the folders of `minigrad.draw` up to `render`.
"""
