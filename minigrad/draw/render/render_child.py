"""The program that the child process runs: DOT on standard input, the picture on standard output.

Arguments: layout engine, format, options of Graphviz. It stands alone (no NumPy, no minigrad),
since it must start fast and may be killed at any moment: Graphviz cannot be interrupted from
within its own process.
"""

import sys


def main() -> None:
    """Draw once and end; any exception goes to standard error, for the parent to report."""
    import pygraphviz

    engine, picture_format = sys.argv[1:3]
    options = " ".join(sys.argv[3:])
    source = sys.stdin.buffer.read().decode("utf-8")
    graph = pygraphviz.AGraph(string=source)
    picture = graph.draw(format=picture_format, prog=engine, args=options)
    sys.stdout.buffer.write(picture)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
