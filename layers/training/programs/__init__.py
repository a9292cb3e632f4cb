"""Steps as programs: the compiled loss of a batch, and what runs it."""
