"""The pages, their JSON and their pictures, as Datasette's own client gets them. No browser."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from archive import OTHERS
from PIL import Image
from serving import (
    Site,
    asked,
    assert_links_work,
    copied,
    ids,
    links_of,
    metadata_with,
    plain_site,
    site,
)
from toy_model import BLUE, GREEN, RED, ToyModel, draw

from datasette_faces.library.ingest.run import ingest
from datasette_faces.store.database import writing

HOSTILE = "<img src=x onerror=alert(1)> \"double\" 'single' & two\nlines {{ 7*7 }} %20 ~2F.png"
NOT_UTF8 = b"caf\xe9 <i>.png"
HUGE = 2**63


@pytest.fixture
def gallery(archive: Path) -> Iterator[Site]:
    with site(archive) as it:
        yield it


@pytest.fixture
def others_db(tmp_path: Path) -> Path:
    """A database that has nothing to do with faces."""
    path = tmp_path / "others.db"
    path.touch()
    return copied(path, tmp_path / "plants.db", "create table plants (name text)")


class TestWhatThePagesGive:
    def test_the_gallery_is_html_with_a_link_and_a_picture_for_each_face(
        self, served: Site
    ) -> None:
        page = served.get("/faces/-/faces")
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        for face_id in range(1, 8):
            assert f'href="/faces/-/faces/face/{face_id}"' in page.text
            assert f'src="/faces/-/faces/crop/{face_id}.jpg"' in page.text
        assert "<strong>7</strong> faces" in page.text
        assert served.get("/faces/-/faces/").status_code == 200

    def test_the_gallery_as_json_has_the_newest_face_first(
        self, served: Site, faces_db: Path
    ) -> None:
        answer = served.json("/faces/-/faces.json")
        assert set(answer) == {"faces", "next_url"}
        assert answer["next_url"] is None
        assert ids(answer["faces"]) == [7, 6, 5, 4, 3, 2, 1]
        first = answer["faces"][0]
        stored = asked(
            faces_db,
            "select faces.id, photo_id, path, taken_at, faces.width, faces.height, detection_score,"
            " sharpness from faces join photos on photos.id = photo_id where faces.id = 7",
        )
        assert tuple(first[name] for name in first if not name.endswith("url")) == stored[0]
        assert served.get(urlsplit(first["url"]).path).status_code == 200
        assert served.get(urlsplit(first["crop_url"]).path).status_code == 200

    def test_a_photo_has_a_box_round_each_face(self, served: Site, faces_db: Path) -> None:
        page = served.get("/faces/-/faces/photo/1")
        assert page.text.count("<rect ") == 6
        answer = served.json("/faces/-/faces/photo/1.json")
        assert set(answer) == {"photo", "faces"}
        assert (answer["photo"]["width"], answer["photo"]["height"]) == (1280, 886)
        assert "thumbnail" not in answer["photo"]
        assert len(answer["photo"]["paths"]) == 1
        assert ids(answer["faces"]) == [
            row[0] for row in asked(faces_db, "select id from faces where photo_id = 1 order by x")
        ]
        assert all(len(face["landmarks"]) == 5 for face in answer["faces"])
        assert all("crop" not in face for face in answer["faces"])

    def test_a_face_has_its_neighbours_most_similar_first(self, served: Site) -> None:
        answer = served.json("/faces/-/faces/face/1.json")
        assert set(answer) == {"face", "model", "nearest", "why"}
        assert answer["model"] == "sface"
        assert answer["face"]["models"] == ["sface"]
        assert sorted(ids(answer["nearest"])) == [2, 3, 4, 5, 6, 7]
        similarities = [face["similarity"] for face in answer["nearest"]]
        assert similarities == sorted(similarities, reverse=True)
        page = served.get("/faces/-/faces/face/1")
        assert "The 6 nearest faces" in page.text
        shown = re.findall(r"/crop/(\d+)\.jpg", page.text)
        assert [int(face_id) for face_id in shown] == [1, *ids(answer["nearest"])]

    def test_a_face_can_be_looked_at_by_another_model(self, gallery: Site) -> None:
        page = gallery.get("/various/-/faces/face/5?model=other")
        assert "<strong>other</strong>" in page.text
        nearest = gallery.json("/various/-/faces/face/5.json?model=other")["nearest"]
        assert len(nearest) == OTHERS - 1
        assert len(gallery.json("/various/-/faces/face/5.json")["nearest"]) == 24

    @pytest.mark.parametrize("page", ["", "/photo/1", "/face/1"])
    def test_every_page_links_to_its_json_with_the_same_filters(
        self, served: Site, page: str
    ) -> None:
        text = served.get(f"/faces/-/faces{page}?model=sface").text
        link = f"/faces/-/faces{page}.json?model=sface"
        assert f'href="{link}"' in text
        assert served.get(link).status_code == 200

    def test_no_page_asks_another_host_for_anything(self, served: Site) -> None:
        for page in ("", "/photo/1", "/face/1"):
            text = served.get(f"/faces/-/faces{page}").text
            sources = re.findall(r'(?:src|<link[^>]* href)="([^"]*)"', text)
            assert sources
            assert all(source.startswith("/") for source in sources)

    def test_a_database_without_its_index_still_finds_the_nearest_faces(
        self, served: Site, faces_db: Path, tmp_path: Path
    ) -> None:
        bare = copied(faces_db, tmp_path / "bare.db", "drop table vec_faces_sface")
        path = "/-/faces/face/3.json"
        with_index = served.json(f"/faces{path}")["nearest"]
        with site(bare) as without:
            nearest = without.json(f"/bare{path}")["nearest"]
            link = sql_link(without.get("/bare/-/faces/face/3").text)
            assert ids(without.follow_sql(link)) == ids(nearest)
        assert ids(nearest) == ids(with_index)
        for one, other in zip(nearest, with_index, strict=True):
            assert one["similarity"] == pytest.approx(other["similarity"], abs=1e-6)


class TestWhatIsNotThere:
    @pytest.mark.parametrize(
        "path",
        [
            "/faces/-/faces/face/99",
            "/faces/-/faces/photo/99",
            f"/faces/-/faces/face/{HUGE}",
            f"/faces/-/faces/photo/{HUGE * 10**40}",
            "/nowhere/-/faces",
            "/nowhere/-/faces/face/1",
            "/plants/-/faces",
            "/plants/-/faces/photo/1",
        ],
    )
    def test_is_404_as_html_and_as_json(self, faces_db: Path, others_db: Path, path: str) -> None:
        with site(faces_db, others_db) as served:
            page = served.get(path)
            assert page.status_code == 404
            assert page.headers["content-type"].startswith("text/html")
            answer = served.json(f"{path}.json", status=404)
            assert answer["ok"] is False
            assert answer["status"] == 404
            assert answer["error"]

    @pytest.mark.parametrize(
        "path", ["crop/99.jpg", "thumbnail/99.jpg", f"crop/{HUGE}.jpg", "crop/x.jpg", "crop/1.png"]
    )
    def test_a_picture_that_is_not_there_is_404(self, served: Site, path: str) -> None:
        assert served.get(f"/faces/-/faces/{path}").status_code == 404

    @pytest.mark.parametrize(
        "path",
        [
            "/faces/-/faces/image/../../../../etc/passwd",
            "/faces/-/faces/image/..%2f..%2fetc%2fpasswd.jpg",
            "/faces/-/faces/crop/%2e%2e/1.jpg",
            "/faces/-/faces/crop/1~2F..~2F2.jpg",
            "/faces/-/faces/image/1.jpg%00.png",
            "/..%2f/-/faces",
            "/faces/-/faces/face/1%0a",
        ],
    )
    def test_paths_that_climb_lead_nowhere(self, faces_db: Path, path: str) -> None:
        with site(faces_db, metadata=metadata_with(serve_originals=True)) as served:
            assert served.get(path, follow=True).status_code == 404

    @pytest.mark.parametrize(
        ("query", "says"),
        [
            ("min_size=large", "min_size takes a number, not 'large'"),
            ("min_score=nan", "min_score takes a number up to"),
            ("min_sharpness=1e999", "min_sharpness takes a number up to"),
            ("taken_from=yesterday", "taken_from takes a day like 2019-05-31"),
            ("taken_to=2019-02-30", "taken_to takes a day like 2019-05-31"),
            ("taken_to=2019-13", "taken_to takes a day like 2019-05-31"),
            ("taken_to=0000", "taken_to takes a day like 2019-05-31"),
            ("after=x", "after takes the id of a face, not 'x'"),
            (f"after={HUGE}", "after takes the id of a face"),
            ("after=-1", "after takes the id of a face"),
            ("min_size=<script>", "min_size takes a number, not '<script>'"),
        ],
    )
    def test_a_bad_filter_is_400_and_says_what_would_do(
        self, served: Site, query: str, says: str
    ) -> None:
        page = served.get(f"/faces/-/faces?{query}")
        assert page.status_code == 400
        assert page.headers["content-type"].startswith("text/html")
        assert says in unescape(page.text)
        assert "<script>" not in page.text.split("<body")[1].replace("<script>\n", "")
        answer = served.json(f"/faces/-/faces.json?{query}", status=400)
        assert says in answer["error"]

    def test_a_model_that_did_not_see_the_face_is_400(self, served: Site) -> None:
        answer = served.json("/faces/-/faces/face/1.json?model=buffalo_l", status=400)
        assert "has no embedding by 'buffalo_l'" in answer["error"]
        assert served.get("/faces/-/faces/face/1?model=buffalo_l").status_code == 400

    def test_a_database_with_no_faces_yet_says_how_to_get_some(self, tmp_path: Path) -> None:
        empty = tmp_path / "empty.db"
        with writing(str(empty)):
            pass
        with site(empty) as served:
            assert served.json("/empty/-/faces.json") == {"faces": [], "next_url": None}
            page = served.get("/empty/-/faces")
            assert page.status_code == 200
            assert "datasette faces ingest" in page.text

    def test_a_face_alone_says_that_there_are_no_others(self, tmp_path: Path, photos: Path) -> None:
        draw(photos / "one.png", RED)
        database = tmp_path / "one.db"
        ingest(str(database), [str(photos)], ToyModel(), worker_count=1)
        with site(database) as served:
            assert served.json("/one/-/faces/face/1.json")["nearest"] == []
            assert "no other faces by toy" in served.get("/one/-/faces/face/1").text

    def test_a_face_without_an_embedding_still_has_its_page(
        self, faces_db: Path, tmp_path: Path
    ) -> None:
        path = copied(
            faces_db, tmp_path / "some.db", "delete from face_embeddings where face_id = 1"
        )
        with site(path) as served:
            assert "has no embedding" in served.get("/some/-/faces/face/1").text
            answer = served.json("/some/-/faces/face/1.json")
            assert (answer["model"], answer["nearest"]) == (None, [])


class TestPagesOfTheGallery:
    @pytest.mark.parametrize("query", ["", "?min_size=30", "?model=toy&taken_from=2018"])
    def test_following_next_url_visits_every_face_once(
        self, gallery: Site, archive: Path, query: str
    ) -> None:
        visited: list[int] = []
        url = f"/various/-/faces.json{query}"
        while url:
            answer = gallery.json(url)
            visited += ids(answer["faces"])
            url = answer["next_url"]
        where = {
            "": "1",
            "?min_size=30": "min(width, height) >= 30",
            "?model=toy&taken_from=2018": "photo_id > 1",
        }[query]
        everyone = asked(archive, f"select id from faces where {where} order by id desc")
        assert visited == [row[0] for row in everyone]
        assert len(visited) > 60

    def test_the_next_page_of_html_goes_on_where_this_one_ended_with_the_same_filters(
        self, gallery: Site
    ) -> None:
        first = gallery.get("/various/-/faces?min_score=0.6&taken_from=2018-11&model=toy").text
        link = unescape(re.search(r'rel="next"[^>]*href="([^"]+)"', first)[1])
        for kept in ("min_score=0.6", "taken_from=2018-11", "model=toy"):
            assert kept in link
        second = gallery.get(link).text
        shown = [
            [int(face_id) for face_id in re.findall(r"/crop/(\d+)\.jpg", page)]
            for page in (first, second)
        ]
        assert len(shown[0]) == 60
        assert shown[0][-1] > shown[1][0]
        assert 'rel="next"' not in second
        assert "First page" in second

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("query", "condition"),
        [
            ("min_size=50", "min(f.width, f.height) >= 50"),
            ("min_size=29.5", "min(f.width, f.height) >= 29.5"),
            ("min_score=0.9", "detection_score >= 0.9"),
            ("min_sharpness=300", "sharpness >= 300"),
            ("taken_from=2019-06-05", "date(taken_at) >= '2019-06-05'"),
            ("taken_to=2019-03-05", "date(taken_at) <= '2019-03-05'"),
            ("taken_from=2019-02&taken_to=2019-04", "substr(taken_at, 6, 2) in ('02', '03', '04')"),
            ("taken_to=2018", "taken_at < '2019'"),
            ("taken_from=2019-12-31&taken_to=2019-12-31", "p.id = 15"),
            ("taken_from=2020", "0"),
            (
                "model=other",
                "f.id in (select face_id from face_embeddings where model_id = 'other')",
            ),
            ("model=none", "0"),
            (
                "min_size=50&min_score=0.8",
                "min(f.width, f.height) >= 50 and detection_score >= 0.8",
            ),
            ("min_size=&taken_from=&model=", "1"),
        ],
    )
    def test_a_filter_shows_what_sql_says(
        self, gallery: Site, archive: Path, query: str, condition: str
    ) -> None:
        right = asked(
            archive,
            "select f.id from faces f join photos p on p.id = f.photo_id"
            f" where {condition} order by f.id desc limit 60",
        )
        assert ids(gallery.json(f"/various/-/faces.json?{query}")["faces"]) == [
            row[0] for row in right
        ]
        page = gallery.get(f"/various/-/faces?{query}")
        assert ("No faces match" in page.text) == (not right)

    def test_a_filter_stays_in_the_form(self, gallery: Site) -> None:
        text = gallery.get("/various/-/faces?min_size=50&taken_from=2018&model=other").text
        assert re.search(r'name="min_size"[^>]*value="50"', text)
        # A year is no day: a date input would show nothing and warn
        assert re.search(r'type="text" name="taken_from"[^>]*value="2018"', text)
        assert "<option selected>other</option>" in text
        assert "Show all" in text


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos whose names are markup, hold quotes and newlines, or are not UTF-8."""
    folder = tmp_path_factory.mktemp("hostile")
    photos = folder / "photos"
    photos.mkdir()
    draw(photos / HOSTILE.replace("/", "_"), RED, GREEN)
    bad = os.path.join(os.fsencode(photos), NOT_UTF8)
    try:
        shutil.move(os.fsencode(draw(photos / "x.png", BLUE)), bad)
    except OSError:
        (photos / "x.png").rename(photos / "café <i>.png")  # a file system that takes UTF-8 only
    database = folder / "hostile.db"
    ingest(str(database), [str(photos)], ToyModel(), worker_count=1)
    return database


class TestNames:
    @pytest.mark.parametrize(
        "page", ["", "/photo/1", "/photo/2", "/face/1", "/face/2", "/face/3", "?model=<i>%22'"]
    )
    def test_are_text_and_never_html(self, hostile: Path, page: str) -> None:
        with plain_site(hostile) as served:
            response = served.get(f"/hostile/-/faces{page}")
            assert response.status_code == 200
            for harm in ("<img src=x", "<i>", "onerror=alert(1)>", "49"):
                assert harm not in response.text.split('<section class="content"')[1], harm
            path, _, query = page.partition("?")
            assert served.json(f"/hostile/-/faces{path}.json?{query}")

    def test_of_any_kind_lead_to_the_file_itself(self, hostile: Path) -> None:
        with plain_site(hostile, metadata=metadata_with(serve_originals=True)) as served:
            for photo_id in (1, 2):
                picture = served.get(f"/hostile/-/faces/image/{photo_id}.jpg")
                assert picture.headers["content-type"] == "image/png"

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["two words", "a.b", "50%", "über", "a~b", "-", "a'b\"c<i>"])
    def test_of_databases_are_encoded_in_every_link(
        self, faces_db: Path, tmp_path: Path, name: str
    ) -> None:
        path = tmp_path / f"{name}.db"
        shutil.copy(faces_db, path)
        with plain_site(path) as served:
            base = str(served.datasette.urls.database(name))
            home = served.get("/").text
            assert f'href="{base}/-/faces"' in home
            every = set()
            for page in ("", "/photo/1", "/face/1"):
                links = links_of(served.get(f"{base}/-/faces{page}").text)
                assert len(links) > 5
                every |= links
            assert_links_work(served, every)


class TestBaseUrl:
    @pytest.mark.slow
    @pytest.mark.parametrize("keeps_prefix", [True, False])
    def test_every_link_begins_with_it_and_works(self, faces_db: Path, keeps_prefix: bool) -> None:
        with plain_site(faces_db, settings={"base_url": "/a/b/"}) as served:
            links = set()
            for page in ("", "/photo/1", "/face/1", "?min_size=20"):
                prefix = "/a/b" if keeps_prefix else ""
                links |= links_of(served.get(f"{prefix}/faces/-/faces{page}").text)
            assert all(link.startswith("/a/b/") for link in links), links
            assert not [link for link in links if link.startswith("/a/b/a/b")]
            assert_links_work(served, links)
            face = served.json("/a/b/faces/-/faces.json")["faces"][0]
            assert urlsplit(face["crop_url"]).path == "/a/b/faces/-/faces/crop/7.jpg"


class TestPictures:
    def test_crops_and_thumbnails_are_those_of_the_database(
        self, served: Site, faces_db: Path
    ) -> None:
        for kind, sql in (
            ("crop", "select crop from faces where id = 1"),
            ("thumbnail", "select thumbnail from photos where id = 1"),
        ):
            picture = served.get(f"/faces/-/faces/{kind}/1.jpg")
            assert picture.content == asked(faces_db, sql)[0][0]
            assert picture.headers["content-type"] == "image/jpeg"
            assert picture.headers["x-content-type-options"] == "nosniff"

    @pytest.mark.parametrize("actor", [None, "ann"])
    def test_pictures_are_kept_by_the_browser_alone_with_a_cookie_too(
        self, served: Site, actor: str | None
    ) -> None:
        picture = served.get("/faces/-/faces/crop/1.jpg", actor=actor)
        control = picture.headers["cache-control"]
        assert "private" in control
        assert "max-age=300" in control
        assert "no-store" not in control
        etag = picture.headers["etag"]
        again = served.get("/faces/-/faces/crop/1.jpg", actor=actor, if_none_match=f'"x", {etag}')
        assert again.status_code == 304
        assert again.content == b""
        assert again.headers["etag"] == etag
        assert served.get("/faces/-/faces/crop/1.jpg", if_none_match='"x"').status_code == 200
        assert served.get("/faces/-/faces/crop/2.jpg").headers["etag"] != etag

    @pytest.mark.parametrize("settings", [{}, {"serve_originals": False}])
    def test_originals_are_not_served_unless_the_setting_says_so(
        self, faces_db: Path, settings: dict[str, object]
    ) -> None:
        with site(faces_db, metadata=metadata_with(**settings)) as served:
            assert served.get("/faces/-/faces/image/1.jpg").status_code == 403
            assert "/image/1.jpg" not in served.get("/faces/-/faces/photo/1").text

    @pytest.mark.parametrize("per_database", [True, False])
    def test_originals_are_served_where_the_setting_says_so(
        self, faces_db: Path, t1_jpg: Path, astronaut_png: Path, per_database: bool
    ) -> None:
        metadata = metadata_with(serve_originals=True)
        if per_database:
            metadata = {"databases": {"faces": metadata}}
        with site(faces_db, metadata=metadata) as served:
            picture = served.get("/faces/-/faces/image/1.jpg")
            assert picture.content == t1_jpg.read_bytes()
            assert picture.headers["content-type"] == "image/jpeg"
            assert picture.headers["x-content-type-options"] == "nosniff"
            other = served.get("/faces/-/faces/image/2.jpg")
            assert other.content == astronaut_png.read_bytes()
            assert other.headers["content-type"] == "image/png"
            assert "/image/1.jpg" in served.get("/faces/-/faces/photo/1").text
            assert served.get("/faces/-/faces/image/3.jpg").status_code == 404

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "harm",
        ["another file", "as long", "a link", "a link to a device", "a fifo", "a folder", "gone"],
    )
    def test_what_lies_in_the_place_of_an_original_is_never_served(
        self, tmp_path: Path, photos: Path, harm: str
    ) -> None:
        photo = draw(photos / "one.png", RED)
        database = tmp_path / "one.db"
        ingest(str(database), [str(photo)], ToyModel(), worker_count=1)
        size = photo.stat().st_size
        photo.unlink()
        secret = tmp_path / "secret.png"
        secret.write_bytes(b"s" * size)
        {
            "another file": lambda: draw(photo, GREEN, note="another"),
            "as long": lambda: photo.write_bytes(secret.read_bytes()),
            "a link": lambda: photo.symlink_to(secret),
            "a link to a device": lambda: photo.symlink_to("/dev/zero"),
            "a fifo": lambda: os.mkfifo(photo),
            "a folder": photo.mkdir,
            "gone": lambda: None,
        }[harm]()
        with site(database, metadata=metadata_with(serve_originals=True)) as served:
            picture = served.get("/one/-/faces/image/1.jpg")
            assert picture.status_code == 200
            assert picture.headers["content-type"] == "image/jpeg"
            assert picture.content == asked(database, "select thumbnail from photos")[0][0]

    def test_a_photo_whose_first_place_is_gone_is_served_from_its_other(
        self, tmp_path: Path, photos: Path
    ) -> None:
        first = draw(photos / "one.png", RED)
        second = photos / "two.png"
        shutil.copy(first, second)
        database = tmp_path / "one.db"
        ingest(str(database), [str(photos)], ToyModel(), worker_count=1)
        first.unlink()
        with site(database, metadata=metadata_with(serve_originals=True)) as served:
            assert served.get("/one/-/faces/image/1.jpg").content == second.read_bytes()

    @pytest.mark.parametrize("file_format", ["TIFF", "HEIF"])
    def test_formats_that_browsers_do_not_show_give_the_thumbnail(
        self, tmp_path: Path, photos: Path, file_format: str
    ) -> None:
        if file_format == "HEIF":
            pytest.importorskip("pillow_heif").register_heif_opener()
        Image.new("RGB", (40, 40), RED).save(photos / "one.img.tiff", file_format)
        database = tmp_path / "one.db"
        ingest(str(database), [str(photos)], ToyModel(), worker_count=1)
        with site(database, metadata=metadata_with(serve_originals=True)) as served:
            picture = served.get("/one/-/faces/image/1.jpg")
            assert picture.headers["content-type"] == "image/jpeg"
            assert picture.content == asked(database, "select thumbnail from photos")[0][0]

    def test_a_missing_photo_says_so_and_is_shown_from_the_database(
        self, faces_db: Path, tmp_path: Path
    ) -> None:
        gone = copied(
            faces_db,
            tmp_path / "gone.db",
            "update photos set missing_since = '2024-02-03T04:05:06Z' where id = 1",
        )
        with site(gone) as served:
            assert "missing since 2024-02-03" in served.get("/gone/-/faces/photo/1").text
            assert served.get("/gone/-/faces/thumbnail/1.jpg").status_code == 200


def sql_link(text: str) -> str:
    """The address of **View and edit SQL** on a page."""
    found = re.search(r'href="([^"]+)">View and edit SQL', text)
    assert found
    return unescape(found[1])
