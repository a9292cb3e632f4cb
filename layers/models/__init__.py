"""The systems people ask for, built from the layers: models to be read from top to bottom.

Each has a configuration with presets, and `save` and `load`; those of text have `generate`, those
of series `forecast`. `load` opens a folder of any kind.
"""

import os
from typing import Any, Final

from layers.models.autoregressive import Autoregressive, AutoregressiveConfig
from layers.models.character import CharacterConfig, CharacterModel
from layers.models.dalle import DALLE, DALLEConfig
from layers.models.discrete_vae import DiscreteVAE, DiscreteVAEConfig
from layers.models.generation.decoding import Decoding
from layers.models.generation.writing import TextModel
from layers.models.gpt import GPT, GPTConfig
from layers.models.latent import LatentAutoregressive, LatentConfig
from layers.models.ngram import NGram, NGramConfig, NGramModel
from layers.models.saving import SavedModel, read_folder
from layers.models.series import SeriesModel
from layers.models.translation import TranslationConfig, TranslationModel

__all__ = [
    "Autoregressive",
    "AutoregressiveConfig",
    "CharacterConfig",
    "CharacterModel",
    "DALLE",
    "DALLEConfig",
    "Decoding",
    "DiscreteVAE",
    "DiscreteVAEConfig",
    "GPT",
    "GPTConfig",
    "KINDS",
    "LatentAutoregressive",
    "LatentConfig",
    "NGram",
    "NGramConfig",
    "NGramModel",
    "SavedModel",
    "SeriesModel",
    "TextModel",
    "TranslationConfig",
    "TranslationModel",
    "load",
]

MODELS: Final[tuple[type[Any], ...]] = (
    Autoregressive,
    NGramModel,
    LatentAutoregressive,
    CharacterModel,
    GPT,
    TranslationModel,
    DiscreteVAE,
    DALLE,
)

KINDS: Final[dict[str, type[Any]]] = {model.KIND: model for model in MODELS}
"""The models by what their files call them."""


def load(folder: str | os.PathLike[str], *, verify: bool = True) -> Any:
    """The model in a folder, whatever its kind, in evaluation mode.

    Everything is read from model.safetensors, and never from config.json, its copy for people.
    Folders of before have their description in config.json alone, and are read, too.

    Args:
        folder: what `save` of a model wrote.
        verify: compare the checksums of all tensors; about a second for each GB.

    Raises:
        FileNotFoundError: when there is no such folder, or no model in it.
        ValueError: when its kind is unknown, or a file is damaged; names the field or the tensor.
        DtypeError: when its weights are numbers that NumPy does not know.

    Warns:
        UserWarning: when config.json says something else than model.safetensors.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Autoregressive(AutoregressiveConfig(order=3)).save(folder)
    ...     load(folder).config
    AutoregressiveConfig(order=3)
    """
    saved = read_folder(folder, verify=verify)
    kind = saved.description["kind"]
    if kind not in KINDS:
        raise ValueError(
            f"{os.fspath(folder)} holds a {kind!r}, which is unknown here; there are: "
            f"{', '.join(KINDS)}"
        )
    return KINDS[kind].from_folder(saved)
