"""PyTorch's models of the text are trained with the settings of the systems they stand beside."""

import ast
from dataclasses import asdict
from pathlib import Path

import pytest

from layers.models import GPT, CharacterConfig, CharacterModel, GPTConfig
from layers.systems.recurrent import LARGER_LSTM, LARGER_LSTM_TRAINING
from layers.systems.texts import GPT_TRAINING
from layers.training import text_options

SCRIPT = Path(__file__).parents[1] / "fixtures" / "make_text_references.py"


def constants():
    """The script's constants, read without PyTorch: those whose values are written out."""
    found = {}
    for node in ast.parse(SCRIPT.read_text("utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        for target in targets:
            try:
                value = ast.literal_eval(node.value)
            except ValueError:
                continue
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            values = value if isinstance(target, ast.Tuple) else [value]
            found |= {name.id: one for name, one in zip(names, values, strict=True)}
    return found


REFERENCES = constants()
MODELS = {
    "lstm": (CharacterModel(CharacterConfig(64, **LARGER_LSTM)), LARGER_LSTM_TRAINING),
    "gpt": (GPT(GPTConfig.preset("small", vocabulary_size=64)), GPT_TRAINING),
}


def test_every_reference_has_a_system():
    assert set(REFERENCES["SETTINGS"]) == set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_a_reference_has_the_settings_of_its_system(name):
    model, training = MODELS[name]
    setting = dict(REFERENCES["SETTINGS"][name])
    sizes = asdict(model.config)
    config = setting.pop("config")
    assert config == {key: sizes[key] for key in config}
    assert setting == {"validate_every": training["steps"], **training}
    changes = {key: value for key, value in training.items() if key != "batch_size"}
    options = text_options(model, **changes)
    assert options.betas == REFERENCES["BETAS"]
    assert options.warmup == REFERENCES["WARMUP"]
    assert options.max_norm == REFERENCES["MAX_NORM"]
    assert options.schedule == "cosine"
