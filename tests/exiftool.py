"""exiftool, which reads and writes XMP as everybody else understands it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest


def exiftool(*arguments: str | Path) -> str:
    """What exiftool prints; skips the test where there is none, unless the gate demands it."""
    program = shutil.which("exiftool")
    if program is None:
        assert not os.environ.get("DATASETTE_FACES_REQUIRE_EXIFTOOL"), "the gate needs exiftool"
        pytest.skip("needs exiftool (Debian: libimage-exiftool-perl)")
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    return done.stdout


def told(path: Path, *tags: str) -> dict[str, Any]:
    """What exiftool reads in a file, structures as structures."""
    (found,) = json.loads(exiftool("-json", "-struct", "-G1", *tags, path))
    assert not [key for key in found if key.endswith(("Warning", "Error"))], found
    return found
