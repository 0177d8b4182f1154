"""What says something of a whole file is read once where the file cannot change, else each time."""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from desks import make_clustered
from serving import site

from datasette_faces.store import gallery
from datasette_faces.store.file_facts import fact_name
from datasette_faces.store.schema import has_tables


class Counting:
    """Counts which functions of the store are run by a database."""

    def __init__(self, database: Any) -> None:
        self.seen: Counter[str] = Counter()
        self._run = database.execute_fn
        database.execute_fn = self

    async def __call__(self, function: Any) -> Any:
        cells = inspect.unwrap(function).__closure__ or ()
        names = {cell.cell_contents for cell in cells if _is_fact(cell)}
        self.seen.update(it.__name__ for it in names)
        return await self._run(function)


def _is_fact(cell: Any) -> bool:
    return callable(cell.cell_contents) and fact_name(cell.cell_contents) is not None


@pytest.mark.parametrize("immutable", [True, False])
def test_facts_of_a_file_that_cannot_change_are_read_once(faces_db: Path, immutable: bool) -> None:
    paths, options = ((), {"immutables": [str(faces_db)]}) if immutable else ((faces_db,), {})
    with site(*paths, **options) as it:
        counting = Counting(it.datasette.get_database("faces"))
        first, second = (it.get("/faces/-/faces") for _ in range(2))
        assert first.status_code == second.status_code == 200
        assert first.text == second.text
        assert counting.seen["totals"] == (1 if immutable else 2)
        again = counting.seen.total()
        it.get("/faces/-/faces")
        assert (counting.seen.total() == again) is immutable


@pytest.mark.parametrize("page", ["photo/1", "face/1", "people", "people/1"])
def test_so_do_the_pages_about_one(tmp_path: Path, page: str) -> None:
    clustered = make_clustered(tmp_path / "people.db")
    with site(immutables=[str(clustered)]) as it:
        counting = Counting(it.datasette.get_database("people"))
        counts = []
        for _ in range(2):
            assert it.get(f"/people/-/faces/{page}").status_code == 200
            counts.append(counting.seen.total())
        assert counts[0] == counts[1] > 0


def test_a_wrapped_function_is_read_once_as_well(
    faces_db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    read_totals = gallery.totals

    def wrapped() -> Any:
        """A wrapper of its own each time, as a decorator in another module would make."""

        @functools.wraps(read_totals)
        def totals(*arguments: Any) -> Any:
            calls.append(arguments)
            return read_totals(*arguments)

        return totals

    with site(immutables=[str(faces_db)]) as pages:
        for _ in range(2):
            monkeypatch.setattr(gallery, "totals", wrapped())
            assert pages.get("/faces/-/faces").status_code == 200
    assert len(calls) == 1


def test_functions_of_one_name_are_two_facts() -> None:
    assert fact_name(has_tables) != fact_name(gallery.has_embeddings)
    assert fact_name(gallery.crop) is None
