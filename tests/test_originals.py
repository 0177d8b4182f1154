"""Originals: only files that were ingested leave the disk, whatever a database says of paths."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from serving import asked, copied, metadata_with, site
from toy_model import RED, ToyModel, draw

from datasette_faces.app.datasette.state import READERS
from datasette_faces.app.web import images
from datasette_faces.library.ingest.run import ingest
from datasette_faces.media import files
from datasette_faces.media.files import read_verified

pytestmark = pytest.mark.slow

SERVED = metadata_with(serve_originals=True)
IMAGE = "/one/-/faces/image/1.jpg"


@pytest.fixture
def photo(photos: Path) -> Path:
    return draw(photos / "one.png", RED)


@pytest.fixture
def database(tmp_path: Path, photo: Path) -> Path:
    """A database of one photo, which lies in a folder of its own."""
    path = tmp_path / "one.db"
    ingest(str(path), [str(photo)], ToyModel(), worker_count=1)
    return path


def says(database: Path, path: str | bytes, content: bytes | None, size: int | None = None) -> Path:
    """The database, changed to say that its photo lies there, with this content."""
    raw = path if isinstance(path, bytes) else None
    text = path.decode("latin-1") if isinstance(path, bytes) else path
    facts = [sha256(content or b"").hexdigest(), len(content or b"") if size is None else size]
    return copied(
        database,
        database.parent / "hostile" / "one.db",
        ("update photos set path = ?, sha256 = ?, bytes = ?", [text, *facts]),
        ("update photo_paths set path = ?, path_bytes = ?", [text, raw]),
    )


@pytest.fixture
def hostile(database: Path) -> Any:
    """What a database with a path that was never ingested is served: bytes, and in how many seconds."""
    (database.parent / "hostile").mkdir()

    def ask(path: str | bytes, content: bytes | None = None, size: int | None = None) -> Any:
        with site(says(database, path, content, size), metadata=SERVED) as served:
            began = time.monotonic()
            answer = served.get(IMAGE)
            assert time.monotonic() - began < 5
            assert answer.status_code == 200
            return answer.content

    return ask


def test_a_photo_is_served_from_where_it_was_ingested(database: Path, photo: Path) -> None:
    with site(database, metadata=SERVED) as served:
        assert served.get(IMAGE).content == photo.read_bytes()


def thumbnail(database: Path) -> bytes:
    found: bytes = asked(database, "select thumbnail from photos")[0][0]
    return found


@pytest.mark.parametrize(
    "way",
    ["{folder}/../{name}/secret", "./secret", "secret", "{real}/", "{folder}/./secret", "//{real}"],
)
def test_a_path_that_no_ingest_writes_is_not_opened_even_with_the_right_content(
    hostile: Any, database: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = database.parent
    (folder / "secret").write_bytes(b"the very content")
    monkeypatch.chdir(folder)
    path = way.format(folder=folder, name=folder.name, real=folder / "secret")
    assert hostile(path, b"the very content") == thumbnail(database)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/proc/self/environ",
        "/proc/self/fd/0",
        "/proc/self/mem",
        "/dev/zero",
        "/dev/stdin",
        "/dev/null",
        "/",
        "/etc",
        "\x00",
        "/a\x00b",
        "file:///etc/passwd",
        "C:\\Windows\\win.ini",
        "\\\\server\\share\\a.jpg",
        "~/.ssh/id_rsa",
        "",
        "/" + "a" * 5000,
        "/" + "a/" * 3000,
    ],
)
@pytest.mark.parametrize("size", [0, 100, 2**62])
def test_nothing_of_the_system_leaves_it(
    hostile: Any, database: Path, path: str, size: int
) -> None:
    assert hostile(path, b"", size) == thumbnail(database)


def test_a_name_that_is_no_text_is_served_by_its_bytes_and_nothing_else_is(
    hostile: Any, database: Path, photos: Path, photo: Path
) -> None:
    odd = os.path.join(os.fsencode(photos), b"\xff.png")
    shutil.copy(photo, odd)
    assert hostile(odd, photo.read_bytes()) == photo.read_bytes()


@pytest.mark.parametrize("kind", ["pipe", "folder", "loop", "dangling link", "no permission"])
def test_what_is_no_file_is_not_opened(
    hostile: Any, database: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = database.parent / "odd"
    {
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "loop": lambda: path.symlink_to(path),
        "dangling link": lambda: path.symlink_to(database.parent / "nothing"),
        "no permission": lambda: path.mkdir(mode=0),
    }[kind]()
    opened: list[str] = []
    monkeypatch.setattr(files, "open_without_blocking", opened.append)
    assert hostile(str(path), b"x") == thumbnail(database)
    assert opened == []


def test_a_file_that_becomes_a_link_is_served_only_while_its_content_is_the_same(
    database: Path, photo: Path, tmp_path: Path
) -> None:
    content = photo.read_bytes()
    moved, secret = tmp_path / "moved.png", tmp_path / "secret"
    photo.rename(moved)
    secret.write_bytes(b"s" * len(content))
    with site(database, metadata=SERVED) as served:
        for target, wanted in ((moved, content), (secret, thumbnail(database))):
            photo.unlink(missing_ok=True)
            photo.symlink_to(target)
            assert served.get(IMAGE).content == wanted


def test_what_is_replaced_between_the_look_and_the_opening_is_not_served(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = photo.read_bytes()
    really = files.open_without_blocking

    def replaced(path: str) -> Any:
        photo.unlink()
        os.mkfifo(photo)
        return really(path)

    monkeypatch.setattr(files, "open_without_blocking", replaced)
    assert read_verified(str(photo), len(content), sha256(content).hexdigest()) is None


@pytest.mark.parametrize(
    ("folders", "is_served"),
    [
        (["{photos}"], True),
        ("{photos}", True),
        (["/nowhere", "{photos}/../photos"], True),
        (["{photos}/one.png"], True),
        (["{link}"], True),
        (["{photos}x"], False),
        (["{photos}/sub"], False),
        (["/etc"], False),
        ([], True),
    ],
)
def test_originals_folders_confine_what_is_served(
    database: Path, photo: Path, photos: Path, tmp_path: Path, folders: Any, is_served: bool
) -> None:
    (tmp_path / "link").symlink_to(photos)
    several = [folders] if isinstance(folders, str) else folders
    named = [it.format(photos=photos, link=tmp_path / "link") for it in several]
    given = named[0] if isinstance(folders, str) else named
    with site(
        database, metadata=metadata_with(serve_originals=True, originals_folders=given)
    ) as served:
        wanted = photo.read_bytes() if is_served else thumbnail(database)
        assert served.get(IMAGE).content == wanted


def test_a_link_out_of_the_folders_is_not_followed(
    database: Path, photo: Path, photos: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved.png"
    photo.rename(moved)
    photo.symlink_to(moved)
    for folders, wanted in (([], moved.read_bytes()), ([str(photos)], thumbnail(database))):
        settings = metadata_with(serve_originals=True, originals_folders=folders)
        with site(database, metadata=settings) as served:
            assert served.get(IMAGE).content == wanted


def test_a_browser_that_has_a_file_is_told_so_by_a_look_at_it(
    database: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    really = files.open_without_blocking
    monkeypatch.setattr(
        files, "open_without_blocking", lambda path: opened.append(path) or really(path)
    )
    with site(database, metadata=SERVED) as served:
        content = photo.read_bytes()
        etag = served.get(IMAGE).headers["etag"]
        assert etag == f'"{sha256(content).hexdigest()[:32]}"'

        def again() -> tuple[int, bytes, int]:
            opened.clear()
            answer = served.get(IMAGE, if_none_match=etag)
            return answer.status_code, answer.content, len(opened)

        assert again() == (304, b"", 0)
        os.utime(photo, ns=(1, 1))
        assert again() == (304, b"", 1)
        photo.write_bytes(b"x" * len(content))
        assert again() == (200, thumbnail(database), 1)
        photo.unlink()
        assert again() == (200, thumbnail(database), 0)


def test_what_a_browser_has_is_not_confirmed_outside_of_the_folders(
    database: Path, photo: Path
) -> None:
    etag = f'"{sha256(photo.read_bytes()).hexdigest()[:32]}"'
    settings = metadata_with(serve_originals=True, originals_folders=["/nowhere"])
    with site(database, metadata=settings) as served:
        assert served.get(IMAGE, if_none_match=etag).content == thumbnail(database)


def test_of_a_file_that_is_too_large_the_thumbnail_is_served(
    database: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size_bytes = photo.stat().st_size
    with site(database, metadata=SERVED) as served:
        for most_bytes, wanted in (
            (size_bytes, photo.read_bytes()),
            (size_bytes - 1, thumbnail(database)),
        ):
            monkeypatch.setattr(images, "ORIGINAL_BYTES", most_bytes)
            assert served.get(IMAGE).content == wanted


def test_a_slow_disk_holds_up_no_page(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, reading = threading.Event(), []
    really = images.read_verified

    def slow(*arguments: Any, **options: Any) -> bytes | None:
        reading.append(1)
        assert go_on.wait(20)
        return really(*arguments, **options)

    async def while_many_are_read() -> None:
        originals = [
            asyncio.ensure_future(served.asking("GET", IMAGE, None, {})) for _ in range(10)
        ]
        while not reading:
            await asyncio.sleep(0.01)
        pages = [served.asking("GET", "/one/-/faces/photo/1", None, {}) for _ in range(5)]
        answers = await asyncio.wait_for(asyncio.gather(*pages), 10)
        assert {it.status_code for it in answers} == {200}
        assert len(reading) <= READERS
        go_on.set()
        assert {it.status_code for it in await asyncio.gather(*originals)} == {200}

    monkeypatch.setattr(images, "read_verified", slow)
    with site(database, metadata=SERVED) as served:
        try:
            served.run(while_many_are_read())
        finally:
            go_on.set()


@pytest.mark.parametrize(
    "path",
    [
        "image/../1.jpg",
        "image/%2e%2e%2f1.jpg",
        "image/1",
        "image//etc/passwd",
        "image/..%5c..%5cx.jpg",
        "image/%00.jpg",
        "image/1.jpg%00",
        "image/-1.jpg",
        "image/1.5.jpg",
        "crop/../../x",
        "image/٣.jpg",
        f"image/{2**63}.jpg",
        f"crop/{'9' * 19}.jpg",
    ],
)
def test_an_address_takes_a_number_and_nothing_else(database: Path, path: str) -> None:
    with site(database, metadata=SERVED) as served:
        # Datasette leads from %2e to its own way to write it
        answer = served.get(f"/one/-/faces/{path}", follow=True)
        assert answer.status_code in (400, 404), path
        assert not answer.headers["content-type"].startswith("image/")
