"""Build the pages, check them, and serve them.

python -m tools.site                # into site/html, and check
python -m tools.site --serve        # and serve them on this machine
python -m tools.site --only ko      # only those in Korean, beside the English ones from before
"""

import argparse
import functools
import http.server
import sys
from pathlib import Path
from typing import Final

from tools.site import build, checks
from tools.site.translations import update
from tools.site.translations.__main__ import check

LANGUAGES: Final = ("en", "ko")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; its exit code is 1 when there is a warning or a fault."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.site",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=build.ROOT / "site" / "html",
        help="the folder for the pages; site/html by default",
    )
    parser.add_argument("--serve", action="store_true", help="serve the pages until Ctrl-C")
    parser.add_argument("--port", type=int, default=8000, help="of --serve; 8000 by default")
    parser.add_argument("--fresh", action="store_true", help="read and write every page again")
    parser.add_argument("--no-run", action="store_true", help="do not run the lessons")
    parser.add_argument("--only", choices=LANGUAGES, help="the language to build; all by default")
    options = parser.parse_args(arguments)
    if options.only == "ko" and not (options.out / "objects.inv").is_file():
        parser.error(f"there are no English pages in {options.out} yet; build them first")
    code = 0
    without = "ko" if options.only == "en" else ""  # not built: links there are no fault
    for language in [options.only] if options.only else LANGUAGES:
        code = code or build.build(
            options.out, execute=not options.no_run, fresh=options.fresh, language=language
        )
    found = checks.faults(options.out, without) if code == 0 else []
    if code == 0:
        update.extract()
        if options.only != "en":
            found += check([], options.out if not options.no_run else None)
    for fault in found:
        print(fault)
    if code == 0:
        print(f"the pages are in {options.out}; {len(found)} faults")
    if options.serve and code == 0:
        serve(options.out, options.port)
    return int(bool(code or found))


def serve(folder: Path, port: int) -> None:
    """Serve a folder to this machine until Ctrl-C."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        print(f"http://127.0.0.1:{server.server_port}")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    sys.exit(main())
