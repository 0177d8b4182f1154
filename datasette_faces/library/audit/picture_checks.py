"""The checks of an audit on pictures: plain JPEGs, each of its own photo or face, without hidden people.

Pictures are compared with the private file's by their pixels, without the code that exports them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from ...algorithms import geometry
from ...errors import PictureError
from ...media import jpeg_verify, redact
from ...media.crop import CROP_MARGIN_PX, CROP_PX
from ...media.decode import decode_picture
from ...shapes import Area, Box, FloatArray
from ...store.catalogue import PICTURE_COLUMNS
from . import allow_list
from .findings import AuditFinding, Catalogue

Edges = tuple[int, int, int, int]
"""A part of a picture in pixels: left, top, right, bottom."""
SPECS = {"photos": redact.THUMBNAIL, "faces": redact.CROP}
"""The size and quality of the pictures of each table."""
MAX_COMPARED = 500
"""Pictures of each kind to compare, spread over a larger catalogue."""
COARSE_PX = 3
"""Two pictures of one photo have the same colours in 3 x 3 cells, also where faces are blurred."""
MAX_COARSE_DIFFERENCE = 22.0
"""Mean difference of these cells, 0..255. Of 1,200 parts of photographs, those with areas blurred at
random, or blurred all over, had up to 15, those with a watermark 8; other pictures have 24 to 60."""
SIDE_PX, BLUR_EDGE, MIN_BESIDE = 48, 0.35, 0.05
"""What is beside faces is compared in 48 x 48 pixels, but for their boxes and what is blurred around
them; it has to be this part of a picture."""
FINE_PX = 32
"""A box is compared in 32 x 32 pixels, less their own means in cells of a quarter of the box."""
MEANS_PX = 4
MIN_BOX_PX = 16
"""No person is recognised in a smaller box, and a JPEG's noise is as large as its detail."""
MIN_DETAIL = 50.0
"""Mean square of the detail of a box, 0..255 squared. With less, a JPEG's noise decides."""
MAX_DETAIL_LEFT = 0.5
"""The share of a box's detail that may be left. Of 1,975 boxes of these sizes and details, blurred as an
export does, at most 0.31 was left; of the same ones that were not blurred, 0.74 in 99 of 100."""


def check_jpegs(catalogue: Catalogue) -> list[AuditFinding]:
    """Every picture is a JPEG without metadata, and has nothing behind its end."""
    leaks, count = [], 0
    for table, row_id, data in catalogue.pictures():
        count += 1
        quality = SPECS[table].quality
        fault = jpeg_verify.find_fault(data, quality) if isinstance(data, bytes) else "no picture"
        if fault:
            leaks.append(f"{table} {row_id}: {fault}")
    return [AuditFinding.of("EXIF, XMP and other metadata in pictures", count, leaks)]


def check_sources(catalogue: Catalogue) -> list[AuditFinding]:
    """Pictures show the same as their photo or face in the private file."""
    leaks, count = [], 0
    for table, column in PICTURE_COLUMNS.items():
        for row_id, data, source in _pairs(catalogue, table, column):
            count += 1
            if not _is_of(data, source) and not _is_around_faces(catalogue, table, row_id, data):
                leaks.append(f"{table} {row_id}: {column} is of something else")
    return [AuditFinding.of("pictures unlike those of the private file", count, leaks)]


def check_blurred(catalogue: Catalogue) -> list[AuditFinding]:
    """No photo shows a face that has to be blurred in it, and no crop of another face does."""
    boxes = allow_list.boxes_to_blur(catalogue)
    chosen = sorted(boxes)[:: max(1, len(boxes) // MAX_COMPARED)]
    leaks = [
        f"{table} {row_id}: a face that has to be blurred"
        for photo_id in chosen
        for table, row_id in _unblurred(catalogue, photo_id, boxes[photo_id])
    ]
    return [AuditFinding.of("faces to blur that are not blurred", len(chosen), leaks)]


def _unblurred(catalogue: Catalogue, photo_id: int, boxes: list[Box]) -> Iterator[tuple[str, int]]:
    """The photo, and the faces in it, whose pictures show one of these boxes: table, public id."""
    photos = catalogue.private.execute(
        "select public_id, thumbnail, width, height from photos join public_photos using (id) "
        "where id = ?",
        [photo_id],
    )
    for public_id, source, width, height in photos:
        areas = [geometry.area_of(box, width, height) for box in boxes]
        if _shows(_picture(catalogue, "photos", public_id), source, areas):
            yield "photos", public_id
    faces = catalogue.private.execute(
        "select public_id, crop, landmarks from audited join faces using (id) "
        "join public_faces using (id) where photo_id = ?",
        [photo_id],
    )
    for public_id, source, text in faces:
        areas = [_area_in_crop(box, geometry.parse_landmarks(text)) for box in boxes]
        if _shows(_picture(catalogue, "faces", public_id), source, areas):
            yield "faces", public_id


def _area_in_crop(box: Box, landmarks: FloatArray) -> Area:
    """The area of a face's crop that a box covers, perhaps outside of it; all of it if that is unknown.

    landmarks: those of the face.
    """
    if landmarks.shape != (5, 2) or not np.isfinite(landmarks).all():
        return Area(0, 0, 1, 1)
    across, down = (box.x, box.x + box.width), (box.y, box.y + box.height)
    corners = np.array([[x, y] for x in across for y in down], np.float32)
    onto_crop = geometry.similarity_transform(
        landmarks, geometry.ARCFACE_TEMPLATE + np.float32(CROP_MARGIN_PX)
    )
    placed = geometry.transform_points(onto_crop, corners) / CROP_PX
    (left, top), (right, bottom) = placed.min(axis=0).tolist(), placed.max(axis=0).tolist()
    return Area(left, top, right - left, bottom - top)


def _picture(catalogue: Catalogue, table: str, public_id: int) -> Any:
    column = PICTURE_COLUMNS[table]
    found = catalogue.conn.execute(f"select {column} from {table} where id = ?", [public_id])
    row = found.fetchone()
    return row and row[0]


def _pairs(catalogue: Catalogue, table: str, column: str) -> Iterator[tuple[Any, Any, Any]]:
    """Pictures of a catalogue, spread over a table: id, picture, and the private file's."""
    ids = [row[0] for row in catalogue.conn.execute(f"select id from {table} order by id")]
    for row_id in ids[:: max(1, len(ids) // MAX_COMPARED)]:
        [(data,)] = catalogue.conn.execute(f"select {column} from {table} where id is ?", [row_id])
        source = catalogue.private.execute(
            f"select {column} from {table} join public_{table} using (id) where public_id = ?",
            [row_id],
        ).fetchone()
        yield row_id, data, source and source[0]


def _is_of(data: Any, source: Any) -> bool:
    """Whether a picture has the colours of another one, cell by cell."""
    try:
        one, other = (
            np.asarray(_open(raw).resize((COARSE_PX, COARSE_PX), Image.Resampling.BOX), np.float32)
            for raw in (data, source)
        )
    except PictureError:
        return False
    return float(np.abs(one - other).mean()) < MAX_COARSE_DIFFERENCE


def _is_around_faces(catalogue: Catalogue, table: str, row_id: Any, data: Any) -> bool:
    """Whether a picture has the colours of the private file's beside the faces that may be blurred in it.

    Where large blurred areas lie side by side they mix the colours of all cells.
    """
    photo_id, source, areas = _faces_in(catalogue, table, row_id)
    if photo_id is None:
        return False
    try:
        one, other = (
            np.asarray(_open(raw).resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX), np.float32)
            for raw in (data, source)
        )
    except PictureError:
        return False
    beside = np.ones((SIDE_PX, SIDE_PX), bool)
    for area in areas:
        margin = Area(
            area.x - BLUR_EDGE * area.width,
            area.y - BLUR_EDGE * area.height,
            area.width * (1 + 2 * BLUR_EDGE),
            area.height * (1 + 2 * BLUR_EDGE),
        )
        left, top, right, bottom = _pixels(margin, (SIDE_PX, SIDE_PX))
        beside[top:bottom, left:right] = False
    if beside.mean() < MIN_BESIDE:
        # Faces everywhere: a blur keeps the colour of the whole
        return float(np.abs(one.mean((0, 1)) - other.mean((0, 1))).mean()) < MAX_COARSE_DIFFERENCE
    return float(np.abs(one - other)[beside].mean()) < MAX_COARSE_DIFFERENCE


def _faces_in(catalogue: Catalogue, table: str, row_id: Any) -> tuple[int | None, Any, list[Area]]:
    """The private photo of a picture, the private picture, and where faces may be blurred in it."""
    column = PICTURE_COLUMNS[table]
    sizes = {"photos": "id, width, height, null", "faces": "photo_id, null, null, landmarks"}
    row = catalogue.private.execute(
        f"select {column}, {sizes[table]} from {table} join public_{table} using (id) "
        "where public_id = ?",
        [row_id],
    ).fetchone()
    if row is None:
        return None, None, []
    source, photo_id, width, height, landmarks = row
    rows = catalogue.private.execute(
        "select public_id, x, y, width, height from faces join public_faces using (id) "
        "where photo_id = ?",
        [photo_id],
    )
    boxes = [Box(*box) for public_id, *box in rows if table == "photos" or public_id != row_id]
    if table == "photos":
        return photo_id, source, [geometry.area_of(box, width, height) for box in boxes]
    points = geometry.parse_landmarks(landmarks)
    return photo_id, source, [_area_in_crop(box, points) for box in boxes]


def _shows(data: Any, source: Any, areas: list[Area]) -> bool:
    """Whether a picture has the detail that another one has in one of these areas."""
    try:
        picture, private = _open(data), _open(source)
    except PictureError:
        return False
    private = private.resize(picture.size, Image.Resampling.BOX)
    edges = [_pixels(area, picture.size) for area in areas]
    return any(
        _detail_left(picture, private, part) > MAX_DETAIL_LEFT
        for part in edges
        if min(part[2] - part[0], part[3] - part[1]) >= MIN_BOX_PX
    )


def _pixels(area: Area, size: tuple[int, int]) -> Edges:
    """The part of a picture of this size that an area covers; negative sides if that is nothing."""
    width, height = size
    return (
        max(0, round(area.x * width)),
        max(0, round(area.y * height)),
        min(width, round((area.x + area.width) * width)),
        min(height, round((area.y + area.height) * height)),
    )


def _detail_left(picture: Image.Image, private: Image.Image, part: Edges) -> float:
    """The share of a part's detail in a private picture that another one has as well; 0 to about 1."""
    shown, known = (_detail(image, part) for image in (picture, private))
    energy = float((known * known).mean())
    return float((shown * known).mean()) / energy if energy > MIN_DETAIL else 0.0


def _detail(image: Image.Image, part: Edges) -> FloatArray:
    """The brightness of a part of a picture, less that of its surroundings."""
    fine = image.convert("L").crop(part).resize((FINE_PX, FINE_PX), Image.Resampling.BILINEAR)
    means = fine.resize((MEANS_PX, MEANS_PX), Image.Resampling.BOX)
    smooth = means.resize(fine.size, Image.Resampling.BICUBIC)
    return np.asarray(fine, np.float32) - np.asarray(smooth, np.float32)


def _open(data: Any) -> Image.Image:
    """The pixels of a picture. Raises PictureError."""
    if not isinstance(data, bytes):
        raise PictureError("no picture")
    return decode_picture(data, min_long_px=redact.THUMBNAIL.long_px).image
