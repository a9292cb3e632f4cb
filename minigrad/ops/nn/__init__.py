"""Operations of neural networks: activations, losses, attention, normalization.

May import `core` and all other shelves of `ops`.
"""

from minigrad.ops.nn.activations import *  # noqa: F403
from minigrad.ops.nn.attention import *  # noqa: F403
from minigrad.ops.nn.cross_entropies import *  # noqa: F403
from minigrad.ops.nn.gated import *  # noqa: F403
from minigrad.ops.nn.likelihoods import *  # noqa: F403
from minigrad.ops.nn.losses import *  # noqa: F403
from minigrad.ops.nn.margins import *  # noqa: F403
from minigrad.ops.nn.neural import *  # noqa: F403
from minigrad.ops.nn.normalization import *  # noqa: F403
from minigrad.ops.nn.pooling import *  # noqa: F403
