"""A real Datasette on a free port, and a real browser to look at it with."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from warm import WarmProcess, begin

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first is the browser without its windows: it needs half of the time."""
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # One site is looked at, by one test at a time: it needs no processes of its own
    "--disable-features=SitePerProcess,IsolateOrigins,PaintHolding",
    "--disable-site-isolation-trials",
    "--renderer-process-limit=1",
    "--no-zygote",
)


def chromium_path() -> str | None:
    """Where the machine's browser lies."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def browser() -> Iterator[Any]:
    """A headless browser; skips the test where there is none, unless the gate demands one."""
    demanded = os.environ.get("DATASETTE_FACES_REQUIRE_BROWSER")
    path = chromium_path()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        path = None
    if path is None:
        assert not demanded, "the gate needs chromium and playwright"
        pytest.skip("needs chromium and the package playwright")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


@contextmanager
def serving(*arguments: str | Path, log: Path | None = None) -> Iterator[str]:
    """The address of `datasette ARGUMENTS`, on a port that the system chose; log: all that it says."""
    with open(log or os.devnull, "w") as printed:
        process = begin("datasette", *arguments, "-p", "0", stdout=printed)
    try:
        yield _address(process)
    finally:
        process.terminate()
        _, complaints = process.communicate(timeout=30)
        if log:
            with open(log, "a") as said:
                said.write(complaints)


def _address(process: WarmProcess | subprocess.Popen[str]) -> str:
    said = ""
    assert process.stderr is not None
    for line in process.stderr:
        said += line
        if found := re.search(r"running on (http://[^ ]+)", line):
            return found[1]
    raise AssertionError(f"Datasette did not start: {said}")
