"""Query faces are kept for an hour, within a cap, for the database that they were uploaded to."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from datasette_faces.algorithms.geometry import ARCFACE_TEMPLATE
from datasette_faces.app.datasette.state import State, state_of
from datasette_faces.search.upload_cache import ENTRY_BYTES, KEEP_SECONDS, UploadCache
from datasette_faces.shapes import Analysis, Box, Detection, Face, Photo, Pose

KEY_CHARACTERS = 16
PHOTO = Photo(
    width=80,
    height=40,
    format="PNG",
    taken_at=None,
    camera=None,
    latitude=None,
    longitude=None,
    thumbnail=b"t" * 2_000,
)


def a_face(x: float = 0.0) -> Face:
    """A face that looks into the direction of the first axis, its crop of 1,000 bytes."""
    detection = Detection(Box(x, 0.0, 40.0, 40.0), ARCFACE_TEMPLATE, 0.9)
    embedding = np.array([1, 0, 0], np.float32)
    return Face(detection, 50.0, Pose(0, 0, 0), b"c" * 1_000, embedding)


TWO_FACES = Analysis(PHOTO, (a_face(0), a_face(40)))
NO_FACE = Analysis(PHOTO, ())
SIZE = 3 * ENTRY_BYTES + 2_000 + 4 * len("a.png") + 2 * (1_000 + 3 * 4)
"""What two faces in a.png take: three entries, a thumbnail, a name, two crops and vectors."""


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> UploadCache:
    return UploadCache(clock=clock)


def add(store: UploadCache, found: Analysis = TWO_FACES, database: str = "faces") -> str:
    told = {"database": database, "model_id": "toy", "file_name": "a.png"}
    return store.add_photo(found, **told, reason=None)


def test_a_photo_is_found_again_by_its_key_and_its_faces_by_theirs(store):
    key = add(store)
    photo = store.photo("faces", key)
    assert (photo.file_name, photo.width, photo.height) == ("a.png", 80, 40)
    assert (photo.thumbnail, photo.reason) == (b"t" * 2_000, None)
    first, second = (store.face("faces", face_key) for face_key in photo.face_keys)
    assert (first.box.x, second.box.x) == (0, 40)
    assert (first.model_id, first.photo_key, first.crop) == ("toy", key, b"c" * 1_000)
    assert (first.detection_score, first.sharpness) == (0.9, 50.0)


def test_keys_are_random_and_of_16_characters(store):
    keys = {add(store) for _ in range(50)} | {store.photo("faces", add(store)).face_keys[0]}
    assert len(keys) == 51
    assert {len(key) for key in keys} == {KEY_CHARACTERS}


def test_a_photo_without_faces_keeps_the_reason(store):
    told = {"database": "faces", "model_id": "toy", "file_name": "a.png"}
    key = store.add_photo(NO_FACE, **told, reason="no face was found")
    assert store.photo("faces", key).reason == "no face was found"
    assert store.photo("faces", key).face_keys == ()


def test_the_vector_of_a_face_comes_with_its_model(store):
    face_key = store.photo("faces", add(store)).face_keys[0]
    model_id, embedding = store.vector("faces", face_key)
    assert (model_id, embedding.tolist()) == ("toy", [1, 0, 0])


def test_a_kept_vector_cannot_be_changed_and_does_not_change_with_the_original(store):
    original = np.array([0, 1, 0], np.float32)
    key = store.add_vector("faces", "toy", original, "a")
    original[:] = 7
    _, embedding = store.vector("faces", key)
    assert embedding.tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match="read-only"):
        embedding[0] = 1


def test_a_key_is_unknown_in_another_database_and_as_another_kind(store):
    key = add(store)
    face_key = store.photo("faces", key).face_keys[0]
    fused = store.add_vector("faces", "toy", np.ones(3, np.float32), "a")
    assert store.photo("other", key) is store.face("other", face_key) is None
    assert store.vector("other", face_key) is store.vector("other", fused) is None
    assert store.face("faces", key) is store.photo("faces", face_key) is None
    assert store.vector("faces", key) is store.face("faces", fused) is None
    for wrong in ("", "x", "x" * KEY_CHARACTERS, "ä" * 10_000, "\0"):
        assert store.photo("faces", wrong) is store.vector("faces", wrong) is None


def test_the_same_parts_give_the_same_key_and_others_give_others(store):
    vector = np.ones(3, np.float32)
    key = store.add_vector("faces", "toy", vector, "a", "b")
    assert len(key) == KEY_CHARACTERS
    assert store.add_vector("faces", "toy", vector, "a", "b") == key
    others = [
        store.add_vector("faces", "toy", vector, "b", "a"),
        store.add_vector("faces", "toy", vector, "ab"),
        store.add_vector("faces", "toy", vector, "a", "b", ""),
        store.add_vector("faces", "sface", vector, "a", "b"),
        store.add_vector("other", "toy", vector, "a", "b"),
        UploadCache().add_vector("faces", "toy", vector, "a", "b"),
    ]
    assert len({key, *others}) == 7


def test_all_is_gone_an_hour_after_it_was_added_however_much_it_is_used(store, clock):
    key = add(store)
    face_key = store.photo("faces", key).face_keys[0]
    fused = store.add_vector("faces", "toy", np.ones(3, np.float32), "a")
    for _ in range(59):
        clock.now += 60
        assert store.photo("faces", key)
        assert store.vector("faces", face_key)
        assert store.add_vector("faces", "toy", np.ones(3, np.float32), "a") == fused
    clock.now += 60
    assert store.photo("faces", key) is store.face("faces", face_key) is None
    assert store.vector("faces", face_key) is store.vector("faces", fused) is None
    assert store.size_bytes == 0
    assert KEEP_SECONDS == 3600


def test_a_fused_query_that_expired_may_come_again(store, clock):
    key = store.add_vector("faces", "toy", np.ones(3, np.float32), "a")
    clock.now += KEEP_SECONDS
    assert store.vector("faces", key) is None
    assert store.add_vector("faces", "toy", np.ones(3, np.float32), "a") == key
    assert store.vector("faces", key)


def test_crops_thumbnails_and_vectors_count(store):
    add(store)
    assert store.size_bytes == SIZE


def test_the_oldest_go_first_when_the_cap_is_reached():
    store = UploadCache(max_bytes=4 * SIZE)  # a quarter is for what is fused
    keys = [add(store) for _ in range(5)]
    assert [store.photo("faces", key) is not None for key in keys] == [False] * 2 + [True] * 3
    assert store.size_bytes == 3 * SIZE
    newest = store.photo("faces", keys[-1])
    assert all(store.face("faces", face_key) for face_key in newest.face_keys)


def test_what_is_fused_evicts_no_upload():
    store = UploadCache(max_bytes=4 * SIZE)
    photo = add(store)
    keys = [
        store.add_vector("faces", "toy", np.ones(3, np.float32), str(number))
        for number in range(SIZE)
    ]
    assert store.photo("faces", photo)
    assert store.vector("faces", keys[0]) is None
    assert store.vector("faces", keys[-1])
    assert store.size_bytes <= 4 * SIZE


def test_what_alone_is_larger_than_the_cap_is_kept_until_the_next_comes():
    store = UploadCache(max_bytes=10)
    first = add(store)
    assert store.photo("faces", first)
    second = add(store)
    assert store.photo("faces", first) is None
    assert store.photo("faces", second)


def test_many_threads_at_once_leave_the_store_in_order():
    store = UploadCache(max_bytes=20 * SIZE)
    problems: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(200):
                photo = store.photo("faces", add(store))
                assert photo is None or len(photo.face_keys) == 2
                store.add_vector("faces", "toy", np.ones(3, np.float32), "a")
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert 0 < store.size_bytes <= 20 * SIZE


def test_what_is_printed_of_a_query_shows_neither_vectors_nor_pictures(store):
    loud = replace(a_face(), embedding=np.array([0.123456, 0, 0], np.float32))
    key = add(store, Analysis(PHOTO, (loud,)))
    photo = store.photo("faces", key)
    printed = repr((photo, store.face("faces", photo.face_keys[0]), store))
    assert "0.1234" not in printed
    assert "ccc" not in printed
    assert "ttt" not in printed
    assert printed.count("embedding") == 0


def test_the_state_of_a_server_is_made_once_however_often_it_is_asked_for(monkeypatch):
    class Counted(State):
        made = 0

        def __init__(self):
            super().__init__()
            Counted.made += 1

    class Server:
        pass

    monkeypatch.setattr("datasette_faces.app.datasette.state.State", Counted)
    server = Server()
    assert state_of(server) is state_of(server)
    assert Counted.made == 1
