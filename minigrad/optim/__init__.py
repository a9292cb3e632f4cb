"""Optimisers: they write parameters from their gradients."""

from minigrad.optim.adam import Adam
from minigrad.optim.clipping import clip_grad_norm
from minigrad.optim.optimizer import Optimizer

__all__ = ["Adam", "Optimizer", "clip_grad_norm"]
