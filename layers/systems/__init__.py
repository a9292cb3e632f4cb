"""The seventeen systems: what each can do, measured on real data, beside bars and references."""

import time
from difflib import get_close_matches
from typing import Final

from layers.systems.attention import (
    run_attention_cost,
    run_multi_head,
    run_positions,
    run_self_attention,
)
from layers.systems.classes import run_classes
from layers.systems.decoders import run_masked_decoder, run_translation
from layers.systems.dependencies import run_dependencies, run_gradients
from layers.systems.drawing_digits import run_dalle
from layers.systems.recurrent import run_gru, run_lstm, run_rnn
from layers.systems.results import Figure, Result, Setting, System
from layers.systems.sequences import run_sequences
from layers.systems.series import run_latent, run_markov
from layers.systems.texts import run_gpt
from layers.training import one_blas_thread

__all__ = ["SYSTEMS", "Figure", "Result", "Setting", "System", "find_system", "run_system"]

SYSTEMS: Final = (
    System(1, "sequences", "Sequential data",
           "variable-length batches, masks, truncated backpropagation with carried state",
           run_sequences),
    System(2, "markov", "Markov and autoregressive models",
           "AR(p) by gradient and by least squares; n-gram models of text", run_markov),
    System(3, "latent", "Latent autoregressive model",
           "a hidden state sums up the past; one-step and k-step forecasts", run_latent),
    System(4, "rnn", "Vanilla RNN",
           "forward and backward equal those by hand; a model of text", run_rnn),
    System(5, "dependencies", "Short- and long-term dependencies",
           "the adding problem and the copy memory", run_dependencies),
    System(6, "gradients", "Vanishing and exploding gradients",
           "the gradient's norm against the lag; sigmoid, tanh, ReLU; clipping", run_gradients),
    System(7, "lstm", "LSTM",
           "forget, input and output gate, cell update; constant gradient; a model of text",
           run_lstm),
    System(8, "gru", "GRU", "reset and update gate, no cell state; a model of text", run_gru),
    System(9, "self-attention", "Self-attention step by step",
           "query, key, value, score, scaling, softmax, weighted sum", run_self_attention),
    System(10, "attention-cost", "The N x N cost of attention",
           "measured, and overcome by attention in blocks", run_attention_cost),
    System(11, "multi-head", "Multi-head attention",
           "several heads, joined; reverses 16 tokens, and finds what 'it' stands for",
           run_multi_head),
    System(12, "positions", "Positional encoding",
           "sinusoidal and learned; what is lost without", run_positions),
    System(13, "masked-decoder", "Masked decoder self-attention",
           "the future is invisible; sorts, and adds two-digit numbers", run_masked_decoder),
    System(14, "translation", "Encoder-decoder Transformer",
           "numbers in words, in five languages, to digits", run_translation),
    System(15, "transformer", "The Transformer classes of PyTorch",
           "each takes PyTorch's state_dict and agrees", run_classes),
    System(16, "gpt", "GPT", "the decoder alone, as a model of text", run_gpt),
    System(17, "dalle", "DALL-E",
           "a discrete VAE, and a GPT over captions and codes, draw digits", run_dalle),
)  # fmt: skip
"""All systems, in the order in which they build on each other."""


def find_system(name: str) -> System:
    """The system of a name, a title or a number; case and signs do not matter.

    Raises:
        ValueError: when there is none, with the nearest name.

    >>> find_system("17").name, find_system("DALL-E").number
    ('dalle', 17)
    """

    def plain(text: str) -> str:
        return "".join(filter(str.isalnum, text.lower()))

    for system in SYSTEMS:
        if plain(name) in map(plain, (system.name, system.title, str(system.number))):
            return system
    names = [system.name for system in SYSTEMS]
    near = get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"there is no system {name!r}: there are {', '.join(names)}{hint}")


def run_system(system: System, setting: Setting) -> Result:
    """Train, measure and draw one system.

    Args:
        system: which.
        setting: with what; its folder is made when missing.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     setting = Setting(pathlib.Path(folder), pictures=False, progress=False)
    ...     run_system(find_system("self-attention"), setting).passed
    True
    """
    setting.out.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    with one_blas_thread():
        figures = tuple(system.run(setting))
    return Result(
        system.number,
        system.name,
        system.title,
        figures,
        time.perf_counter() - begun,
        setting.seed,
        setting.scale,
        setting.written,
        tuple(setting.comparisons),
        tuple(setting.remarks),
        setting.sample,
    )
