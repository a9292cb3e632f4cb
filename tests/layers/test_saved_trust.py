"""Folders of models from anywhere: killed saves, edited copies, descriptions that are not so."""

import copy
import dataclasses
import json
import os
import shutil
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import layers
import minigrad as mg
from layers import models
from layers.models.saving import DIGEST, MODEL, _digest
from layers.training.run_folder import RunFolder
from minigrad.io import serialize
from minigrad.ops.randomness import default_generator
from tests.fixtures.saved_cases import make_models
from tests.killed_saves import CASES, model_of, told
from tests.older_folders import as_before

KINDS = {"gpt": models.GPT, "lstm": models.CharacterModel, "ngram": models.NGramModel,
         "latent": models.LatentAutoregressive, "autoregressive": models.Autoregressive,
         "translation": models.TranslationModel, "vae": models.DiscreteVAE,
         "dalle": models.DALLE}  # fmt: skip
MOST_BYTES = 20e6  # that loading one of these models may take; they have a few thousand numbers


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder of each kind of model."""
    place = tmp_path_factory.mktemp("saved")
    for name in KINDS:
        model_of(name, 1).save(place / name)
    return place


def describe(folder, content, digest=None):
    """Put another description into a model's folder, with checksums and, if not given, digest."""
    text = content if isinstance(content, str) else json.dumps(content)
    path = folder / "model.safetensors"
    arrays, texts = serialize.load_all(path)
    mg.save(path, arrays, {**texts, MODEL: text, DIGEST: digest or _digest(text)})
    (folder / "config.json").unlink(missing_ok=True)


def description(folder):
    return json.loads(serialize.load_metadata(folder / "model.safetensors")[MODEL])


def load_within(folder, most=MOST_BYTES):
    """Load a model, which must not take memory out of proportion."""
    tracemalloc.start()
    try:
        return models.load(folder)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < most


# -- one save --------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
@pytest.mark.parametrize(
    "case",
    ["lstm", "dalle", "lstm over a folder of before", "checkpoint"],
)
def test_after_a_kill_there_is_the_old_or_the_new(case):
    found = CASES[case]()
    assert found.keys() == {"old", "new"}
    assert min(found.values()) >= 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_after_a_kill_each_file_of_a_run_is_the_old_or_the_new():
    found = CASES["run"]()
    assert found.keys() == {
        f"{part} {which}" for part in ("model", "checkpoint") for which in ("old", "new")
    }


@pytest.mark.parametrize("case", ["lstm, calls that fail", "checkpoint, calls that fail"])
def test_after_a_call_that_fails_there_is_the_old_or_the_new_and_nothing_else(case):
    found = CASES[case]()
    assert found.keys() == {"old", "new"}


@pytest.mark.parametrize("name", KINDS)
def test_the_weights_alone_are_the_model(saved, name, tmp_path):
    shutil.copy(saved / name / "model.safetensors", tmp_path)
    assert told(models.load(tmp_path)) == told(model_of(name, 1))


def test_config_json_is_what_the_weights_say(saved):
    for name in KINDS:
        text = serialize.load_metadata(saved / name / "model.safetensors")[MODEL]
        assert (saved / name / "config.json").read_text() == text


@pytest.mark.parametrize(
    "text", ["{}", "{", "", "[" * 100_000, '{"kind": "GPT", "config": {"width": 8}}']
)
def test_a_copy_that_says_something_else_is_told_and_not_read(saved, text, tmp_path):
    shutil.copytree(saved / "gpt", tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text(text)
    for load in (models.load, models.GPT.load):
        with pytest.warns(
            UserWarning, match=r"config\.json says .* than .*, which is read"
        ) as told_:
            model = load(tmp_path / "m")
        assert told_[0].filename == __file__
        assert told(model) == told(model_of("gpt", 1))
    model.save(tmp_path / "m")
    assert told(models.load(tmp_path / "m")) == told(model)


def test_a_copy_in_other_words_is_the_same(saved, tmp_path):
    shutil.copytree(saved / "gpt", tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True), newline="\r\n")
    models.load(tmp_path / "m")


def test_the_parts_of_two_models_of_before_are_refused_where_that_shows(saved, tmp_path):
    shutil.copytree(saved / "gpt", tmp_path / "m")
    as_before(tmp_path / "m")
    for other, message in (
        ("lstm", r"is of a 'character language model', and .*config\.json describes a 'GPT'"),
        ("gpt_options", r"model\.safetensors does not fit .*config\.json"),
    ):
        model_of(other, 0).save(tmp_path / other)
        as_before(tmp_path / other)
        shutil.copy(tmp_path / other / "model.safetensors", tmp_path / "m")
        with pytest.raises(ValueError, match=message):
            models.load(tmp_path / "m")
    (tmp_path / "m" / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"without a description, and config\.json is"):
        models.load(tmp_path / "m")


def test_loading_draws_what_making_draws(saved):
    """So results that follow a load stay as they were in versions before."""
    mg.seed(3)
    models.load(saved / "gpt")
    found = default_generator().random()
    mg.seed(3)
    make_models()["gpt"]()
    assert default_generator().random() == found


@pytest.mark.parametrize("record", ["[]", "[" * 10_000, "3", "{}{}", '"x"'])
def test_a_checkpoint_of_no_run_is_refused(record, tmp_path):
    run = RunFolder(tmp_path, resume=True)
    run.save_last(1, {"data": "same"})
    arrays, texts = serialize.load_all(tmp_path / "last.safetensors")
    for metadata in (record, json.dumps({"identity": record}), json.dumps({"identity": 3})):
        mg.save(tmp_path / "last.safetensors", arrays, {**texts, "metadata": metadata})
        with pytest.raises(ValueError, match=r"last\.safetensors is not the checkpoint of a run"):
            run.load_last({"data": "same"})


# -- descriptions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "field", "value", "message"),
    [
        ("lstm", "hidden_size", 10**12, "hidden_size=1000000000000 is too much"),
        ("lstm", "hidden_size", 800, r"too few numbers for LSTM.* of shape \(3200, 6\)"),
        ("lstm", "num_layers", 10**6, "num_layers=1000000 is too much"),
        ("lstm", "num_layers", 800, "too few numbers|fewer tensors"),
        ("lstm", "dropout", float("nan"), "it has NaN"),
        ("lstm", "dropout", "0.1", r"dropout must be float, got '0.1'"),
        ("lstm", "forget_bias", True, "forget_bias must be float or None, got True"),
        ("lstm", "vocabulary_size", 3, "tokenizer has 20 characters, and vocabulary_size is 3"),
        ("lstm", "cell", "moon", "one of rnn, gru, lstm, got 'moon'"),
        ("lstm", "cell", ["lstm"], "cell must be str"),
        ("gpt", "num_heads", 10**9, "must be a multiple of num_heads=1000000000"),
        ("gpt", "num_layers", 900, "fewer tensors|too few numbers"),
        ("gpt", "block_size", 10**12, "block_size=1000000000000 is too much"),
        ("gpt", "tied", 1, "tied must be bool, got 1"),
        ("gpt", "width", 8.0, "width must be int, got 8.0"),
        ("ngram", "vocabulary_size", 10**12, "from a file it may be 1114112 at most"),
        ("ngram", "order", 2, "for each of 2 levels at most"),
        ("ngram", "vocabulary_size", 21, r"1\.(keys|totals|types)"),
        ("latent", "hidden_size", 10**4, "hidden_size=10000 is too much"),
        ("latent", "skip", 30, "does not fit"),
        ("autoregressive", "order", 10**12, "order=1000000000000 is too much"),
        ("translation", "longest", 10**7, "from a file it may be 1000000 at most"),
        ("translation", "decoder_layers", 10**6, "decoder_layers=1000000 is too much"),
        ("vae", "channels", 10**5, "channels=100000 is too much"),
        ("vae", "image_size", 10**6, "image_size=1000000 is too much"),
        ("dalle", "vae", 3, "fields must be given by name, got 3"),
        ("dalle", "caption_length", 10**8, "caption_length=100000000 is too much"),
    ],
)
def test_a_field_that_cannot_be_is_named(saved, name, field, value, message, tmp_path):
    shutil.copytree(saved / name, tmp_path / "m")
    content = description(tmp_path / "m")
    assert repr(content["config"][field]) != repr(value)
    content["config"][field] = value
    describe(tmp_path / "m", content)
    with pytest.raises(ValueError, match=message):
        load_within(tmp_path / "m")


@pytest.mark.parametrize("name", KINDS)
def test_every_field_must_be_there_and_no_other(saved, name, tmp_path):
    shutil.copytree(saved / name, tmp_path / "m")
    whole = description(tmp_path / "m")
    for field in whole["config"]:
        content = copy.deepcopy(whole)
        del content["config"][field]
        describe(tmp_path / "m", content)
        if field in KINDS[name].CONFIG.LATER:
            models.load(tmp_path / "m")
            continue
        with pytest.raises(ValueError, match=f"{field} is missing; every field must be there"):
            models.load(tmp_path / "m")
    whole["config"]["wings"] = 2
    describe(tmp_path / "m", whole)
    with pytest.raises(ValueError, match="there is no field 'wings'; there are: "):
        models.load(tmp_path / "m")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"kind": ' + '{"a":' * 5000 + "1" + "}" * 5001, "must have a text|nested too deeply"),
        ("[]", "must have a text as 'kind'"),
        ('{"kind": 3}', "must have a text as 'kind'"),
        ('{"kind": "GPT"}', "the fields must be given by name, got None"),
        ('{"kind": "GPT", "kind": "GPT"}', "it has 'kind' twice"),
        ('{"kind": "GPT", "config": {}, "code": ""}', "there is no 'code' in a 'GPT'"),
    ],
)
def test_a_description_that_is_none_is_refused(saved, text, message, tmp_path):
    shutil.copytree(saved / "gpt", tmp_path / "m")
    describe(tmp_path / "m", text)
    with pytest.raises(ValueError, match=rf"model\.safetensors is damaged: .*{message}"):
        load_within(tmp_path / "m")


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        ({"characters": "aa"}, "characters has 'a' twice"),
        ({"characters": "ab" * 10**6}, "twice"),
        ({"characters": "".join(map(chr, range(100, 900)))}, "tokenizer has 800 characters"),
        ({"characters": ""}, "characters is empty"),
        ({"characters": ["a"]}, "must be a string, got list"),
        ({"letters": "ab"}, "must have 'characters' and nothing else"),
        (["ab"], "must be a dictionary"),
        (None, "must be a dictionary"),
    ],
)
def test_a_tokenizer_that_is_none_is_refused(saved, tokenizer, message, tmp_path):
    shutil.copytree(saved / "gpt", tmp_path / "m")
    describe(tmp_path / "m", {**description(tmp_path / "m"), "tokenizer": tokenizer})
    with pytest.raises(ValueError, match=rf"model\.safetensors is damaged: .*{message}"):
        models.load(tmp_path / "m")


def test_what_shapes_do_not_show_has_a_digest(saved, tmp_path):
    shutil.copytree(saved / "translation", tmp_path / "m")
    content, told_ = description(tmp_path / "m"), "sha256 of something else"
    content["config"] |= {"num_heads": 1, "norm_first": False, "dropout": 0.5}
    describe(tmp_path / "m", content, digest=told_)
    with pytest.raises(ValueError, match="description of the model does not have its digest"):
        models.load(tmp_path / "m", verify=False)


def test_labels_of_a_series_are_texts(saved, tmp_path):
    for content in ({"series": 3}, {"times": "1900"}, {"times": [1900]}):
        shutil.copytree(saved / "latent", tmp_path / "m", dirs_exist_ok=True)
        describe(tmp_path / "m", {**description(tmp_path / "m"), **content})
        with pytest.raises(ValueError, match=r"must be a (text|list of texts), got"):
            models.load(tmp_path / "m")


def places(value, path=()):
    """All paths in nested dicts."""
    yield path
    for name, inner in value.items() if isinstance(value, dict) else ():
        yield from places(inner, (*path, name))


HOSTILE = st.sampled_from(
    [None, True, False, 0, -1, 1, 2, 3, 4, 8, 64, 4096, 10**12, 10**4200, 0.5, 1e308, "", "x",
     "lstm", [], {}, ["a"], {"characters": "b"}, {"a": {"b": 1}}]
).map(copy.deepcopy)  # fmt: skip


@pytest.mark.parametrize("older", [False, True])
@given(data=st.data())
def test_another_description_is_refused_or_is_what_loads(saved, tmp_path_factory, older, data):
    folder = tmp_path_factory.mktemp("hostile") / "m"
    shutil.copytree(saved / data.draw(st.sampled_from(list(KINDS))), folder)
    content = description(folder)
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from(list(places(content))[1:]))
        inner = content
        for name in place[:-1]:
            inner = inner[name]
        if data.draw(st.booleans()):
            inner[place[-1]] = data.draw(HOSTILE)
        elif data.draw(st.booleans()):
            del inner[place[-1]]
        else:
            inner[data.draw(st.sampled_from(["wings", "width", "config", "times"]))] = data.draw(
                HOSTILE
            )
        if not content:
            break
    if older:
        as_before(folder)
        (folder / "config.json").write_text(json.dumps(content))
    else:
        describe(folder, content)
    try:
        model = load_within(folder)
    except ValueError as error:
        message = str(error)
        assert str(folder) in message
        return
    config = json.loads(json.dumps(dataclasses.asdict(model.config)))
    assert config == {**model.config.LATER, **content["config"]}
    assert {name for name in model.TOKENIZERS if getattr(model, name)} == {
        name for name in model.TOKENIZERS if name in content
    }


# -- flipped bits ----------------------------------------------------------------------------------


@given(st.sampled_from(list(KINDS)), st.integers(0, 10**7), st.booleans())
def test_a_flipped_bit_of_a_folder_is_refused_or_changes_nothing(
    saved, tmp_path_factory, name, place, in_copy
):
    folder = tmp_path_factory.mktemp("flipped") / "m"
    shutil.copytree(saved / name, folder)
    path = folder / ("config.json" if in_copy else "model.safetensors")
    content = bytearray(path.read_bytes())
    bit = place % (8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*config.json says something else")
        try:
            model = models.load(folder)
        except (ValueError, mg.DtypeError) as error:
            message = str(error)
            assert not in_copy
            assert "model.safetensors" in message
            return
    assert told(model) == told(model_of(name, 1))


def test_a_flipped_bit_of_weights_is_named_unless_nobody_wants_to_know(saved, tmp_path):
    shutil.copytree(saved / "gpt", tmp_path / "m")
    path = tmp_path / "m" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 64
    path.write_bytes(content)
    for load in (models.load, models.GPT.load):
        with pytest.raises(
            ValueError, match=r"model\.safetensors is damaged: the tensor '\S+' has"
        ):
            load(tmp_path / "m")
        assert isinstance(load(tmp_path / "m", verify=False), models.GPT)


# -- counts, and parameters of one's own -----------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"0.keys": lambda a: a[::-1].copy()}, "0.keys are no grams of 1 contexts and"),
        ({"1.keys": lambda a: a - a[0] - 1}, "1.keys are no grams"),
        ({"1.keys": lambda a: np.append(a[:-1], 10**9)}, "1.keys are no grams"),
        ({"1.counts": lambda a: a * 0}, "1.counts are no counts of"),
        ({"1.counts": lambda a: a[1:]}, "1.counts are no counts of"),
        ({"1.counts": lambda a: a + 2**62}, "1.counts are no counts of"),
        ({"0.totals": lambda a: a + 1}, "0.totals is not what 0.counts add up to"),
        ({"2.types": lambda a: a[1:]}, "2.types is not what"),
        ({"0.counts": lambda a: a.astype(float)}, r"0.counts must be i64 \(n,\), got f64"),
        ({"0.counts": lambda a: a[None]}, r"0.counts must be i64 \(n,\), got i64\[1, 20\]"),
        ({"0.keys": None}, "there must be keys, counts, totals, types"),
    ],
)
def test_counts_that_are_none_are_refused(saved, changes, message, tmp_path):
    shutil.copytree(saved / "ngram", tmp_path / "m")
    path = tmp_path / "m" / "model.safetensors"
    arrays, texts = serialize.load_all(path)
    for name, change in changes.items():
        array = arrays.pop(name)
        if change is not None:
            arrays[name] = change(array)
    mg.save(path, arrays, texts)
    with pytest.raises(ValueError, match=rf"model\.safetensors does not fit .*{message}"):
        models.load(tmp_path / "m")


def test_a_model_of_one_s_own_is_saved_and_takes_no_more_than_its_file(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class OwnConfig(models.configuration.Config):
        size: int
        scale: float = 1.0

    class Own(models.SavedModel, layers.Module):
        KIND, CONFIG = "own", OwnConfig

        def __init__(self, config):
            super().__init__()
            self.config = config
            self.linear = layers.Linear(config.size, config.size)

    model = Own(OwnConfig(3, scale=2))
    model.save(tmp_path)
    assert told(Own.load(tmp_path)) == told(model)
    content = description(tmp_path)
    content["config"]["size"] = 4
    describe(tmp_path, content)
    with pytest.raises(ValueError, match=r"too few numbers for .* of shape \(4, 4\)"):
        Own.load(tmp_path)
    with pytest.raises(ValueError, match="Out of range float values"):
        Own(OwnConfig(3, scale=float("inf"))).save(tmp_path / "never")
    assert list((tmp_path / "never").iterdir()) == []
