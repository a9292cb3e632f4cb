"""Whether the pages fit a phone: `python -m tools.site.phone site/html`.

Opens every page in Chromium, 390 pixels wide and without a network, and prints those that scroll
sideways, with the element that sticks out furthest. Wide tables, code and pictures are to scroll by
themselves. Chromium is the one on the PATH, driven by Playwright, which `pip install -e ".[dev]"`
brings along; without either there is nothing to run, and the command says so. The tests do not.
"""

import argparse
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tools.site.build import ROOT

__all__ = ["WIDTH", "too_wide"]

WIDTH: Final = 390

MEASURE: Final = """() => {
  const article = document.querySelector("article") || document.body;
  const outside = [];
  for (let e = article; e; e = e.parentElement) outside.push(e);
  const widest = Math.max(...outside.map((e) => e.scrollWidth));
  if (widest <= innerWidth) return null;
  const inside = (e) => !outside.includes(e);
  const scrolls = (e) => inside(e) &&
    (getComputedStyle(e).overflowX !== "visible" || scrolls(e.parentElement));
  const [element] = [...article.querySelectorAll("*")]
    .filter((e) => !scrolls(e.parentElement))
    .sort((a, b) => b.getBoundingClientRect().right - a.getBoundingClientRect().right);
  return `${widest} px wide, because of ${element.outerHTML.slice(0, 80)}`;
}"""
"""Returns what is wrong with a page, or null. The theme hides what sticks out of the page, and lets
the column of the text scroll instead: neither may be needed."""


def too_wide(pages: list[Path], width: int = WIDTH) -> Iterator[tuple[Path, str]]:
    """The pages that scroll sideways at a width in pixels, each with why."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser: Any = started.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        context = browser.new_context(viewport={"width": width, "height": 844}, offline=True)
        tab = context.new_page()
        for page in pages:
            tab.goto(page.resolve().as_uri(), wait_until="load")
            found = tab.evaluate(MEASURE)
            if found:
                yield page, found
        browser.close()


def chromium() -> str | None:
    """The path of Chromium, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; its exit code is 1 when a page is too wide."""
    parser = argparse.ArgumentParser(prog="python -m tools.site.phone", description=__doc__)
    parser.add_argument("site", type=Path, nargs="?", default=ROOT / "site" / "html")
    parser.add_argument("--width", type=int, default=WIDTH)
    options = parser.parse_args(arguments)
    if chromium() is None:
        print("not run: no chromium on PATH")
        return 0
    pages = sorted(options.site.rglob("*.html"))
    if not pages:
        parser.error(f"no pages in {options.site}; python -m tools.site builds them")
    found = 0
    for page, why in too_wide(pages, options.width):
        print(f"{page.relative_to(options.site)}: {why}")
        found += 1
    print(f"{len(pages)} pages at {options.width} px, {found} too wide")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
