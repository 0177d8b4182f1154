"""Who sees what: pages, JSON, pictures and links, by `allow` blocks in metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from serving import Site, copied, metadata_with, site

from datasette_faces.app.datasette.compat import V1

ONLY_ANN = {"id": "ann"}
HTML = ("", "/photo/1", "/face/1")
PICTURES = ("/crop/1.jpg", "/thumbnail/1.jpg", "/image/1.jpg")
PAGES = (*HTML, "/.json", "/photo/1.json", "/face/1.json", *PICTURES)

DENIED_BY_TABLE = {
    "faces": set(PAGES) - {"/thumbnail/1.jpg", "/image/1.jpg"},
    "photos": set(PAGES) - {"/crop/1.jpg"},
    "photo_paths": {"/photo/1", "/photo/1.json", "/image/1.jpg"},
    "face_embeddings": {"/face/1", "/face/1.json"},
    "models": set(),
}


def private(database: Path, settings: dict[str, Any], **top: Any) -> AbstractContextManager[Site]:
    """The database with these settings of its own in metadata, originals served."""
    metadata = {**metadata_with(serve_originals=True), "databases": {"faces": settings}, **top}
    return site(database, metadata=metadata)


def table_for_ann(table: str) -> dict[str, Any]:
    return {"tables": {table: {"allow": ONLY_ANN}}}


def refused(served: Site, actor: str | None = None) -> set[str]:
    """The pages that answer 403; all others have to answer 200."""
    statuses = {page: served.get(address(page), actor=actor).status_code for page in PAGES}
    assert set(statuses.values()) <= {200, 403}, statuses
    return {page for page, status in statuses.items() if status == 403}


def address(page: str) -> str:
    return (
        "/faces/-/faces"
        + ("" if page == "/.json" else page)
        + (".json" if page == "/.json" else "")
    )


@pytest.fixture
def nobody_else(faces_db: Path) -> Iterator[Site]:
    """A database that only ann may see."""
    with private(faces_db, {"allow": ONLY_ANN}) as served:
        yield served


@pytest.mark.slow
@pytest.mark.parametrize("table", DENIED_BY_TABLE)
def test_what_shows_a_table_is_refused_to_who_may_not_see_it(faces_db: Path, table: str) -> None:
    with private(faces_db, table_for_ann(table)) as served:
        assert refused(served) == DENIED_BY_TABLE[table]
        assert refused(served, "bob") == DENIED_BY_TABLE[table]
        assert refused(served, "ann") == set()


def test_a_private_database_is_refused_everywhere_but_to_its_owner(nobody_else: Site) -> None:
    assert refused(nobody_else) == set(PAGES)
    assert refused(nobody_else, "bob") == set(PAGES)
    assert refused(nobody_else, "ann") == set()


def test_a_private_instance_is_refused_everywhere(faces_db: Path) -> None:
    with private(faces_db, {}, allow=ONLY_ANN) as served:
        assert refused(served) == set(PAGES)
        assert refused(served, "ann") == set()


def test_a_refusal_of_json_is_json_and_tells_nothing_of_what_is_there(nobody_else: Site) -> None:
    answers = [
        nobody_else.json(f"/faces/-/faces/{kind}/{row}.json", status=403)
        for kind in ("face", "photo")
        for row in (1, 99)
    ]
    for answer in answers:
        assert answer == {"ok": False, "error": answers[0]["error"], "status": 403}
    assert "denied" in answers[0]["error"].lower()
    for kind in ("crop", "thumbnail", "image"):
        assert nobody_else.get(f"/faces/-/faces/{kind}/99.jpg").status_code == 403


def test_a_picture_in_the_browsers_cache_is_not_confirmed_to_who_may_not_see_it(
    nobody_else: Site,
) -> None:
    etag = nobody_else.get("/faces/-/faces/crop/1.jpg", actor="ann").headers["etag"]
    assert nobody_else.get("/faces/-/faces/crop/1.jpg", if_none_match=etag).status_code == 403


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{"allow": ONLY_ANN}, table_for_ann("faces"), table_for_ann("photos")]
)
def test_menus_link_to_the_gallery_for_those_alone_who_may_see_it(
    faces_db: Path, settings: dict[str, Any]
) -> None:
    with private(faces_db, settings) as served:
        for page in ("/", "/faces", "/faces/photos", "/faces/models", "/faces/faces"):
            assert not gallery_links(served, page, None), page
        for page in ("/", "/faces", "/faces/photos", "/faces/faces"):
            assert gallery_links(served, page, "ann"), page


def gallery_links(served: Site, page: str, actor: str | None) -> list[str]:
    response = served.get(page, actor=actor)
    assert response.status_code in (200, 403)
    return re.findall(r'href="(/faces/-/faces)"', response.text)


def test_menus_of_a_database_without_faces_have_no_link(tmp_path: Path) -> None:
    (tmp_path / "x.db").touch()
    plants = copied(tmp_path / "x.db", tmp_path / "plants.db", "create table faces (name text)")
    with site(plants) as served:
        for page in ("/", "/plants", "/plants/faces"):
            response = served.get(page)
            assert response.status_code == 200
            assert "/-/faces" not in response.text


@pytest.mark.parametrize(
    ("settings", "options"),
    [({"allow_sql": ONLY_ANN}, {}), ({}, {"settings": {"default_allow_sql": False}})],
    ids=["allow_sql", "default_allow_sql"],
)
def test_the_link_to_sql_is_not_there_for_who_may_not_run_it(
    faces_db: Path, settings: dict[str, Any], options: dict[str, Any]
) -> None:
    if V1 and settings:
        options = {"config": {"databases": {"faces": settings}}}  # 1.0 reads permissions from there
    metadata = {"databases": {"faces": settings}}
    with site(faces_db, metadata=metadata, **options) as served:
        for page in HTML:
            text = served.get(address(page)).text
            assert "This data as" in text
            assert "View and edit SQL" not in text
            if settings:
                assert "View and edit SQL" in served.get(address(page), actor="ann").text


@pytest.mark.slow
@pytest.mark.parametrize("table", ["vec_faces_sface", "vec_faces_sface_vector_chunks00"])
def test_vectors_are_refused_to_who_may_not_see_the_embeddings(faces_db: Path, table: str) -> None:
    with private(faces_db, table_for_ann("face_embeddings")) as served:
        for path in (f"/faces/{table}", f"/faces/{table}.json", f"/faces/{table}/1"):
            assert served.get(path).status_code == 403, path
        assert served.get(f"/faces/{table}", actor="ann").status_code == 200
        listed = {it["name"] for it in served.json("/faces.json")["tables"]}
        assert table not in listed
    with private(faces_db, {}) as served:
        assert served.get(f"/faces/{table}").status_code == 200
