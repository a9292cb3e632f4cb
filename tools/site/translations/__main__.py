"""Catalogues of the pages in other languages: make them, and check them.

python -m tools.site.translations update                    # after a change of a page
python -m tools.site.translations check                     # all of them
python -m tools.site.translations check lessons/05-lstm     # one, in seconds
"""

import argparse
import sys
from pathlib import Path

from tools.site.translations import catalogue, faults, figures, update


def main(arguments: list[str] | None = None) -> int:
    """Run the command; its exit code is 1 when something is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.site.translations",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=["update", "check"])
    parser.add_argument("names", nargs="*", help="catalogues to check: pages, or figures")
    parser.add_argument(
        "--site",
        type=Path,
        default=update.ROOT / "site" / "html",
        help="the built English pages, whose figures are read",
    )
    options = parser.parse_args(arguments)
    built = (options.site / "index.html").is_file()
    if options.action == "update":
        update.update(options.site if built else None)
        if not built:
            print("words in figures are left: build the pages first, with python -m tools.site")
        return 0
    update.extract()
    found = check(options.names, options.site if built else None)
    print("\n".join(found) or "nothing is wrong")
    return int(bool(found))


def check(names: list[str], site: Path | None, language: str = "ko") -> list[str]:
    """What is wrong with catalogues, after `update.extract`.

    Args:
        names: of pages, or `figures`; all if empty.
        site: the built English pages; None leaves out the words in figures.
        language: of the edition.
    """
    kept = faults.kept_words(language)
    pages = catalogue.pages()
    unknown = sorted(set(names) - {*pages, "figures"})
    found = [f"{name}: there is no such page" for name in unknown]
    for page in pages:
        if not names or page in names:
            held = catalogue.messages(catalogue.path_of(page, language))
            found += faults.catalogue_faults(page, held, update.messages_of(page), kept)
    if site is not None and (not names or "figures" in names):
        held = catalogue.messages(catalogue.path_of("figures", language))
        found += faults.catalogue_faults("figures", held, figures.wanted(site), kept)
    if not names:
        found += faults.stray_catalogues([*pages, "figures", "sphinx"], language)
    return found


if __name__ == "__main__":
    sys.exit(main())
