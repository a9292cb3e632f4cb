"""From records to pictures: DOT, cells in columns, tiles, layout, plain text.

May import `graph`, `style`, `reading` and `analysis`.
"""
