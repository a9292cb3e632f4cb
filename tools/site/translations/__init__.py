"""Editions of the site in other languages: `python -m tools.site.translations`.

English pages are the source. What stands on them is in catalogues of gettext below `docs/locales`,
one for each page and one for the words in figures; `catalogue` reads and writes them, `update`
makes them from the pages, `faults` says what is wrong with them, `figures` finds and replaces the
words in figures, and `edition` is what Sphinx needs to build such an edition.
"""
