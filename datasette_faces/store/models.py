"""The models whose embeddings are in the file: what it remembers of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import ModelError, WrongWeights
from ..shapes import ModelInfo
from . import coerce
from .connection import Connection
from .file_facts import file_fact
from .vec_tables import table_name

COLUMNS = ", ".join(ModelInfo.__slots__)
STRICTEST = 1.0
"""The threshold of a model whose own cannot be read: by it no two faces are taken for one person."""


def register(conn: Connection, info: ModelInfo) -> None:
    """Remember a model. Raises WrongWeights if its id had other weights."""
    known = model(conn, info.id)
    if known and known.weights_sha256 != info.weights_sha256:
        raise WrongWeights(
            f"This database holds embeddings of another model named {info.id!r} (other weights); "
            "rename the pack's folder to ingest with it beside the first"
        )
    if not known:
        _refuse_shared_table(conn, info.id)
        bound = ", ".join(f":{name}" for name in ModelInfo.__slots__)
        conn.execute(
            f"insert into models({COLUMNS}) values ({bound})",
            {name: getattr(info, name) for name in ModelInfo.__slots__},
        )


@file_fact
def every(conn: Connection) -> list[ModelInfo]:
    """The models in the file, the first one ingested first."""
    return [_info(row) for row in conn.execute(f"select {COLUMNS} from models order by rowid")]


def model(conn: Connection, model_id: str | None) -> ModelInfo | None:
    """What the file remembers of a model."""
    row = conn.execute(f"select {COLUMNS} from models where id = ?", [model_id]).fetchone()
    return _info(row) if row else None


def _info(row: Sequence[Any]) -> ModelInfo:
    model_id, name, dimensions, threshold, licence, weights = row
    read = coerce.number(threshold)
    return ModelInfo(
        id=coerce.text(model_id) or "",
        name=coerce.text(name) or "",
        dimensions=coerce.count(dimensions),
        threshold=STRICTEST if read is None or not -1 <= read <= STRICTEST else read,
        licence=coerce.text(licence) or "",
        weights_sha256=coerce.text(weights) or "",
    )


def _refuse_shared_table(conn: Connection, model_id: str) -> None:
    for other in every(conn):
        if table_name(other.id) == table_name(model_id):
            raise ModelError(
                f"The models {other.id!r} and {model_id!r} would share the table "
                f"{table_name(model_id)}; rename the pack's folder"
            )
