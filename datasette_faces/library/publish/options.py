"""What an export publishes: its options, and the faces that they choose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone

from ...algorithms.spelling import fold
from ...errors import CatalogueError
from ...store import catalogue as tables
from ...store.connection import Connection, sqlite
from . import hidden_faces, selection


@dataclass(frozen=True)
class ExportOptions:
    """What to publish; each option turns something on that is off.

    people: only these names or numbers. query: only the faces whose ids this SQL gives.
    edited: also photos that were edited, and in which a hidden person is not found any more.
    missing: also photos whose files are missing.
    originals_url: where the originals are, with {id} for a photo's public name. names: a file for the
    publisher alone, with the path of each photo beside its public name, as CSV.
    """

    people: tuple[str, ...] = ()
    query: str | None = None
    unnamed: bool = False
    embeddings: bool = False
    gps: bool = False
    originals_url: str | None = None
    blur_others: bool = False
    watermark: str | None = None
    portable: bool = False
    edited: bool = False
    missing: bool = False
    names: str | None = None

    def notes(self) -> dict[str, str]:
        """The options that are on, as the table `catalogue` holds them."""
        chosen_by = (("people", self.people), ("query", self.query))
        options = {
            "embeddings": "yes" if self.embeddings else "",
            "unnamed": "yes" if self.unnamed else "",
            "gps": "city" if self.gps else "",
            "originals_url": self.originals_url or "",
            "blur_others": "yes" if self.blur_others else "",
            "watermark": self.watermark or "",
            "portable": "yes" if self.portable else "",
            "edited": "yes" if self.edited else "",
            "missing": "yes" if self.missing else "",
            "chosen": " and ".join(name for name, value in chosen_by if value),
        }
        today = datetime.now(timezone.utc).date().isoformat()
        used = {name: value for name, value in options.items() if value}
        return {"format": tables.FORMAT, "made_on": today, **used}


DEFAULT_OPTIONS = ExportOptions()
"""Everybody who has a name and is not hidden."""


def choose_faces(private: Connection, options: ExportOptions) -> None:
    """Keep the faces to publish in the temporary table `chosen`.

    Raises CatalogueError where there are none, or where a name or a query is wrong.
    """
    face_ids = _run_query(private, options.query) if options.query else None
    people = _find_people(private, options.people) if options.people else None
    if not selection.choose_faces(
        private,
        people=people,
        face_ids=face_ids,
        unnamed=options.unnamed,
        missing=options.missing,
    ):
        raise CatalogueError(_explain_nothing(private, options))


def redact_hidden_faces(private: Connection, options: ExportOptions) -> None:
    """Take what may be of hidden people out of what is published. Raises CatalogueError if none is left."""
    hidden_faces.redact(private, edited=options.edited)
    if not selection.count_chosen(private)["faces"]:
        reasons = selection.count_withheld(private)
        withheld = sum(reasons.values()) - reasons.get("missing", 0)
        raise CatalogueError(
            f"There is no face to publish: all {withheld:,} that are chosen may show a hidden person: "
            "they resemble one and no person confirmed who they are, or their photo was edited and the "
            "hidden person in it is not found any more (--edited)"
        )


def _find_people(private: Connection, given: Iterable[str]) -> set[int]:
    """The ids of people by their names, as they are written, or by their numbers."""
    people = selection.list_publishable_people(private)
    found: set[int] = set()
    for text in given:
        by_number = {person for person, _ in people if str(person) == text}
        meant = by_number or {person for person, name in people if _is_same_name(name, text)}
        if not meant:
            raise CatalogueError(
                f"No one called {text!r} can be published; hidden people and people without "
                "faces are left out. List people with: datasette faces people DB list --named"
            )
        found |= meant
    return found


def _is_same_name(name: str, text: str) -> bool:
    """Whether two names are equal but for case, outer spaces and the encoding of accents."""
    return fold(name.strip()) == fold(text.strip())


def _run_query(private: Connection, query: str) -> list[int]:
    try:
        return selection.run_query(private, query)
    except (sqlite().Error, sqlite().Warning, ValueError) as error:
        if "interrupted" in str(error):
            raise CatalogueError(
                f"The query takes over {selection.QUERY_SECONDS} seconds; ask for less"
            ) from None
        raise CatalogueError(
            f"The query gives no ids of faces ({error}); one that does: "
            "select id from faces where person_id = 3"
        ) from None


def _explain_nothing(private: Connection, options: ExportOptions) -> str:
    """Why no face can be published, and what helps."""
    if missing := selection.count_withheld(private).get("missing"):
        return (
            f"There is no face to publish: the photos of all {missing:,} that are chosen are missing "
            "from their places; bring their files back and ingest again, or add --missing"
        )
    count = selection.count_publishable(private, unnamed=options.unnamed)
    if count:
        return f"There is no face to publish: none of the {count:,} publishable faces is chosen"
    left_out = selection.count_left_out(private)
    mend = "name people first (datasette faces people DB name), or add --unnamed"
    hidden = f"; {left_out['hidden']:,} are of hidden people" if left_out["hidden"] else ""
    return f"There is no face to publish: {left_out['unnamed']:,} have no name{hidden}; {mend}"
