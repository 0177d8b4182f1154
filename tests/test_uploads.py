"""What people upload arrives whole or is refused early, with a status and a message that helps."""

from __future__ import annotations

import asyncio
import itertools
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from datasette.utils.asgi import Base400, Forbidden, Request
from serving import Site, metadata_with, site

from datasette_faces.app.datasette import compat, permissions, state
from datasette_faces.app.datasette.compat import CSRF_BY_HEADERS, V1
from datasette_faces.app.web import uploads
from datasette_faces.app.web.body import Body, TooLate
from datasette_faces.app.web.upload_limits import REQUEST_LIMITS, RequestLimits
from datasette_faces.app.web.uploads import NothingUploaded, Upload, read_pictures
from datasette_faces.errors import Busy
from datasette_faces.models.sface import SFace

BOUNDARY = "----WebKitFormBoundary7MA4YWxk"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
PATH = "/faces/-/faces/search"
PICTURE = bytes(range(256)) * 300 + b"\r\n--" + BOUNDARY[:-1].encode() + b"\r\n\r\n--"
"""Bytes that nearly look like a form's own."""
Receive = Callable[[], Awaitable[dict[str, Any]]]


def part(name: str | None, data: bytes, *, file: str | None = None, more: str = "") -> bytes:
    """A part of a form, as browsers write it."""
    disposition = "form-data" if name is None else f'form-data; name="{name}"'
    if file is not None:
        disposition += f'; filename="{file}"'
    head = f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n{more}\r\n"
    return head.encode() + data + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def arriving(body: bytes, chunk_bytes: int = 64_000) -> Receive:
    """A body that arrives in pieces, and then the client goes."""
    pieces = [body[at : at + chunk_bytes] for at in range(0, len(body), chunk_bytes)] or [b""]
    left = list(enumerate(pieces, 1))

    async def receive() -> dict[str, Any]:
        if not left:
            return {"type": "http.disconnect"}
        number, piece = left.pop(0)
        return {"type": "http.request", "body": piece, "more_body": number < len(pieces)}

    return receive


async def never() -> dict[str, Any]:
    raise AssertionError("a byte of the body was read")


def endless() -> Receive:
    """A form of whose first picture a little comes now and then."""
    head = form(part("picture", b"x", file="a.jpg")).partition(b"x\r\n--")[0]
    pieces = itertools.chain([head], itertools.repeat(b"x"))

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": next(pieces), "more_body": True}

    return receive


def request_of(receive: Receive | None, path: str = PATH, **headers: str) -> Any:
    """A request as Datasette gives it to a view."""
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"_size=3",
        "headers": [(b"host", b"localhost:8001"), *sent],
    }
    return Request(scope, receive)


def read(receive: Receive, limits: RequestLimits = REQUEST_LIMITS, **headers: str) -> Upload:
    return asyncio.run(read_pictures(request_of(receive, **headers), limits=limits))


def read_form(
    *parts: bytes, chunk_bytes: int = 64_000, limits: RequestLimits = REQUEST_LIMITS
) -> Upload:
    return read(arriving(form(*parts), chunk_bytes), limits, content_type=FORM)


def refused(
    status: int, receive: Receive, limits: RequestLimits = REQUEST_LIMITS, **headers: str
) -> str:
    """What a request is told that is refused with this status."""
    with pytest.raises(Base400) as caught:
        read(receive, limits, **headers)
    assert caught.value.status == status
    return str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("chunk_bytes", [1, 7, 1_000, 10**9])
def test_a_form_gives_its_pictures_and_fields_however_it_arrives(chunk_bytes):
    parts = [
        part("csrftoken", b"abc"),
        part("picture", PICTURE, file="ann.jpg", more="Content-Type: image/jpeg\r\n"),
        part("face", b"1"),
        part("face", "Grüße\r\n".encode()),
        part("not_this", b"second", file="bob.png"),
        part("empty", b""),
    ]
    got = read_form(*parts, chunk_bytes=chunk_bytes)
    assert got.pictures == (("ann.jpg", PICTURE), ("bob.png", b"second"))
    assert got.fields == {"csrftoken": ["abc"], "face": ["1", "Grüße\r\n"], "empty": [""]}


def test_a_form_as_the_http_client_of_this_datasette_makes_it():
    http = pytest.importorskip("httpx2" if V1 else "httpx")
    made = http.Request(
        "POST",
        "http://localhost/",
        files=[("picture", ("Grüße 👪.jpg", PICTURE, "image/jpeg")), ("picture", ("b", b"2"))],
        data={"threshold": "0.5"},
    )
    headers = {name.replace("-", "_"): value for name, value in made.headers.items()}
    headers.pop("host")
    got = read(arriving(made.read()), **headers)
    assert got.pictures == (("Grüße 👪.jpg", PICTURE), ("b", b"2"))
    assert got.fields == {"threshold": ["0.5"]}


@pytest.mark.parametrize("content_type", ["image/jpeg", "Image/PNG", "application/octet-stream"])
def test_a_picture_as_it_is(content_type):
    assert read(arriving(PICTURE), content_type=content_type) == Upload((("picture", PICTURE),), {})


def test_a_boundary_in_quotes_a_preamble_and_an_epilogue_are_understood():
    body = b"preamble\r\n" + form(part("p", b"1", file="a")) + b"epilogue"
    quoted = f'multipart/form-data; charset=utf-8; boundary="{BOUNDARY}"'
    assert read(arriving(form(part("p", b"1", file="a")) + b"end"), content_type=quoted).pictures
    assert "broken" in refused(400, arriving(body), content_type=FORM)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content_length": "0"},
        {"content_type": "image/jpeg"},
        {"content_type": "image/jpeg", "content_length": "0"},
        {"content_type": FORM},
    ],
)
def test_nothing_uploaded_says_what_to_do(headers):
    body = form(part("picture", b"", file="")) if headers.get("content_type") == FORM else b""
    message = refused(400, arriving(body), **headers)
    assert message.startswith("Nothing was uploaded")
    assert "curl -F picture=@photo.jpg http://localhost:8001/faces/-/faces/search " in message


def test_a_form_without_a_picture_still_has_its_fields():
    with pytest.raises(NothingUploaded) as caught:
        read_form(part("face", b"7"), part("picture", b"", file=""))
    assert caught.value.fields == {"face": ["7"]}


def test_an_empty_file_is_a_picture_for_the_decoder_to_complain_about():
    assert read_form(part("picture", b"", file="a.jpg")).pictures == (("a.jpg", b""),)


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({"content_type": "application/x-www-form-urlencoded"}, "application/x-www-form"),
        ({"content_type": "application/json"}, "application/json"),
        ({"content_type": "text/\x07html"}, "text/html"),
        ({"content_length": "5"}, "no Content-Type"),
    ],
)
def test_a_wrong_content_type_is_415_and_shows_how_to_upload(headers, named):
    message = refused(415, never, **headers)
    assert named in message
    assert "curl -F picture=@photo.jpg http://localhost:8001/faces/-/faces/search " in message
    assert "-H 'Content-Type: image/jpeg'" in message


@pytest.mark.parametrize("length", ["50000000", "32000001", "9" * 5_000])
@pytest.mark.parametrize("content_type", [FORM, "image/jpeg", "text/plain"])
def test_too_large_is_413_before_a_byte_is_read(length, content_type):
    message = refused(413, never, content_type=content_type, content_length=length)
    assert message == "The upload has over 32 MB; send smaller pictures, or fewer"


@pytest.mark.parametrize("headers", [{}, {"content_length": "10"}, {"content_length": "-1"}])
@pytest.mark.parametrize("content_type", [FORM, "image/jpeg"])
def test_too_large_is_413_where_the_length_lies_or_is_absent(headers, content_type):
    receive = arriving(form(part("p", b"x" * 2_000_000, file="a")))
    limits = RequestLimits(body_bytes=1_000_000)
    assert "over 1 MB" in refused(413, receive, limits, content_type=content_type, **headers)
    # What was too much was left unread
    assert asyncio.run(left(receive)) > 900_000


async def left(receive: Receive) -> int:
    """How many bytes of a body were not read."""
    size_bytes = 0
    while (message := await receive())["type"] == "http.request":
        size_bytes += len(message["body"])
    return size_bytes


@pytest.mark.parametrize("content_type", [FORM, "image/jpeg"])
def test_a_body_that_never_ends_is_408(content_type):
    began = time.monotonic()
    message = refused(408, endless(), RequestLimits(seconds=0.2), content_type=content_type)
    assert message.startswith("The upload did not arrive within 0.2 seconds")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("chunk", "count"),
    [(b"x", 10**9), (b"", 10**9), (b"x" * 8_000, 10)],
    ids=["little", "no", "well"],
)
def test_a_body_that_comes_too_slowly_is_408_before_its_time_is_up(chunk, count):
    """Some bytes now and then keep no place that others could have."""
    left = iter(range(count - 1, -1, -1))

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": chunk, "more_body": next(left) > 0}

    got = bytearray()
    body, began = Body("upload", 10**9, "", patience_seconds=0.2), time.monotonic()
    reading = body.read(request_of(receive), got.extend)
    if count > 10:
        with pytest.raises(TooLate, match="too slowly, with less than 16 kB in a second"):
            asyncio.run(reading)
    else:
        asyncio.run(reading)
        assert got == chunk * count
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("content_type", [FORM, "image/jpeg"])
def test_a_body_is_never_twice_in_memory(content_type):
    size_bytes = 31_000_000

    async def receive() -> dict[str, Any]:
        piece = next(pieces)
        return {"type": "http.request", "body": piece, "more_body": piece != end}

    end = f"\r\n--{BOUNDARY}--\r\n".encode() if content_type == FORM else b"z"
    head = part("picture", b"", file="a.jpg")[:-2] if content_type == FORM else b"x"
    chunk = b"y" * 64_000
    pieces = itertools.chain([head], itertools.repeat(chunk, size_bytes // len(chunk)), [end])
    tracemalloc.start()
    try:
        got = read(receive, content_type=content_type)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size_bytes - len(chunk) < len(got.pictures[0][1])
    assert peak_bytes < 1.3 * size_bytes


def test_what_is_kept_is_told_as_it_comes_and_may_be_refused():
    kept: list[int] = []

    def keep(size_bytes: int) -> None:
        kept.append(size_bytes)
        if sum(kept) > 200_000:
            raise Busy("full")

    for content_type, body in ((FORM, form(part("p", PICTURE, file="a"))), ("image/x", PICTURE)):
        kept.clear()
        request = request_of(arriving(body), content_type=content_type)
        asyncio.run(read_pictures(request, count_bytes=keep))
        assert sum(kept) == len(body)
        receive = arriving(b"".join([body[:-10], PICTURE * 5]))
        with pytest.raises(Busy):
            asyncio.run(
                read_pictures(request_of(receive, content_type="image/x"), count_bytes=keep)
            )
        assert asyncio.run(left(receive)) > 200_000


def test_a_body_that_promises_more_than_it_brings_is_cut_off():
    whole = form(part("p", PICTURE, file="a"))

    async def receive() -> dict[str, Any]:
        return pieces.pop(0)

    pieces = [
        {"type": "http.request", "body": whole[:500], "more_body": True},
        {"type": "http.disconnect"},
    ]
    assert "cut off" in refused(400, receive, content_type=FORM, content_length=str(len(whole)))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form at all",
        f"--{BOUNDARY}\r\n".encode(),
        form(part("p", PICTURE, file="a"))[:-6],
        form(part("p", PICTURE, file="a"))[:600],
        form(part(None, b"1")),
        form(part("p", b"1", more="No colon\r\n")),
        form(part("p", b"1", more="Bad\0name: x\r\n")),
        b"--other\r\n" + part("p", b"1", file="a"),
    ],
    ids=[
        "empty",
        "text",
        "only begun",
        "no end",
        "half",
        "no name",
        "no colon",
        "control character",
        "other boundary",
    ],
)
def test_a_broken_form_is_400(body):
    assert refused(400, arriving(body), content_type=FORM).startswith("The form is broken")


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary="])
def test_a_form_without_a_boundary_is_400(content_type):
    assert "names no boundary" in refused(400, never, content_type=content_type)


def test_a_boundary_that_is_too_long_is_400():
    long = f"multipart/form-data; boundary={'x' * 5_000}"
    assert "broken" in refused(400, arriving(b"--x"), content_type=long)


def test_ten_thousand_parts_are_413_early():
    receive = arriving(form(*(part(f"f{number}", b"") for number in range(10_000))))
    assert refused(413, receive, content_type=FORM) == "The form has over 50 parts; send fewer"
    assert asyncio.run(left(receive)) > 500_000


def test_ten_pictures_are_taken_and_eleven_are_413():
    parts = [part("picture", b"1", file=f"{number}.jpg") for number in range(11)]
    assert len(read_form(*parts[:10]).pictures) == 10
    assert "Over 10 pictures" in refused(413, arriving(form(*parts)), content_type=FORM)


@pytest.mark.parametrize(
    "body",
    [
        form(part("p", b"x" * 64_001)),
        form(part("p" * 3_000, b"x" * 62_000)),
        form(*(part(f"{number}", b"x" * 2_000) for number in range(40))),
    ],
    ids=["one", "its name", "many"],
)
def test_fields_that_are_too_long_are_413_and_shown_how_to_send_a_file(body):
    assert "-F picture=@photo.jpg" in refused(413, arriving(body), content_type=FORM)


@pytest.mark.parametrize(
    "more",
    [
        f"X-Long: {'x' * 9_000}\r\n",
        "".join(f"X-{number}: {'x' * 500}\r\n" for number in range(20)),
        f"{'X' * 9_000}: 1\r\n",
        "\r\n".join(f"X-{number}: 1" for number in range(3_000)) + "\r\n",
    ],
    ids=["value", "together", "name", "many"],
)
def test_headers_of_a_part_that_are_too_long_are_refused(more):
    receive = arriving(form(part("p", b"1", file="a", more=more)))
    with pytest.raises(Base400) as caught:
        read(receive, content_type=FORM)
    assert caught.value.status in (400, 413)


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("photo.jpg", "photo.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ann\\me.jpg", "me.jpg"),
        ("..\\..\\me.jpg", "me.jpg"),
        ("a\x00b\x1b[31m\u202egpj.jpg", "ab[31mgpj.jpg"),
        ("  Grüße 👪.jpg ", "Grüße 👪.jpg"),
        ("<img src=x>.jpg", "<img src=x>.jpg"),
        ("x" * 5_000, "x" * 200),
        ("/", "picture"),
        ("", "picture"),
    ],
)
def test_a_file_name_is_made_fit_to_be_shown(sent, shown):
    assert uploads.file_name(sent.encode()) == shown


def test_a_file_name_that_is_not_utf8_is_shown_as_well_as_it_goes():
    assert uploads.file_name(b"caf\xe9.jpg") == "caf\ufffd.jpg"


def test_what_is_printed_of_an_upload_shows_no_pictures():
    assert "secret" not in repr(read_form(part("p", b"secret", file="secret.jpg")))


@pytest.fixture(scope="module")
def uploader(faces_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose search page takes uploads and does nothing else."""
    from datasette import Response, hookimpl
    from datasette.plugins import pm

    async def upload(request: Any) -> Any:
        if request.method == "GET":
            return Response.text(request.scope["csrftoken"]())
        got = await read_pictures(request)
        compat.check_csrf(request, got.fields)
        return Response.text(f"got {len(got.pictures)}")

    class Page:
        __name__ = "Page"

        @hookimpl(tryfirst=True)
        def register_routes(self) -> list[tuple[str, Any]]:
            return [(r"^/(?P<database>[^/]+)/-/faces/search(\.json|\.csv)?$", upload)]

    page = Page()
    pm.register(page)
    try:
        with site(faces_db) as served:
            yield served
    finally:
        pm.unregister(page)


def post(served: Site, path: str = PATH, body: bytes | None = None, **headers: str) -> Any:
    """The response to POST a form with a picture, or this body."""
    sent = {"content-type": FORM, **{k.replace("_", "-"): v for k, v in headers.items()}}
    body = form(part("picture", b"1", file="a.jpg")) if body is None else body
    return served._loop.run_until_complete(
        served.datasette.client.post(path, content=body, headers=sent)
    )


def token_and_cookie(served: Site) -> tuple[str, str]:
    """What a browser has that saw the form: its token, and the cookie (0.65)."""
    response = served.get(PATH)
    return response.text, f"ds_csrftoken={response.cookies.get('ds_csrftoken', '')}"


@pytest.mark.parametrize("path", [PATH, f"{PATH}.json", f"{PATH}.csv"])
def test_a_program_without_cookies_needs_no_token(uploader, path):
    assert post(uploader, path).text == "got 1"
    assert post(uploader, path, b"1", content_type="image/jpeg").text == "got 1"


def test_a_form_with_its_token_is_taken(uploader):
    token, cookie = token_and_cookie(uploader)
    body = form(part("csrftoken", token.encode()), part("picture", b"1", file="a.jpg"))
    assert post(uploader, body=body, cookie=cookie).text == "got 1"


def test_the_token_may_come_after_the_file_and_in_a_header(uploader):
    token, cookie = token_and_cookie(uploader)
    body = form(part("picture", b"1", file="a.jpg"), part("csrftoken", token.encode()))
    assert post(uploader, body=body, cookie=cookie).text == "got 1"
    assert post(uploader, cookie=cookie, x_csrftoken=token).text == "got 1"
    raw = post(uploader, body=b"1", cookie=cookie, x_csrftoken=token, content_type="image/jpeg")
    assert raw.text == "got 1"


@pytest.mark.skipif(CSRF_BY_HEADERS, reason="this Datasette asks for no token")
@pytest.mark.parametrize("token", [None, "", "wrong", "ä", "other's"])
def test_a_browser_with_cookies_and_the_wrong_token_is_refused(uploader, token):
    if token == "other's":
        token, _ = token_and_cookie(uploader)
    _, cookie = token_and_cookie(uploader)
    fields = [] if token is None else [part("csrftoken", token.encode())]
    body = form(*fields, part("picture", b"1", file="a.jpg"))
    response = post(uploader, body=body, cookie=cookie)
    assert (response.status_code, "reload the page" in response.text) == (403, True)
    assert post(uploader, body=body, cookie="ds_actor=x").status_code == 403


def test_a_program_with_a_bearer_token_needs_no_other(uploader):
    assert post(uploader, authorization="Bearer x").text == "got 1"
    if not CSRF_BY_HEADERS:
        assert post(uploader, authorization="Bearer x", cookie="ds_actor=x").text == "got 1"
        assert post(uploader, authorization="Basic x", cookie="ds_actor=x").status_code == 403


@pytest.mark.skipif(not CSRF_BY_HEADERS, reason="this Datasette looks at tokens")
def test_another_site_s_request_is_refused_by_its_headers(uploader):
    assert post(uploader, sec_fetch_site="cross-site").status_code == 403
    assert post(uploader, sec_fetch_site="same-site").status_code == 403
    assert post(uploader, origin="https://evil.example").status_code == 403
    crossing = {"sec_fetch_site": "cross-site", "cookie": "ds_actor=x"}
    assert post(uploader, authorization="Bearer x", **crossing).status_code == 403
    assert post(uploader, sec_fetch_site="same-origin", cookie="ds_actor=x").text == "got 1"


@pytest.mark.parametrize(
    ("path", "skipped"),
    [
        (PATH, True),
        (f"{PATH}.json", True),
        (f"{PATH}.csv", True),
        (f"{PATH}?csrf=1", True),
        (f"{PATH}/", False),
        (f"{PATH}.xml", False),
        ("/nowhere/-/faces/search", False),
        ("/-/some-plugin/-/faces/search", False),
        ("/-/logout", False),
        ("/faces/query%2F-%2Ffaces%2Fsearch", False),
        ("/faces/-/faces", False),
        ("/faces/faces/-/faces/search", False),
    ],
)
def test_only_the_search_page_itself_is_let_past_the_core_s_check(uploader, path, skipped):
    scope = request_of(None, path).scope
    assert compat.skips_csrf(uploader.datasette, scope) is skipped


def test_the_search_page_is_known_behind_a_proxy_s_prefix(faces_db):
    with site(faces_db, settings={"base_url": "/prefix/"}) as served:
        for path in (f"/prefix{PATH}", PATH):
            assert compat.skips_csrf(served.datasette, request_of(None, path).scope)
        assert not compat.skips_csrf(served.datasette, request_of(None, "/x" + PATH).scope)


def may_upload(served: Site, actor: str | None = None) -> bool:
    request = request_of(None)
    request.scope["actor"] = {"id": actor} if actor else None
    asked = permissions.may_upload(served.datasette, request, "faces")
    return bool(served._loop.run_until_complete(asked))


ANN = {"faces-upload": {"id": "ann"}}
ALL, ONLY_ANN, NOBODY = (True, True, True), (False, True, False), (False, False, False)


@pytest.mark.parametrize(
    ("metadata", "who"),
    [
        ({}, ALL),
        (metadata_with(permissions={}), ALL),
        (metadata_with(permissions=ANN), ONLY_ANN),
        (metadata_with(permissions={"faces-upload": False}), NOBODY),
        (metadata_with(permissions={"faces-upload": True}), ALL),
        ({"databases": {"faces": metadata_with(permissions=ANN)}}, ONLY_ANN),
        ({"databases": {"other": metadata_with(permissions=ANN)}}, ALL),
        (
            {
                **metadata_with(permissions={"faces-upload": False}),
                "databases": {"faces": metadata_with(permissions=ANN)},
            },
            ONLY_ANN,
        ),
        (
            {
                **metadata_with(permissions=ANN),
                "databases": {"faces": metadata_with(serve_originals=True)},
            },
            ONLY_ANN,
        ),
        ({"allow": {"id": "ann"}}, ONLY_ANN),
        ({"databases": {"faces": {"allow": {"id": "ann"}}}}, ONLY_ANN),
        ({"databases": {"faces": {"tables": {"photos": {"allow": {"id": "ann"}}}}}}, ONLY_ANN),
        ({"databases": {"faces": {"tables": {"face_embeddings": {"allow": False}}}}}, NOBODY),
        ({"databases": {"faces": {"tables": {"faces": {"allow": False}}}}}, NOBODY),
        (
            {
                **metadata_with(permissions={"faces-upload": True}),
                "databases": {"faces": {"allow": {"id": "ann"}}},
            },
            ONLY_ANN,
        ),
        pytest.param(
            {"permissions": ANN}, ONLY_ANN, marks=pytest.mark.skipif(not V1, reason="1.0 only")
        ),
        pytest.param(
            {"databases": {"faces": {"permissions": {"faces-upload": False}}}},
            NOBODY,
            marks=pytest.mark.skipif(not V1, reason="1.0 only"),
        ),
    ],
)
def test_who_may_upload(faces_db, metadata, who):
    given = {"config": metadata} if V1 else {"metadata": metadata}
    with site(faces_db, **given) as served:
        assert (may_upload(served), may_upload(served, "ann"), may_upload(served, "bob")) == who


def test_another_plugin_can_keep_people_from_uploading(faces_db):
    from datasette import hookimpl
    from datasette.plugins import pm

    class Strict:
        __name__ = "Strict"

        @hookimpl
        def permission_allowed(self, action: str) -> bool | None:
            return False if action == "faces-upload" else None

        @hookimpl
        def permission_resources_sql(self, action: str) -> Any:
            from datasette.permissions import PermissionSQL

            return PermissionSQL.deny(reason="strict") if action == "faces-upload" else None

    strict = Strict()
    pm.register(strict)
    try:
        with site(faces_db) as served:
            assert not may_upload(served, "ann")
    finally:
        pm.unregister(strict)


@pytest.mark.skipif(not V1, reason="0.65 knows no actions")
def test_datasette_1_knows_the_action(faces_db):
    with site(faces_db) as served:
        action = served.datasette.actions["faces-upload"]
        assert (action.also_requires, action.takes_parent) == ("view-database", True)


def test_a_token_that_is_not_right_is_forbidden_in_words(uploader):
    if CSRF_BY_HEADERS:
        pytest.skip("this Datasette asks for no token")
    request = request_of(None, cookie="a=b")
    request.scope["csrftoken"] = lambda: "right"
    compat.check_csrf(request, {"csrftoken": ["right", "wrong"]})
    for fields in ({}, {"csrftoken": ["wrong", "right"]}, {"csrftoken": []}):
        with pytest.raises(Forbidden, match="reload the page"):
            compat.check_csrf(request, fields)


def test_each_datasette_has_one_state_and_each_model_one_pool(faces_db):
    with site(faces_db) as one, site(faces_db) as other:
        first = state.state_of(one.datasette)
        assert state.state_of(one.datasette) is first
        assert state.state_of(other.datasette) is not first
        assert first.pools.get_pool(SFace()) is first.pools.get_pool(SFace())
        state.close(one.datasette)
        state.close(other.datasette)
