"""Searching a folder without a database: a temporary one is made, and removed afterwards. No click."""

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
from ...media.file_names import find_path
from ...models.base import FaceModel
from .run import IngestReport, Progress, ingest

ENDING_SIGNALS = ("SIGTERM", "SIGHUP")
"""Signals that end Python without cleaning up."""


@contextmanager
def temporary_database(
    folder: str,
    model: FaceModel,
    *,
    worker_count: int | None,
    min_face_px: float,
    progress: Progress,
) -> Iterator[tuple[str, IngestReport]]:
    """A database of the faces in a folder, and its ingest's report; removed on leaving.

    Raises FacesError where there is no such folder, or no picture in it.
    """
    check_folder(folder)
    with _temporary_folder() as place:
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
            raise FacesError(f"There is no picture in {folder}{_first_error(report)}")
        yield database, report


def check_folder(folder: str) -> None:
    """Raise FacesError where there is no such folder."""
    if os.path.isdir(find_path(folder)):
        return
    if os.path.lexists(folder):
        raise FacesError(f"{folder} is not a folder; name the folder to search last")
    raise FacesError(f"There is no folder {folder}")


def _first_error(report: IngestReport) -> str:
    if not report.errors:
        return ""
    return f" that can be read; {report.errors[0].path}: {report.errors[0].reason}"


@contextmanager
def _temporary_folder() -> Iterator[str]:
    """A folder that is removed however this ends, except by kill -9 or a power cut."""
    with _exit_on_signals():
        place = tempfile.mkdtemp(prefix="datasette-faces-")
        try:
            yield place
        finally:
            # A second Ctrl-C must not leave half of it behind
            with _ignore_signals():
                shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _exit_on_signals() -> Iterator[None]:
    """Turn the signals that end Python at once into an ordinary exit."""

    def leave(number: int, frame: object) -> None:
        sys.exit(128 + number)

    with _signal_handlers(dict.fromkeys(ENDING_SIGNALS, leave)):
        yield


@contextmanager
def _ignore_signals() -> Iterator[None]:
    """Ignore Ctrl-C and the other signals that end Python."""
    with _signal_handlers(dict.fromkeys(("SIGINT", *ENDING_SIGNALS), signal.SIG_IGN)):
        yield


@contextmanager
def _signal_handlers(handlers: dict[str, Any]) -> Iterator[None]:
    """Set signal handlers, and restore them on leaving; only the main thread may set them."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for name, handler in handlers.items():
            number = getattr(signal, name, None)
            # A signal that is ignored, as under nohup, stays ignored
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            with suppress(TypeError):  # a handler that was not set from Python
                signal.signal(number, handler)
