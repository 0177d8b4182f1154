"""Every route of the plugin, with the view that answers it."""

from __future__ import annotations

from typing import Any

from .calibration import calibration_page
from .gallery import face, gallery, photo
from .images import crop, image, thumbnail
from .people import history, people, person
from .review import review
from .search import query_face, query_photo, search

_BASE = r"^/(?P<database>[^/]+)/-/faces"
_KEY = r"(?P<key>[A-Za-z0-9_-]{1,40})"
_ID = r"(?P<id>\d{1,19})"
_JSON = r"(?P<format>\.json)?$"


def routes() -> list[tuple[str, Any]]:
    """All routes of the plugin, as `register_routes` gives them."""
    return [
        (rf"{_BASE}/?{_JSON}", gallery),
        (rf"{_BASE}/photo/{_ID}{_JSON}", photo),
        (rf"{_BASE}/face/{_ID}{_JSON}", face),
        (rf"{_BASE}/calibration{_JSON}", calibration_page),
        (rf"{_BASE}/people{_JSON}", people),
        (rf"{_BASE}/people/{_ID}{_JSON}", person),
        (rf"{_BASE}/history{_JSON}", history),
        (rf"{_BASE}/review{_JSON}", review),
        (rf"{_BASE}/search(?P<format>\.json|\.csv)?$", search),
        (rf"{_BASE}/search/face/{_KEY}\.jpg$", query_face),
        (rf"{_BASE}/search/photo/{_KEY}\.jpg$", query_photo),
        (rf"{_BASE}/crop/{_ID}\.jpg$", crop),
        (rf"{_BASE}/thumbnail/{_ID}\.jpg$", thumbnail),
        (rf"{_BASE}/image/{_ID}\.jpg$", image),
    ]
