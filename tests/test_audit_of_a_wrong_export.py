"""An audit finds the mistakes of an export itself: its checks have rules of their own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import shipped
from publishing import HIDDEN, make_private
from running import rows

from datasette_faces.algorithms import geometry
from datasette_faces.errors import Leak
from datasette_faces.library.audit import picture_checks
from datasette_faces.library.export import export
from datasette_faces.library.publish import public_ids, public_rows, selection, writer
from datasette_faces.library.publish.options import ExportOptions
from datasette_faces.media import redact
from datasette_faces.media.crop import encode_jpeg
from datasette_faces.media.decode import decode_picture
from datasette_faces.shapes import Box
from datasette_faces.store.connection import transaction
from datasette_faces.store.database import writing

pytestmark = pytest.mark.slow

Patch = Callable[[pytest.MonkeyPatch], None]

BARRED, PEOPLE = "faces of hidden or unnamed people", "people"
CELLS = "cells that tell more than a catalogue may"
NAMES, SOURCES = "names of other people", "pictures unlike those of the private file"
BLURRED = "faces to blur that are not blurred"


@pytest.fixture(scope="module")
def private(faces_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_private(faces_db, tmp_path_factory.mktemp("private") / "private.db")


def returning(module: Any, name: str, change: Callable[..., Any]) -> Patch:
    """A mistake: a function of the exporter whose result is changed; given it and the arguments."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        right = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, **kw: change(right(*args, **kw), *args))

    return patch


def doing_nothing(module: Any, name: str) -> Patch:
    """A mistake: a step of the export is left out."""
    return lambda monkeypatch: monkeypatch.setattr(module, name, lambda *args, **kw: None)


def replacing(module: Any, name: str, old: str, new: str) -> Patch:
    """A mistake in a text of SQL."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        text = getattr(module, name)
        assert old in text
        monkeypatch.setattr(module, name, text.replace(old, new))

    return patch


def column_from(module: Any, name: str, column: str, source: str) -> Patch:
    """A mistake in a select: a column is read from elsewhere."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        select = getattr(module, name)
        assert column in select.columns
        others = select.without(column).columns
        monkeypatch.setattr(
            module, name, replace(select, columns=(*others, f"{source} as {column}"))
        )

    return patch


def all_of(*patches: Patch) -> Patch:
    return lambda monkeypatch: [patch(monkeypatch) for patch in patches] and None


def sharper(found: dict[str, Any], row: dict[str, Any], *_: Any) -> dict[str, Any]:
    return {**found, "detection_score": row["detection_score"], "x": row["x"]}


MISTAKES: dict[str, tuple[str, Patch]] = {
    "hidden people are published": (
        BARRED,
        replacing(selection, "IS_HIDDEN", selection.IS_HIDDEN, "0"),
    ),
    "hidden people are named": (NAMES, replacing(selection, "IS_HIDDEN", selection.IS_HIDDEN, "0")),
    "people without a name are published": (
        BARRED,
        replacing(selection, "IS_NAMED", selection.IS_NAMED, "1"),
    ),
    "a person has another name": (
        PEOPLE,
        returning(public_rows, "export_person", lambda found, _: {**found, "name": HIDDEN}),
    ),
    "nobody is blurred": (BLURRED, returning(selection, "find_boxes_to_blur", lambda found, _: {})),
    "every face has the crop of a hidden one": (
        SOURCES,
        column_from(selection, "FACES", "crop", "(select crop from faces where id = 3)"),
    ),
    "all photos show one of them": (
        SOURCES,
        column_from(
            selection, "PHOTOS", "thumbnail", "(select thumbnail from photos order by id limit 1)"
        ),
    ),
    "times are kept to the hour": (
        CELLS,
        returning(
            public_rows,
            "export_photo_cells",
            lambda found, row, _: {**found, "taken_at": str(row["taken_at"])[:13]},
        ),
    ),
    "places are exact to 10 m": (
        CELLS,
        returning(
            public_rows, "round_degrees", lambda found, degrees: degrees and round(degrees, 4)
        ),
    ),
    "photos keep their hashes as names": (
        CELLS,
        returning(
            public_ids, "make_photo_name", lambda found, key, sha256, day: f"{day}-{sha256[:13]}"
        ),
    ),
    "boxes and scores are exact": (CELLS, returning(public_rows, "export_face_cells", sharper)),
    "a column says who placed a face": (
        CELLS,
        returning(
            public_rows,
            "export_face_cells",
            lambda found, row: {**found, "person_source": "person"},
        ),
    ),
    "a further column": (
        CELLS,
        all_of(
            replacing(writer.tables, "FACES", "person_source", "yaw real, person_source"),
            returning(public_rows, "export_face_cells", lambda found, row: {**found, "yaw": 0.5}),
        ),
    ),
    "originals with somebody blurred are linked": (
        CELLS,
        returning(
            public_rows,
            "export_photo_cells",
            lambda found, row, blurred: {
                **found,
                "original_url": f"https://x.example/{found['path']}",
            },
        ),
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_of_the_exporter_is_a_leak(private, tmp_path, monkeypatch, name):
    check, patch = MISTAKES[name]
    patch(monkeypatch)
    options = ExportOptions(gps=True, originals_url="https://x.example/{id}")
    with pytest.raises(Leak) as caught:
        export(str(private), str(tmp_path / "out.db"), options)
    assert check in {it.check for it in caught.value.report.findings if it.found}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [
        ExportOptions(blur_others=True),
        ExportOptions(unnamed=True, watermark="© Archive of the town"),
        ExportOptions(gps=True, embeddings=True, originals_url="https://x.example/{id}"),
    ],
)
def test_a_right_export_has_no_leak_whatever_its_options(private, tmp_path, options):
    result = export(str(private), str(tmp_path / "out.db"), options)
    assert result.report.leaks == 0
    looked_for = {finding.check: finding.looked_for for finding in result.report.findings}
    assert min(looked_for[check] for check in (CELLS, SOURCES, BLURRED)) > 0
    assert rows(tmp_path / "out.db", "select count(*) from faces") == [(result.faces,)]


def test_a_hidden_face_in_the_crop_of_another_one_is_a_leak(private, tmp_path, monkeypatch):
    """Its box is moved, beside the nose of a published face of the same photo."""
    beside = Path(shutil.copy(private, tmp_path / "beside.db"))
    with writing(str(beside)) as conn, transaction(conn):
        conn.execute(
            "update faces set (x, y, width, height) = (select x + width / 2, y + height / 4, width / 2, "
            "height / 2 from faces where id = 1) where id = 3"
        )
    # Where the hidden face was it is in the picture still, as the model says
    with pytest.raises(Leak):
        export(str(beside), str(tmp_path / "out.db"))
    made = export(str(beside), str(tmp_path / "out.db"), with_models=False)
    assert made.report.leaks == 0
    monkeypatch.setattr(public_rows, "_areas_to_blur", lambda row, blurred: [])
    with pytest.raises(Leak) as caught:
        export(str(beside), str(tmp_path / "out.db"), replace=True, with_models=False)
    [finding] = [it for it in caught.value.report.findings if it.check == BLURRED]
    assert (finding.found, finding.examples[0].split()[0]) == (1, "faces")


@pytest.mark.parametrize("what", ["six faces", "one face"])
def test_a_box_that_is_blurred_is_none_that_shows_wherever_it_lies(what):
    """Small boxes and flat ones as well, whose detail a JPEG's noise hides."""
    random = np.random.default_rng(7)
    photo = decode_picture(shipped(what).read_bytes()).image
    stored = encode_jpeg(photo.resize((640, 640 * photo.height // photo.width)))
    wrong = shown = 0
    for side in random.integers(photo.width // 40, photo.width // 3, 150):
        left, top = (random.integers(0, most - side) for most in photo.size)
        box = Box(*map(float, (left, top, side, side)))
        areas = [geometry.area_of(box, *photo.size)]
        blurred = [redact.locate_in_photo(box, *photo.size)]
        picture = redact.redact_picture(stored, redact.THUMBNAIL, blurred=blurred)
        wrong += picture_checks._shows(picture, stored, areas)
        plain = redact.redact_picture(stored, redact.THUMBNAIL)
        shown += picture_checks._shows(plain, stored, areas)
    assert wrong == 0
    assert shown > 70


@pytest.fixture
def lost_and_forgotten(private: Path, tmp_path: Path) -> Path:
    """The private file, in one of whose photos someone was forgotten; another one's file is missing."""
    path = Path(shutil.copy(private, tmp_path / "lost.db"))
    with writing(str(path)) as conn, transaction(conn):
        first, second = (
            row[0]
            for row in conn.execute(
                "select distinct photo_id from faces join people on people.id = person_id "
                "where name is not null and not hidden order by photo_id"
            )
        )
        conn.execute(
            "update photos set missing_since = '2020-01-01T00:00:00Z' where id = ?", [first]
        )
        conn.execute(
            "insert into forgotten_faces select sha256, 1, 1, 9, 9 from photos where id = ?",
            [second],
        )
    return path


@pytest.mark.parametrize(
    ("mistake", "options", "check"),
    [
        (
            doing_nothing(selection, "_withhold_missing"),
            ExportOptions(),
            "faces of photos whose files are missing",
        ),
        (
            returning(selection, "_forgotten_places", lambda *_: []),
            ExportOptions(originals_url="https://photos.example/{id}", missing=True),
            CELLS,
        ),
    ],
    ids=["of a missing file", "with a link to who was forgotten"],
)
def test_a_photo_that_should_be_left_alone_is_a_leak(
    lost_and_forgotten: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mistake: Patch,
    options: ExportOptions,
    check: str,
) -> None:
    export(str(lost_and_forgotten), str(tmp_path / "right.db"), options)
    mistake(monkeypatch)
    with pytest.raises(Leak) as caught:
        export(str(lost_and_forgotten), str(tmp_path / "wrong.db"), options)
    assert check in {it.check for it in caught.value.report.findings if it.found}
