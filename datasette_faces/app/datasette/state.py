"""What the plugin keeps for as long as a server runs: it hangs on the Datasette instance."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import WeakKeyDictionary

from ...models.model_pools import ModelPools
from ...search.searcher import Searcher
from ...search.upload_cache import QueryStore
from ..sql.functions import Shared
from .rates import RateLimit
from .slots import Slots
from .upload_options import make_upload_options

READERS = 4
"""Originals that are read at once; the next wait."""
ATTRIBUTE = "_datasette_faces"


class State:
    """One server's query faces and the models at work for its uploads."""

    def __init__(self) -> None:
        self.queries = QueryStore()
        self.rates = RateLimit()
        self.slots = Slots()
        self.pools = ModelPools(options=make_upload_options())
        """The models at work for uploads."""
        self.disk = ThreadPoolExecutor(READERS, thread_name_prefix="originals")
        """Reads originals: Datasette's own threads are for SQL, and a disk may be slow."""
        self.told: set[str] = set()
        """What the log has been told once, and need not be again."""
        self.scripts: frozenset[str] | None = None
        """The hashes of the scripts that Datasette puts into every page, once they are known."""
        self._lock = threading.Lock()
        self._shared: dict[str, tuple[str | None, Shared]] = {}
        self._kept: WeakKeyDictionary[Any, dict[Any, Any]] = WeakKeyDictionary()

    def kept(self, database: Any) -> dict[Any, Any]:
        """What was read of one of Datasette's databases, for as long as that is there."""
        return self._kept.setdefault(database, {})

    def shared(self, database: str, path: str | None) -> Shared:
        """What the SQL functions of a database's connections share: its indexes, its query faces.

        path: None for whichever file that is.
        """
        with self._lock:
            known = self._shared.get(database)
            # Another file may come under a name that is known
            if known is None or path not in (None, known[0]):
                shared = Shared(Searcher(path), lambda key: self.queries.vector(database, key))
                known = self._shared[database] = path, shared
            return known[1]

    def close(self) -> None:
        """End all processes; they end by themselves where Datasette does not say that it ends."""
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
