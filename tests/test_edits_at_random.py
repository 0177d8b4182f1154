"""Random libraries that are edited, decided about and exported: no decision is lost, no one hidden shows.

Who is in a square is told by its colour, so that it is known what is right.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from running import faces, ingest, rows
from toy_model import BLUE, GREEN, RED, SHY, SQUARE_PX, YELLOW, Colour, ToyModel, draw

from datasette_faces.errors import CatalogueError, DecisionError, Leak
from datasette_faces.library.export import export
from datasette_faces.library.publish import options, selection
from datasette_faces.library.publish.options import ExportOptions
from datasette_faces.people import decide
from datasette_faces.store import people
from datasette_faces.store.connection import Connection, transaction
from datasette_faces.store.database import reading, writing

pytestmark = pytest.mark.slow

COLOURS = [RED, GREEN, BLUE, YELLOW, (255, 0, 255), SHY]
STEPS = 14
PLACED = """
    select photos.path, cast(x / 40 as integer), people.key from faces
    join photos on photos.id = photo_id join people on people.id = person_id
    where person_source = 'person'
"""


@dataclass
class Library:
    """A folder of drawn photos and its database; colours: of each photo, by its path, as it is now."""

    database: Path
    folder: Path
    random: random.Random
    colours: dict[str, list[Colour]] = field(default_factory=dict)
    former: dict[str, list[list[Colour]]] = field(default_factory=dict)

    def save(self, name: str, colours: list[Colour], note: str = "") -> None:
        path = draw(self.folder / name, *colours, note=f"{name} {note}")
        self.former.setdefault(str(path), []).append(colours)
        self.colours[str(path)] = colours
        # Faces that nothing grouped are to be known as those of hidden people, too
        grouped = self.random.random() < 0.5
        ingest(self.database, self.folder, *([] if grouped else ["--no-cluster"]))

    def placed(self) -> dict[tuple[str, Colour], str]:
        """Whom people said to be in a photo: by its path and the colour, the key of the person."""
        found = rows(self.database, PLACED)
        return {(path, self.colours[path][place]): key for path, place, key in found}

    # Steps: each is a thing that somebody does

    def add_photo(self) -> None:
        count = self.random.randint(2, 4)
        self.save(f"{len(self.colours)}.png", self.random.sample(COLOURS, count))

    def edit_photo(self) -> None:
        path = self.random.choice(list(self.colours))
        colours = list(self.colours[path])
        edit = self.random.choice(["swap", "crop", "replace", "add", "restore", "caption"])
        others = [it for it in COLOURS if it not in colours]
        if edit == "swap":
            self.random.shuffle(colours)
        elif edit == "crop" and len(colours) > 1:
            colours.pop(self.random.choice([0, -1]))
        elif edit == "replace" and others:
            colours[self.random.randrange(len(colours))] = self.random.choice(others)
        elif edit == "add" and others:
            colours.insert(0, self.random.choice(others))
        elif edit == "restore":
            colours = self.random.choice(self.former[path])
        before = self.placed()
        self.save(Path(path).name, colours, note=f"{self.random.random()}")
        after = self.placed()
        for (photo, colour), key in before.items():
            # A face that no detector sees is looked for where the others went: a shuffle says nothing
            if colour in self.colours[photo] and (edit, colour) != ("swap", SHY):
                assert after.get((photo, colour)) == key, (edit, colour)

    def draw_face(self) -> None:
        missed = [path for path, colours in self.colours.items() if SHY in colours]
        if missed:
            path = self.random.choice(missed)
            left = self.colours[path].index(SHY) * SQUARE_PX
            faces("people", self.database, "draw", path, left, 0, SQUARE_PX, SQUARE_PX)

    def name_face(self) -> None:
        every = rows(self.database, "select id from faces")
        [face_id] = self.random.choice(every)
        self.decide(lambda conn: decide.name(conn, decided_person(conn, face_id), f"{face_id}"))

    def hide_person(self) -> None:
        self.decide(lambda conn: decide.hide(conn, self.any_person()))

    def show_person(self) -> None:
        self.decide(lambda conn: decide.unhide(conn, self.any_person()))

    def merge_people(self) -> None:
        """Two whose faces are of one colour: people are right about whom they see."""
        by_colour: dict[Colour, list[int]] = {}
        for person, colour in self.colours_of_people():
            by_colour.setdefault(colour, []).append(person)
        pairs = [it for it in by_colour.values() if len(set(it)) > 1]
        if pairs:
            one, other = self.random.sample(sorted(set(self.random.choice(pairs))), 2)
            self.decide(lambda conn: decide.merge(conn, one, other))

    def undo(self) -> None:
        self.decide(decide.undo)

    def redo(self) -> None:
        self.decide(decide.redo)

    def decide(self, what: Callable[[Connection], object]) -> None:
        with writing(str(self.database)) as conn, transaction(conn):
            try:
                what(conn)
            except DecisionError:
                return

    def any_person(self) -> int:
        return self.random.choice(rows(self.database, "select id from people"))[0]

    def colours_of_people(self) -> Iterator[tuple[int, Colour]]:
        found = rows(
            self.database,
            "select person_id, path, cast(x / 40 as integer) from faces "
            "join photos on photos.id = photo_id where person_id is not null",
        )
        for person, path, place in found:
            yield person, self.colours[path][place]

    # What has to hold, whatever was done

    def check_decisions(self, count: int) -> int:
        """No decision is gone, and the rows of people follow from them."""
        [(now,)] = rows(self.database, "select count(*) from decisions")
        assert now >= count
        before = self.placed()
        with writing(str(self.database)) as conn, transaction(conn):
            people.rebuild(conn)
        assert self.placed() == before
        return now

    def check_export(self) -> None:
        """A square of a hidden person's colour is blurred or not published, wherever it is."""
        hidden = {
            colour
            for person, colour in self.colours_of_people()
            if rows(self.database, "select hidden from people where id = ?", person) == [(1,)]
        }
        shown_by_hand = {
            (path, place)
            for path, place in rows(
                self.database,
                "select path, cast(x / 40 as integer) from faces join photos on photos.id = photo_id "
                "join people on people.id = person_id where person_source = 'person' and not hidden",
            )
        }
        with reading(str(self.database)) as conn, closing(conn):
            try:
                options.choose_faces(conn, ExportOptions(unnamed=True))
                options.redact_hidden_faces(conn, ExportOptions(unnamed=True))
            except CatalogueError:
                return
            blurred = selection.find_boxes_to_blur(conn, others=False)
            published = dict(
                conn.execute(
                    "select id, path from photos where id in (select photo_id from chosen)"
                ).fetchall()
            )
        for photo_id, path in published.items():
            places = {int(x // SQUARE_PX) for x, *_ in blurred.get(photo_id, [])}
            for place, colour in enumerate(self.colours[path]):
                if colour in hidden and (path, place) not in shown_by_hand and colour != SHY:
                    assert place in places, (path, colour)

    def export_all(self, out: Path) -> None:
        """The export of everybody who may be published has no leak; unless there is nothing."""
        try:
            made = export(
                str(self.database), str(out), ExportOptions(unnamed=True), with_models=False
            )
        except Leak:
            raise
        except CatalogueError:
            return
        assert made.report.leaks == 0


def decided_person(conn: Connection, face_id: int) -> int:
    """The person of a face; a new one where it has none."""
    row = conn.execute("select person_id from faces where id = ?", [face_id]).fetchone()
    if row and row[0] is not None:
        return int(row[0])
    made = decide.move(conn, [face_id], None)
    person = people.by_key(conn, made.person_key or "")
    assert person
    return person.id


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_done_no_decision_is_lost_and_no_one_hidden_shows(
    toy: ToyModel, tmp_path: Path, seed: int
):
    folder = tmp_path / "photos"
    folder.mkdir()
    library = Library(tmp_path / "x.db", folder, random.Random(seed))
    library.add_photo()
    library.add_photo()
    library.name_face()
    steps = [
        *[library.edit_photo] * 4,
        *[library.name_face, library.hide_person] * 2,
        library.add_photo,
        library.show_person,
        library.merge_people,
        library.draw_face,
        library.undo,
        library.redo,
    ]
    count = 0
    for _ in range(STEPS):
        library.random.choice(steps)()
        count = library.check_decisions(count)
        library.check_export()
    library.export_all(tmp_path / "catalogue.db")
