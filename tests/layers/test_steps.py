"""Reading token by token with a program: as the model does, for all lengths, and if it pays."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import layers
import minigrad as mg
from layers.models import GPT, GPTConfig
from layers.models.generation import steps
from layers.models.generation.decoding import Decoding, decode
from layers.transformer.caches import PlacedCache
from minigrad.compiled import backends
from minigrad.core.blocks import observed_by
from minigrad.core.observer import Observer

VOCABULARY = 11


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Compile at the first token, in rooms that are soon full."""
    monkeypatch.setattr(steps, "COMPILE_AFTER", 0)
    monkeypatch.setattr(steps, "SMALLEST_ROOM", 32)


def make(block_size=80, **chosen):
    mg.seed(3)
    config = GPTConfig(VOCABULARY, block_size, num_layers=2, num_heads=2, width=16, **chosen)
    model = GPT(config)
    scale(model, 10)  # choices are no ties then
    return model


def scale(model, factor):
    with mg.no_grad():
        for parameter in model.parameters():
            parameter *= factor


def prompt(batch=1, length=5):
    return np.random.default_rng(0).integers(VOCABULARY, size=(batch, length))


def written(model, token_ids, length, **how):
    decoding = Decoding(length, how.pop("temperature", 0.0), beams=how.pop("beams", 1))
    columns = decode(
        model.decoder(), token_ids, decoding, generator=np.random.default_rng(1), **how
    )
    return np.stack(list(columns), axis=1)


def programs_of(model):
    return vars(model)["_steps"]._run.programs


def test_logits_are_those_of_the_model():
    model = make()
    model.eval()
    caches = [model.make_cache() for _ in range(2)]
    token_ids = prompt(3, 70)
    with mg.no_grad():
        for cache in caches:
            model(token_ids[:, :5], cache)
        for i in range(5, 70):
            one = token_ids[:, i : i + 1]
            found = steps.read_one(model, one, caches[0]).numpy()
            np.testing.assert_allclose(found, model(one, caches[1]).numpy(), rtol=1e-3, atol=1e-3)
    assert len(caches[0]) == len(caches[1]) == 70
    for found, expected in zip(caches[0].layers, caches[1].layers, strict=True):
        np.testing.assert_allclose(found.own.keys.numpy(), expected.own.keys.numpy(), atol=1e-3)
    assert len(programs_of(model)) == 3  # rooms of 32, 64 and 128


@pytest.mark.parametrize("how", [{}, {"temperature": 1.0}, {"beams": 3}])
@pytest.mark.parametrize("tied", [True, False])
def test_texts_are_those_without_cache_and_without_programs(how, tied, monkeypatch):
    model = make(tied=tied)
    found = written(model, prompt(), 40, **how)
    assert programs_of(model)
    np.testing.assert_array_equal(found, written(model, prompt(), 40, cache=False, **how))
    monkeypatch.setenv("MINIGRAD_COMPILE", "0")
    np.testing.assert_array_equal(found, written(model, prompt(), 40, **how))


def test_past_the_block():
    model = make(block_size=12)
    found = written(model, prompt(), 30)
    np.testing.assert_array_equal(found, written(model, prompt(), 30, cache=False))


def test_one_program_for_all_lengths():
    model = make()
    for length in (3, 7, 20):
        written(model, prompt(length=length), 8)
    assert len(programs_of(model)) == 1


def test_weights_may_change_in_between():
    model = make()
    written(model, prompt(), 8)
    scale(model, -1.5)
    found = written(model, prompt(), 20)
    np.testing.assert_array_equal(found, written(model, prompt(), 20, cache=False))


def test_few_tokens_are_read_by_the_model(monkeypatch):
    monkeypatch.setattr(steps, "COMPILE_AFTER", 10)
    model = make()
    written(model, prompt(), 11)  # the first one comes from the prompt
    assert not programs_of(model)
    written(model, prompt(), 2)
    assert len(programs_of(model)) == 1


def test_nothing_is_compiled_without_native_code(monkeypatch):
    monkeypatch.setattr(backends, "default_backend", lambda: backends.plain)
    model = make()
    written(model, prompt(), 5)
    assert not programs_of(model)


def test_hooks_see_every_token():
    model, seen = make(), []
    model.blocks[0].register_forward_hook(lambda module, args, output: seen.append(output.shape))
    expected = written(model, prompt(), 8, cache=False)
    seen.clear()
    np.testing.assert_array_equal(written(model, prompt(), 8), expected)
    assert seen[1:] == [(1, 1, 16)] * 7
    assert not programs_of(model)


@pytest.mark.parametrize("kind", ["register_forward_hook", "register_forward_pre_hook"])
@pytest.mark.parametrize("known", [False, True])
def test_hooks_of_the_model_see_every_token(known, kind):
    model, seen = make().eval(), []
    if known:
        written(model, prompt(), 8)
    getattr(model, kind)(lambda *_: seen.append(1))
    written(model, prompt(), 8)
    assert len(seen) == 8
    assert bool(programs_of(model)) == known


def test_whoever_watches_sees_every_token():
    class Watcher(Observer):
        seen = ()

        def call(self, applied):
            if applied.operation.name == "embedding":
                self.seen = (*self.seen, applied.tensors[0].shape)

    model = make().eval()
    expected = written(model, prompt(), 8, cache=False)
    for known in (False, True):
        watcher = Watcher()
        with observed_by(watcher):
            found = written(model, prompt(), 8)
        np.testing.assert_array_equal(found, expected)
        assert watcher.seen == ((1, 5, 16), *[(1, 1, 16)] * 7)
        assert bool(programs_of(model)) == known
        written(model, prompt(), 8)  # by a program


def test_a_model_with_another_forward_is_asked_itself():
    class Sharper(GPT):
        def forward(self, token_ids, cache=None):
            return super().forward(token_ids, cache) * 0 + np.arange(VOCABULARY)

    mg.seed(0)
    model = Sharper(GPTConfig(VOCABULARY, 80, 2, 2, 16))
    assert written(model, prompt(), 8).tolist() == [[VOCABULARY - 1] * 8]


def test_models_and_their_programs_are_freed():
    model = make()
    written(model, prompt(), 8)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_copies_have_programs_of_their_own():
    model = make()
    expected = written(model, prompt(), 8)
    twin = copy.deepcopy(model)
    np.testing.assert_array_equal(written(twin, prompt(), 8), expected)
    assert programs_of(twin)[0] is not programs_of(model)[0]


def test_programs_are_no_state_of_the_model():
    model = make()
    names, text = list(model.state_dict()), repr(model)
    expected = written(model, prompt(), 8)
    assert programs_of(model)
    assert (list(model.state_dict()), repr(model)) == (names, text)
    again = pickle.loads(pickle.dumps(model))
    assert not programs_of(again)
    np.testing.assert_array_equal(written(again, prompt(), 8), expected)


@pytest.mark.parametrize("part", ["the whole", "a block", "its attention"])
def test_parts_that_train_do_not_while_a_model_writes(part):
    model = make(dropout=0.5)
    expected = written(model.eval(), prompt(), 12, cache=False)
    block = model.blocks[1]
    switched = {"the whole": model, "a block": block, "its attention": block.self_attn}[part]
    training, found = False, []
    for token in decode(model.decoder(), prompt(), Decoding(12, 0.0)):
        assert switched.training == training
        found.append(token)
        training = len(found) % 3 != 0
        switched.train(training)
    np.testing.assert_array_equal(np.stack(found, axis=1), expected)
    assert len(programs_of(model)) == 1


def test_the_program_of_the_token_before_serves_again(monkeypatch):
    model, read = make(), []
    usual = steps.read_one
    monkeypatch.setattr(
        "layers.models.gpt.read_one", lambda *args: read.append(args) or usual(*args)
    )
    model.train()
    expected = written(model, prompt(), 8)
    assert len(read) == 7
    assert model.training
    model.eval()
    read.clear()
    np.testing.assert_array_equal(written(model, prompt(), 8), expected)
    assert not read
    assert mg.is_recording()


def test_room_for_an_empty_cache_is_refused():
    with pytest.raises(ValueError, match="an empty cache knows no shapes to make room for"):
        layers.KeyValueCache().room(4)


def test_nothing_was_added_before_a_place_attends():
    room = np.zeros((1, 1, 4, 2)), np.zeros((1, 1, 4, 2))
    with pytest.raises(ValueError, match="no place has attended yet"):
        PlacedCache(room, np.array([0])).added()
