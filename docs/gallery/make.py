"""Makes every picture of the gallery, light and dark: `python docs/gallery/make.py`.

With a folder as its argument it writes there instead. The code is that of the page: every snippet
runs by itself, as it stands for the light picture, and with the word "dark" in the place of "light"
for the other one. Everything follows from fixed seeds, so the same machine writes the same files
again.
"""

import re
import sys
import time
from contextlib import chdir
from pathlib import Path

import matplotlib as mpl

from layers.training import one_blas_thread

sys.path.insert(0, str(Path(__file__).parents[2]))
from tools.snippets import execute, snippets

PAGE = Path(__file__).with_name("index.md")
THEMES = ("light", "dark")


def main(folder, themes=THEMES):
    """Write the pictures of some themes into a folder."""
    start = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "minigrad"  # ids of clip paths would be random otherwise
    with one_blas_thread(), chdir(folder):  # sums come out alike
        for snippet in snippets(PAGE):
            for theme in themes if snippet.kind == "python" else ():
                execute(snippet.replacing("light", theme), PAGE, {"__name__": "__page__"})
    files = sorted(folder.glob("*.svg"))
    for path in files:  # Matplotlib notes the date
        text = path.read_text("utf-8")
        path.write_text(re.sub(r"\s*<dc:date>.*?</dc:date>", "", text), "utf-8")
    total = sum(path.stat().st_size for path in files)
    seconds = time.perf_counter() - start
    print(f"{len(files)} pictures, {total / 1e6:.2f} MB, {seconds:.0f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
