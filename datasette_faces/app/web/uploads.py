"""A request's body → pictures and form fields, within limits; alike on both Datasette versions.

Nothing is written to disk, and nothing is decoded here.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from .body import TooLarge, WrongType
from .page import BadRequest
from .upload_limits import REQUEST_LIMITS, CountBytes, RequestLimits

NAME_CHARACTERS = 200
UNNAMED = "picture"


@dataclass(frozen=True, slots=True)
class Upload:
    """What a request brought: pictures (file name to show, bytes), and the form's other fields."""

    pictures: tuple[tuple[str, bytes], ...] = field(repr=False)
    fields: dict[str, list[str]]


class NothingUploaded(BadRequest):
    """A request without a picture; it may still have fields."""

    def __init__(self, message: str, fields: dict[str, list[str]] | None = None) -> None:
        super().__init__(message)
        self.fields = fields or {}


def _ignore(size_bytes: int) -> None:
    """Count nothing."""


async def read_pictures(
    request: Any, *, limits: RequestLimits = REQUEST_LIMITS, count_bytes: CountBytes = _ignore
) -> Upload:
    """The pictures in a request's body: a form with files, or one picture as it is.

    count_bytes: called with the number of bytes of each chunk; what it raises ends the reading.
    Raises NothingUploaded, BadRequest (broken), TooLarge, TooLate, WrongType. NothingUploaded
    has the fields of a form without a picture.
    """
    content_type = request.headers.get("content-type", "")
    kind, options = parse_options_header(content_type)
    _check_length(request, limits)
    if not kind and request.headers.get("content-length", "0") == "0":
        raise NothingUploaded(f"Nothing was uploaded. {how_to(request)}")
    if kind == b"multipart/form-data":
        if not options.get(b"boundary"):
            raise BadRequest("The form is broken: its Content-Type names no boundary")
        return await _read_form(request, options[b"boundary"], limits, count_bytes)
    if kind.startswith(b"image/") or kind == b"application/octet-stream":
        return await _read_raw(request, limits, count_bytes)
    sent = _shown(content_type) if content_type else "no Content-Type"
    raise WrongType(f"{sent} is not a picture. {how_to(request)}")


def how_to(request: Any) -> str:
    """How one uploads, with lines to copy."""
    address = request.url.partition("?")[0]
    return (
        f"Send a form: curl -F picture=@photo.jpg {address} or a picture as it is: "
        f"curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' {address}"
    )


def file_name(raw: bytes) -> str:
    """A file's name as it may be shown: no folders, nothing invisible, not too long."""
    text = raw.decode("utf-8", "replace").replace("\\", "/")
    return _shown(text.rpartition("/")[2]) or UNNAMED


def _shown(text: str) -> str:
    # Category C: control characters, and those that turn the direction of writing
    visible = "".join(one for one in text if not unicodedata.category(one).startswith("C"))
    return visible.strip()[:NAME_CHARACTERS]


def _check_length(request: Any, limits: RequestLimits) -> None:
    length = request.headers.get("content-length", "")
    # Longer numbers than Python reads are too large as well
    if length.isdecimal() and (len(length) > 18 or int(length) > limits.body_bytes):
        raise TooLarge(limits.body.too_large)


async def _read_raw(request: Any, limits: RequestLimits, count_bytes: CountBytes) -> Upload:
    data = BytesIO()

    def take(chunk: bytes) -> None:
        count_bytes(len(chunk))
        data.write(chunk)

    await limits.body.read(request, take)
    if not data.tell():
        raise NothingUploaded(f"Nothing was uploaded: the body is empty. {how_to(request)}")
    # Unlike b"".join, never twice in memory
    return Upload(((UNNAMED, data.getvalue()),), {})


async def _read_form(
    request: Any, boundary: bytes, limits: RequestLimits, count_bytes: CountBytes
) -> Upload:
    form = _Form(limits)

    def take(chunk: bytes) -> None:
        count_bytes(len(chunk))
        parser.write(chunk)

    try:
        parser = form.parser(boundary)
        await limits.body.read(request, take)
    except FormParserError:
        # What the parser says is for programmers
        raise BadRequest("The form is broken: it is not multipart/form-data") from None
    if not form.ended:
        raise BadRequest("The form is broken: it stops before its end; try again")
    if not form.pictures:
        raise NothingUploaded(f"Nothing was uploaded. {how_to(request)}", form.fields)
    return Upload(tuple(form.pictures), form.fields)


class _Form:
    """Takes what the parser of a form finds, part by part."""

    def __init__(self, limits: RequestLimits) -> None:
        self.pictures: list[tuple[str, bytes]] = []
        self.fields: dict[str, list[str]] = {}
        self.ended = False
        self._limits = limits
        self._parts = self._header_bytes = self._field_bytes = 0
        self._headers: dict[bytes, bytes] = {}
        self._header_name = self._header_value = b""
        self._name = b""
        self._file_name: bytes | None = None
        self._data = BytesIO()

    def parser(self, boundary: bytes) -> MultipartParser:
        """A parser that calls this form with what it finds."""
        return MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._header_field,
                "on_header_value": self._header_values,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._part_data,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > self._limits.parts:
            raise TooLarge(f"The form has over {self._limits.parts} parts; send fewer")
        self._headers, self._header_bytes, self._data = {}, 0, BytesIO()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._header_name += data[start:end]

    def _header_values(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._header_value += data[start:end]

    def _count_header(self, size_bytes: int) -> None:
        self._header_bytes += size_bytes
        if self._header_bytes > self._limits.header_bytes:
            raise TooLarge("The headers of a part of the form are too long")

    def _end_header(self) -> None:
        self._headers[self._header_name.strip().lower()] = self._header_value.strip()
        self._header_name = self._header_value = b""

    def _end_headers(self) -> None:
        disposition = self._headers.get(b"content-disposition", b"").decode("latin-1")
        _, options = parse_options_header(disposition)
        if b"name" not in options:
            raise BadRequest("The form is broken: a part of it has no name")
        self._name, self._file_name = options[b"name"], options.get(b"filename")
        if self._file_name is None:
            self._count_field(len(self._name))

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file_name is None:
            self._count_field(end - start)
        self._data.write(data[start:end])

    def _count_field(self, size_bytes: int) -> None:
        self._field_bytes += size_bytes
        if self._field_bytes > self._limits.field_bytes:
            raise TooLarge(
                f"The form's fields have over {self._limits.field_bytes // 1000} KB; "
                "send pictures as files: curl -F picture=@photo.jpg"
            )

    def _end_part(self) -> None:
        data, self._data = self._data.getvalue(), BytesIO()
        if self._file_name is None:
            name = self._name.decode("utf-8", "replace")
            self.fields.setdefault(name, []).append(data.decode("utf-8", "replace"))
        # A browser sends a file without name and content where none was chosen
        elif self._file_name or data:
            if len(self.pictures) == self._limits.pictures:
                raise TooLarge(f"Over {self._limits.pictures} pictures at once; send fewer")
            self.pictures.append((file_name(self._file_name), data))

    def _end(self) -> None:
        self.ended = True
