"""The formats that are read: sound files of each, how they are changed, and the errors allowed."""

import json
import random
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

import minigrad as mg
from benchmarks.reliability import mutants
from layers import Linear, models
from layers.datasets import CharacterTokenizer, read_pairs, read_series, read_text
from minigrad.draw import Picture
from minigrad.draw.graph.film_frames import FilmFrame, FilmRecord
from minigrad.draw.graph.interaction import LossNorms
from minigrad.draw.graph.records import Contribution, Edge, PictureNode, PictureScope, Statistics
from minigrad.io import serialize
from minigrad.optim import Adam

__all__ = ["FORMATS", "Format", "Made"]


@dataclass(frozen=True)
class Made:
    """Sound files of a format, and how they are read.

    Attributes:
        seeds: their contents.
        path: where a changed one is put.
        read: reads it; what it returns can be compared.
    """

    seeds: tuple[bytes, ...]
    path: Path
    read: Callable[[], Any]


@dataclass(frozen=True)
class Format:
    """A format of files.

    Attributes:
        make: makes sound files of it in a folder.
        mutate: changes what a file says, beside changes of bytes.
        errors: what its reader documents.
        checked: whether it has checksums of everything.
    """

    make: Callable[[Path], Made]
    mutate: Callable[[bytes, random.Random], bytes]
    errors: tuple[type[Exception], ...] = (ValueError,)
    checked: bool = False


ARRAYS = {
    "weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "flags": np.array([True, False, True]),
    "step": np.array(7),
    "turned": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "empty": np.zeros((0, 3), np.float16),
}
TEXTS = {"model": "example", "note": 'a "b" é'}


def comparable(arrays: dict[str, Any]) -> Any:
    """Arrays by name as something that == compares."""
    return sorted((n, str(a.dtype), a.shape, a.tobytes()) for n, a in arrays.items())


def arrays(folder: Path, suffix: str) -> Made:
    path = folder / f"a{suffix}"
    mg.save(path, ARRAYS, TEXTS)
    seeds = [path.read_bytes()]
    if suffix == ".npz":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, array in ARRAYS.items():
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
    else:
        path.write_bytes(safetensors.numpy.save({"w": np.ones(5, np.float16)}))
    seeds.append(path.read_bytes())

    def read() -> Any:
        return comparable(mg.load(path)), serialize.load_metadata(path)

    return Made(tuple(seeds), path, read)


def checkpoint(folder: Path) -> Made:
    path, own = folder / "last.safetensors", np.random.default_rng(1)

    def parts() -> dict[str, Any]:
        module = Linear(2, 3)
        return {"model": module, "optimizer": Adam(module.parameters(), rate=0.1)}

    def read() -> Any:
        made = parts()
        found = mg.load_checkpoint(path, generator=own, **made)
        return found, [comparable(dict(part.state_dict())) for part in made.values()]

    mg.save_checkpoint(path, step=7, generator=own, metadata=TEXTS, **parts())
    return Made((path.read_bytes(),), path, read)


def model(folder: Path, inside: bool) -> Made:
    """A model's file, or the config.json of one that was saved before models were one file."""
    config = models.CharacterConfig(4, hidden_size=3, num_layers=2)
    made = models.CharacterModel(config, CharacterTokenizer("ab c"))
    made.save(folder)
    weights = folder / "model.safetensors"
    if not inside:
        bare = safetensors.numpy.save(dict(made.state_dict()))
        weights.write_bytes(bare)
    path = weights if inside else folder / "config.json"

    def read() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the copy for people says something else
            found = models.load(folder)
        tokenizer = getattr(found, "tokenizer", None)
        return str(found.config), tokenizer and tokenizer.characters, comparable(found.state_dict())

    return Made((path.read_bytes(),), path, read)


def tokenizer(folder: Path) -> Made:
    path = folder / "tokenizer.json"

    def read() -> str:
        try:
            content = json.loads(path.read_bytes())
        except RecursionError as error:
            raise ValueError("the text is not JSON") from error
        return CharacterTokenizer.from_dict(content).characters

    seed = json.dumps(CharacterTokenizer("abc é한").to_dict()).encode()
    return Made((seed,), path, read)


def picture() -> Picture:
    nodes = (
        PictureNode(0, "input", shape=(2, 3), dtype="float32", value=Statistics(1.0, -1.0, 2.0)),
        PictureNode(
            1, "parameter", name="w", scope="net", gradient=Statistics(np.inf, finite=False)
        ),
        PictureNode(2, "op", op="matmul", scope="net.cell", step=0, last_step=3, layer=1, count=4),
        PictureNode(3, "state", state="h", step=4, offset=2, seconds=0.25, fault="NaN"),
    )
    edges = (
        Edge(0, 2, shape=(2, 3), contribution=Contribution(0.5, 0.1)),
        Edge(1, 2, slot=1, route="highway"),
        Edge(2, 3, kind="rolled", count=3),
    )
    scopes = (PictureScope("net", "Model"), PictureScope("net.cell", "Cell", "net"))
    return Picture(nodes, edges, scopes, "cells", "title", ("a sentence",), tuple("abcd"))


def graph(folder: Path) -> Made:
    path = folder / "graph.json"

    def read() -> Picture:
        found = Picture.from_json(path.read_bytes())
        assert Picture.from_json(found.to_json()).to_json() == found.to_json()
        return found

    return Made((picture().to_json().encode(),), path, read)


def film(folder: Path) -> Made:
    path, drawn = folder / "film.json", picture()
    numbers: dict[str, Any] = {"edge_norms": (1.0, None, 2.0), "edge_shares": (None,) * 3}
    boxes: dict[str, Any] = {"gradient_norms": (1.0,) * 4, "value_norms": (None,) * 4}
    lane = LossNorms("h", (0, 1), (1,), ((0.25, 0.5),))
    frames = tuple(
        FilmFrame(step, 0.5, (), **numbers, **boxes, loss_norms=(lane,)) for step in (0, 5)
    )
    record = FilmRecord(5, "title", (), drawn.scopes, drawn.nodes, drawn.edges, frames)

    def read() -> FilmRecord:
        found = FilmRecord.from_json(path.read_bytes())
        assert FilmRecord.from_json(found.to_json()).to_json() == found.to_json()
        return found

    return Made((record.to_json().encode(),), path, read)


def table(folder: Path, reader: Callable[[Path], Any], *seeds: str) -> Made:
    path = folder / "data.txt"
    return Made(tuple(seed.encode() for seed in seeds), path, lambda: reader(path))


def values_of(path: Path) -> Any:
    found = read_series(path)
    assert np.isfinite(found.values).all()
    return found.values.tobytes(), found.times


TEXT = "To be, or not to be:\r\nthat is the question.\nÄpfel, 한글 and 𝄞.\n"
CSV = "year,rain\n" + "".join(f"{1900 + n},{n * n % 7}.5\n" for n in range(20))
DATES = "# source\nwhen;value\n" + "".join(f"{n + 1:02}.03.2020;{n},25\n" for n in range(20))
BARS = "year|quarter|x\n" + "".join(f"{2000 + n // 4}|Q{n % 4 + 1}|{n}e-1\n" for n in range(20))
TSV = "".join(f"eine Zahl {n}\tone number {n}\n" for n in range(12))
TATOEBA = "".join(f"{n}\tun {n}\t{n + 100}\tone {n}\n" for n in range(12))

FORMATS = {
    "safetensors": Format(
        lambda folder: arrays(folder, ".safetensors"),
        mutants.mutate_safetensors,
        (ValueError, mg.DtypeError),
    ),
    "npz": Format(lambda folder: arrays(folder, ".npz"), mutants.mutate_npz, checked=True),
    "checkpoint": Format(
        checkpoint, mutants.mutate_safetensors, (ValueError, KeyError, mg.DtypeError)
    ),
    "model": Format(
        lambda folder: model(folder, True), mutants.mutate_safetensors, (ValueError, mg.DtypeError)
    ),
    "config.json": Format(lambda folder: model(folder, False), mutants.mutate_json),
    "tokenizer": Format(tokenizer, mutants.mutate_json, (ValueError, TypeError, KeyError)),
    "graph JSON": Format(graph, mutants.mutate_json),
    "film JSON": Format(film, mutants.mutate_json),
    "text": Format(lambda folder: table(folder, read_text, TEXT), mutants.mutate_lines),
    "CSV": Format(lambda folder: table(folder, values_of, CSV, DATES, BARS), mutants.mutate_lines),
    "TSV": Format(lambda folder: table(folder, read_pairs, TSV, TATOEBA), mutants.mutate_lines),
}
