"""Write the golden files anew: `python tests/minigrad/draw/golden/regenerate.py`.

Look at the pictures and at the difference before committing what it wrote.
"""

import runpy
from pathlib import Path

if __name__ == "__main__":
    here = Path(__file__).parent
    texts = runpy.run_path(str(here.parent / "conftest.py"))["golden_texts"]()
    for name, text in texts.items():
        (here / name).write_text(text, encoding="utf-8", newline="\n")
        print(name)
