import numpy as np
import pytest

import minigrad as mg
from layers import Dropout
from minigrad.core.errors import DtypeError
from minigrad.testing import check_gradients


def test_the_share_and_the_size_of_what_is_kept():
    y = Dropout(0.3, generator=np.random.default_rng(0))(np.ones((200, 500))).numpy()
    kept = y != 0
    np.testing.assert_allclose(y[kept], 1 / 0.7)
    assert kept.mean() == pytest.approx(0.7, abs=0.005)
    # Neighbours are dropped independently of each other, along both axes.
    for one, other in ((kept[1:], kept[:-1]), (kept[:, 1:], kept[:, :-1])):
        assert np.mean(one & other) == pytest.approx(0.49, abs=0.005)


def test_the_mean_is_kept():
    x = np.random.default_rng(1).standard_normal(50)
    layer = Dropout(0.5, generator=np.random.default_rng(2))
    mean = np.mean([layer(x).numpy() for _ in range(4000)], axis=0)
    np.testing.assert_allclose(mean, x, atol=0.15)


def test_evaluation_gives_the_input_and_draws_nothing():
    generator = np.random.default_rng(0)
    before = generator.bit_generator.state
    x = np.random.default_rng(1).standard_normal((2, 3))
    np.testing.assert_array_equal(Dropout(0.5, generator=generator).eval()(x).numpy(), x)
    assert generator.bit_generator.state == before


@pytest.mark.parametrize(("p", "factor"), [(0.0, 1.0), (1.0, 0.0)])
def test_the_ends(p, factor):
    x = mg.Tensor(np.arange(1.0, 5.0), requires_grad=True)
    y = Dropout(p)(x)
    y.sum().backward()
    np.testing.assert_array_equal(y.detach().numpy(), factor * np.arange(1.0, 5.0))
    np.testing.assert_array_equal(x.grad.numpy(), np.full(4, factor))


def test_the_default_generator_draws_unless_one_is_given():
    x = np.ones(64)
    mg.seed(5)
    first = Dropout()(x).numpy()
    second = Dropout()(x).numpy()
    mg.seed(5)
    np.testing.assert_array_equal(Dropout()(x).numpy(), first)
    assert (first != second).any()
    own = Dropout(generator=np.random.default_rng(5))
    mg.seed(6)
    one = own(x).numpy()
    own = Dropout(generator=np.random.default_rng(5))
    mg.seed(7)
    np.testing.assert_array_equal(own(x).numpy(), one)


def test_each_call_draws_a_new_mask():
    layer = Dropout(generator=np.random.default_rng(0))
    assert (layer(np.ones(64)).numpy() != layer(np.ones(64)).numpy()).any()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_gradient_has_the_mask_and_the_dtype(dtype):
    x = mg.Tensor(np.ones((3, 4, 5), dtype), requires_grad=True)
    y = Dropout(0.4)(x)
    y.backward(np.ones(y.shape, dtype))
    assert y.dtype == x.grad.dtype == dtype
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_both_orders_of_derivatives_see_one_mask(shape):
    x = np.random.default_rng(0).standard_normal(shape)

    def f(x):
        return Dropout(0.5, generator=np.random.default_rng(3))(x * x)

    check_gradients(f, x)


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_a_wrong_probability(p):
    with pytest.raises(ValueError, match=f"Dropout: p must be 0 to 1, got {p}"):
        Dropout(p)


def test_a_wrong_generator():
    with pytest.raises(DtypeError, match=r"Dropout: generator must be a numpy\.random\.Generator"):
        Dropout(generator=3)
