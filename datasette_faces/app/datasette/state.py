"""What the plugin keeps while a server runs, on the Datasette instance."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

from ...models.model_pools import ModelPools
from ...search.searcher import Searcher
from ...search.upload_cache import UploadCache
from ..sql.functions import SharedState
from .upload_options import make_upload_options

READERS = 4
"""Originals that are read at once; others wait."""
ATTRIBUTE = "_datasette_faces"

Part = TypeVar("Part")


class State:
    """One server's query faces, its upload models and caches."""

    def __init__(self) -> None:
        self.upload_cache = UploadCache()
        self.pools = ModelPools(options=make_upload_options())
        """The models at work for uploads."""
        self.disk = ThreadPoolExecutor(READERS, thread_name_prefix="originals")
        """Reads originals: Datasette's own threads are for SQL, and a disk may be slow."""
        self.logged_once: set[str] = set()
        """Messages that are logged once only."""
        self.scripts: frozenset[str] | None = None
        """The hashes of the scripts that Datasette puts into every page; None until they are read."""
        self._lock = threading.Lock()
        self._parts: dict[type[Any], Any] = {}
        self._shared: dict[str, tuple[str | None, SharedState]] = {}
        self._caches: WeakKeyDictionary[Any, dict[Any, Any]] = WeakKeyDictionary()

    def cache_of(self, database: Any) -> dict[Any, Any]:
        """What was read of a Datasette database, while that is there."""
        return self._caches.setdefault(database, {})

    def part(self, kind: type[Part]) -> Part:
        """The one of a class that this server has, made on first use."""
        with self._lock:
            if kind not in self._parts:
                self._parts[kind] = kind()
            return cast(Part, self._parts[kind])

    def shared(self, database: str, path: str | None) -> SharedState:
        """What the SQL functions of a database's connections share: its indexes, its query faces.

        path: its file; None for whichever that is.
        """
        with self._lock:
            known = self._shared.get(database)
            # Another file may come under a known name
            if known is None or path not in (None, known[0]):
                shared = SharedState(
                    Searcher(path), lambda key: self.upload_cache.vector(database, key)
                )
                known = self._shared[database] = path, shared
            return known[1]

    def close(self) -> None:
        """End all processes; without this they end with Datasette's own process."""
        self.disk.shutdown(wait=False, cancel_futures=True)
        self.pools.close()


def state_of(datasette: Any) -> State:
    """The state of a Datasette, made on first use."""
    known: State | None = vars(datasette).get(ATTRIBUTE)
    if known is None:
        # setdefault is atomic: threads that come at once get the same one
        known = vars(datasette).setdefault(ATTRIBUTE, State())
    return known


def close(datasette: Any) -> None:
    """Close the state of a Datasette that has one."""
    state: State | None = vars(datasette).get(ATTRIBUTE)
    if state is not None:
        state.close()
