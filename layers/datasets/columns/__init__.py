"""From the cells of a table to a series: numbers, dates, roles of columns."""
