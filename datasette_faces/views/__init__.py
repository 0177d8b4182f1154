"""The pages: requests in, HTML and JSON out. Every view function takes `datasette` and `request`."""

from __future__ import annotations

from typing import Any

from .gallery import face, gallery, photo
from .pictures import crop, image, thumbnail

_BASE = r"^/(?P<database>[^/]+)/-/faces"
_ID = r"(?P<id>\d{1,19})"
_JSON = r"(?P<json>\.json)?$"


def routes() -> list[tuple[str, Any]]:
    """All routes of the plugin, as `register_routes` gives them."""
    return [
        (rf"{_BASE}/?{_JSON}", gallery),
        (rf"{_BASE}/photo/{_ID}{_JSON}", photo),
        (rf"{_BASE}/face/{_ID}{_JSON}", face),
        (rf"{_BASE}/crop/{_ID}\.jpg$", crop),
        (rf"{_BASE}/thumbnail/{_ID}\.jpg$", thumbnail),
        (rf"{_BASE}/image/{_ID}\.jpg$", image),
    ]
