"""The indexes that are kept in the file: what each holds, up to which change, and its bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .connection import Connection
from .photos import now

PART_BYTES = 64 * 1024 * 1024
"""No larger blob is written: SQLite's limit is 1 GB, and memory is the reader's."""


@dataclass(frozen=True, slots=True)
class StoredIndex:
    """A row of `face_indexes`: `seen` is the last change that the index holds."""

    seen: int
    faces: int
    built_at: str
    sha256: str | None


def read_index(conn: Connection, model_id: str, index_id: str) -> StoredIndex | None:
    """What the file says of an index."""
    row = conn.execute(
        "select seen, faces, built_at, sha256 from face_indexes where model_id = ? and index_id = ?",
        [model_id, index_id],
    ).fetchone()
    # A file may come from anywhere
    sound = row and isinstance(row[0], int) and isinstance(row[1], int)
    return StoredIndex(*row) if sound else None


def save_index(conn: Connection, model_id: str, index_id: str, kept: StoredIndex) -> None:
    """Say what an index holds now."""
    conn.execute(
        """
        insert into face_indexes(model_id, index_id, seen, faces, built_at, sha256)
        values (?, ?, ?, ?, ?, ?)
        on conflict(model_id, index_id) do update set seen = excluded.seen, faces = excluded.faces,
            built_at = excluded.built_at, sha256 = excluded.sha256
        """,
        [model_id, index_id, kept.seen, kept.faces, kept.built_at, kept.sha256],
    )


def remove_index(conn: Connection, model_id: str, index_id: str) -> None:
    """Remove an index's row and bytes."""
    for table in ("face_index_parts", "face_indexes"):
        conn.execute(
            f"delete from {table} where model_id = ? and index_id = ?", [model_id, index_id]
        )


def remove_indexes(conn: Connection) -> None:
    """Remove what is kept of every index, of those that no kind here knows, too."""
    conn.execute("delete from face_index_parts")
    conn.execute("delete from face_indexes")


def save_arrays(
    conn: Connection,
    model_id: str,
    index_id: str,
    parts: Iterable[tuple[str, memoryview]],
    *,
    seen: int,
    faces: int,
) -> None:
    """Keep an index's named bytes, in place of those that were kept before."""
    remove_index(conn, model_id, index_id)
    save_index(conn, model_id, index_id, StoredIndex(seen, faces, now(), None))
    digest, place = hashlib.sha256(_head(seen)), 0
    for name, data in parts:
        for start in range(0, max(len(data), 1), PART_BYTES):
            piece = data[start : start + PART_BYTES]
            digest.update(_head(name, len(piece)))
            digest.update(piece)
            conn.execute(
                "insert into face_index_parts(model_id, index_id, place, name, data) "
                "values (?, ?, ?, ?, ?)",
                [model_id, index_id, place, name, piece],
            )
            place += 1
    save_index(conn, model_id, index_id, StoredIndex(seen, faces, now(), digest.hexdigest()))


def load_arrays(conn: Connection, model_id: str, index_id: str) -> dict[str, bytes] | None:
    """An index's bytes by name; None where they are not those that were saved."""
    pieces: dict[str, list[bytes]] = {}

    def gather(name: str, data: bytes) -> None:
        pieces.setdefault(name, []).append(data)

    if not _gone_through(conn, model_id, index_id, gather):
        return None
    return {name: data[0] if len(data) == 1 else b"".join(data) for name, data in pieces.items()}


def is_intact(conn: Connection, model_id: str, index_id: str) -> bool:
    """Whether an index's bytes are those that were saved."""
    return _gone_through(conn, model_id, index_id, lambda name, data: None)


def _gone_through(
    conn: Connection, model_id: str, index_id: str, each: Callable[[str, bytes], None]
) -> bool:
    """Call `each` with the name and the bytes of every piece; whether they are those that were saved."""
    row = read_index(conn, model_id, index_id)
    if row is None:
        return False
    digest = hashlib.sha256(_head(row.seen))
    for name, data in conn.execute(
        "select name, data from face_index_parts where model_id = ? and index_id = ? order by place",
        [model_id, index_id],
    ):
        if not isinstance(data, bytes):
            return False
        digest.update(_head(name, len(data)))
        digest.update(data)
        each(name, data)
    return digest.hexdigest() == row.sha256


def _head(*values: object) -> bytes:
    """What is hashed before a piece: bytes under another name, or of another time, are others."""
    return repr(values).encode()
