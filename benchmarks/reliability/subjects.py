"""What is saved while processes are killed and disks fail, and how a version is told from another.

Each version is made of one number, of which every part of it is full, so that a file with parts of
two versions cannot pass for one.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import minigrad as mg
from layers import Linear
from layers.datasets import CharacterTokenizer
from layers.models import CharacterConfig, CharacterModel
from minigrad.draw import Picture, draw
from minigrad.draw.graph.records import PictureNode
from minigrad.io import serialize
from minigrad.optim import Adam

__all__ = ["SUBJECTS", "Subject", "files_in"]

LENGTH = 4000  # of an array: some pages of a file
LETTERS = 26
FIRST_LETTER = 0x20000  # where 900 thousand code points have no meaning of their own


@dataclass(frozen=True)
class Subject:
    """Something that is saved under a path.

    Attributes:
        name: the file, or the folder, that holds it.
        save: writes the version of a number to a path.
        load: the number of the version at a path; raises where it is not wholly one.
    """

    name: str
    save: Callable[[Path, int], object]
    load: Callable[[Path], int]


def files_in(folder: Path) -> set[str]:
    """The files below a folder, by their paths in it."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def only(*arrays: object) -> int:
    """The one number of which all arrays are full."""
    found = np.unique(np.concatenate([np.ravel(np.asarray(array)) for array in arrays]))
    if found.size != 1:
        raise AssertionError(f"parts of several versions: {found[:5]}")
    return int(found[0])


def save_arrays(path: Path, number: int) -> None:
    mg.save(path, {name: np.full(LENGTH, float(number)) for name in "ab"}, {"number": str(number)})


def load_arrays(path: Path) -> int:
    return only(*mg.load(path).values(), int(serialize.load_metadata(path)["number"]))


def trained(number: int) -> tuple[Linear, Adam]:
    module = Linear(30, 30)
    for parameter in module.parameters():
        parameter.write(np.full(parameter.shape, number, np.float32))
    return module, Adam(module.parameters(), rate=float(number + 1))


def save_training(path: Path, number: int) -> None:
    module, optimizer = trained(number)
    mg.save_checkpoint(path, step=number, model=module, optimizer=optimizer)


def load_training(path: Path) -> int:
    module, optimizer = trained(-1)
    step = mg.load_checkpoint(path, model=module, optimizer=optimizer).step
    return only(step, *(parameter.numpy() for parameter in module.parameters()))


def save_model(path: Path, number: int) -> None:
    first = FIRST_LETTER + LETTERS * number  # every version has an alphabet of its own
    tokenizer = CharacterTokenizer("".join(chr(first + place) for place in range(LETTERS)))
    model = CharacterModel(CharacterConfig(LETTERS, hidden_size=16), tokenizer)
    for parameter in model.parameters():
        parameter.write(np.full(parameter.shape, number, np.float32))
    model.save(path)


def load_model(path: Path) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the copy of the configuration for people may be behind
        model = CharacterModel.load(path)
    assert model.tokenizer is not None
    letters = [ord(letter) - place for place, letter in enumerate(model.tokenizer.characters)]
    number, rest = divmod(only(letters) - FIRST_LETTER, LETTERS)
    assert rest == 0
    return only(number, *(parameter.numpy() for parameter in model.parameters()))


def save_picture(path: Path, number: int) -> None:
    nodes = tuple(PictureNode(place, "input", name=str(number)) for place in range(40))
    draw(Picture(nodes)).save(path)


def load_picture(path: Path) -> int:
    return only([int(node.name) for node in Picture.from_json(path.read_text()).nodes])


SUBJECTS = {
    "safetensors": Subject("arrays.safetensors", save_arrays, load_arrays),
    "npz": Subject("arrays.npz", save_arrays, load_arrays),
    "checkpoint": Subject("last.safetensors", save_training, load_training),
    "model folder": Subject("model", save_model, load_model),
    "drawing": Subject("graph.json", save_picture, load_picture),
}
