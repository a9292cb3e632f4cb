"""Files: arrays by name, and checkpoints of training.

May import everything of minigrad up to `transforms`.
"""
