"""Random interleavings of what a user may do, against the naive engine."""

from hypothesis import settings
from minigrad.testing import EngineMachine

TestEngine = EngineMachine.TestCase
TestEngine.settings = settings(stateful_step_count=30)
