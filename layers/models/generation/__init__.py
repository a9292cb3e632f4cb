"""Decoding: choosing tokens, beams, when to stop, writing texts."""
