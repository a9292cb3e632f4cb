"""What weights shall begin with must be a number that their dtype can hold."""

import re

import numpy as np
import pytest

import layers
import minigrad as mg
from layers.models import CharacterConfig, CharacterModel

BAD = [1e39, -1e39, np.inf, np.nan, 10**400, "1"]


@pytest.mark.parametrize("bad", BAD, ids=lambda one: str(one)[:6])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda bad: layers.LSTMCell(2, 3, forget_bias=bad), "LSTMCell: forget_bias"),
        (lambda bad: layers.LSTM(2, 3, forget_bias=bad), "LSTM.*: forget_bias"),
        (lambda bad: CharacterModel(CharacterConfig(5, forget_bias=bad)), ": forget_bias"),
        (lambda bad: layers.PReLU(init=bad), "PReLU: init"),
    ],
    ids=["cell", "layer", "model", "prelu"],
)
def test_what_the_dtype_cannot_hold_is_refused(make, message, bad):
    with pytest.raises(ValueError, match=f"{message} must be a number of float32, at most 3.4e"):
        make(bad)


def test_the_range_is_that_of_the_dtype():
    largest = float(np.finfo(np.float32).max)
    assert layers.LSTMCell(1, 1, forget_bias=-largest).bias_ih.numpy()[1] == np.float32(-largest)
    with mg.default_dtype(np.float64):
        assert layers.LSTMCell(1, 1, forget_bias=1e39).bias_ih.numpy()[1] == 1e39
    with np.errstate(over="ignore"):
        half = layers.LSTMCell(1, 1, forget_bias=1e5).to(np.float16)
    with pytest.raises(ValueError, match=r"forget_bias must be a number of float16, at most 6\.55"):
        half.reset_parameters()


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["train", "t.txt", "--forget-bias", "1e39"], "--forget-bias"),
        (["train", "t.txt", "--forget-bias", "nan"], "--forget-bias"),
        (["draw", "lstm", "--forget-bias", "-1e39"], "--forget-bias"),
        (["draw", "gru", "--gain", "1e39"], "--gain"),
        (["flow", "gru", "--gain", "1e39"], "--gain"),
    ],
)
def test_an_option_beyond_float32_is_refused_at_once(capsys, arguments, option):
    joined = [f"{option}={arguments[-1]}"]
    with pytest.raises(SystemExit):
        layers.cli.main([*arguments[:-2], *joined])
    said = capsys.readouterr().err
    assert re.search(rf"argument {option}: must be at most 3\.4e\+38 in size", said)
