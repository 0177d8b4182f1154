"""Crops, thumbnails and full pictures, with caching headers."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from datasette.utils.asgi import Forbidden, NotFound, Response

from ...media.files import as_path, is_untouched, read_verified
from ...store import gallery
from ..datasette import csp, permissions
from ..datasette.state import state_of
from .page import Page, page_for, row_id

CACHE_SECONDS = 300
"""After that a browser asks again; the ETag says that nothing has changed."""
ORIGINAL_BYTES = 100_000_000
"""Of a file that is served; of larger ones the thumbnail. A JPEG of 100 megapixels has 60 MB."""
CONTENT_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
    "BMP": "image/bmp",
}
"""Formats that browsers show as they are; of others the thumbnail is served."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, and the SHA-256 of its bytes where that is known; b"" where the browser has them."""

    body: bytes | None = field(repr=False)
    content_type: str = "image/jpeg"
    sha256: str | None = None


def _picture_view(*tables: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        async def view(datasette: Any, request: Any) -> Response:
            page = await page_for(datasette, request, *tables)
            picture: Picture = await function(page, row_id(request))
            if picture.body is None:
                raise NotFound("There is no such picture")
            return _cached(page, picture.body, picture)

        # Otherwise any cookie makes Datasette forbid caching, and a gallery fetches all again
        view._datasette_static = True  # type: ignore[attr-defined]
        return view

    return decorate


def _etag(sha256: str) -> str:
    return f'"{sha256[:32]}"'


def _browser_has(page: Page, etag: str) -> bool:
    """Whether the browser has the picture already."""
    return etag in (page.request.headers.get("if-none-match") or "")


def _cached(page: Page, body: bytes, picture: Picture) -> Response:
    etag = _etag(picture.sha256 or hashlib.sha256(body).hexdigest())
    headers = {
        # Private: these are people's faces, and who may see them depends on the actor
        "cache-control": f"private, max-age={CACHE_SECONDS}",
        "etag": etag,
        # What one actor has seen is fetched again for another, and after logging out
        "vary": "Cookie, Authorization",
        **csp.picture_headers(page.datasette),
    }
    if _browser_has(page, etag):
        return Response("", status=304, headers=headers)
    return Response(body, headers=headers, content_type=picture.content_type)


@_picture_view("faces")
async def crop(page: Page, face_id: int) -> Picture:
    """A face's crop."""
    return Picture(await page.read(gallery.crop, face_id))


@_picture_view("photos")
async def thumbnail(page: Page, photo_id: int) -> Picture:
    """A photo, small and upright."""
    return Picture(await page.read(gallery.upright_thumbnail, photo_id))


@_picture_view("photos", "photo_paths")
async def image(page: Page, photo_id: int) -> Picture:
    """A photo's file from the disk, for actors who may see originals; pages turn it upright."""
    if not await permissions.may_view_originals(page.datasette, page.request, page.database):
        raise Forbidden(f"Permission denied: {permissions.ORIGINALS}")
    folders = permissions.originals_folders(page.datasette, page.database)
    disk = state_of(page.datasette).disk
    for place in await page.read(gallery.original_paths, photo_id):
        content_type = CONTENT_TYPES.get(place["format"])
        if content_type is None:
            break
        has = _browser_has(page, _etag(str(place["sha256"])))
        loop = asyncio.get_running_loop()
        body = await loop.run_in_executor(disk, _original, place, folders, has)
        if body is not None:
            return Picture(body, content_type, place["sha256"])
    return Picture(await page.read(gallery.thumbnail, photo_id))


def _original(place: dict[str, Any], folders: list[str], has: bool) -> bytes | None:
    """The bytes of a photo's file; b"" where the browser has them and the file is unchanged."""
    path = as_path(place["path"], place["path_bytes"])
    if has and is_untouched(path, place["bytes"], place["modified_ns"], within=folders):
        return b""
    known = place["bytes"], place["sha256"]
    return read_verified(path, *known, within=folders, max_bytes=ORIGINAL_BYTES)
