"""What an interactive picture knows beyond its graph, and where it comes from."""

import math

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad.draw import GraphFormatError
from minigrad.draw.graph.interaction import LossNorms, RouteProducts, inner_products
from minigrad.draw.time_gradients import backprop_through_time


def test_extra_numbers_are_checked():
    with pytest.raises(GraphFormatError, match="1 rows of 2 numbers"):
        LossNorms("c", (0, 1), (0,), ((1.0,),))
    with pytest.raises(GraphFormatError, match="must rise"):
        LossNorms("c", (0,), (1, 0), ((1.0,), (1.0,)))
    with pytest.raises(GraphFormatError, match="different names"):
        RouteProducts("c", ("a", "a"), (0,), ((1.0, 1.0, 1.0),))
    with pytest.raises(GraphFormatError, match="1 rows of 3 numbers"):
        RouteProducts("c", ("a", "b"), (0,), ((1.0,),))
    with pytest.raises(GraphFormatError, match="scales must be empty or 1"):
        RouteProducts("c", ("a",), (0,), ((1.0,),), scales=(1.0, 2.0))


def test_inner_products_neither_under_nor_overflow():
    for size in (1e-250, 1.0, 1e250):
        scale, products = inner_products([[3 * size, 0.0], [0.0, 4 * size]])
        assert scale * math.sqrt(sum(products)) == pytest.approx(5 * size)
    assert inner_products([[0.0], [0.0]]) == (0.0, (0.0, 0.0, 0.0))


def test_measured_gradients_reach_the_page():
    model = layers.LSTM(3, 4)
    with mg.recording(fused=False):
        outputs, _ = model(mg.Tensor(np.ones((2, 6, 3), np.float32)))
        loss = (outputs * outputs).sum()
    times = backprop_through_time(loss)
    drawing = times.draw()
    lanes = {lane.state: lane for lane in drawing.interaction.loss_norms}
    assert sorted(lanes) == ["c", "h"]
    assert len(lanes["c"].loss_steps) == 6
    assert all(norm == 0 for norm in lanes["c"].norms[2][3:])
    for lane in drawing.interaction.route_products:
        whole = times.lane(lane.state).norms
        for place, (scale, row) in enumerate(zip(lane.scales, lane.products, strict=True)):
            table_of = np.zeros((len(lane.routes),) * 2)
            table_of[np.triu_indices(len(lane.routes))] = row
            total = table_of.sum() + np.triu(table_of, 1).sum()
            assert scale * math.sqrt(total) == pytest.approx(whole[place], rel=1e-5)
    page = drawing.html()
    assert '"loss":[{' in page
    assert '"routes":[{' in page
