"""Floods: who uploads too much is told when to come again, and everybody else is served."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from browser import serving
from pictures import shipped
from serving import QUERY, Site, metadata_with, site

from datasette_faces.app.datasette.compat import V1
from datasette_faces.app.datasette.log_filter import WithoutKeys
from datasette_faces.app.web.upload_limits import RateLimit, client_network, limits_of

SEARCH = "/faces/-/faces/search.json"
JUNK = b"\xff\xd8\xff" + b"x" * 100_000


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class TestBuckets:
    def test_a_minute_s_worth_may_come_at_once_and_then_one_by_one(self) -> None:
        clock = Clock()
        limit = RateLimit(clock=clock)
        assert [limit.take("a", per_minute=6) for _ in range(7)] == [0] * 6 + [10]
        clock.now = 9.5
        assert limit.take("a", per_minute=6) == pytest.approx(0.5)
        clock.now = 10
        assert limit.take("a", per_minute=6) == 0
        assert limit.take("a", per_minute=6) == 10
        clock.now = 10_000
        assert [limit.take("a", per_minute=6) for _ in range(7)] == [0] * 6 + [10]

    def test_one_client_takes_nothing_from_another(self) -> None:
        limit = RateLimit(clock=Clock())
        assert limit.take("a", 5, per_minute=5) == 0
        assert limit.take("a", per_minute=5) > 0
        assert limit.take("b", 5, per_minute=5) == 0

    def test_what_is_not_given_is_not_taken(self) -> None:
        limit = RateLimit(clock=Clock())
        assert limit.take("a", 3, per_minute=5) == 0
        assert limit.take("a", 3, per_minute=5) == 12
        assert limit.take("a", 2, per_minute=5) == 0

    def test_more_than_a_minute_s_worth_is_a_minute_s_worth(self) -> None:
        limit = RateLimit(clock=Clock())
        assert limit.take("a", 10, per_minute=2) == 0
        assert limit.take("a", 10, per_minute=2) == 60

    def test_less_than_one_in_a_minute_is_one_after_more_than_a_minute(self) -> None:
        clock = Clock()
        limit = RateLimit(clock=clock)
        assert [limit.take("a", per_minute=0.5) for _ in range(2)] == [0, 120]
        clock.now = 119
        assert limit.take("a", per_minute=0.5) == pytest.approx(1)
        clock.now = 120
        assert [limit.take("a", 3, per_minute=0.5) for _ in range(2)] == [0, 120]

    def test_so_many_clients_are_remembered_and_no_more(self) -> None:
        limit = RateLimit(max_clients=3, clock=Clock())
        for client in "abcad":
            limit.take(client, per_minute=1)
        assert set(limit._buckets) == {"c", "a", "d"}

    def test_threads_together_get_no_more(self) -> None:
        limit = RateLimit(clock=Clock())
        with ThreadPoolExecutor(16) as pool:
            given = list(pool.map(lambda _: limit.take("a", per_minute=50), range(400)))
        assert given.count(0) == 50

    @pytest.mark.parametrize(
        ("address", "client"),
        [
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("fe80::1%eth0", "fe80::/64"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("nonsense", "nonsense"),
            ("x" * 5000, "x" * 100),
        ],
    )
    def test_an_address_stands_for_its_network(self, address: str, client: str) -> None:
        assert client_network(address) == client


def post(served: Site, *, actor: str | None = None, path: str = SEARCH, **headers: str) -> Any:
    """An upload that is refused at once where it is not over the limit."""
    sent = {"authorization": "Bearer none", **headers}
    return served.post(path, b"x", "text/plain", actor=actor, **sent)


class TestUploads:
    @pytest.mark.parametrize("ending", ["", ".json"])
    def test_who_is_over_the_limit_is_told_when_to_come_again(
        self, faces_db: Path, ending: str
    ) -> None:
        with site(faces_db, metadata=metadata_with(uploads_per_minute=3)) as served:
            path = f"/faces/-/faces/search{ending}"
            assert [post(served, path=path).status_code for _ in range(4)] == [415] * 3 + [429]
            refused = post(served, path=path)
            assert 1 <= int(refused.headers["retry-after"]) <= 20
            assert "try again in" in refused.text
            assert served.get("/faces/-/faces/search?face=1").status_code == 200
            if ending:
                assert refused.json()["status"] == 429

    def test_each_actor_and_each_address_has_its_own_limit(self, faces_db: Path) -> None:
        with site(faces_db, metadata=metadata_with(uploads_per_minute=1)) as served:
            for actor in (None, "ann", "bob"):
                statuses = [post(served, actor=actor).status_code for _ in range(2)]
                assert statuses == [415, 429]

    @pytest.mark.slow
    @pytest.mark.parametrize("setting", [0, False])
    def test_a_site_may_have_no_limit(self, faces_db: Path, setting: Any) -> None:
        with site(faces_db, metadata=metadata_with(uploads_per_minute=setting)) as served:
            assert {post(served).status_code for _ in range(100)} == {415}

    def test_behind_a_proxy_the_header_that_is_named_tells_who_asks(self, faces_db: Path) -> None:
        settings = metadata_with(uploads_per_minute=1, client_header="X-Real-IP")
        with site(faces_db, metadata=settings) as served:
            for client in ("192.0.2.1", "192.0.2.2"):
                statuses = [post(served, x_real_ip=client).status_code for _ in range(2)]
                assert statuses == [415, 429]
            # Of a list, what the nearest proxy has put to its end
            assert post(served, x_real_ip="203.0.113.9, 192.0.2.2").status_code == 429

    def test_without_that_setting_no_header_changes_who_asks(self, faces_db: Path) -> None:
        with site(faces_db, metadata=metadata_with(uploads_per_minute=1)) as served:
            got = [
                post(served, x_real_ip=f"192.0.2.{n}", x_forwarded_for=f"192.0.2.{n}").status_code
                for n in range(3)
            ]
            assert got == [415, 429, 429]

    def test_several_pictures_of_one_form_count_as_several(self, faces_db: Path) -> None:
        parts = b"".join(
            b'--x\r\nContent-Disposition: form-data; name="p"; filename="a.jpg"\r\n\r\nx\r\n'
            for _ in range(4)
        )
        with site(faces_db, metadata=metadata_with(uploads_per_minute=3)) as served:
            for wanted in (429, 429):
                if V1:
                    told = served.post(
                        SEARCH, parts + b"--x--\r\n", "multipart/form-data; boundary=x"
                    )
                else:
                    told = served.post(
                        SEARCH,
                        parts + b"--x--\r\n",
                        "multipart/form-data; boundary=x",
                        authorization="Bearer none",
                    )
                assert told.status_code == wanted

    def test_who_may_not_upload_uses_nothing_up(self, faces_db: Path) -> None:
        settings = metadata_with(uploads_per_minute=1, permissions={"faces-upload": False})
        with site(faces_db, metadata=settings) as served:
            assert [post(served).status_code for _ in range(3)] == [403] * 3
            assert not limits_of(served.datasette).rate._buckets


def ask(url: str, data: bytes | None = None) -> tuple[int, float, str | None]:
    """A request's status, how many seconds it took, and when to come again."""
    began = time.monotonic()
    request = urllib.request.Request(url, data, {"content-type": "image/jpeg"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            response.read()
            status, again = response.status, None
    except urllib.error.HTTPError as error:
        status, again = error.code, error.headers.get("retry-after")
    except (ConnectionError, urllib.error.URLError):
        # Refused before all of it was sent: the server has closed the connection
        status, again = 0, None
    return status, time.monotonic() - began, again


@pytest.mark.slow
@pytest.mark.parametrize("per_minute", [20, 0], ids=["limited", "queue alone"])
def test_a_flood_of_uploads_is_refused_and_pages_go_on(
    faces_db: Path, tmp_path: Path, per_minute: int
) -> None:
    metadata = tmp_path / "metadata.json"
    metadata.write_text(json.dumps(metadata_with(uploads_per_minute=per_minute)))
    with serving(faces_db, "-m", metadata) as address:
        ask(f"{address}{SEARCH}", shipped("one face").read_bytes())
        done, waits = threading.Event(), []

        def look() -> None:
            while not done.is_set():
                waits.append(ask(f"{address}/faces/-/faces"))
                time.sleep(0.02)

        looking = threading.Thread(target=look)
        looking.start()
        with ThreadPoolExecutor(24) as pool:
            answers = list(pool.map(lambda _: ask(f"{address}{SEARCH}", JUNK), range(240)))
        done.set()
        looking.join()
        found = Counter(status for status, _, _ in answers)
        assert set(found) <= {0, 400, 429, 503}
        # How many the queue refuses depends on how quick the machine is
        assert sum(found[it] for it in (0, 429, 503)) > (100 if per_minute else 5)
        assert all(again for status, _, again in answers if status in (429, 503))
        if per_minute:
            # It refills while the flood lasts
            assert found[400] + found[503] <= per_minute + 10
        assert {status for status, _, _ in waits} == {200}
        assert sorted(seconds for _, seconds, _ in waits)[len(waits) // 2] < 1
        assert ask(f"{address}/faces/-/faces/face/1")[0] == 200


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


@pytest.mark.slow
def test_nothing_of_a_query_photo_is_in_the_log(
    faces_db: Path, logged: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither its name, nor what it shows, nor a vector: of pictures with a face, without, and broken."""
    keys: list[str] = []
    with site(faces_db) as served:
        for name, data in (
            ("mrs-secret.jpg", shipped("one face").read_bytes()),
            ("mr-secret.jpg", JUNK),
            ("nobody-secret.png", b"\x89PNG\r\n\x1a\n"),
        ):
            head = f'--x\r\nContent-Disposition: form-data; name="p"; filename="{name}"\r\n\r\n'
            body = head.encode() + data + b"\r\n--x--\r\n"
            told = served.post(
                SEARCH, body, "multipart/form-data; boundary=x", authorization="Bearer none"
            )
            assert told.status_code in (200, 400, 422)
            for face in (told.json().get("photos") or [{"faces": []}])[0]["faces"]:
                keys.append(face["key"])
                for path in (
                    f"/-/faces/search?key={keys[-1]}",
                    f"/faces_like_query.json?key={keys[-1]}x&k=1",
                    f"/faces_like_query.json?key={keys[-1]}&k=0",
                    f"{QUERY}.json?sql=select+face_query(:face),+nothing&face={keys[-1]}",
                    f"{QUERY}.json?sql=select+:face,+nothing&face={keys[-1]}",
                    f"{QUERY}.json?sql=select+'{keys[-1]}',+nothing",
                    f"{QUERY}.json?sql=select+harmless",
                ):
                    served.get(f"/faces{path}")
    out, err = capfd.readouterr()
    said = out + err + logged.text
    # httpx, which asks here, tells the addresses that it asks for; the server's own log is uvicorn's
    said = "\n".join(line for line in said.splitlines() if "HTTP Request:" not in line)
    assert "sql = 'select harmless'" in said
    assert len(keys) == 1
    assert keys[0] not in said
    assert "secret" not in said
    assert not re.search(r"(-?0\.\d{4,},? ?){4}", said)
    assert not re.search(r"(\\x[0-9a-f]{2}){8}", said)


@pytest.mark.slow
def test_the_server_s_own_log_has_no_key_of_a_query_photo(faces_db: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving(faces_db, log=log) as address:
        request = urllib.request.Request(
            f"{address}{SEARCH}", shipped("one face").read_bytes(), {"content-type": "image/jpeg"}
        )
        with urllib.request.urlopen(request) as answer:
            key = json.load(answer)["photos"][0]["faces"][0]["key"]
        asked = [f"search?key={key}", f"search?face=1&not={key}", f"search/face/{key}.jpg"]
        asked += [f"search?photo={key}", "face/1"]
        for path in asked:
            ask(f"{address}/faces/-/faces/{path}")
        for sql, name in (
            (f"select face_query('{key}')", "of"),
            (f"select face_query( '{key}')", "of"),
            (f'select Face_Query("{key}"), nothing', "of"),
            (f"select nothing /* {key}{key} */", "of"),
            ("select face_query(:key), nothing", "key"),
            ("select face_query(:face)", "face"),
            ("select nothing, :anything", "anything"),
        ):
            query = urllib.parse.urlencode({"sql": sql, name: key})
            ask(f"{address}/faces{QUERY}.json?{query}")
        ask(f"{address}/faces/faces_like_query.json?key={key}&k=0")
        ask(f"{address}/faces/-/faces?nothing=%{ord(key[0]):x}{key[1:]}")
        ask(f"{address}/faces{QUERY}.json?sql=select+harmless")
    said = log.read_text()
    assert "GET /faces/-/faces/face/1" in said
    assert "GET /faces/-/faces/search?key=..." in said
    assert "sql = 'select harmless'" in said
    assert key not in said
    assert key[1:] not in said


UNKNOWN = "Abcdefgh-_012345"


@pytest.mark.parametrize(
    ("asked", "logged"),
    [
        ("/f/-/faces/search?key=KEY&not=KEY", "/f/-/faces/search?key=...&not=..."),
        ("/f/-/faces/search/face/KEY.jpg", "/f/-/faces/search/face/....jpg"),
        ("/f?sql=select+face_query(:face)&face=KEY", "/f?sql=select+face_query(:face)&face=..."),
        ("/f?sql=select+face_query(%27KEY%27)", "/f?sql=select+face_query(%27...%27)"),
        ("/f?sql=select+face_query%28+%22KEY%22%29", "/f?sql=select+face_query%28+%22...%22%29"),
        ("/f?sql=select%20FACE_QUERY%20('KEY')", "/f?sql=select%20FACE_QUERY%20('...')"),
        ("/f?a=1%0a2&sql=f%61ce_query(:x)&x=KEY", "/f?a=1%0A2&sql=face_query(:x)&x=..."),
        ("/f?nothing=KEY", "/f?nothing=KEY"),
    ],
)
def test_what_looks_like_a_key_is_left_out_also_where_nobody_knows_it(
    asked: str, logged: str
) -> None:
    record = logging.LogRecord("", 0, "", 0, "%s", (asked.replace("KEY", UNKNOWN), 200), None)
    WithoutKeys().filter(record)
    assert record.args == (logged.replace("KEY", UNKNOWN), 200)
