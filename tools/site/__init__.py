"""The site: `python -m tools.site` builds the pages, checks them, and serves them on request.

`docs/conf.py` holds the settings of Sphinx; here is what they need beyond its extensions: the pages
of the reference, written from the packages themselves (`reference`, `command_line`), docstrings as
reStructuredText (`docstrings`), formulas as MathML (`mathml`), and the checks of what was built
(`checks`). Nothing here imports Sphinx before Sphinx runs.
"""
