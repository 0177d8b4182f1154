"""The checks of an audit on pictures: plain JPEGs, each of its own photo or face, without hidden people.

Pictures are compared with those of the private file by their pixels; nothing is asked of the code that
redacts them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from ...errors import PictureError
from ...media import jpeg_verify, redact
from ...media.decode import decode_picture
from ...shapes import Box, FloatArray
from . import allow_list
from .findings import PICTURE_COLUMNS, AuditFinding, Catalogue

SPECS = {"photos": redact.THUMBNAIL, "faces": redact.CROP}
"""The size and quality of the pictures of each table."""
MAX_COMPARED = 500
"""Pictures of each kind to compare: of a larger catalogue, so many that are spread over it."""
COARSE_PX = 3
"""Two pictures of one photo have the same colours in 3 x 3 cells, also where faces are blurred."""
MAX_COARSE_DIFFERENCE = 22.0
"""Mean difference of these cells, 0..255. Of 1,200 parts of photographs, those with areas blurred at
random, or blurred all over, had up to 15, those with a watermark 8; other pictures have 24 to 60."""
FINE_PX = 32
"""A box is compared in 32 x 32 pixels, less their own means in cells of a quarter of the box."""
MEANS_PX = 4
MIN_BOX_PX = 8
"""No person is recognised in a smaller box, and a JPEG's noise is as large as its detail."""
MIN_DETAIL = 2.0
"""Mean square of the detail of a box, 0..255 squared: a flat area has nothing to blur."""
MAX_DETAIL_LEFT = 0.5
"""The share of a box's detail that may be left: of blurred faces 0.04 is, of others 0.97."""


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
            if not _is_of(data, source):
                leaks.append(f"{table} {row_id}: {column} is of something else")
    return [AuditFinding.of("pictures unlike those of the private file", count, leaks)]


def check_blurred(catalogue: Catalogue) -> list[AuditFinding]:
    """No photo shows a face that has to be blurred in it."""
    boxes = allow_list.boxes_to_blur(catalogue)
    public = dict(catalogue.private.execute("select id, public_id from public_photos").fetchall())
    leaks: list[str] = []
    chosen = sorted(boxes)[:: max(1, len(boxes) // MAX_COMPARED)]
    for photo_id in chosen:
        [(source, width, height)] = catalogue.private.execute(
            "select thumbnail, width, height from photos where id = ?", [photo_id]
        )
        found = catalogue.conn.execute(
            "select thumbnail from photos where id = ?", [public[photo_id]]
        ).fetchone()
        if found and _shows(found[0], source, boxes[photo_id], (width, height)):
            leaks.append(f"photos {public[photo_id]}: a face that has to be blurred")
    return [AuditFinding.of("faces to blur that are not blurred", len(chosen), leaks)]


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


def _shows(data: Any, source: Any, boxes: list[Box], size: tuple[int, int]) -> bool:
    """Whether a picture of a photo of this size (pixels) has the detail of one of these boxes."""
    try:
        picture, private = _open(data), _open(source)
    except PictureError:
        return False
    private = private.resize(picture.size, Image.Resampling.BOX)
    across, down = picture.width / size[0], picture.height / size[1]
    return any(
        _detail_left(picture, private, box, (across, down)) > MAX_DETAIL_LEFT
        for box in boxes
        if min(box.width * across, box.height * down) >= MIN_BOX_PX
    )


def _detail_left(
    picture: Image.Image, private: Image.Image, box: Box, scale: tuple[float, float]
) -> float:
    """The share of a box's detail in a private picture that another one has as well; 0 to about 1."""
    across, down = scale
    edges = (
        box.x * across,
        box.y * down,
        (box.x + box.width) * across,
        (box.y + box.height) * down,
    )
    shown, known = (_detail(image, edges) for image in (picture, private))
    energy = float((known * known).mean())
    return float((shown * known).mean()) / energy if energy > MIN_DETAIL else 0.0


def _detail(image: Image.Image, edges: tuple[float, float, float, float]) -> FloatArray:
    """The brightness of a part of a picture (left, top, right, bottom), less that of its surroundings."""
    left, top, right, bottom = edges
    part = image.convert("L").crop((round(left), round(top), round(right), round(bottom)))
    fine = part.resize((FINE_PX, FINE_PX), Image.Resampling.BILINEAR)
    means = fine.resize((MEANS_PX, MEANS_PX), Image.Resampling.BOX)
    smooth = means.resize(fine.size, Image.Resampling.BICUBIC)
    return np.asarray(fine, np.float32) - np.asarray(smooth, np.float32)


def _open(data: Any) -> Image.Image:
    """The pixels of a picture. Raises PictureError."""
    if not isinstance(data, bytes):
        raise PictureError("no picture")
    return decode_picture(data, min_long_px=redact.THUMBNAIL.long_px).image
