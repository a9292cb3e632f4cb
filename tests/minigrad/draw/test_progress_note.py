"""A line about work that takes long."""

import io
import sys
import time

from minigrad.draw.render import progress_note
from minigrad.draw.render.progress_note import ProgressNote


class Terminal(io.StringIO):
    """What says that it is a terminal."""

    def isatty(self):
        return True


def test_short_work_goes_without_a_word(capsys):
    with ProgressNote("drawing"):
        pass
    assert capsys.readouterr().err == ""


def test_long_work_is_named_once_where_there_is_no_terminal(capsys):
    with ProgressNote("drawing", after=0.01):
        time.sleep(0.1)
    assert capsys.readouterr().err == "drawing ...\n"


def test_in_a_terminal_the_seconds_are_counted_and_wiped(monkeypatch):
    monkeypatch.setattr(progress_note, "EVERY", 0.01)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with ProgressNote("drawing", after=0.01):
        time.sleep(0.1)
    said = sys.stderr.getvalue()
    assert said.count("\rdrawing ... 0 s") > 1
    assert said.endswith("\r")
    assert "\n" not in said


def test_an_error_ends_it(capsys):
    try:
        with ProgressNote("drawing", after=5):
            raise KeyError
    except KeyError:
        pass
    assert capsys.readouterr().err == ""
