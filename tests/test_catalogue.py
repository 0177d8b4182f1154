"""A catalogue holds what is on the list and nothing else, and every page works on it."""

from __future__ import annotations

import csv
import importlib
import io
import json
import os
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from publishing import DAY, HIDDEN, NAMED, OTHER, SECRET_PLACE, make_private
from running import faces, rows
from serving import Site, site
from warm import begin

from datasette_faces.app.datasette.compat import V1
from datasette_faces.errors import CatalogueError
from datasette_faces.library import export as catalogue
from datasette_faces.library.audit import run as audit
from datasette_faces.library.audit.findings import AuditFinding, AuditReport
from datasette_faces.library.publish import public_ids, selection
from datasette_faces.library.publish.options import ExportOptions
from datasette_faces.media import redact
from datasette_faces.media.redact import THUMBNAIL, redact_picture
from datasette_faces.store import people as store
from datasette_faces.store.connection import transaction
from datasette_faces.store.database import writing

pytestmark = pytest.mark.slow

PAGES = ("", "/people", "/search", ".json", "/people.json")


@pytest.fixture(scope="module")
def private(faces_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven faces: two people with a name, one who is hidden, and three faces of nobody."""
    return make_private(faces_db, tmp_path_factory.mktemp("private") / "private.db")


def made(private: Path, folder: Path, *options: object) -> Path:
    out = folder / "catalogue.db"
    result = faces("export", private, out, *options)
    assert result.exit_code == 0, result.output
    return out


def test_a_catalogue_holds_named_people_and_neither_paths_nor_hidden_people(private, tmp_path):
    out = made(private, tmp_path)
    assert sorted(rows(out, "select name, hidden, faces from people")) == [
        (NAMED, 0, 2),
        (OTHER, 0, 1),
    ]
    assert rows(out, "select count(*) from faces") == [(3,)]
    data = out.read_bytes()
    for secret in (HIDDEN, "t1.jpg", "astronaut", str(private.parent), "Canon", DAY + "T"):
        assert secret.encode() not in data
    names = [row[1] for row in rows(out, "pragma table_info(photos)")]
    assert names == ["id", "path", "width", "height", "taken_at", "turned", "thumbnail"]
    assert {row[0] for row in rows(out, "select taken_at from photos")} == {DAY, None}
    assert rows(out, "select count(*) from face_embeddings") == [(0,)]


def test_ids_stay_the_same_whatever_else_is_published(private, tmp_path):
    first = made(private, tmp_path)
    before = set(rows(first, "select id, photo_id, person_id from faces"))
    all_of_it = made(private, tmp_path, "--replace", "--unnamed", "--embeddings")
    after = set(rows(all_of_it, "select id, photo_id, person_id from faces"))
    assert before < after
    assert max(row[0] for row in after) < 2**53


def test_ids_are_in_the_order_of_days():
    key = b"k" * 32
    ids = [
        public_ids.make_public_id(key, "face", "a", day=it)
        for it in (None, "1930", "1999-05", "2020-02-03")
    ]
    assert ids == sorted(ids)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ((), 3),
        (("--unnamed",), 6),
        (("--people", NAMED), 2),
        (("--people", "1"), 2),
        (("--people", NAMED, "--people", OTHER), 3),
        (("--query", "select id from faces where person_id is not null order by id limit 2"), 2),
        (("--query", "select id from faces"), 3),
    ],
)
def test_options_say_which_faces_are_published(private, tmp_path, options, count):
    out = made(private, tmp_path, *options)
    assert rows(out, "select count(*) from faces") == [(count,)]
    assert (HIDDEN,) not in rows(out, "select name from people")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--people", HIDDEN), "No one called"),
        (("--people", "Nobody"), "No one called"),
        (("--query", "select path from photos"), "other values than ids"),
        (("--query", "delete from faces"), "no ids of faces"),
        (("--query", "nonsense"), "no ids of faces"),
        (("--query", "select 1 where 0"), "none of the 3 publishable faces is chosen"),
        (("--query", "select id from faces where id = 3"), "none of the 3 publishable faces"),
        (("--people", "2"), "No one called"),
        (("--watermark", "a\U00013000b"), "No font here has"),
    ],
)
def test_what_cannot_be_published_is_said_in_a_line(private, tmp_path, options, said):
    before = private.read_bytes()
    result = faces("export", private, tmp_path / "out.db", *options)
    assert result.exit_code == 1
    assert said in result.output
    assert list(tmp_path.iterdir()) == []
    assert private.read_bytes() == before


@pytest.mark.parametrize(
    "options",
    [("--originals-url", "http://x/{id}"), ("--originals-url", "https://x/"), ("--gps", "x")],
)
def test_options_that_make_no_sense_are_wrong_usage(private, tmp_path, options):
    assert faces("export", private, tmp_path / "out.db", *options).exit_code == 2


def test_a_file_that_is_there_stays_unless_it_is_to_be_replaced(private, tmp_path):
    out = tmp_path / "catalogue.db"
    out.write_text("mine")
    assert faces("export", private, out).exit_code == 1
    assert out.read_text() == "mine"
    out.unlink()
    for options, code in (((), 0), ((), 1), (("--replace",), 0)):
        assert faces("export", private, out, *options).exit_code == code
    assert rows(out, "select count(*) from faces") == [(3,)]


def test_places_are_those_of_towns_and_originals_have_an_address(private, tmp_path):
    out = made(private, tmp_path, "--gps", "city", "--originals-url", "https://x.org/{id}.jpg")
    found = rows(
        out, "select path, latitude, longitude, original_url from photos order by latitude"
    )
    assert [row[1:3] for row in found] == [
        (None, None),
        tuple(round(value, 1) for value in SECRET_PLACE),
    ]
    # In the one with a place somebody is blurred, and would not be in the original
    assert [row[3] for row in found] == [f"https://x.org/{found[0][0]}.jpg", None]


def test_the_publisher_learns_which_photo_has_which_name(private, tmp_path):
    names = tmp_path / "names.csv"
    out = made(private, tmp_path, "--names", names)
    listed = list(csv.DictReader(names.open()))
    assert {it["id"] for it in listed} == {row[0] for row in rows(out, "select path from photos")}
    assert {Path(it["path"]).name for it in listed} == {"t1.jpg", "astronaut.png"}


@pytest.mark.parametrize("beside", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("option", ["OUT", "--names"])
def test_nothing_is_written_over_the_private_file_or_its_log(private, tmp_path, beside, option):
    own = tmp_path / "own.db"
    shutil.copy(private, own)
    taken = f"{own}{beside}"
    arguments = (taken, "--replace") if option == "OUT" else (tmp_path / "o.db", "--names", taken)
    result = faces("export", own, *arguments, "--replace")
    assert result.exit_code == 1
    assert "would replace the private file" in result.output
    assert own.read_bytes() == private.read_bytes()
    assert [it.name for it in tmp_path.iterdir()] == ["own.db"]


def test_a_link_to_the_private_file_is_that_file(private, tmp_path):
    own, link = tmp_path / "own.db", tmp_path / "link.db"
    shutil.copy(private, own)
    link.symlink_to(own)
    assert faces("export", own, link, "--replace").exit_code == 1
    assert faces("export", own, tmp_path / "o.db", "--names", link, "--replace").exit_code == 1
    assert own.read_bytes() == private.read_bytes()


def test_only_a_catalogue_is_replaced_by_one_and_only_a_list_by_a_list(private, tmp_path):
    other, text = tmp_path / "other.db", tmp_path / "notes.txt"
    shutil.copy(private, other)
    text.write_text("mine")
    for path in (other, text):
        result = faces("export", private, path, "--replace")
        assert (result.exit_code, "is not a catalogue" in result.output) == (1, True)
        result = faces("export", private, tmp_path / "o.db", "--names", path, "--replace")
        assert (result.exit_code, "is not a list of names" in result.output) == (1, True)
    assert other.read_bytes() == private.read_bytes()
    assert text.read_text() == "mine"
    for _ in range(2):
        made(private, tmp_path, "--names", tmp_path / "names.csv", "--replace")
    assert faces("export", private, "").exit_code == 1
    same = faces("export", private, tmp_path / "x.db", "--names", tmp_path / "x.db")
    assert "name two files" in same.output


def test_the_list_of_names_is_for_its_owner_and_is_not_there_without_the_catalogue(
    private, tmp_path, monkeypatch
):
    names = tmp_path / "names.csv"
    made(private, tmp_path, "--names", names)
    if sys.platform != "win32":
        assert stat.S_IMODE(names.stat().st_mode) == 0o600
    names.unlink()
    failing = AuditReport((AuditFinding("x", 1, 1),))
    monkeypatch.setattr(audit, "audit", lambda *args, **options: failing)
    assert faces("export", private, tmp_path / "o.db", "--names", names).exit_code == 1
    assert not names.exists()


def test_a_query_has_to_come_to_an_end(private, tmp_path, monkeypatch):
    monkeypatch.setattr(selection, "QUERY_SECONDS", 0.2)
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n"
    result = faces("export", private, tmp_path / "o.db", "--query", endless)
    assert result.exit_code == 1
    assert "takes over 0.2 seconds" in result.output


def test_a_photo_with_somebody_blurred_has_no_link_to_its_original(private, tmp_path):
    names = tmp_path / "names.csv"
    out = made(private, tmp_path, "--originals-url", "https://x.example/{id}", "--names", names)
    links = dict(rows(out, "select path, original_url from photos"))
    blurred = {row["id"]: int(row["blurred_faces"]) for row in csv.DictReader(names.open())}
    assert sorted(blurred.values()) == [0, 1]
    assert {name: link is None for name, link in links.items()} == {
        name: count > 0 for name, count in blurred.items()
    }


def test_letters_of_a_watermark_that_no_font_can_write_are_found(monkeypatch):
    assert redact.find_missing_letters("plain (c) 2025") == ""
    assert redact.find_missing_letters("a\U00013000") == "\U00013000"
    monkeypatch.setattr(redact, "FONTS", ())
    assert redact.find_missing_letters("a \N{CYRILLIC SMALL LETTER ZHE}") == (
        "\N{CYRILLIC SMALL LETTER ZHE}"
    )


def test_pictures_are_printed_anew_without_metadata(private, tmp_path):
    out = made(private, tmp_path)
    for (data,) in rows(out, "select thumbnail from photos union all select crop from faces"):
        image = Image.open(io.BytesIO(data))
        assert max(image.size) <= 320
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_a_watermark_is_in_every_photo(private, tmp_path):
    plain = rows(made(private, tmp_path), "select id, thumbnail from photos")
    marked = dict(rows(made(private, tmp_path, "--replace", "--watermark", "© A"), PICTURES))
    assert all(redact.differ(data, marked[row_id]) > 0.05 for row_id, data in plain)


def test_a_long_watermark_is_written_smaller():
    grey = Image.new("RGB", (320, 213), "grey")
    data = io.BytesIO()
    grey.save(data, "JPEG")
    plain = np.asarray(Image.open(io.BytesIO(redact_picture(data.getvalue(), THUMBNAIL))), int)
    for text in ("(c) A", "(c) The archive of a town with a name of many letters"):
        marked = redact_picture(data.getvalue(), THUMBNAIL, watermark=text)
        found = np.asarray(Image.open(io.BytesIO(marked)), int)
        columns = np.flatnonzero(np.abs(found - plain).max(axis=(0, 2)) > 60)
        assert 0 < columns.min() < columns.max() < 318, text


PICTURES = "select id, thumbnail from photos"


def test_hidden_people_are_blurred_in_photos_and_with_blur_others_everybody_else(private, tmp_path):
    """Of a face that is blurred nine mean colours are left: its region has hardly an edge."""
    [(photo_id, width, height)] = rows(
        private, "select id, width, height from photos where path like '%t1.jpg'"
    )
    boxes = rows(
        private,
        "select faces.x, faces.y, faces.width, faces.height, people.name from faces "
        "left join people on people.id = person_id where photo_id = ?",
        photo_id,
    )
    few = edges_of(made(private, tmp_path), boxes, width, height)
    all_others = edges_of(
        made(private, tmp_path, "--replace", "--blur-others"), boxes, width, height
    )
    assert few[HIDDEN] < 0.4 * few[NAMED]
    assert few[None] > few[HIDDEN]
    assert all_others[None] < 0.5 * few[None]
    assert all_others[NAMED] > 0.8 * few[NAMED]


def edges_of(out: Path, boxes: Any, width: int, height: int) -> dict[Any, float]:
    """How much pixels differ from their neighbours, in the boxes of each person."""
    import numpy as np

    [(data,)] = rows(out, "select thumbnail from photos where width = ?", width)
    image = Image.open(io.BytesIO(data)).convert("L")
    scale = image.width / width
    found: dict[Any, list[float]] = {}
    for x, y, w, h, name in boxes:
        part = image.crop([int(it * scale) for it in (x, y, x + w, y + h)])
        values = np.asarray(part, np.float32)
        edge = np.abs(np.diff(values, 2, axis=0)).mean() + np.abs(np.diff(values, 2, axis=1)).mean()
        found.setdefault(name, []).append(float(edge))
    return {name: sum(values) / len(values) for name, values in found.items()}


@pytest.fixture(scope="module", params=[(), ("--embeddings", "--unnamed", "--gps", "city")])
def public(private, tmp_path_factory, request) -> Any:
    """A catalogue served as immutable, with and without embeddings."""
    out = made(private, tmp_path_factory.mktemp("public"), *request.param)
    served = Site(immutables=[str(out)])
    yield served, bool(request.param), out
    served.close()


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_of_a_catalogue_work(public, page):
    served, _, _ = public
    answer = served.get(f"/catalogue/-/faces{page}")
    assert answer.status_code == 200, answer.text[:500]


def test_the_pages_of_its_photos_faces_and_people_work(public):
    served, searchable, out = public
    for table, kind in (("photos", "photo"), ("faces", "face"), ("people", "people")):
        for (row_id,) in rows(out, f"select id from {table}"):
            for ending in ("", ".json"):
                answer = served.get(f"/catalogue/-/faces/{kind}/{row_id}{ending}")
                assert answer.status_code == 200, answer.text[-500:]
                assert "None" not in re.sub(r"<[^>]+>", "", answer.text)
            assert served.get(f"/catalogue/{table}/{row_id}").status_code == 200
    for (row_id,) in rows(out, "select id from faces"):
        assert served.get(f"/catalogue/-/faces/crop/{row_id}.jpg").status_code == 200
        told = served.json(f"/catalogue/-/faces/face/{row_id}.json")
        assert bool(told["nearest"]) == searchable
        if searchable:
            found = served.json(f"/catalogue/-/faces/search.json?face={row_id}&k=3")
            assert found["results"]
    for (row_id,) in rows(out, "select id from photos"):
        assert served.get(f"/catalogue/-/faces/thumbnail/{row_id}.jpg").status_code == 200


def test_rows_as_a_gallery_are_called_after_people_and_not_after_what_is_made_up(public):
    served, _, out = public
    query = "/catalogue/-/query.faces" if V1 else "/catalogue.faces"
    for address in (
        "/catalogue/faces.faces",
        f"{query}?sql=select+faces.id+as+face_id,+path+from+faces+join+photos+on+photos.id=photo_id",
    ):
        page = served.get(address)
        assert page.status_code == 200, page.text[:500]
        for (name,) in rows(out, "select path from photos"):
            assert name not in page.text
        assert "person" not in re.sub(r"<nav.*?</nav>", "", page.text.split("<main")[-1]).lower()
    assert page.text.count(f'alt="{NAMED}"') == 2


def test_the_gallery_of_a_catalogue_asks_nothing_that_is_its_owners(public, private):
    served, _, _ = public
    page = served.get("/catalogue/-/faces").text
    with site(private) as own:
        owners = own.get("/private/-/faces").text
    for name in ("min_score", "min_sharpness"):
        assert name not in page
        assert name in owners
    assert "min_size" in page


def test_visitors_are_not_told_what_to_install(private, tmp_path, monkeypatch):
    # The package calls the view as its module
    module = importlib.import_module("datasette_faces.app.web.search")
    monkeypatch.setattr(module, "missing", lambda page, model_id: "pip install it")
    out = made(private, tmp_path, "--embeddings")
    everybody = {"plugins": {"datasette-faces": {"permissions": {"faces-upload": True}}}}
    with site(immutables=[str(out)], metadata=everybody) as served:
        page = served.get("/catalogue/-/faces/search").text
    assert "does not accept photos" in page
    assert "pip install" not in page


def test_nothing_leads_to_what_a_catalogue_has_not(public):
    served, _, out = public
    (face,) = rows(out, "select min(id) from faces")[0]
    for page in ("/history", "/review", f"/image/{face}.jpg"):
        assert served.get(f"/catalogue/-/faces{page}").status_code in (403, 404)
    (person,) = rows(out, "select min(id) from people")[0]
    for page in ("", "/people", f"/people/{person}", f"/face/{face}"):
        links = re.findall(
            r'href="(/catalogue/[^"#]*)"', served.get(f"/catalogue/-/faces{page}").text
        )
        assert [it for it in set(links) if served.get(it).status_code != 200] == []
    person = rows(out, "select id from people")[0][0]
    for page in ("", "/people", f"/people/{person}", f"/face/{face}", "/search"):
        assert "/history" not in served.get(f"/catalogue/-/faces{page}").text
    assert "Folder" not in served.get(f"/catalogue/-/faces/search?face={face}").text
    folder = served.get(f"/catalogue/-/faces/search.json?face={face}&folder=/a")
    assert folder.status_code in (400, 404)
    front = served.get("/catalogue").text
    assert "/catalogue/decisions" not in front
    assert "/catalogue/faces" in front


def test_a_portable_catalogue_opens_without_plugin_and_without_sqlite_vec(private, tmp_path):
    out = made(private, tmp_path, "--embeddings", "--portable")
    with sqlite3.connect(out) as conn:
        for (table,) in conn.execute("select name from sqlite_master where type = 'table'"):
            conn.execute(f"select * from {table}").fetchall()
    environment = {**os.environ, "DATASETTE_LOAD_PLUGINS": ""}
    command = [sys.executable, "-m", "datasette", "-i", str(out), "--get", "/catalogue/faces.json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert len(json.loads(done.stdout)["rows"]) == 3


def test_with_embeddings_it_says_that_they_are_biometric_data(private, tmp_path):
    result = faces("export", private, tmp_path / "out.db", "--embeddings")
    assert "biometric" in result.output
    assert rows(tmp_path / "out.db", "select count(*) from face_embeddings") == [(3,)]
    assert rows(tmp_path / "out.db", "select count(*) from vec_faces_sface") == [(3,)]


def test_json_says_what_was_made_and_what_was_left_out(private, tmp_path):
    result = faces("export", private, tmp_path / "out.db", "--json")
    told = json.loads(result.stdout)
    assert (told["photos"], told["faces"], told["people"]) == (2, 3, 2)
    assert told["left_out"] == {"hidden": 1, "unnamed": 3, "others": 0}
    assert told["audit"]["leaks"] == 0


def test_an_export_that_fails_its_audit_leaves_nothing(private, tmp_path, monkeypatch):
    monkeypatch.setattr(redact, "redact_picture", lambda data, *_, **__: data + b"Exif\0\0")
    result = faces("export", private, tmp_path / "out.db")
    assert result.exit_code == 1
    assert "was not kept" in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_process_of_its_own_finds_what_a_thread_finds(private, tmp_path, monkeypatch):
    out = made(private, tmp_path)
    with out.open("ab") as file:
        file.write(HIDDEN.encode())
    by_thread = audit.audit(str(out), str(private))
    monkeypatch.setattr(audit, "PROCESS_FROM_BYTES", 1)
    assert by_thread.leaks > 1
    assert audit.audit(str(out), str(private)) == by_thread


def _end(*arguments: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
def test_an_export_whose_audit_is_killed_leaves_nothing_and_says_so(private, tmp_path, monkeypatch):
    monkeypatch.setattr(audit, "PROCESS_FROM_BYTES", 1)
    monkeypatch.setattr(audit, "_search_bytes", _end)
    result = faces("export", private, tmp_path / "out.db")
    assert result.exit_code == 1
    assert "was killed" in result.output
    assert list(tmp_path.iterdir()) == []


def test_kill_9_leaves_no_catalogue_or_a_whole_one(private, tmp_path):
    out = tmp_path / "out.db"
    whole = stopped = 0
    for number in range(12):
        process = begin("datasette", "faces", "export", private, out, "--replace")
        began = time.monotonic()
        # From the moment on when there is something of it
        while process.poll() is None and not list(tmp_path.glob(".out.db*")):
            assert time.monotonic() - began < 60
            time.sleep(0.002)
        time.sleep(0.03 * number)
        process.kill()
        process.communicate()
        stopped += process.returncode == -signal.SIGKILL
        if out.exists():
            whole += 1
            assert faces("audit", out, "--against", private).exit_code == 0
            out.unlink()
    assert stopped
    assert faces("export", private, out).exit_code == 0
    assert [item.name for item in tmp_path.iterdir()] == ["out.db"]


def test_two_files_never_share_public_ids(private, faces_db, tmp_path):
    other = make_private(faces_db, tmp_path / "other.db")
    mine = rows(made(private, tmp_path), "select id from faces")
    (tmp_path / "b").mkdir()
    theirs = rows(made(other, tmp_path / "b"), "select id from faces")
    assert not set(mine) & set(theirs)


def test_nothing_is_published_of_a_person_who_is_hidden_since(private, tmp_path):
    copy = tmp_path / "copy.db"
    copy.write_bytes(private.read_bytes())
    with writing(str(copy)) as conn, transaction(conn):
        from datasette_faces.people import decide

        decide.hide(conn, store.of_name(conn, NAMED)[0].id)
    out = made(copy, tmp_path)
    assert rows(out, "select name from people") == [(OTHER,)]
    with pytest.raises(CatalogueError):
        catalogue.export(str(copy), str(tmp_path / "x.db"), ExportOptions(people=(NAMED,)))


def test_real_photographs_are_published_without_the_hidden_person(shared, tmp_path):
    database = tmp_path / "x.db"
    assert faces("ingest", database, shared / "photos" / "studio", "--json").exit_code == 0
    listed = json.loads(faces("people", database, "list", "--json").stdout)
    for number, name in enumerate(("Ada Adams", "Bo Brook", "Cy Cole", "Hilde Hidden-Hansen")):
        faces("people", database, "name", listed[number]["id"], name)
    faces("people", database, "hide", listed[3]["id"])
    out = made(database, tmp_path, "--embeddings")
    assert b"Hidden-Hansen" not in out.read_bytes()
    assert rows(out, "select count(*) from people") == [(3,)]
    data = out.read_bytes()
    for (vector,) in rows(
        database,
        "select embedding from face_embeddings join faces on faces.id = face_id "
        "where person_id = ?",
        listed[3]["id"],
    ):
        assert vector not in data
        assert vector[:16] not in data
    with site(immutables=[str(out)]) as served:
        assert served.get("/catalogue/-/faces").status_code == 200
