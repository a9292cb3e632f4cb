"""Training: one loop, `fit`, with all that a long run needs."""

from layers.training.averages import weighted_mean
from layers.training.batches import ShuffledBatches
from layers.training.loop import fit, mean_loss
from layers.training.options import History, Progress, TrainingOptions
from layers.training.pairs import fit_pairs, share_exact
from layers.training.probe import filming
from layers.training.texts import fit_text, text_options
from layers.training.threads import one_blas_thread

__all__ = [
    "History",
    "Progress",
    "ShuffledBatches",
    "TrainingOptions",
    "filming",
    "fit",
    "fit_pairs",
    "fit_text",
    "mean_loss",
    "one_blas_thread",
    "share_exact",
    "text_options",
    "weighted_mean",
]
