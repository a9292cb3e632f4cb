"""The browser that tests of pages run in."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# A browser is a system package, which no test run may need; .ci/run says when this was skipped.
IN_BROWSER = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")

SWITCHES = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
