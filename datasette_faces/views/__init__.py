"""The pages: requests in, HTML and JSON out. Every view function takes `datasette` and `request`."""

from __future__ import annotations

from typing import Any

from .gallery import face, gallery, photo
from .pictures import crop, image, thumbnail

_BASE = r"^/(?P<database>[^/]+)/-/faces"
_JSON = r"(?P<json>\.json)?$"


def routes() -> list[tuple[str, Any]]:
    """All routes of the plugin, as `register_routes` gives them."""
    return [
        (rf"{_BASE}/?{_JSON}", gallery),
        (rf"{_BASE}/photo/(?P<id>\d+){_JSON}", photo),
        (rf"{_BASE}/face/(?P<id>\d+){_JSON}", face),
        (rf"{_BASE}/crop/(?P<id>\d+)\.jpg$", crop),
        (rf"{_BASE}/thumbnail/(?P<id>\d+)\.jpg$", thumbnail),
        (rf"{_BASE}/image/(?P<id>\d+)\.jpg$", image),
    ]
