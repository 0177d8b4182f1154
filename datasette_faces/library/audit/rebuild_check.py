"""The check of an audit that a catalogue is, byte for byte, the file that is rebuilt from its rows.

What no column of a row says is not rebuilt, and shows: free pages, row numbers, the order of the schema,
the size of pages, counters in the header, values that are longer than they need to be. What the rows say
is the matter of the other checks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from ...store import catalogue as tables
from ...store.connection import Connection, explained, load_vector_extension, sqlite
from ...store.schema import quote_name
from .. import atomic_file
from .findings import AuditFinding, Catalogue
from .schema_check import scratch_catalogue

PIECE_BYTES = 1 << 20
HEADER_BYTES = 100
CHANGES, SCHEMA_CHANGES, VALID_FOR = slice(24, 28), slice(40, 44), slice(92, 96)
"""How often the file and its schema were changed, and for which of these the size in the header holds:
SQLite's "Database File Format", 1.3."""
VERSION = slice(96, 100)
"""Which SQLite wrote the file."""
VERSIONS = {3_000_000 + 1000 * minor + patch for minor in range(7, 100) for patch in range(20)}
MAX_CHANGES = 255
"""Each change of the file counts, also one that another check reports."""
ORDERS = {"catalogue": "name = 'seal', name"}
"""How the rows of a table are ordered; others by their row numbers, which `compare_exports` compares."""
Schema = list[tuple[str, str, str]]
"""What was created, in its order: type, name, SQL."""


def check_free_space(catalogue: Catalogue) -> list[AuditFinding]:
    """Nothing is on free pages, between rows, or in the way in which they are kept."""
    with atomic_file.scratch_folder_beside(catalogue.path) as folder, explained(catalogue.path):
        today, schema = _choose_schema(catalogue)
        try:
            copy = _rebuild(catalogue, schema, folder)
            places = [*_differing_places(catalogue, copy, is_former=schema != today)]
        except sqlite().DatabaseError as error:
            places = [f"the file cannot be rebuilt ({error})"]
    return [
        AuditFinding.of("free pages, and bytes that belong to no row", len(catalogue.data), places)
    ]


def _rebuild(catalogue: Catalogue, schema: Schema, folder: Path) -> Path:
    draft, copy = folder / "draft", folder / "copy"
    with closing(sqlite().connect(str(draft), isolation_level=None, uri=True)) as conn:
        load_vector_extension(conn)
        tables.prepare_draft(conn)
        address = Path(catalogue.path).resolve().as_uri() + "?mode=ro&immutable=1"
        conn.execute("attach ? as source", [address])
        conn.execute("begin")
        _write(conn, schema)
        conn.execute("commit")
        conn.execute("detach source")
        conn.execute("vacuum into ?", [str(copy)])
    draft.unlink()
    return copy


def _choose_schema(catalogue: Catalogue) -> tuple[Schema, Schema]:
    """The schema that a catalogue has today; and the same with the former tables that this one has."""
    with scratch_catalogue(catalogue) as scratch:
        today = _list_schema(scratch)
    found = {(kind, name): sql for kind, name, sql in _list_schema(catalogue.conn)}
    former = {(kind, name, sql) for kind, name, _, sql in tables.former_schema()}
    return today, [
        (kind, name, found[kind, name] if (kind, name, found.get((kind, name))) in former else sql)
        for kind, name, sql in today
        # Former ones need no trigger for what foreign keys hold
        if kind != "trigger" or (kind, name) in found
    ]


def _list_schema(conn: Connection) -> Schema:
    rows = conn.execute("select type, name, sql from sqlite_master order by rowid")
    return [tuple(row) for row in rows if row[2] and not row[1].startswith("sqlite_")]


def _write(conn: Connection, schema: Schema) -> None:
    """Create the schema, each table with its rows before a trigger could change them."""
    virtual = [name for _, name, sql in schema if sql.lower().startswith("create virtual")]
    behind = [name for _, name, _ in schema if name.startswith(tuple(f"{it}_" for it in virtual))]
    for wanted in ("table", "index", "trigger"):
        for kind, name, sql in schema:
            if kind == wanted and name not in (*virtual, *behind):
                conn.execute(sql)
                if kind == "table":
                    _copy_rows(conn, name)
    for _, name, sql in schema:
        if name in virtual:
            # Creates those behind it as well
            conn.execute(sql)
        elif name in behind:
            conn.execute(f"delete from main.{quote_name(name)}")
            _copy_rows(conn, name)
    if any("autoincrement" in sql.lower() for _, _, sql in schema):
        conn.execute("delete from main.sqlite_sequence")
        _copy_rows(conn, "sqlite_sequence")


def _copy_rows(conn: Connection, table: str) -> None:
    """Copy the values of a table's columns. In an order: otherwise SQLite takes rows over byte by byte."""
    name = quote_name(table)
    columns = ", ".join(
        quote_name(row[1]) for row in conn.execute(f"pragma main.table_info({name})")
    )
    order = ORDERS.get(table, "_rowid_")
    conn.execute(
        f"insert into main.{name}({columns}) select {columns} from source.{name} order by {order}"
    )


def _differing_places(catalogue: Catalogue, copy: Path, *, is_former: bool) -> Iterator[str]:
    """Where a file differs from the one that was rebuilt: the first byte of each piece, or a counter."""
    size, differs = copy.stat().st_size, False
    with copy.open("rb") as other:
        for start in range(0, max(len(catalogue.data), size), PIECE_BYTES):
            piece, twin = catalogue.data[start : start + PIECE_BYTES], other.read(PIECE_BYTES)
            if start == 0:
                piece, twin = _without_counters(piece), _without_counters(twin)
            if piece != twin:
                both = enumerate(zip(piece, twin, strict=False))
                place = next(
                    (n for n, (one, two) in both if one != two), min(len(piece), len(twin))
                )
                yield f"at byte {start + place:,}"
                differs = True
        other.seek(0)
        # Who changes a row or the schema changes these as well
        if not differs:
            heads = catalogue.data[:HEADER_BYTES], other.read(HEADER_BYTES)
            yield from _odd_counters(*heads, is_former=is_former)


def _odd_counters(head: bytes, twin: bytes, *, is_former: bool) -> Iterator[str]:
    """Counters that no export writes: of an earlier version's steps only how many there may be is known."""
    changes, schema_changes = (int.from_bytes(head[it], "big") for it in (CHANGES, SCHEMA_CHANGES))
    if changes > MAX_CHANGES or head[CHANGES] != head[VALID_FOR]:
        yield f"at byte {CHANGES.start}"
    same = head[SCHEMA_CHANGES] == twin[SCHEMA_CHANGES]
    if not same and not (is_former and schema_changes <= MAX_CHANGES):
        yield f"at byte {SCHEMA_CHANGES.start}"
    if int.from_bytes(head[VERSION], "big") not in VERSIONS:
        yield f"at byte {VERSION.start}"


def _without_counters(piece: bytes) -> bytes:
    kept = bytearray(piece)
    for place in (CHANGES, SCHEMA_CHANGES, VALID_FOR, VERSION):
        kept[place] = bytes(4)
    return bytes(kept)
