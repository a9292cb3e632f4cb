"""Decoding: choosing symbols, beams, when to stop, writing texts."""
