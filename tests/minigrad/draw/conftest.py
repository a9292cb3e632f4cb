"""Graphs made by hand for the tests of drawing, with norms that are easy to predict; a browser."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from minigrad.draw import (
    Contribution,
    Edge,
    Picture,
    PictureNode,
    PictureScope,
    Statistics,
    draw_graph,
)
from tests.minigrad.draw.browsing import CHROMIUM, SWITCHES

Norm = Callable[[str, int], float]


def decaying(steps: int, hidden: float = 0.45, cell: float = 0.93) -> Norm:
    """Return norms that shrink by a constant factor for each step back in time."""
    return lambda state, step: (cell if state == "c" else hidden) ** (steps - 1 - step)


def recurrent(
    steps: int = 12,
    layers: int = 2,
    cell: str = "LSTMCell",
    norm: Norm | None = None,
    loss_at: str = "last",
) -> Picture:
    """Return an unrolled recurrent network of level `cells` with a linear head and a loss."""
    norm = decaying(steps) if norm is None else norm
    states = ("c", "h") if cell == "LSTMCell" else ("h",)
    nodes: list[PictureNode] = []
    edges: list[Edge] = []

    def add(**fields: object) -> int:
        nodes.append(PictureNode(id=len(nodes), **fields))
        return nodes[-1].id

    def connect(source: int, target: int, slot: int = 0, size: float | None = None) -> None:
        term = None if size is None else Contribution(size)
        edges.append(Edge(source, target, slot, shape=(32, 128), contribution=term))

    weights = {
        layer: add(
            kind="parameter",
            name=f"weight_hh_l{layer}",
            shape=(512, 128),
            dtype="float32",
            gradient=Statistics(norm=0.5),
        )
        for layer in range(layers)
    }
    below = {
        step: add(kind="input", name=f"x{step}", step=step, shape=(32, 64), dtype="float32")
        for step in range(steps)
    }
    for layer in range(layers):
        before: dict[str, int] = {}
        outputs: dict[int, int] = {}
        for step in range(steps):
            here = {"scope": f"lstm.l{layer}", "layer": layer, "step": step, "dtype": "float32"}
            box = add(kind="group", op=cell, shape=(32, 128), **here)
            connect(below[step], box, 0, 0.3 * norm("h", step))
            connect(weights[layer], box, 1, 0.1)
            for slot, state in enumerate(states):
                if state in before:
                    connect(before[state], box, 2 + slot, norm(state, step - 1))
            for state in states:
                size = norm(state, step)
                gradient = Statistics(norm=size, finite=math.isfinite(size))
                before[state] = add(
                    kind="state", state=state, shape=(32, 128), gradient=gradient, **here
                )
                connect(box, before[state])
            if len(states) == 2:
                connect(before["c"], before["h"], 1, 0.4 * norm("h", step))
            outputs[step] = before["h"]
        below = outputs
    head = add(kind="group", op="Linear", name="head", shape=(32, 10), dtype="float32")
    loss = add(kind="op", op="cross_entropy", shape=(), dtype="float32")
    for step in range(steps) if loss_at == "all" else (steps - 1,):
        connect(below[step], head, step, 0.8)
    connect(head, loss, 0, 1.0)
    return Picture(
        tuple(nodes),
        tuple(edges),
        (
            PictureScope("lstm", "LSTM"),
            *(PictureScope(f"lstm.l{n}", cell, "lstm") for n in range(layers)),
        ),
        level="cells",
        title=f"{cell}, {layers} layers, {steps} steps",
        diagnosis=("The gradient vanishes through h and survives through c.",),
    )


def small_ops() -> Picture:
    """Return a graph of single ops with `x * x`, a zero, a NaN, scopes and every common kind."""
    single = "float32"
    nodes = (
        PictureNode(0, "input", name="x", shape=(32, 128), dtype=single),
        PictureNode(
            1, "parameter", name="weight", scope="net.linear", shape=(128, 10), dtype=single
        ),
        PictureNode(2, "parameter", name="bias", scope="net.linear", shape=(10,), dtype=single),
        PictureNode(3, "op", op="matmul", scope="net.linear", shape=(32, 10), dtype=single),
        PictureNode(4, "op", op="add", scope="net.linear", shape=(32, 10), dtype=single),
        PictureNode(5, "op", op="multiply", scope="net", shape=(32, 10), dtype=single),
        PictureNode(6, "constant", name="labels", shape=(32,), dtype="int64"),
        PictureNode(7, "op", op="cross_entropy", detail="reduction=mean", shape=(), dtype=single),
    )
    edges = (
        Edge(0, 3, 0, contribution=Contribution(0.02)),
        Edge(1, 3, 1, contribution=Contribution(0.4, 1.0)),
        Edge(3, 4, 0, contribution=Contribution(1e-5)),
        Edge(2, 4, 1, contribution=Contribution(0.0)),
        Edge(4, 5, 0, contribution=Contribution(0.2, 0.5)),
        Edge(4, 5, 1, contribution=Contribution(0.2, 0.5)),
        Edge(5, 7, 0, contribution=Contribution(math.nan)),
        Edge(6, 7, 1),
    )
    scopes = (PictureScope("net", "Net"), PictureScope("net.linear", "Linear", "net"))
    return Picture(nodes, edges, scopes, title="A small network", diagnosis=("The bias gets 0.",))


def golden_texts() -> dict[str, str]:
    """Return what the files in `golden/` hold, by file name."""
    lstm = recurrent(steps=4, layers=1, norm=decaying(4))
    long = recurrent(steps=40, layers=2, norm=decaying(40), loss_at="all")
    return {
        "small_ops.json": small_ops().to_json(),
        "small_ops_light.dot": draw_graph(small_ops()).dot.source,
        "small_ops_dark.dot": draw_graph(small_ops(), theme="dark").dot.source,
        "lstm.json": lstm.to_json(),
        "lstm.dot": draw_graph(lstm).dot.source,
        "lstm.txt": f"{draw_graph(lstm)}\n",
        "long_lstm.dot": draw_graph(long, steps=[0, 1, 20, 39]).dot.source,
    }


def _golden_directory() -> Path:
    return Path(__file__).with_name("golden")


@pytest.fixture(scope="session")
def make_recurrent() -> Callable[..., Picture]:
    return recurrent


@pytest.fixture(scope="session")
def ops_graph() -> Picture:
    return small_ops()


@pytest.fixture(scope="session")
def golden() -> tuple[dict[str, str], Path]:
    return golden_texts(), _golden_directory()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        # One new profile for all tests of this module; no page of theirs can store anything.
        context = started.chromium.launch_persistent_context(
            str(tmp_path_factory.mktemp("profile")),
            executable_path=CHROMIUM,
            args=SWITCHES,
            offline=True,
            color_scheme="light",
            viewport={"width": 1300, "height": 800},
            accept_downloads=True,
        )
        context.set_default_timeout(15_000)
        yield context
        context.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Opens a page from a file, and fails if it said or asked for anything in the meantime."""
    said = []
    pages = []

    def open_page(content, expected="nothing"):
        file = tmp_path / "page.html"
        file.write_text(content, encoding="utf-8")
        tab = browser.new_page()
        pages.append(tab)

        def printed(message):
            if not message.text.startswith(expected):
                said.append(f"console: {message.text}")

        tab.on("console", printed)
        tab.on("pageerror", lambda error: said.append(f"error: {error}"))
        tab.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))

        def asked(request):
            if request.url != file.as_uri() and not request.url.startswith("blob:null/"):
                said.append(f"request: {request.url[:100]}")

        tab.on("request", asked)
        tab.goto(file.as_uri())
        tab.wait_for_selector("#stage .item, #still svg", state="attached")
        return tab

    yield open_page
    for tab in pages:
        tab.wait_for_timeout(50)
        tab.close()
    assert said == []
