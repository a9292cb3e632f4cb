"""Systems 13 and 14: masked self-attention, and the encoder-decoder Transformer."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

import minigrad as mg
from layers.datasets import (
    CharacterTokenizer,
    NumberWords,
    addition_problems,
    sorting,
    split_number_words,
)
from layers.models import GPT, GPTConfig, TranslationConfig, TranslationModel
from layers.models.generation.decoding import Decoding, decode
from layers.models.generation.targets import IGNORED
from layers.systems.results import Figure, Setting, at_least, at_most, noted
from layers.systems.whole_runs import fit, fit_pairs
from layers.training import History, ShuffledBatches, TrainingOptions, share_exact
from layers.training.loss_plots import plot_losses
from layers.training.plots import plot_table
from layers.transformer.attention import attention_steps
from minigrad.core.errors import ShapeError
from minigrad.core.nodes import PlainArray

__all__ = ["answer", "cross_attention", "learn_answers", "run_masked_decoder", "run_translation"]

SORTED: Final = 6  # tokens to sort
LETTERS: Final = "abcdefghij"


def run_masked_decoder(setting: Setting) -> list[Figure]:
    """System 13: the future is invisible; sorting; two-digit addition.

    >>> tokenizer = CharacterTokenizer(LETTERS + "=\\n")
    >>> model = GPT(GPTConfig.preset("tiny", vocabulary_size=len(tokenizer)), tokenizer)
    >>> history = learn_answers(model, ["cab=abc\\n", "bca=abc\\n"], 3)
    >>> len(answer(model, ["cab="], 3)[0])
    3
    """
    return [*future_figures(setting), *sort_figures(setting), *addition_figures(setting)]


def future_figures(setting: Setting) -> list[Figure]:
    """dy_t / dx_s for all t and s, of a GPT's stack."""
    mg.seed(setting.seed)
    with mg.default_dtype("float64"):
        model = GPT(GPTConfig.preset("tiny", vocabulary_size=5)).eval()
    values = np.random.default_rng(setting.seed).standard_normal((1, 12, model.config.width))
    x = mg.Tensor(values, requires_grad=True)
    y = model.positions(x)
    for block in model.blocks:
        y = block(y)
    y = model.stack["norm"](y)
    norms = np.zeros((12, 12))  # of dy_t / dx_s
    for t in range(12):
        (gradient,) = mg.gradients((y[0, t] * values[0, 0]).sum(), [x])
        norms[t] = np.abs(gradient.numpy()[0]).max(axis=-1)
    setting.picture(
        "future.png",
        "how far each output depends on each input: nothing above the diagonal",
        lambda path: plot_table(
            path, np.log10(np.maximum(norms, 1e-12)), lowest=-12.0, highest=0.0,
            title="log10 |dy_t / dx_s|, exactly 0 for s > t", x="input s", y="output t",
        ),
    )  # fmt: skip
    return [
        at_most("largest dy_t / dx_s for s > t", float(np.triu(norms, 1).max()), 0.0),
        Figure("smallest dy_t / dx_s for s <= t", float(norms[np.tril_indices(12)].min()),
               "above 0", "", bool(norms[np.tril_indices(12)].min() > 0)),
    ]  # fmt: skip


def learn_answers(
    model: GPT,
    problems: list[str],
    steps: int,
    *,
    held_out: list[str] | None = None,
    progress: bool = False,
    **options: Any,
) -> History:
    """Train a GPT on texts of the form "question=answer"; only the answers count in the loss.

    Args:
        model: with a tokenizer; changed in place.
        problems: texts of one length, all with "=" at the same place.
        steps: of training.
        held_out: problems whose share of wrong answers is what is validated.
        progress: whether to show a bar.
        options: of `TrainingOptions`.

    Raises:
        ShapeError: for problems of different forms.
    """
    assert model.tokenizer is not None
    length, begin = len(problems[0]), problems[0].index("=")
    if any(len(text) != length or text[begin] != "=" for text in problems):
        raise ShapeError('learn_answers: all problems must be equally long, with "=" at one place')
    token_ids = model.tokenizer.encode("".join(problems)).reshape(-1, length)
    targets = token_ids[:, 1:].copy()
    targets[:, :begin] = IGNORED
    return fit(
        model,
        ShuffledBatches([token_ids[:, :-1], targets], 128),
        TrainingOptions(steps=steps, **options),
        validate=None if held_out is None else lambda: 1 - share_right(model, held_out),
        progress=progress,
    )


def answer(model: GPT, questions: list[str], length: int) -> list[str]:
    """The likeliest continuations of questions that are equally long."""
    assert model.tokenizer is not None
    token_ids = model.tokenizer.encode("".join(questions)).reshape(len(questions), -1)
    written = list(decode(model.decoder(), token_ids, Decoding(length, temperature=0)))
    return [model.tokenizer.decode(row) for row in np.stack(written, axis=1)]


def share_right(model: GPT, problems: list[str]) -> float:
    """The share of problems that are answered without a mistake."""
    begin = problems[0].index("=") + 1
    given = answer(model, [text[:begin] for text in problems], len(problems[0]) - begin - 1)
    pairs = zip(given, problems, strict=True)
    return float(np.mean([text == problem[begin:-1] for text, problem in pairs]))


def sort_problems(count: int, generator: np.random.Generator) -> list[str]:
    """Texts such as "fcabea=aabcef"."""
    inputs, targets = sorting(count, SORTED, generator, len(LETTERS))
    letters = np.array(list(LETTERS))
    return [
        "".join(letters[one]) + "=" + "".join(letters[other]) + "\n"
        for one, other in zip(inputs, targets, strict=True)
    ]


def sort_figures(setting: Setting) -> list[Figure]:
    """Sorting six letters, as a text that goes on."""
    generator = np.random.default_rng(setting.seed)
    tokenizer = CharacterTokenizer(LETTERS + "=\n")
    mg.seed(setting.seed)
    config = GPTConfig(len(tokenizer), 2 * SORTED + 2, num_layers=2, num_heads=4, width=64)
    model = GPT(config, tokenizer)
    training = sort_problems(20_000, generator)
    history = learn_answers(model, training, setting.steps(1000), rate=3e-3, seed=setting.seed,
                            progress=setting.progress)  # fmt: skip
    seen = set(training)
    test = [text for text in sort_problems(2000, generator) if text not in seen][:1000]
    setting.keep(model, "model-sort")
    return [
        at_least(f"sort {SORTED} letters: share of {len(test)} held-out right",
                 share_right(model, test), 1.0, "1"),
        noted("sort: seconds of training", history.seconds),
    ]  # fmt: skip


def addition_figures(setting: Setting) -> list[Figure]:
    """Two-digit addition, 500 problems held out."""
    training, held_out = addition_problems(500, seed=setting.seed)
    tokenizer = CharacterTokenizer("0123456789+=\n")
    mg.seed(setting.seed)
    config = GPTConfig(len(tokenizer), len(training[0]), num_layers=3, num_heads=4, width=64)
    model = GPT(config, tokenizer)
    history = learn_answers(
        model,
        training,
        setting.steps(3000),
        held_out=held_out,
        rate=3e-3,
        weight_decay=0.1,
        validate_every=setting.steps(250),
        patience=4,
        seed=setting.seed,
        progress=setting.progress,
    )
    setting.keep(model, "model-addition")
    setting.picture(
        "addition.png",
        "the loss curve of two-digit addition",
        lambda path: plot_losses(
            path, {"training": history}, title="A GPT learns to add",
            y="nats per digit of the sum", log="y",
        ),
    )  # fmt: skip
    found = share_right(model, held_out)
    setting.sample = f"12+34={answer(model, ['12+34='], 3)[0]} (the sum from its last digit)"
    return [
        at_least("two-digit addition: share of 500 held-out right, best checkpoint", found, 0.99),
        noted("two-digit addition: step of the best checkpoint",
              history.best[0] if history.best else 0, "within 3000"),
    ]  # fmt: skip


# -- translation -----------------------------------------------------------------------------------


def run_translation(setting: Setting) -> list[Figure]:
    """System 14: numbers in words to digits, from five languages.

    >>> source, target = CharacterTokenizer("abc "), CharacterTokenizer("0123456789")
    >>> config = TranslationConfig.preset("tiny", source_size=4, target_size=10, longest=5)
    >>> model = TranslationModel(config, source, target)
    >>> loss = model.loss(*model.batch([("a b", "12"), ("c", "3")]))
    >>> len(model.translate(["a b", "c"], beams=2))
    2
    """
    known, held_out = split_number_words(seed=0)
    training, validation = apart_by_number(known, 60)
    source = CharacterTokenizer.from_text("".join(item.words for item in known))
    target = CharacterTokenizer("0123456789")
    mg.seed(setting.seed)
    config = TranslationConfig.preset(
        "small", source_size=len(source), target_size=len(target), longest=8
    )
    model = TranslationModel(config, source, target)
    history = fit_pairs(
        model,
        as_pairs(training),
        as_pairs(validation),
        steps=setting.steps(2500),
        seed=setting.seed,
        validate_every=setting.steps(500),
        progress=setting.progress,
    )
    setting.keep(model)
    by_language = {
        language: share_exact(model, as_pairs(i for i in held_out if i.language == language))
        for language in sorted({item.language for item in held_out})
    }
    order = np.random.default_rng(0).permutation(len(held_out))
    some = [held_out[i] for i in order[:300]]
    words = [item.words for item in some[:40]]
    greedy = model.translate(words)
    same = greedy == model.translate(words, cache=False)
    beams = share_exact(model, as_pairs(some), beams=4)
    shown = next(item for item in some if item.language == "en")
    draw_translation(setting, model, shown.words)
    setting.picture(
        "loss.png",
        "the loss curve",
        lambda path: plot_losses(
            path, {"training": history}, title="Number words to digits", log="y",
            y="nats per digit",
        ),
    )  # fmt: skip
    setting.sample = "\n".join(
        f"{item.language}: {item.words} -> {text}"
        for item, text in zip(some[:8], greedy, strict=False)
    )
    return [
        at_least(f"{len(held_out)} held-out numbers, share exact",
                 share_exact(model, as_pairs(held_out)), 0.95),
        *(noted(f"share exact, {name}", share) for name, share in by_language.items()),
        noted("share exact of 300, beam search with 4", beams),
        Figure("translation with cache equals without", float(same), "1", "", same),
        noted("parameters", model.parameter_count()),
    ]  # fmt: skip


def as_pairs(items: Iterable[NumberWords]) -> list[tuple[str, str]]:
    """Words and digits."""
    return [(item.words, item.digits) for item in items]


def apart_by_number(
    items: Sequence[NumberWords], count: int
) -> tuple[list[NumberWords], list[NumberWords]]:
    """The items without those of so many numbers, in all languages, and those."""
    numbers = sorted({item.digits for item in items})
    chosen = set(np.random.default_rng(1).choice(numbers, count, replace=False).tolist())
    rest = [item for item in items if item.digits not in chosen]
    return rest, [item for item in items if item.digits in chosen]


def cross_attention(model: TranslationModel, words: str) -> tuple[PlainArray, str]:
    """Where the last decoder layer looks in the source for each digit that it writes.

    Args:
        model: with tokenizers.
        words: the source.

    Returns:
        The weights, mean of the heads, (digits + 1, letters), the last row for the end; and the
        digits that the model writes.
    """
    digits = model.translate([words])[0]
    token_ids, lengths, inputs, _ = model.batch([(words, digits)])
    layer: Any = model.transformer.decoder.layers[-1]
    with mg.no_grad():
        memory = model.encode(token_ids, lengths)
        y = model.positions(model.target_embedding(inputs))
        for before in model.transformer.decoder.layers[:-1]:
            y = before(y, memory, causal=True, memory_lengths=lengths)
        own, _ = layer.self_attn(layer.norm1(y), causal=True)
        query = layer.norm2(y + own)
        steps = attention_steps(layer.multihead_attn, query, memory, memory)
    weights: PlainArray = steps.weights.numpy()[0].mean(axis=0)  # (target, source)
    return weights, digits


def draw_translation(setting: Setting, model: TranslationModel, words: str) -> None:
    """Draw which letters the decoder looks at for each digit."""
    weights, digits = cross_attention(model, words)
    setting.picture(
        "attention.png",
        "which letters the last decoder layer looks at for each digit, mean of its heads",
        lambda path: plot_table(
            path, weights, title=words, x="letter", y="digit written next",
            rows=[*digits, "end"], columns=list(words),
        ),
    )  # fmt: skip
