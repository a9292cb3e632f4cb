"""Child processes that hear signals as on a terminal, however the tests themselves were started.

A process started by `nohup` ignores SIGHUP, one in the background of a shell script SIGINT, and
their children do too.
"""

HEAR_SIGNALS = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
for name in ("SIGTERM", "SIGHUP"):
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
"""

COMMAND_LINE = f"""{HEAR_SIGNALS}
import sys
from layers.cli import main
sys.exit(main(sys.argv[1:]))
"""
