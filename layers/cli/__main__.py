"""`python -m layers.cli`, the same as `minigrad`; and the program of processes that it starts.

For those Python runs it by its path and with -P, so the working folder is not searched for modules.
What PYTHONPATH adds of it (an empty entry means it too) is taken away here, before anything is
imported, and this package's folder is added behind the standard library. A user's layers.py,
numpy.py or random.py then stands in nobody's way, wherever the package lies: installed, in a
checkout, or on PYTHONPATH.
"""

import os
import sys


def search_path(before: list[str], root: str, here: str) -> list[str]:
    """Where modules are searched for: `before` without the working folder, and with the package.

    Args:
        before: what Python begins with.
        root: the folder that the package lies in.
        here: the working folder.

    >>> search_path(["", "/extra", "/python/lib", "/python/site-packages"], "/checkout", "/home/me")
    ['/extra', '/python/lib', '/checkout', '/python/site-packages']
    """
    kept = [entry for entry in before if os.path.realpath(entry or here) != os.path.realpath(here)]
    installed = ("site-packages", "dist-packages")
    place = next((i for i, entry in enumerate(kept) if entry.endswith(installed)), len(kept))
    return [*kept[:place], root, *kept[place:]]


if __name__ == "__main__":
    parts = os.path.abspath(__file__).split(os.sep)
    sys.path[:] = search_path(sys.path, os.sep.join(parts[:-3]), os.getcwd())

    from layers.cli import main

    sys.exit(main())
