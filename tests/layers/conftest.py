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


@pytest.fixture(scope="module")
def by_the_tape():
    """Trainings of a few steps, for modules that are not about programs: to make one takes longer.

    What compiled trainings do is tested in `test_compiled_training.py` and `test_systems.py`.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIGRAD_COMPILE", "0")
        yield
