"""Optimisers: they write parameters from their gradients. Schedules: they set learning rates.

Formulas and defaults are PyTorch's; the argument `lr` is called `rate` here.
"""

from minigrad.optim.adam import Adam, AdamW
from minigrad.optim.adaptive import Adagrad, RMSprop
from minigrad.optim.averaging import ExponentialAverage
from minigrad.optim.clipping import clip_grad_norm, clip_grad_value
from minigrad.optim.cycles import OneCycleSchedule, PlateauSchedule
from minigrad.optim.optimizer import Optimizer
from minigrad.optim.schedules import (
    ChainedSchedule,
    CosineRestartsSchedule,
    CosineSchedule,
    ExponentialSchedule,
    LambdaSchedule,
    LinearSchedule,
    MultiStepSchedule,
    Schedule,
    SequentialSchedule,
    StepSchedule,
)
from minigrad.optim.sgd import SGD

__all__ = [
    # optimisers
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
    # schedules
    "ChainedSchedule",
    "CosineRestartsSchedule",
    "CosineSchedule",
    "ExponentialSchedule",
    "LambdaSchedule",
    "LinearSchedule",
    "MultiStepSchedule",
    "OneCycleSchedule",
    "PlateauSchedule",
    "Schedule",
    "SequentialSchedule",
    "StepSchedule",
    # gradients and weights
    "ExponentialAverage",
    "clip_grad_norm",
    "clip_grad_value",
]
