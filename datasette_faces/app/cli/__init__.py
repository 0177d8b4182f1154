"""`datasette faces …`: click in, plain functions, text or JSON out. No logic of its own.

`group` holds the group and what its commands share; each of the other modules brings some of them.
"""

from __future__ import annotations

from . import (  # noqa: F401
    calibrate,
    cluster,
    doctor,
    drawing,
    embed,
    export,
    forget,
    index,
    ingest,
    names,
    people,
    search,
    status,
)
from .group import faces

__all__ = ["faces"]
