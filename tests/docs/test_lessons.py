"""The lessons run from top to bottom, their solutions too, and have the parts of a lesson."""

import re

import pytest

from tools import lessons

QUICK = 2  # the first lessons, which train nothing for long
SLOWER = 2  # times the budget: other machines, and tests that run beside these
FRONT_MATTER = "---\nfile_format: mystnb\nkernelspec:\n  name: python3\n---\n"

INCLUDED = re.compile(
    r"```\{include\} (?P<file>\S+)\n"
    r':start-after: "(?P<first>.+)"\n:end-before: "(?P<last>.+)"\n```'
)

every_lesson = pytest.mark.parametrize("page", lessons.pages(), ids=lambda page: page.stem)


def pytest_generate_tests(metafunc):
    """Run every lesson in the profile "thorough", and else those that take seconds.

    The others train models; `.ci/run` runs all of them apart from the other tests.
    """
    if "lesson" in metafunc.fixturenames:
        thorough = metafunc.config.getoption("--hypothesis-profile") == "thorough"
        chosen = lessons.pages() if thorough else lessons.pages()[:QUICK]
        metafunc.parametrize("lesson", chosen, ids=[page.stem for page in chosen])


def test_the_lesson_and_its_solutions_run(lesson, tmp_path, monkeypatch, record_property):
    monkeypatch.chdir(tmp_path)  # some cells write files
    spent = lessons.run(lesson)
    record_property("seconds of the cells", round(spent.cells, 1))
    record_property("seconds of the solutions", round(spent.solutions, 1))
    assert spent.cells < SLOWER * lessons.BUDGET, "see python -m tools.lessons"
    assert spent.solutions < SLOWER * lessons.BUDGET, "see python -m tools.lessons"


@every_lesson
def test_the_lesson_has_the_parts_of_a_lesson(page):
    text = page.read_text("utf-8")
    assert text.startswith(FRONT_MATTER)
    headings = lessons.headings(text)
    number = int(page.name[:2])
    assert [line for line in headings if line.startswith("# ")] == headings[:1]
    assert headings[0].startswith(f"# Lesson {number}: ")
    assert "## What to expect" in headings
    exercises = [line for line in headings if line.startswith("### Exercise ")]
    assert exercises == [f"### Exercise {n + 1}" for n in range(len(exercises))]
    assert 3 <= len(exercises) <= 5
    assert headings[headings.index("## What to expect") + 1] == "## Exercises"


@every_lesson
def test_what_to_expect_is_asserted_and_every_exercise_has_a_solution(page):
    text = page.read_text("utf-8")
    expected, exercises = text.split("## What to expect\n")[1].split("\n## Exercises\n")
    (cell,) = lessons.blocks(expected)
    assert re.search(r"^assert ", cell.code, re.MULTILINE)
    for exercise in exercises.split("### Exercise ")[1:]:
        assert [block.kind for block in lessons.blocks(exercise)] == ["solution"], exercise[:40]


@every_lesson
def test_the_lines_of_code_fit_the_page(page):
    lines = [
        line for block in lessons.blocks(page.read_text("utf-8")) for line in block.code.split("\n")
    ]
    assert [line for line in lines if len(line) > 100] == []


@every_lesson
def test_what_a_lesson_includes_is_there(page):
    lesson = page.read_text("utf-8")
    found = list(INCLUDED.finditer(lesson))
    assert len(found) == lesson.count("{include}")
    for block in found:
        text = (page.parent / block["file"]).read_text("utf-8")
        assert text.count(block["first"]) == text.count(block["last"]) == 1
        assert "| --- |" in text.split(block["first"])[1].split(block["last"])[0]


def test_the_first_tape_has_the_60_lines_of_its_title():
    tape = lessons.blocks((lessons.LESSONS / "01-a-tape.md").read_text("utf-8"))[0].code
    assert "tape.append(self)" in tape
    assert len(tape.splitlines()) <= 60


# -- the mechanism ---------------------------------------------------------------------------------

PAGE = """\
# Lesson 1: one

```{code-cell} ipython3
:tags: [hide-input]

x = 1
x + 1
```

:::{note}
A box.
:::

```python
never = 1
```

````{dropdown} Solution
Words.

```python
y = x + 1
```

```console
not python
```
````

:::{dropdown} Solution, another way
```python
z = y + 1
```
:::

```{code-cell} ipython3
x = 5
```
"""


def write(folder, text):
    path = folder / "01-one.md"
    path.write_text(text, encoding="utf-8")
    return path


def test_cells_come_first_and_then_the_solutions(tmp_path):
    assert [block.kind for block in lessons.blocks(PAGE)] == ["cell"] * 2 + ["solution"] * 2
    names = lessons.run(write(tmp_path, PAGE)).names
    assert (names["x"], names["y"], names["z"]) == (5, 6, 7)
    assert "never" not in names


def test_cells_can_run_without_the_solutions(tmp_path):
    names = lessons.run(write(tmp_path, PAGE), ("cell",)).names
    assert "y" not in names


def test_lines_are_those_of_the_page(tmp_path):
    path = write(tmp_path, PAGE.replace("x + 1\n```", "x / 0\n```", 1))
    with pytest.raises(ZeroDivisionError) as raised:
        lessons.run(path)
    assert raised.traceback[-1].path == path
    assert PAGE.split("\n")[raised.traceback[-1].lineno] == "x + 1"


def test_what_a_cell_ends_with_is_shown(tmp_path):
    shows = "class Shown:\n    def NAME(self): 1 / 0\nShown()"
    for name in ("_repr_mimebundle_", "_repr_svg_", "_repr_png_", "_repr_html_", "__repr__"):
        text = f"```{{code-cell}} ipython3\n{shows.replace('NAME', name)}\n```\n"
        with pytest.raises(ZeroDivisionError):
            lessons.run(write(tmp_path, text))


def test_a_block_that_is_not_closed_is_refused():
    with pytest.raises(ValueError, match=r"line 3: the block '\{code-cell\}' is not closed"):
        lessons.blocks("# a\n\n```{code-cell}\nx = 1\n")


def test_warnings_and_connections_are_errors(tmp_path):
    warning = "```{code-cell} ipython3\nimport warnings\nwarnings.warn('w')\n```\n"
    with pytest.raises(UserWarning, match="w"):
        lessons.run(write(tmp_path, warning))
    call = "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:9/', timeout=1)"
    with pytest.raises(OSError, match="without a network"):
        lessons.run(write(tmp_path, f"```{{code-cell}} ipython3\n{call}\n```\n"))


def test_the_command_prints_the_seconds(tmp_path, monkeypatch, capsys):
    path = write(tmp_path, PAGE)
    monkeypatch.setattr("sys.argv", ["lessons", str(path)])
    lessons.main()
    assert "01-one.md" in capsys.readouterr().out
    monkeypatch.setattr(lessons, "BUDGET", -1.0)
    with pytest.raises(SystemExit, match="over its budget"):
        lessons.main()
