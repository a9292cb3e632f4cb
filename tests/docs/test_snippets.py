"""The mechanism that runs the code of pages: what it finds, and what it refuses."""

import pytest

from tools import snippets

PAGE = """\
# A page

```python
x = 1
```

:::{note}
```pycon
>>> x + 1
2
>>> y = x + 1
```
:::

```{include} other.md
:start-after: "<!-- here -->"
:end-before: <!-- there -->
```

```{code-cell} ipython3
:tags: [hide-input]

z = z + y
```

    not run at all

```text
>>> nor this
```
"""
OTHER = "never\n<!-- here -->\n```python\nz = y\n```\n<!-- there -->\n```python\n1 / 0\n```\n"


@pytest.fixture
def page(tmp_path):
    (tmp_path / "other.md").write_text(OTHER)

    def write(text):
        path = tmp_path / "page.md"
        path.write_text(text)
        return path

    return write


def test_snippets_run_in_order_with_what_is_included_in_its_place(page):
    path = page(PAGE.replace("text\n>>> nor", "text\nnor"))
    kinds = [snippet.kind for snippet in snippets.snippets(path)]
    assert kinds == ["python", "pycon", "python", "cell"]
    names = snippets.run(path)
    assert (names["x"], names["y"], names["z"]) == (1, 2, 4)


def test_a_prompt_that_nothing_would_run_is_refused(page):
    with pytest.raises(ValueError, match=r"line 29: a prompt outside of a block pycon"):
        snippets.run(page(PAGE))
    with pytest.raises(ValueError, match=r"line 3: a prompt outside"):
        snippets.run(page("Words.\n\n    >>> 1\n    2\n"))


def test_an_example_that_gives_something_else_is_reported_with_its_line(page):
    with pytest.raises(AssertionError, match=r"line 4.*\s.*\s+1 \+ 1"):
        snippets.run(page("Words.\n\n```pycon\n>>> 1 + 1\n3\n```\n"))


def test_lines_of_a_traceback_are_those_of_the_page(page):
    path = page("\n\n```python\n1 / 0\n```\n")
    with pytest.raises(ZeroDivisionError) as raised:
        snippets.run(path)
    assert (raised.traceback[-1].path, raised.traceback[-1].lineno) == (path, 3)


@pytest.mark.parametrize(
    ("line", "fine"),
    [
        ("minigrad run rnn  # a comment", True),
        ("zcat a.gz | minigrad train - --out b", True),
        ('python -m pip install -e ".[all]" && minigrad demo', True),
        ('minigrad train rain.csv --separator ";" --decimal ,', True),
        ("minigrad train a.txt \\\n  --steps 3", True),
        ("python docs/gallery/make.py", True),
        ("python docs/no_such_file.py", False),
        ("python -m no_such_module", False),
        ("minigrad train a.txt --no-such-option", False),
        ("true && minigrad frobnicate", False),
        ("minigrad run no-such-system", False),
    ],
)
def test_commands_are_parsed(page, line, fine):
    path = page(f"```console\n{line}\n```\n")
    if fine:
        snippets.run(path)
    else:
        with pytest.raises(AssertionError, match=r"page.md, line 2"):
            snippets.run(path)


def test_warnings_and_connections_are_errors(page):
    with pytest.raises(UserWarning, match="w"):
        snippets.run(page("```python\nimport warnings\nwarnings.warn('w')\n```\n"))
    call = "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:9/', timeout=1)"
    with pytest.raises(OSError, match="without a network"):
        snippets.run(page(f"```python\n{call}\n```\n"))


def test_the_command_counts_snippets(page, monkeypatch, capsys):
    path = page("```python\nx = 1\n```\n")
    monkeypatch.setattr("sys.argv", ["snippets", str(path)])
    snippets.main()
    assert "page.md: 1 snippets" in capsys.readouterr().err
