"""The check of an audit on the bytes of a file: none are what the private file keeps to itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from ...algorithms.needle_search import CHUNK_BYTES, Hit, Needles, NeedleSearch
from ...media import jpeg_verify
from ...search.indexes import pq, registry
from ...store import catalogue as tables
from ..publish import public_ids, selection
from ..publish.public_rows import GPS_DECIMALS, PICTURE
from . import needles as private
from .index_checks import made_anew
from .row_checks import KNOWN_NOTES, LOOKS, METADATA, Finding, Known

PATHS, CAMERAS, ACTORS = "paths and parts of them", "cameras", "who decided"
TYPED = (PATHS, CAMERAS, ACTORS)
"""An address of originals may have a part that a folder is called by, too."""
SHORT_BYTES = 8
"""Shorter ones are found in pictures by chance: of 100,000 with six bytes 0.3 in a gigabyte."""
TOO_SHORT = "too short, or too uniform, to be looked for"


def searched(it: Known) -> list[Finding]:
    """The file's bytes, all of them, hold nothing of what the private file keeps for itself."""
    needles = _needles(it, b"\n".join(_public(it)))
    search = needles.build_search()
    hits = list(_unexplained(it, search, search.find_all(it.data)))
    found = [
        Finding.of(
            kind,
            count,
            [f"{_readable(hit.text)} at byte {hit.offset:,}" for hit in hits if hit.kind == kind],
        )
        for kind, count in search.counts.items()
    ]
    short = tuple(f"{count:,}: {kind}" for kind, count in needles.too_short.items() if count)
    return [*found, Finding(TOO_SHORT, 0, examples=short)]


def _readable(found: bytes) -> str:
    text = found.decode("utf-8", "backslashreplace")
    return f"“{text}”" if text.isprintable() else found.hex(" ")


def _needles(it: Known, public: bytes) -> Needles:
    needles, conn = Needles(public), it.private
    permitted = selection.names(conn)
    for kind, texts in (
        ("names of other people", private.names(conn) - permitted),
        (ACTORS, private.actors(conn)),
        (PATHS, private.paths(conn)),
        (CAMERAS, private.cameras(conn)),
        ("reasons of errors", private.reasons(conn)),
    ):
        needles.add(kind, private.plain(texts))
        needles.add_spellings(kind, private.spelt(texts))
    needles.add("exact times", private.moments(conn))
    needles.add("exact places", private.coordinates(conn, GPS_DECIMALS))
    digests = private.digests(conn)
    needles.add("hashes of photos", private.plain(digests))
    for rows in private.digest_rows(digests):
        needles.add_rows("hashes of photos", rows)
    needles.add("keys of people and decisions", private.keys(conn))
    needles.add("secrets", private.secrets(conn))
    needles.add("landmarks", private.landmarks(conn))
    allowed = it.faces if it.notes.get("embeddings") else []
    for rows in private.vectors(conn, allowed):
        needles.add_rows("vectors", rows)
    needles.add("marks of metadata", METADATA)
    return needles


def _public(it: Known) -> Iterator[bytes]:
    """What may be read in the file: a folder or a name that is a part of it tells nothing.

    Nothing that an option says is in it, such as a watermark.
    """
    with made_anew(it, filled=False) as anew:
        for row in tables.schema(anew):
            yield from private.plain(map(str, row))
        yield from private.plain(tables.texts(anew))
    for name in selection.names(it.private):
        yield from private.plain((name, name.lower(), name.upper()))
    yield from (jpeg_verify.head(look.quality).raw for look in LOOKS.values())
    said = (*KNOWN_NOTES.values(), *pq.PARTS, public_ids.UNDATED, "SQLite format 3")
    yield from private.plain(said)
    yield from private.plain(kind.id for kind in registry.indexes())


def _unexplained(it: Known, search: NeedleSearch, hits: list[Hit]) -> Iterator[Hit]:
    """Hits of what lies in the file more often than in the cells where it may be.

    Those cells are compared with what they should be by other checks.
    """
    there = Counter(hit.text for hit in hits)
    typed, short = Counter[bytes](), Counter[bytes]()
    if any(hit.kind in TYPED for hit in hits):
        typed = _counted(search, private.plain(tables.typed(it.conn)))
    if any(len(hit.text) < SHORT_BYTES for hit in hits):
        short = _counted(search, _pictures(it))
    for hit in hits:
        may_be = typed[hit.text] if hit.kind in TYPED else 0
        may_be += short[hit.text] if len(hit.text) < SHORT_BYTES else 0
        if there[hit.text] > may_be:
            yield hit


def _pictures(it: Known) -> Iterator[bytes]:
    for table, column in PICTURE.items():
        for (data,) in it.conn.execute(f"select {column} from {table}"):
            if isinstance(data, bytes):
                yield data


def _counted(search: NeedleSearch, cells: Iterable[bytes]) -> Counter[bytes]:
    """How often each text is found within cells."""
    found: Counter[bytes] = Counter()
    batch = bytearray()
    for cell in cells:
        # Two cells have something between them that no text has
        batch += cell + b"\xff\xfe\xff"
        if len(batch) > CHUNK_BYTES:
            found.update(hit.text for hit in search.find_all(bytes(batch)))
            batch.clear()
    found.update(hit.text for hit in search.find_all(bytes(batch)))
    return found
