"""Crops, thumbnails and full pictures, with caching headers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from datasette.utils.asgi import Forbidden, NotFound, Response

from .. import headers, permissions
from ..files import as_path, read_known
from ..store import browse
from .requests import Page, page_for, row_id

CACHE_SECONDS = 300
"""After that a browser asks again, and is told by the ETag that nothing has changed."""
CONTENT_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
    "BMP": "image/bmp",
}
"""Formats that browsers show as they are; of others the thumbnail is served."""


def _picture_view(*tables: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        async def view(datasette: Any, request: Any) -> Response:
            page = await page_for(datasette, request, *tables)
            body, content_type = await function(page, row_id(request))
            if body is None:
                raise NotFound("There is no such picture")
            return _cached(page, body, content_type)

        # Otherwise any cookie makes Datasette forbid caching, and a gallery fetches all anew
        view._datasette_static = True  # type: ignore[attr-defined]
        return view

    return decorate


def _cached(page: Page, body: bytes, content_type: str) -> Response:
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    told = {
        # Private: these are people's faces, and who may see them depends on the actor
        "cache-control": f"private, max-age={CACHE_SECONDS}",
        "etag": etag,
        # What an actor has seen is asked for anew once somebody else looks, or nobody is logged in
        "vary": "Cookie, Authorization",
        **headers.of_picture(page.datasette),
    }
    if etag in (page.request.headers.get("if-none-match") or ""):
        return Response("", status=304, headers=told)
    return Response(body, headers=told, content_type=content_type)


@_picture_view("faces")
async def crop(page: Page, face_id: int) -> tuple[bytes | None, str]:
    """A face's crop."""
    return await page.read(browse.crop, face_id), "image/jpeg"


@_picture_view("photos")
async def thumbnail(page: Page, photo_id: int) -> tuple[bytes | None, str]:
    """A photo, small."""
    return await page.read(browse.thumbnail, photo_id), "image/jpeg"


@_picture_view("photos", "photo_paths")
async def image(page: Page, photo_id: int) -> tuple[bytes | None, str]:
    """A photo's file from the disk, for those who may see originals."""
    if not await permissions.sees_originals(page.datasette, page.request, page.database):
        raise Forbidden(f"Permission denied: {permissions.ORIGINALS}")
    folders = permissions.folders_of_originals(page.datasette, page.database)
    places = await page.read(browse.original_paths, photo_id)
    for place in places:
        content_type = CONTENT_TYPES.get(place["format"])
        if content_type is None:
            break
        body = await page.datasette.get_database(page.database).execute_fn(
            lambda _, place=place: _original(place, folders)
        )
        if body is not None:
            return body, content_type
    return await page.read(browse.thumbnail, photo_id), "image/jpeg"


def _original(place: dict[str, Any], folders: list[str]) -> bytes | None:
    path = as_path(place["path"], place["path_bytes"])
    return read_known(path, place["bytes"], place["sha256"], within=folders)
