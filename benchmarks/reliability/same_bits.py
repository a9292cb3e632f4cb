"""Short trainings and drawings, and digests of all that they give, to compare between processes.

    python -m benchmarks.reliability.same_bits /an/empty/folder whole trainings drawings

prints a JSON object, from what was computed to a digest of it. `benchmarks.reliability.determinism`
runs this in processes that differ in nothing, or in one thing.
"""

import contextlib
import hashlib
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import layers
import minigrad as mg
from layers.cli import main as command_line
from layers.datasets import CharacterTokenizer
from layers.models import (
    GPT,
    CharacterConfig,
    CharacterModel,
    GPTConfig,
    TranslationConfig,
    TranslationModel,
)
from layers.training import TrainingOptions, fit, fit_pairs, fit_text
from minigrad.compiled import plain
from minigrad.draw import Film, draw
from minigrad.optim import SGD

__all__ = ["PARTS", "digest", "drawings", "main", "pictures", "trainings"]

PARTS = ("whole", "first half", "second half")
STEPS = 6
TEXT = "the cat sat on the mat, and the dog sat on the cat. " * 12
WIDE = 512  # features of a product that two threads of a BLAS share
DRAWN = 4  # time steps of the sequences that are drawn


def digest(arrays: Mapping[str, Any]) -> str:
    """A short digest of the names, dtypes, shapes and bits of arrays, and of bytes and texts."""
    made = hashlib.sha256()
    for name, value in sorted(arrays.items()):
        if isinstance(value, str):
            value = value.encode("utf-8")
        if not isinstance(value, bytes):
            array = np.ascontiguousarray(value)
            value = f"{array.dtype} {array.shape}".encode() + array.tobytes()
        made.update(f"{name} {len(value)}:".encode() + value)
    return made.hexdigest()[:16]


# -- trainings -------------------------------------------------------------------------------------


def character_model(cell: str) -> Callable[..., Any]:
    def train(**options: Any) -> Any:
        tokenizer = CharacterTokenizer.from_text(TEXT)
        config = CharacterConfig(
            len(tokenizer), hidden_size=24, num_layers=2, cell=cell, dropout=0.2
        )
        return text_model(CharacterModel(config, tokenizer), **options)

    return train


def gpt(**options: Any) -> Any:
    tokenizer = CharacterTokenizer.from_text(TEXT)
    config = GPTConfig.preset("tiny", vocabulary_size=len(tokenizer), dropout=0.2)
    return text_model(GPT(config, tokenizer), **options)


def text_model(model: Any, **options: Any) -> Any:
    """Train on the text, and let the model write with random numbers."""
    ids = model.tokenizer.encode(TEXT)
    history = fit_text(model, ids, ids[:100], batch_size=4, length=20, **options)
    written = model.complete("the ", length=8, generator=np.random.default_rng(1))
    return model, history, written


def translation(**options: Any) -> Any:
    letters, digits = CharacterTokenizer("abcd"), CharacterTokenizer("1234")
    config = TranslationConfig.preset("tiny", source_size=4, target_size=4, longest=6, dropout=0.2)
    model = TranslationModel(config, letters, digits)
    pairs = [("abc", "123"), ("da", "41"), ("bb", "22"), ("c", "3"), ("dcba", "4321")]
    history = fit_pairs(model, pairs, pairs[:2], batch_size=4, **options)
    return model, history, model.translate(["ab", "dd"])


def wide_layers(**options: Any) -> Any:
    """Products that are large enough for threads, with statistics and dropout between them."""
    model = layers.Sequential(
        layers.Linear(WIDE, WIDE),
        layers.BatchNorm1d(WIDE),
        layers.Tanh(),
        layers.Dropout(0.2),
        layers.Linear(WIDE, WIDE),
    )

    def batches(generator: np.random.Generator) -> tuple[Any, ...]:
        x = generator.standard_normal((WIDE // 2, WIDE), np.float32)
        return x, np.roll(x, 1, axis=1)

    def loss(model: Any, batch: tuple[Any, ...]) -> mg.Tensor:
        return mg.mse_loss(model(batch[0]), batch[1])

    history = fit(model, batches, TrainingOptions(**options.pop("plan")), loss=loss, **options)
    return model, history, []


TRAININGS: Mapping[str, Callable[..., Any]] = {
    **{cell: character_model(cell) for cell in ("rnn", "lstm", "gru")},
    "gpt": gpt,
    "translation": translation,
    "wide layers": wide_layers,
}


def trained(name: str, part: str, folder: Path, compiled: bool) -> str:
    """Train from the beginning, up to the half, or on from there; a digest of all that came.

    Args:
        name: of `TRAININGS`.
        part: of `PARTS`.
        folder: where the second half finds the first.
        compiled: whether `fit` makes programs of the steps.
    """
    mg.seed(7)
    plan = {"steps": STEPS, "validate_every": 2, "warmup": 2}
    options = {"plan": plan} if name == "wide layers" else plan
    model, history, more = TRAININGS[name](
        **options,
        compiled=compiled,
        folder=None if part == "whole" else folder / f"{name} {compiled}",
        resume=part == "second half",
        callbacks=[lambda told: part == "first half" and told.step == STEPS // 2],
        progress=False,
    )
    losses = np.asarray(history.losses)
    return digest({**model.state_dict(), "losses": losses, "more": json.dumps(more)})


def own_loop() -> str:
    """A loop of one's own: `scan`, a checkpoint, dropout, and NumPy's functions on tensors."""
    mg.seed(3)
    cell, head = layers.GRUCell(5, 16), layers.Linear(16, 2)
    parameters = [*cell.parameters(), *head.parameters()]
    optimizer = SGD(parameters, 0.1, momentum=0.9)
    x = np.random.default_rng(0).standard_normal((3, 40, 5), np.float32)

    def loss() -> mg.Tensor:
        output, _ = layers.scan(cell, x)
        dropped = mg.dropout(np.tanh(output), 0.3)
        return mg.mean(head(dropped) ** 2)

    for _ in range(STEPS):
        optimizer.zero_grad()
        mg.checkpoint(loss)().backward()
        optimizer.step()
    return digest({str(place): value.numpy() for place, value in enumerate(parameters)})


def large_products() -> Iterator[tuple[str, str]]:
    """Products of which a BLAS may take sums in another order with other threads."""
    generator = np.random.default_rng(2)
    vector = mg.Tensor(generator.standard_normal(10**6))
    yield "a product of vectors of 10^6", digest({"": (vector @ vector).numpy()})
    left, right = (
        mg.Tensor(generator.standard_normal(shape, np.float32))
        for shape in ((600, 3000), (3000, 500))
    )
    yield "a product of matrices, 600 x 3000 x 500", digest({"": (left @ right).numpy()})


def command(folder: Path) -> str:
    """`minigrad train`: the digest of the files of the model, as they are on the disk."""
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    out = folder / "command"
    given = f"--out {out} --model lstm --hidden-size 16 --dropout 0.1 --steps {STEPS}"
    arguments = ["train", str(folder / "text.txt"), *given.split()]
    with contextlib.redirect_stderr(io.StringIO()) as told, contextlib.redirect_stdout(told):
        if command_line(arguments):
            raise AssertionError(f"minigrad train: {told.getvalue()}")
    kept = [path for path in out.iterdir() if path.name in ("model.safetensors", "config.json")]
    return digest({path.name: path.read_bytes() for path in kept})


def trainings(part: str, folder: Path) -> Iterator[tuple[str, str]]:
    """What was trained, and its digest."""
    for name in TRAININGS:
        yield f"{name}, eager", trained(name, part, folder, False)
        yield f"{name}, compiled", trained(name, part, folder, True)
    if part == "whole":
        yield "a loop of one's own", own_loop()
        yield from large_products()
        yield "minigrad train", command(folder)


# -- drawings --------------------------------------------------------------------------------------


def pictures() -> Iterator[tuple[str, Any]]:
    """What is drawn: names, and drawings and films of all kinds."""
    mg.seed(5)
    x = np.linspace(-1, 1, 2 * DRAWN * 3, dtype=np.float32).reshape(2, DRAWN, 3)
    for name, layer in (
        ("RNN", layers.RNN(3, 4)),
        ("LSTM", layers.LSTM(3, 4, num_layers=2)),
        ("Transformer", layers.TransformerEncoderLayer(3, 1, 6, 0.1)),
    ):
        output = layer(x)
        output = output[0] if isinstance(output, tuple) else output
        loss = mg.mean(output**2)
        yield f"{name}, operations", draw(loss, level="ops", grad="norm")
        yield f"{name}, layers", draw(loss, level="layers")
        if name != "Transformer":
            yield f"{name}, cells", draw(loss, level="cells", grad="norm")
            film = Film(every=1)
            film.record(loss, 0)
            yield f"{name}, film", film
    weight = mg.Tensor(np.ones((3, 4), np.float32), requires_grad=True)
    program = mg.compile(lambda x: mg.tanh(x @ weight).sum(), backend=plain)
    yield "program", draw(program.lowered(x))


def drawings(folder: Path) -> Iterator[tuple[str, str]]:
    """What was drawn and its format, and a digest of the file."""
    for name, picture in pictures():
        forms = ("svg", "json", "html", "txt")
        for form in forms if isinstance(picture, Film) else (*forms, "dot", "png", "pdf"):
            path = picture.save(folder / f"{name}.{form}")
            yield f"{name}, {form}", digest({"": path.read_bytes()})


def main(given: list[str]) -> None:
    """Print the digests: a folder, a part of `PARTS`, and `trainings`, `drawings` or both."""
    folder, part, *wanted = given
    found: dict[str, str] = {}
    if "trainings" in wanted:
        found.update(trainings(part, Path(folder)))
    if "drawings" in wanted:
        found.update(drawings(Path(folder)))
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
