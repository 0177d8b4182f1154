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
from ...media.crop import CROP_PX, onto_crop
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
            is_same = _is_of(data, source) or _is_same_beside(
                data, source, _faces_in(catalogue, table, row_id)
            )
            if not is_same:
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
    placed = geometry.transform_box(onto_crop(landmarks), box)
    return geometry.area_of(placed, CROP_PX, CROP_PX)


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
    difference = _compare(data, source, COARSE_PX)
    return difference is not None and _size(difference) < MAX_COARSE_DIFFERENCE


def _is_same_beside(data: Any, source: Any, faces: list[Area]) -> bool:
    """Whether a picture has the colours of another one beside the faces that may be blurred in it.

    Where large blurred areas lie side by side they mix the colours of all cells.
    """
    difference = _compare(data, source, SIDE_PX)
    if difference is None or not faces:
        return False
    beside = np.ones((SIDE_PX, SIDE_PX), bool)
    for face in faces:
        x, y = BLUR_EDGE * face.width, BLUR_EDGE * face.height
        blurred = Area(face.x - x, face.y - y, face.width + 2 * x, face.height + 2 * y)
        left, top, right, bottom = _pixels(blurred, (SIDE_PX, SIDE_PX))
        beside[top:bottom, left:right] = False
    if beside.mean() < MIN_BESIDE:
        # Faces everywhere: a blur keeps the colour of the whole
        return _size(difference.mean((0, 1))) < MAX_COARSE_DIFFERENCE
    return _size(difference[beside]) < MAX_COARSE_DIFFERENCE


def _compare(data: Any, source: Any, side: int) -> FloatArray | None:
    """How two pictures differ in so many cells across and down: (side, side, 3); None if one is broken."""
    try:
        one, other = (
            np.asarray(_open(raw).resize((side, side), Image.Resampling.BOX), np.float32)
            for raw in (data, source)
        )
    except PictureError:
        return None
    return one - other


def _size(difference: FloatArray) -> float:
    return float(np.abs(difference).mean())


def _faces_in(catalogue: Catalogue, table: str, row_id: Any) -> list[Area]:
    """Where faces may be blurred in a picture: those of its photo, but for the one that a crop is of."""
    sizes = {"photos": "id, width, height, null", "faces": "photo_id, null, null, landmarks"}
    row = catalogue.private.execute(
        f"select {sizes[table]} from {table} join public_{table} using (id) where public_id = ?",
        [row_id],
    ).fetchone()
    if row is None:
        return []
    photo_id, width, height, landmarks = row
    rows = catalogue.private.execute(
        "select public_id, x, y, width, height from faces join public_faces using (id) "
        "where photo_id = ?",
        [photo_id],
    )
    if table == "photos":
        return [geometry.area_of(Box(*box), width, height) for _, *box in rows]
    points = geometry.parse_landmarks(landmarks)
    return [_area_in_crop(Box(*box), points) for public_id, *box in rows if public_id != row_id]


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
