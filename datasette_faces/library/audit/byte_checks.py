"""The check of an audit on the bytes of a file: none are what the private file keeps to itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from ...algorithms.needle_search import CHUNK_BYTES, Hit, Needles, NeedleSearch
from ...media import jpeg_verify
from ...search.indexes import pq, registry
from ...store import catalogue as tables
from . import allow_list, needles
from .findings import AuditFinding, Catalogue
from .picture_checks import SPECS
from .schema_check import scratch_catalogue

PATHS, CAMERAS, ACTORS = "paths and parts of them", "cameras", "who decided"
TYPED = (PATHS, CAMERAS, ACTORS)
"""An address of originals may have a part that a folder is called by, too."""
SHORT_BYTES = 8
"""Shorter ones are found in pictures by chance: of 100,000 with six bytes 0.3 in a gigabyte."""
TOO_SHORT = "too short, or too uniform, to be looked for"
METADATA = (
    b"Exif\0\0",
    b"http://ns.adobe.com/xap",
    b"<x:xmpmeta",
    b"ICC_PROFILE",
    b"Photoshop 3.0",
)


def search_bytes(catalogue: Catalogue) -> list[AuditFinding]:
    """All bytes of the file hold nothing that the private file keeps to itself."""
    sought = _collect_needles(catalogue, b"\n".join(_public_texts(catalogue)))
    search = sought.build_search()
    hits = list(_unexplained(catalogue, search, search.find_all(catalogue.data)))
    findings = [
        AuditFinding.of(
            kind,
            count,
            [f"{_readable(hit.text)} at byte {hit.offset:,}" for hit in hits if hit.kind == kind],
        )
        for kind, count in search.counts.items()
    ]
    short = tuple(f"{count:,}: {kind}" for kind, count in sought.too_short.items() if count)
    return [*findings, AuditFinding(TOO_SHORT, 0, examples=short)]


def _readable(raw: bytes) -> str:
    text = raw.decode("utf-8", "backslashreplace")
    return f"“{text}”" if text.isprintable() else raw.hex(" ")


def _collect_needles(catalogue: Catalogue, public: bytes) -> Needles:
    """All that must not be among the bytes, unless it is a part of a public text."""
    sought, conn = Needles(public), catalogue.private
    for kind, texts in (
        ("names of other people", needles.names(conn) - allow_list.published_names(conn)),
        (ACTORS, needles.actors(conn)),
        (PATHS, needles.paths(conn)),
        (CAMERAS, needles.cameras(conn)),
        ("reasons of errors", needles.reasons(conn)),
    ):
        sought.add(kind, needles.encode(texts))
        sought.add_spellings(kind, needles.encode_spellings(texts))
    sought.add("exact times", needles.times(conn))
    sought.add("exact places", needles.coordinates(conn, allow_list.PLACE_DECIMALS))
    hashes = needles.hashes(conn)
    sought.add("hashes of photos", needles.encode(hashes))
    for rows in needles.hash_rows(hashes):
        sought.add_rows("hashes of photos", rows)
    sought.add("keys of people and decisions", needles.keys(conn))
    sought.add("secrets", needles.secrets(conn))
    sought.add("landmarks", needles.landmarks(conn))
    allowed = catalogue.faces if catalogue.notes.get("embeddings") else []
    for rows in needles.vectors(conn, allowed):
        sought.add_rows("vectors", rows)
    sought.add("marks of metadata", METADATA)
    return sought


def _public_texts(catalogue: Catalogue) -> Iterator[bytes]:
    """The texts that every catalogue like this one holds: a folder that is called so is no leak.

    The values of options, such as a watermark, are not among them.
    """
    with scratch_catalogue(catalogue) as scratch:
        for row in tables.schema(scratch):
            yield from needles.encode(map(str, row))
        yield from needles.encode(tables.texts(scratch))
    for name in allow_list.published_names(catalogue.private):
        yield from needles.encode((name, name.lower(), name.upper()))
    yield from (jpeg_verify.expected_head(spec.quality).raw for spec in SPECS.values())
    patterns = allow_list.KNOWN_NOTES.values()
    yield from needles.encode((*patterns, *pq.PARTS, allow_list.UNDATED, "SQLite format 3"))
    yield from needles.encode(kind.id for kind in registry.indexes())


def _unexplained(catalogue: Catalogue, search: NeedleSearch, hits: list[Hit]) -> Iterator[Hit]:
    """Hits that the file has more often than in the cells where they may be.

    Other checks compare those cells with what they should hold.
    """
    there = Counter(hit.text for hit in hits)
    typed, short = Counter[bytes](), Counter[bytes]()
    if any(hit.kind in TYPED for hit in hits):
        typed = _count_in_cells(search, needles.encode(tables.typed(catalogue.conn)))
    if any(len(hit.text) < SHORT_BYTES for hit in hits):
        pictures = (data for _, _, data in catalogue.pictures() if isinstance(data, bytes))
        short = _count_in_cells(search, pictures)
    for hit in hits:
        allowed = typed[hit.text] if hit.kind in TYPED else 0
        allowed += short[hit.text] if len(hit.text) < SHORT_BYTES else 0
        if there[hit.text] > allowed:
            yield hit


def _count_in_cells(search: NeedleSearch, cells: Iterable[bytes]) -> Counter[bytes]:
    """How often each text is found within cells."""
    found: Counter[bytes] = Counter()
    batch = bytearray()
    for cell in cells:
        # No text has these bytes, so none is found across two cells
        batch += cell + b"\xff\xfe\xff"
        if len(batch) > CHUNK_BYTES:
            found.update(hit.text for hit in search.find_all(bytes(batch)))
            batch.clear()
    found.update(hit.text for hit in search.find_all(bytes(batch)))
    return found
