"""Optimisers: they write parameters from their gradients. Schedules: they set learning rates.

Formulas and defaults are PyTorch's; the argument `lr` may be called `rate`, too.
"""

from minigrad.optim.adam import Adam, AdamW
from minigrad.optim.adam_family import Adamax, NAdam, RAdam
from minigrad.optim.adaptive import Adadelta, Adagrad, RMSprop
from minigrad.optim.averaging import ExponentialAverage
from minigrad.optim.clipping import clip_grad_norm, clip_grad_value
from minigrad.optim.combined import ChainedSchedule, SequentialSchedule
from minigrad.optim.cycles import CyclicSchedule, OneCycleSchedule, PlateauSchedule
from minigrad.optim.optimizer import Optimizer
from minigrad.optim.rprop import Rprop
from minigrad.optim.schedules import (
    ConstantSchedule,
    CosineRestartsSchedule,
    CosineSchedule,
    ExponentialSchedule,
    LambdaSchedule,
    LinearSchedule,
    MultiplicativeSchedule,
    MultiStepSchedule,
    PolynomialSchedule,
    Schedule,
    StepSchedule,
)
from minigrad.optim.sgd import ASGD, SGD

__all__ = [
    # optimisers
    "ASGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGD",
    # schedules
    "ChainedSchedule",
    "ConstantSchedule",
    "CosineRestartsSchedule",
    "CosineSchedule",
    "CyclicSchedule",
    "ExponentialSchedule",
    "LambdaSchedule",
    "LinearSchedule",
    "MultiStepSchedule",
    "MultiplicativeSchedule",
    "OneCycleSchedule",
    "PlateauSchedule",
    "PolynomialSchedule",
    "Schedule",
    "SequentialSchedule",
    "StepSchedule",
    # gradients and weights
    "ExponentialAverage",
    "clip_grad_norm",
    "clip_grad_value",
]
