"""What boxes and arrows look like: colours, widths, words, legends.

May import `graph`.
"""
