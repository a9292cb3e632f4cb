"""Commands as a user types them, for the tests of the command line."""

import pytest

from layers.cli import main


@pytest.fixture
def run(capsys):
    """Run a command that succeeds, and return what it printed."""

    def go(*arguments):
        assert main([str(argument) for argument in arguments]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return go


@pytest.fixture
def error(capsys):
    """Run a command that fails, and return the one line that it printed."""

    def go(*arguments):
        assert main([str(argument) for argument in arguments]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("minigrad: ")
        assert captured.err.count("\n") == 1
        return captured.err

    return go
