"""A folder searched on the fly: a database for the moment, of which nothing is kept. No click."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ...errors import FacesError
from ...models.base import FaceModel
from .run import Progress, Report, ingest

ENDS = ("SIGTERM", "SIGHUP")
"""Signals that would end Python without tidying up."""


@contextmanager
def gallery(
    folder: str,
    model: FaceModel,
    *,
    worker_count: int | None,
    min_face_px: float,
    progress: Progress,
) -> Iterator[tuple[str, Report]]:
    """A database of the faces in a folder, and what its ingest did; gone on leaving.

    Raises FacesError where the folder is none, or holds no picture.
    """
    check(folder)
    with _for_the_moment() as place:
        database = os.path.join(place, "faces.db")
        report = ingest(
            database,
            [folder],
            model,
            worker_count=worker_count,
            min_face_px=min_face_px,
            progress=progress,
        )
        if not report.pictures:
            raise FacesError(f"There is no picture in {folder}{_why(report)}")
        yield database, report


def check(folder: str) -> None:
    """Raise FacesError where there is no such folder."""
    if os.path.isdir(folder):
        return
    if os.path.lexists(folder):
        raise FacesError(f"{folder} is no folder; name the folder to search last")
    raise FacesError(f"There is no folder {folder}")


def _why(report: Report) -> str:
    if not report.errors:
        return ""
    return f" that can be read; of {report.errors[0].path}: {report.errors[0].reason}"


@contextmanager
def _for_the_moment() -> Iterator[str]:
    """A folder that is removed however this ends, but for a kill -9 or a power cut."""
    with _ends_tidily():
        place = tempfile.mkdtemp(prefix="datasette-faces-")
        try:
            yield place
        finally:
            # A second Ctrl-C does not leave half of it
            with _unmoved():
                shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _ends_tidily() -> Iterator[None]:
    """Make the signals that end Python at once an exit like any other."""

    def leave(number: int, frame: object) -> None:
        sys.exit(128 + number)

    with _handling(dict.fromkeys(ENDS, leave)):
        yield


@contextmanager
def _unmoved() -> Iterator[None]:
    """Let Ctrl-C and its like wait for a moment."""
    with _handling(dict.fromkeys(("SIGINT", *ENDS), signal.SIG_IGN)):
        yield


@contextmanager
def _handling(handlers: dict[str, Any]) -> Iterator[None]:
    """Other handlers of signals for a while; only the main thread may set them."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for name, handler in handlers.items():
            number = getattr(signal, name, None)
            # One that is ignored, as under nohup, stays so
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            with suppress(TypeError):  # set by no Python code
                signal.signal(number, handler)
