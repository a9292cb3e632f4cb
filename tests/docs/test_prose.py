"""The check of prose finds what it lists, in pages, docstrings and comments, and nothing else."""

from dataclasses import replace

import pytest

from tools import prose

EXAMPLES = [
    "what lies beyond is not looked at, be it NaN",
    "Numbers drawn evenly from [-1, 1]",
    "Weights with two axes begin evenly from",
    "draw weight and bias evenly",
    "Draw weight and bias afresh, evenly from",
    "where one must be tolerated, except it in the settings",
    "The output of a layer, whose weights nobody asked for.",
    "By which route did it survive?",
    "a spoilt gradient",
    "Begin anew: all weights 0",
    "an in place write",
    "an index beyond the bounds",
    "after begin_anew()",
    "the gradient dies out",
    "if there is but one step",
    "the array whence it came",
]


def test_nothing_is_found_in_this_project():
    assert [str(finding) for finding in prose.findings()] == []


@pytest.mark.parametrize("text", EXAMPLES)
def test_a_phrase_is_found_in_a_page_a_docstring_and_a_comment(text):
    for number, found in enumerate(
        (
            prose.in_page("a.md", f"# Title\n\n{text}\n"),
            prose.in_python(
                "a.py", f'x = 1\n\ndef f():\n    """It is so.\n\n    {text}.\n    """\n'
            ),
            prose.in_python("a.py", f"x = 1  # {text}\n"),
        )
    ):
        (finding,) = found
        assert finding.line == (3, 6, 1)[number]
        assert finding.phrase.casefold() in text.casefold()
        assert str(finding).endswith(f"write {finding.advice!r}")


def test_every_phrase_has_an_example():
    found = {finding.advice for text in EXAMPLES for finding in prose.in_page("a.md", text)}
    assert found == set(prose.PHRASES.values())


@pytest.mark.parametrize("text", EXAMPLES)
def test_a_phrase_is_found_across_lines(text):
    words = text.split()
    (finding,) = prose.in_page("a.md", "\n".join(words))
    comment = "".join(f"    # {word}\n" for word in words)
    below = replace(finding, line=finding.line + 1)
    assert prose.in_python("a.md", f"if x:\n{comment}    pass\n") == [below]


def test_code_and_tables_may_use_the_words():
    assert prose.in_python("a.py", 'begin_anew("be it NaN")\nmessage = "drawn evenly"\n') == []
    assert prose.in_page("a.md", "| uniformly | not: drawn evenly |\n") == []


@pytest.mark.parametrize(
    "text",
    ["numbers drawn at evenly spaced places", "write in place of it", "may be it", "before dying"],
)
def test_what_only_looks_alike_is_left_alone(text):
    assert [f for f in prose.in_page("a.md", text) if f.phrase != "be it"] == []


def test_the_command_prints_and_counts(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(prose, "ROOT", tmp_path)
    assert prose.main() == 0
    (tmp_path / "README.md").write_text("\nFaults are spoilt values.\n", encoding="utf-8")
    assert prose.main() == 1
    assert capsys.readouterr().out == "README.md:2: 'spoilt': write 'nonfinite'\n"
