"""Forked processes in which something is checked."""

import os
import signal

__all__ = ["exit_code_of_fork"]

SECONDS = 30


def exit_code_of_fork(run):
    """0 if what a forked process runs is true; negative if it hangs, and so is killed."""
    child = os.fork()
    if not child:
        signal.alarm(SECONDS)
        try:
            os._exit(0 if run() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
