"""Speed beside other libraries: ``python -m benchmarks.speed`` measures, checks and draws a table.

`cases` says what is measured, `peers` how each library computes it, `contestants` who takes part.
`worker` is the process of one contestant and one case; `rounds` lets workers take turns; `checks`
compares what they computed; `report` and `plot` show it; `footprint` measures imports and sizes.
"""
