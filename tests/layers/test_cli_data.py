"""Data of one's own on the command line, and what stands beside a model's figure."""

import io
import itertools
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import layers.cli.series
import layers.models
from layers.cli import main
from layers.cli.train import check_weights
from layers.datasets.columns.time_labels import following
from layers.models import DALLE, Autoregressive, AutoregressiveConfig, DALLEConfig
from layers.systems.drawing_digits import caption_tokenizer
from layers.training.plots import plot_curves
from tests.older_folders import as_before

pytestmark = pytest.mark.usefixtures("by_the_tape")


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def go(*arguments, code=0, stdin=None):
        if stdin is not None:
            given = SimpleNamespace(buffer=io.BytesIO(stdin), isatty=lambda: False)
            given.buffer.name = "<stdin>"
            monkeypatch.setattr(sys, "stdin", given)
        capsys.readouterr()
        assert main([str(a) for a in arguments]) == code
        return capsys.readouterr()

    return go


def rows(count, first=1900):
    return "".join(
        f"{first + i};{10 + 5 * np.sin(i):.4f}\n".replace(".", ",") for i in range(count)
    )


@pytest.fixture
def rain(tmp_path):
    path = tmp_path / "rain.csv"
    path.write_text("year;rain\n" + rows(40))
    return path


def test_the_column_the_values_and_the_gaps_are_told(run, rain):
    out = run("train", rain).out
    assert "column 'rain' (2 of 2): 40 values, 1900 to 1939; no gaps" in out
    assert "'10,0000' in line 2 is read as 10" in out
    assert "column: rain" in out
    for label in ("constant: ", "coefficient of lag 1: ", "coefficient of lag 2: "):
        assert f"\n{label}" in out
    rain.write_text(rain.read_text().replace("1903;10,7056", "1903;"))
    assert (
        "line 5: '' is not a finite number; fill the gap in column 'rain'"
        in run("train", rain, code=1).err
    )
    out = run("train", rain, "--missing", "drop").out
    assert "39 values, 1900 to 1939; 1 gap: 1903 (line 5)" in out
    assert "breaks the even spacing" in out
    out = run("train", rain, "--missing", "interpolate", "--decimal", ",", "--separator", ";").out
    assert "the gap is filled by interpolation" in out


@pytest.mark.parametrize("kind", ["ar", "latent"])
def test_a_series_has_persistence_and_ar_beside_it_and_in_the_log(run, rain, tmp_path, kind):
    arguments = ["--model", kind, "--out", tmp_path / "m", *(["--steps", 3] * (kind == "latent"))]
    out = run("train", rain, *arguments).out
    found = json.loads(run("train", rain, *arguments, "--overwrite", "--json").out)
    values = np.array([float(line.split(";")[1].replace(",", ".")) for line in rows(40).split()])
    expected = np.sqrt(np.mean((values[-4:] - values[-5:-1]) ** 2))
    assert found["yardsticks"]["persistence"] == pytest.approx(expected)
    assert set(found["yardsticks"]) == {"persistence", "AR(1)"} | (
        {"AR(2)"} if kind == "latent" else set()
    )
    assert f"for comparison, persistence: {expected:.5g}" in out
    first = json.loads((tmp_path / "m" / "log.jsonl").read_text().splitlines()[0])
    assert first == {"step": 0, "column": "rain", "yardsticks": found["yardsticks"]}
    if kind == "ar":
        model = layers.models.load(tmp_path / "m")
        assert list(found["coefficients"].values()) == pytest.approx(model.coefficients.tolist())


def test_an_error_that_no_number_holds_is_told_in_words(run, tmp_path):
    """Values near the largest float64, whose steps are longer than it in the last tenth."""
    values = [1.7e308 * (-1) ** (i // 7) for i in range(54)] + [1.7e308, -1.7e308] * 3
    (tmp_path / "s.csv").write_text("\n".join(["value", *map(repr, values)]))
    beyond = "beyond the largest number, 1.8e+308"
    assert f"for comparison, persistence: {beyond}" in run("train", "s.csv", "--out", "m").out
    arguments = ["train", "s.csv", "--model", "latent", "--steps", 2, "--out", "n", "--json"]
    found = json.loads(run(*arguments).out, parse_constant=pytest.fail)
    assert found["yardsticks"] == dict.fromkeys(["persistence", "AR(1)", "AR(2)"], beyond)
    log = (tmp_path / "n" / "log.jsonl").read_text().splitlines()[0]
    assert json.loads(log)["yardsticks"] == found["yardsticks"]
    np.savetxt(tmp_path / "t.csv", [1.7e308, -1.7e308] * 16, header="value", comments="")
    told = run("sample", "n", "--data", "t.csv", "--out", "t.png").err
    assert f"; of persistence, the value before: {beyond}" in told


@pytest.mark.parametrize("kind", ["lstm", "ngram"])
def test_a_text_has_n_grams_beside_it_and_in_the_log(run, tmp_path, kind):
    (tmp_path / "t.txt").write_text("the cat sat on the mat. " * 40)
    options = ["--steps", 2, "--hidden-size", 4] if kind == "lstm" else ["--order", 3]
    found = run("train", "t.txt", "--model", kind, "--out", "m", *options).out
    logged = json.loads((tmp_path / "m" / "log.jsonl").read_text().splitlines()[0])
    assert set(logged["yardsticks"]) == ({"3-gram", "5-gram"} if kind == "lstm" else {"5-gram"})
    for name, value in logged["yardsticks"].items():
        assert f"for comparison, {name}: {value:.5g}" in found
    other = json.loads(
        run("train", "t.txt", "--model", "ngram", "--order", 5, "--out", "n", "--json").out
    )
    assert other["validation_nats_per_character"] == logged["yardsticks"]["5-gram"]


def test_a_forecast_tells_what_it_goes_on_from(run, rain, tmp_path):
    run("train", rain, "--out", "m")
    more = tmp_path / "more.csv"
    more.write_text("month;temp;rain\n" + "".join(
        f"2020-{i + 1:02d};{i};{line.split(';')[1]}\n" for i, line in enumerate(rows(12).split())
    ))  # fmt: skip
    captured = run("sample", "m", "--data", more, "--length", 2)
    assert [line.split()[0] for line in captured.out.splitlines()[:2]] == ["2021-01", "2021-02"]
    assert "column 'rain' (3 of 3): 12 values, 2020-01 to 2020-12; no gaps" in captured.err
    assert "coefficient of lag 1: " in captured.err
    assert "of persistence, the value before: " in captured.err
    assert "going on from the 40 values of 'rain'" in run("sample", "m").err
    found = json.loads(run("sample", "m", "--data", more, "--column", "temp", "--json").out)
    assert found["column"] == "temp"
    assert found["persistence_error"] == pytest.approx(1)
    assert "2021-01" in run("sample", "m", "--data", "-", "--column", "rain",
                            stdin=more.read_bytes()).out  # fmt: skip


@pytest.mark.parametrize("kind", ["ar", "latent"])
def test_a_forecast_goes_on_with_the_dates_that_were_learned(run, tmp_path, kind):
    path, arguments = tmp_path / "x.csv", ["--model", kind, "--out", "m", "--overwrite"]
    arguments += ["--steps", 2] * (kind == "latent")

    def labels(*options, header, names):
        rows = (f"{name}{i * i % 7}.5" for i, name in enumerate(names))
        path.write_text("\n".join([header, *rows]))
        run("train", path, *arguments)
        captured = run("sample", "m", "--length", 2, *options)
        return [line.strip().split("  ")[0] for line in captured.out.splitlines()[:2]], captured.err

    quarters = [f"{2018 + i // 4},{i % 4 + 1}," for i in range(24)]
    found, told = labels(header="year,quarter,v", names=quarters)
    assert found == ["2024-Q1", "2024-Q2"]
    assert "going on from the 24 values of 'v' that the model learned, up to 2023-Q4" in told
    assert "+1" not in told
    assert "+1" in labels(header="v", names=[""] * 24)[0][0]
    assert "+1" not in labels(header="v", names=[""] * 24)[1]
    unclear = [f"{i % 12 + 1:02d}/01/{2000 + i // 12}," for i in range(24)]
    found, told = labels(header="date,v", names=unclear)
    assert found == ["01/01/2002", "02/01/2002"]
    found, told = labels(header="date,v", names=[f"2020-12-31 {i}h," for i in range(24)])
    assert found[0].startswith("+1")
    assert "the steps are called +1, +2, ...: '2020-12-31 0h' is no time that is known" in told


def test_folders_of_models_without_times_are_read(run, rain, tmp_path):
    run("train", rain, "--out", "m")
    content = json.loads((tmp_path / "m" / "config.json").read_text())
    assert content["times"] == [str(1900 + i) for i in range(40)]
    assert run("sample", "m", "--length", 1).out.split()[0] == "1940"
    as_before(tmp_path / "m", times=None)
    assert run("sample", "m", "--length", 1).out.split()[0] == "+1"


@pytest.mark.parametrize("first", ["2020-12-31 22:00", "2020-12-30", "2020-Q3", "1900"])
@pytest.mark.parametrize("steps", [1, 12, 100])
def test_the_axis_of_a_forecast_has_dates_that_do_not_overlap(
    run, tmp_path, monkeypatch, first, steps
):
    figures = []

    def keep(*arguments, **options):
        figures.append(plot_curves(*arguments, **options))
        return figures[-1]

    monkeypatch.setattr(layers.cli.series, "plot_curves", keep)
    second = {"2020-12-31 22:00": "2020-12-31 23:00", "2020-12-30": "2020-12-31",
              "2020-Q3": "2020-Q4", "1900": "1901"}[first]  # fmt: skip
    times = [first, second, *following([first, second], 28)]
    path = tmp_path / "x.csv"
    path.write_text("".join(["t,v\n", *(f"{t},{i * i % 7}.5\n" for i, t in enumerate(times))]))
    run("train", path, "--out", "m")
    for options in ([], ["--data", path]):
        run("sample", "m", "--length", steps, "-o", tmp_path / "f.png", *options)
        (axes,) = figures[-1].axes
        assert axes.get_xlabel() == "time"
        texts = axes.get_xticklabels()
        assert 2 <= len(texts) <= 7
        every = [*times, *following(times, steps)]
        for text, place in zip(texts, axes.get_xticks(), strict=True):
            assert text.get_text() == every[int(place)]
        boxes = sorted((text.get_window_extent() for text in texts), key=lambda box: box.x0)
        assert all(one.x1 < other.x0 for one, other in itertools.pairwise(boxes))


def test_texts_come_from_standard_input_and_in_other_encodings(run, tmp_path):
    text = "Où est le garçon ? Là. " * 20
    arguments = ["--model", "ngram", "--out", "m"]
    message = run("train", "-", *arguments, stdin=text.encode("cp1252"), code=1).err
    assert message.startswith("minigrad: standard input is not text in UTF-8: byte 1 is 0xf9")
    assert "--encoding cp1252" in message
    for stdin, options in (
        (text.encode("cp1252"), ["--encoding", "cp1252"]),
        (text.replace("\n", "\r\n").encode("utf-16"), []),
    ):
        found = json.loads(run("train", "-", *arguments, *options, "--json", stdin=stdin).out)
        assert found["characters"] == len(text)
    assert "encoding='x' is no" in run("train", "-", "--encoding", "x", stdin=b"a", code=1).err
    assert "--encoding is for a file" in run("train", "--encoding", "utf-8", code=1).err


def test_a_tsv_file_of_a_series_is_not_taken_for_pairs(run, rain, tmp_path):
    path = tmp_path / "rain.tsv"
    path.write_text(rain.read_text().replace(";", "\t"))
    assert "looks like a series" in run("train", path, code=1).err
    assert "column: rain" in run("train", path, "--column", "rain").out
    path.write_text("year\train\n1900\t1\n1901\t\n1902\t5\n")
    assert "if it is a series, pass --model ar" in run("train", path, code=1).err


def test_what_made_the_file_a_series_is_told_with_an_option_that_does_not_fit(run, rain, tmp_path):
    (tmp_path / "t.txt").write_text(rain.read_text())
    error = run("train", "t.txt", "--column", 2, "--steps", 2, code=1).err
    assert "--steps has no effect on ar (--column is for a series, so" in error
    error = run("train", rain, "--steps", 2, code=1).err
    assert "--steps has no effect on ar (which is what files named *.csv are learned by)" in error
    assert "on --model ar (--decimal is for a series" in run(
        "train", "t.txt", "--decimal", ",", "--layers", 2, code=1
    ).err  # fmt: skip
    assert "no effect on ar, which" in run(
        "train", "t.txt", "--model", "ar", "--steps", 2, code=1
    ).err  # fmt: skip


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the overflows on the way
def test_a_rate_that_breaks_the_weights_is_told_as_such(run, tmp_path):
    (tmp_path / "t.txt").write_text("the cat sat on the mat. " * 60)
    arguments = ["--rate", "1e38", "--steps", 30, "--hidden-size", 4, "--out", "m"]
    error = run("train", "t.txt", *arguments, code=1).err
    assert "is not finite at step" in error or "the loss is" in error
    assert "lower learning rate" in error
    assert "The rate was 1e+38" in error


SHAPES = {
    "huge": lambda x: x * 1e300,
    "largest": lambda x: (x - 1) * 10 * 1.79e308,
    "tiny": lambda x: x * 1e-300,
    "subnormal": lambda x: x * 1e-310,
    "offset": lambda x: x + 1e8,
    "outlier": lambda x: np.where(np.arange(len(x)) == 3, 1e300, x),
}


@pytest.mark.parametrize("kind", ["ar", "latent"])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_of_every_size_give_finite_weights_and_forecasts(run, tmp_path, kind, shape):
    values = SHAPES[shape](1 + 0.1 * np.sin(np.arange(40.0)))
    path = tmp_path / "x.csv"
    path.write_text(
        "year,x\n" + "".join(f"{1900 + i},{v!r}\n" for i, v in enumerate(values.tolist()))
    )
    options = ["--steps", 3] if kind == "latent" else []
    run("train", path, "--model", kind, "--out", "m", *options)
    model = layers.models.load(tmp_path / "m")
    for name, array in model.state_dict().items():
        assert np.isfinite(array).all(), name
    found = json.loads(run("sample", "m", "--length", 2, "--json").out)
    assert np.isfinite(found["forecast"]).all()
    assert (tmp_path / "forecast.png").is_file()


@pytest.mark.parametrize("kind", ["ar", "latent"])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.1] * 40, "the first 36 of 40 values of 'x' are all 0.1"),
        ([3.0] * 38 + [4.0, 5.0], "the first 36 of 40 values of 'x' are all 3"),
        ([5e-324, 1e-323] * 20, "too little for float64"),
        ([5.0], "has 1 values in column 'x'; a series needs at least 2"),
        ([5.0, 6.0], "the series has 2 values, too few"),
    ],
)
def test_series_without_anything_to_learn_are_refused(run, tmp_path, kind, values, message):
    path = tmp_path / "x.csv"
    path.write_text("year,x\n" + "".join(f"{1900 + i},{v!r}\n" for i, v in enumerate(values)))
    assert message in run("train", path, "--model", kind, "--out", "m", code=1).err
    assert not (tmp_path / "m" / "model.safetensors").exists()


def test_a_model_with_weights_that_are_not_finite_is_not_called_trained(tmp_path):
    model = Autoregressive(AutoregressiveConfig(1)).fit_least_squares([1.0, 2.0, 4.0, 3.0])
    model.save(tmp_path)
    check_weights(SimpleNamespace(out=tmp_path, rate=None))
    model.weight.write(np.array([np.inf]))
    model.save(tmp_path)
    with pytest.raises(ValueError, match=r"its weight is not finite; try a --rate below 9"):
        check_weights(SimpleNamespace(out=tmp_path, rate=9.0))


def test_a_forecast_beyond_float64_is_refused(run, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("year,x\n" + "".join(f"{1900 + i},{2.0**i}\n" for i in range(40)))
    run("train", path, "--out", "m")
    assert "is beyond the largest float64" in run("sample", "m", "--length", 2000, code=1).err
    path.write_text("year,x\n1900,1e300\n1901,2e300\n1902,1e300\n")
    run("train", "--model", "ar", "--out", "n")
    small = layers.models.load(tmp_path / "n")
    small.scale.write(np.asarray(1e-300))
    with pytest.raises(ValueError, match="out of all proportion to the series that was learned"):
        small.forecast([1e300, 2e300])


def test_a_caption_that_dalle_did_not_learn_is_refused_with_those_it_knows(run, tmp_path):
    tokenizer = caption_tokenizer()
    config = DALLEConfig.preset("tiny", caption_size=len(tokenizer), caption_length=16)
    DALLE(config, tokenizer).save(tmp_path / "minigrad-runs" / "dalle" / "model")
    assert "minigrad-runs/dalle/model" in run("sample", "dalle", "draw a cat", code=1).err
    folder = "minigrad-runs/dalle/model"
    for caption in ("draw a cat", "a tree", "Draw a seven", "seven", ""):
        message = run("sample", folder, caption, code=1).err
        assert "'a seven', 'draw a seven', 'the digit 7', 'number seven', '7'" in message
    assert "did you mean 'draw a seven'?" in run("sample", folder, "Draw a seven", code=1).err
    assert "draw a seven:" in run("sample", folder, "draw a seven").out


@pytest.mark.parametrize(
    ("command", "name"),
    [(["sample", "m", "the Owl"], "PROMPT"), (["draw", "m", "--text", "the Owl"], "--text")],
)
def test_a_character_that_the_model_never_saw_is_named_with_those_it_knows(
    run, tmp_path, command, name
):
    (tmp_path / "t.txt").write_text("the cat sat on the mat. " * 60)
    run("train", "t.txt", "--steps", 1, "--hidden-size", 4, "--out", "m")
    error = run(*command, code=1).err
    assert f"{name} has 'O', 'l', 'w'" in error
    assert "it knows ' .acehmnost'" in error
