"""What anomaly mode costs: one training step of the character LSTM with and without it.

    python benchmarks/anomaly_cost.py
    python benchmarks/anomaly_cost.py --steps 50 --unfused

Steps with and without checks alternate, so that both see the same machine. The medians are
printed, and their ratio.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import minigrad as mg
from layers.models.character import CharacterConfig, CharacterModel
from minigrad.core.modes import ModeChange
from minigrad.optim import Adam, clip_grad_norm


def step(
    model: CharacterModel, optimizer: Adam, token_ids: np.ndarray, targets: np.ndarray
) -> None:
    loss = model.loss(token_ids, targets)
    optimizer.zero_grad()
    loss.backward()
    clip_grad_norm(optimizer.parameters, 1.0)
    optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40, help="measured steps of each kind")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument(
        "--unfused", action="store_true", help="record every operation in place of the kernels"
    )
    options = parser.parse_args()

    mg.seed(0)
    model = CharacterModel(CharacterConfig(80, hidden_size=options.hidden))
    optimizer = Adam(model.parameters())
    generator = np.random.default_rng(0)
    shape = (options.batch, options.length)
    seconds: dict[str, list[float]] = {"": [], "raise": []}
    for number in range(options.steps + 3):
        token_ids, targets = generator.integers(0, 80, shape), generator.integers(0, 80, shape)
        for action, times in seconds.items():
            start = time.perf_counter()
            with ModeChange(anomaly=action, fused=not options.unfused):
                step(model, optimizer, token_ids, targets)
            if number >= 3:  # the first ones warm up
                times.append(time.perf_counter() - start)
    plain, checked = (statistics.median(times) for times in seconds.values())
    print(
        f"training step, batch {options.batch}, {options.length} characters, "
        f"{options.hidden} hidden, {'step by step' if options.unfused else 'kernels'}: "
        f"{plain * 1e3:.2f} ms plain, {checked * 1e3:.2f} ms in anomaly mode "
        f"({checked / plain:.2f} times)"
    )


if __name__ == "__main__":
    main()
