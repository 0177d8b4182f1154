"""Every route, every actor, every permission setting: who gets what, by ids that can be guessed."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from json import dumps
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasette import hookimpl
from datasette.database import Database
from datasette.plugins import pm
from desks import FORM, make_clustered
from galleries import blob
from serving import QUERY, Site, copied
from serving import plain_site as site

from datasette_faces.app.datasette.compat import V1, allowed
from datasette_faces.app.datasette.permissions import EDIT, ORIGINALS, RIGHTS, UPLOAD, VIEW
from datasette_faces.app.datasette.state import state_of
from datasette_faces.app.web.routes import routes
from datasette_faces.people import decide
from datasette_faces.shapes import Analysis, Box, Detection, Face, Photo, Pose
from datasette_faces.store import decisions, table_privacy
from datasette_faces.store.connection import sqlite, transaction
from datasette_faces.store.database import writing
from datasette_faces.store.decisions import DRAWN, Decision

pytestmark = pytest.mark.slow

ACTORS = (None, "bob", "ann", "ed", "root")
"""Nobody is logged in; somebody; whom a setting names; an editor; root."""
EVERYBODY = frozenset(ACTORS)
ANN = frozenset({"ann"})
BASE = "/people/-/faces"
NAME, PLACE, FIRST_PLACE = "Ada Lovelace", "photo-paths-mark", "photos-mark"


@dataclass(frozen=True)
class Route:
    """An address, what it needs, and its status for those who have that; others get a 403."""

    path: str
    tables: tuple[str, ...] = ()
    rights: tuple[str, ...] = (VIEW,)
    status: int = 200
    post: bool = False
    sql: bool = False


FACES, LOOKED_AT, SEARCHED = ("faces",), ("faces", "photos"), ("faces", "photos", "face_embeddings")
WHO = ("people", "faces", "photos")
DECIDED = ("decisions", "decision_faces")
CANNED = {
    "faces_like_face": (*SEARCHED, "models"),
    "faces_like_query": (*SEARCHED, "models"),
    "near_duplicates": (*SEARCHED, "models"),
    "people_together": WHO,
    "faces_without_person": WHO,
}


EMPTY = "face_id=1&k=1&key=&before=&threshold=&faces=1&person=&limit=1"
"""What canned queries ask for."""


def page(path: str, *tables: str, json_too: bool = True, **more: Any) -> list[Route]:
    """A page, and the JSON beside it."""
    address, _, query = path.partition("?")
    query = f"?{query}" if query else ""
    both = [Route(f"{BASE}{address}{query}", tables, **more)]
    beside = "/.json" if not address else f"{address}.json"
    beside = beside.replace("/.json", ".json")
    return both + [Route(f"{BASE}{beside}{query}", tables, **more)] * json_too


def posts(path: str, *tables: str) -> list[Route]:
    """What decides: a body of no known kind is refused last of all."""
    return page(path, *tables, rights=(VIEW, EDIT), status=415, post=True, json_too=False)


OF_INDEXES = ("face_indexes", "face_index_parts", "face_changes")
TELL_OF = {
    "photo_paths": ("photos",),
    "photo_contents": ("photos",),
    "former_pictures": ("photos",),
    "former_faces": ("photos", "faces"),
    "lost_faces": ("faces", "face_embeddings", "people"),
    "face_clusters": ("faces", "people"),
    "decisions": ("people",),
    "decision_faces": ("decisions", "people", "faces", "photos"),
    "face_drawings": ("decisions", "people", "faces", "photos", "face_embeddings"),
    "likely_pairs": ("people",),
    "said_names": ("people",),
    "name_proposals": ("people",),
    "names_read": ("photo_paths", "photos"),
    "ingest_errors": ("photo_paths", "photos"),
    **dict.fromkeys(OF_INDEXES, ("face_embeddings",)),
    "forgotten_faces": ("people", "faces", "photos"),
    "forget_runs": ("people",),
}
"""Tables that tell what others hold: who may not see all of those may not see them."""
SECRET = "face_keys"
"""A table that no page shows to anybody."""


def core_page(table: str) -> Route:
    """What Datasette itself shows of a table, as JSON."""
    needs = (table, *TELL_OF.get(table, ()))
    status = 403 if table == SECRET else 200
    address = f"/people/{table}.json?_size=max&_nosuggest=1&_nocount=1"
    return Route(address, needs, rights=(), status=status)


ROUTES = [
    *page("", *LOOKED_AT),
    *page("/photo/1", *LOOKED_AT, "photo_paths"),
    *posts("/photo/1", *LOOKED_AT, "photo_paths", "people"),
    *page("/photo/99.json", *LOOKED_AT, "photo_paths", status=404, json_too=False),
    *page("/face/1", *SEARCHED),
    *page("/face/99.json", *SEARCHED, status=404, json_too=False),
    *posts("/face/1", *SEARCHED, "people"),
    *page("/calibration", *SEARCHED, "calibrations"),
    *page("/people", "people", "faces"),
    *posts("/people", "people", "faces"),
    *page("/people/1", *WHO),
    *page("/people/99.json", *WHO, status=404, json_too=False),
    *posts("/people/1", *WHO),
    *page("/history", *WHO, *DECIDED),
    *posts("/history", *WHO, *DECIDED),
    *page("/review", *WHO, "likely_pairs"),
    *posts("/review", *WHO, "likely_pairs"),
    *page("/search?face=1", *SEARCHED),
    *page("/search?face=1&folder=/x", *SEARCHED, "photo_paths"),
    *page("/search?key={face}", *SEARCHED),
    Route(f"{BASE}/search.csv?face=1", SEARCHED),
    *page("/search", *SEARCHED, rights=(VIEW, UPLOAD), status=415, post=True),
    Route(f"{BASE}/search/face/{{face}}.jpg", SEARCHED),
    Route(f"{BASE}/search/face/guess.jpg", SEARCHED, status=404),
    Route(f"{BASE}/search/photo/{{photo}}.jpg", SEARCHED),
    Route(f"{BASE}/crop/1.jpg", FACES),
    Route(f"{BASE}/crop/99.jpg", FACES, status=404),
    Route(f"{BASE}/thumbnail/1.jpg", ("photos",)),
    Route(f"{BASE}/image/1.jpg", ("photos", "photo_paths"), (VIEW, ORIGINALS)),
    Route(f"{BASE}/image/99.jpg", ("photos", "photo_paths"), (VIEW, ORIGINALS), 404),
    *[Route(f"/people/{name}.json?{EMPTY}", needs) for name, needs in CANNED.items()],
    Route(f"/people/people_together?{EMPTY}", WHO),
    Route("/people/faces_like_face.faces?k=1&face_id=1", CANNED["faces_like_face"]),
    Route("/people/faces.faces", FACES),
    Route("/people/faces.faces?_labels=on", FACES),
    # Datasette's own pages name people as labels of `person_id`
    Route("/people/faces", FACES, rights=()),
    Route("/people/faces?_facet=person_id", FACES, rights=()),
    Route("/people/faces.json?_labels=on&_facet=person_id", FACES, rights=()),
    Route("/people/faces/1", FACES, rights=()),
    Route("/people/face_embeddings.faces", ("faces", "face_embeddings")),
    Route(f"/people{QUERY}.faces?sql=select+1+as+face_id", FACES, sql=True),
    # Whoever may run SQL may read any table by it: a function of ours gives nothing more
    Route(f"/people{QUERY}.json?sql=select+count(*)+from+people", rights=(), sql=True),
    Route(f"/people{QUERY}.json?sql=select+length(face_embedding(1))", rights=(), sql=True),
    Route("/people/models.json?_where=face_embedding(1)+is+null", ("models",), rights=(), sql=True),
]
"""What each shows of private tables is what the documentation says of it."""

TABLES = (
    "faces",
    "photos",
    "photo_paths",
    "face_embeddings",
    "people",
    "decisions",
    "decision_faces",
    "models",
    "calibrations",
    "likely_pairs",
    "name_proposals",
)
NOT_SHOWN = (
    "face_clusters",
    "face_drawings",
    "ingest_errors",
    "analyses",
    "photo_contents",
    "former_pictures",
    "former_faces",
    "lost_faces",
    "names_read",
    "said_names",
    "face_keys",
    "forgotten_faces",
    "forget_runs",
)
"""Tables that no page needs."""
ROUTES += [core_page(table) for table in sorted({*TABLES, *NOT_SHOWN, *OF_INDEXES})]


@dataclass(frozen=True)
class Setting:
    """A permission setting: what is for whom alone, and what else is configured."""

    private: dict[str, frozenset[str | None]] = field(default_factory=dict)
    """Of "instance", "database", "sql", or of a table."""
    rules: dict[str, Any] = field(default_factory=dict)
    who: dict[str, frozenset[str | None]] = field(default_factory=dict)
    """Who has a right by these rules, where that is not as without any."""
    top: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


TRUSTED = frozenset({"ed", "root"})
BY_DEFAULT = {
    VIEW: EVERYBODY,
    UPLOAD: EVERYBODY,
    EDIT: TRUSTED,
    ORIGINALS: frozenset({"root"}),
}
"""With the rule that every setting has: ed edits."""
ONE = {"id": "ann"}
REST = (UPLOAD, EDIT, ORIGINALS)
NATIVE = {"permissions": {VIEW: ONE, UPLOAD: ONE}}
SETTINGS = {
    "as it is": Setting(),
    "private instance": Setting({"instance": ANN}),
    "private database": Setting({"database": ANN}),
    "SQL for one": Setting({"sql": ANN}),
    "no SQL by default": Setting(settings={"default_allow_sql": False}),
    **{f"private {table}": Setting({table: ANN}) for table in TABLES},
    "private tables of no page": Setting(dict.fromkeys(NOT_SHOWN, ANN)),
    "view: one": Setting(rules={VIEW: ONE}, who={VIEW: ANN}),
    "view: nobody": Setting(rules={VIEW: False}, who={VIEW: frozenset()}),
    "the rest: one more": Setting(
        rules={UPLOAD: ONE, EDIT: {"id": ["ed", "ann"]}, ORIGINALS: ONE},
        who={UPLOAD: ANN, EDIT: TRUSTED | ANN, ORIGINALS: ANN | {"root"}},
    ),
    "the rest: nobody": Setting(
        rules=dict.fromkeys(REST, False), who=dict.fromkeys(REST, frozenset())
    ),
    "the rest: everybody": Setting(
        rules=dict.fromkeys(REST, True), who=dict.fromkeys(REST, EVERYBODY)
    ),
    "all, in a private database": Setting(
        {"database": ANN}, dict.fromkeys(RIGHTS, True), dict.fromkeys(RIGHTS, EVERYBODY)
    ),
    **({"native rules of 1.0": Setting(who={VIEW: ANN, UPLOAD: ANN}, top=NATIVE)} if V1 else {}),
}


@contextmanager
def served_with(database: Path, setting: Setting) -> Iterator[Site]:
    """A Site with a setting, for which root exists."""
    rules = {EDIT: {"id": "ed"}, **setting.rules}
    whole: dict[str, Any] = {"plugins": {"datasette-faces": {"permissions": rules}}, **setting.top}
    own: dict[str, Any] = {}
    for what, who in setting.private.items():
        block = {"id": sorted(filter(None, who))} if who else False
        if what == "instance":
            whole["allow"] = block
        elif what in ("database", "sql"):
            own["allow" if what == "database" else "allow_sql"] = block
        else:
            own.setdefault("tables", {})[what] = {"allow": block}
    whole["databases"] = {"people": own}
    options = {"config": whole} if V1 else {"metadata": whole}
    with site(database, settings=setting.settings, **options) as served:
        served.datasette.root_enabled = True
        yield served


def expected(route: Route, setting: Setting, actor: str | None) -> int:
    """The status that an actor has to get, by nothing but the tables above."""
    closed = [setting.private.get("instance"), setting.private.get("database")]
    closed += [setting.private.get(table) for table in route.tables]
    closed += [setting.who.get(right, BY_DEFAULT[right]) for right in route.rights]
    if route.sql:
        nobody = setting.settings.get("default_allow_sql") is False
        closed.append(frozenset() if nobody else setting.private.get("sql"))
    # Originals show where files lie, whoever may see them
    return route.status if all(actor in who for who in closed if who is not None) else 403


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve faces of three people, one with a name, the last drawn and undone; a row in every table."""
    path = make_clustered(tmp_path_factory.mktemp("walk") / "people.db")
    with writing(str(path)) as conn, transaction(conn):
        conn.execute("update photo_paths set path = ? || photo_id", [f"/{PLACE}/"])
        conn.execute("update photos set path = ? || id", [f"/{FIRST_PLACE}/"])
        conn.execute("update photos set sha256 = ? || id", [CONTENT])
        conn.execute("update faces set crop = ?", [CROP])
        conn.execute("update face_embeddings set embedding = ?", [VECTOR])
        decide.name(conn, 1, NAME, by=decide.Editor("decider-mark"))
        drawn = Decision("draw", uid="drawn", faces=decisions.refs(conn, DRAWN, [DRAWN_FACE]))
        decisions.append(conn, drawn)
        conn.execute("insert into face_drawings(uid, face_id) values ('drawn', ?)", [DRAWN_FACE])
        decide.undo(conn)
        for table, values in ROWS.items():
            conn.execute(
                f"insert into {table}({', '.join(values)}) values ({', '.join('?' * len(values))})",
                list(values.values()),
            )
    return path


CONTENT, CROP, VECTOR = "content-mark", b"\xff\xd8\xff" + b"crop-mark" * 3, blob([8**-0.5] * 8)
DRAWN_FACE = 12
IN_TEXT = {"faces": b64encode(CROP).decode(), "face_embeddings": b64encode(VECTOR).decode()}
_BOX = {"x": 1, "y": 2, "width": 3, "height": 4}
ROWS: dict[str, dict[str, Any]] = {
    "ingest_errors": {"path": f"/{PLACE}/broken.jpg", "reason": "broken", "seen_at": "2024-01-01"},
    "photo_contents": {"sha256": CONTENT, "photo_id": 1},
    "former_pictures": {"sha256": CONTENT, "photo_id": 1, "picture": CONTENT},
    "former_faces": {"photo_id": 1, "sha256": CONTENT, **_BOX, "lost_id": 1},
    "lost_faces": {
        "photo_id": 1,
        "face_id": 99,
        "person_key": NAME,
        "embeddings": dumps({"toy": IN_TEXT["face_embeddings"]}),
    },
    "names_read": {"photo_id": 1, "sha256": CONTENT, "sidecars": PLACE},
    "said_names": {"photo_id": 1, "name": NAME, "source": "takeout"},
    "name_proposals": {
        "person_key": "cluster-1",
        "name": NAME,
        "confidence": 0.9,
        "together": 3,
        "apart": 0,
    },
    "likely_pairs": {
        "first_key": "cluster-1",
        "second_key": NAME,
        "model_id": "toy",
        "similarity": 0.3,
    },
    "face_keys": {"name": "catalogue", "key": b"secret"},
    "face_indexes": {
        "model_id": "toy",
        "index_id": "of-another-program",
        "seen": 0,
        "faces": 12,
        "built_at": "2024-01-01",
    },
    "face_index_parts": {
        "model_id": "toy",
        "index_id": "of-another-program",
        "place": 0,
        "name": "codes",
        "data": VECTOR,
    },
    "face_changes": {"model_id": "toy", "face_id": 1},
    "forgotten_faces": {"sha256": CONTENT, **_BOX},
    "forget_runs": {"started_at": "2024-01-01", "found": 1, "photos": 1, "faces": 1},
    "analyses": {"photo_id": 1, "model_id": "toy"},
    "calibrations": {
        "model_id": "toy",
        "source": "library",
        "threshold": 0.4,
        "curve": "[[0, 0.1], [1, 0.9]]",
        **dict.fromkeys(("people", "matching_pairs", "photo_pairs", "people_pairs"), 9),
        "evaluation": '{"ece": 0.01, "bins": [], "rates": []}',
        "calibrated_at": "2024-01-01",
    },
}
"""What no decision and no ingest of this file leaves behind, by table."""


def keys(served: Site) -> dict[str, str]:
    """The keys of an uploaded picture and of the face in it."""
    vector = np.eye(8, dtype=np.float32)[0]
    detection = Detection(Box(0, 0, 9, 9), 1.0, np.zeros((5, 2), np.float32))
    face = Face(detection, 1.0, Pose(0, 0, 0), b"\xff\xd8\xff", vector)
    photo = Photo(9, 9, "JPEG", None, None, None, None, b"\xff\xd8\xff")
    store = state_of(served.datasette).upload_cache
    told = {"database": "people", "model_id": "toy", "file_name": "query.jpg"}
    key = store.add_photo(Analysis(photo, (face,)), **told, reason=None)
    found = store.photo("people", key)
    assert found
    return {"photo": key, "face": found.face_keys[0]}


def answer(served: Site, route: Route, known: dict[str, str], actor: str | None) -> Any:
    """What a route answers to an actor."""
    path = route.path.replace("{face}", known["face"]).replace("{photo}", known["photo"])
    if not route.post:
        return served.get(path, actor=actor)
    # Bearer: no cookie of a browser proves anything here, and none is asked for
    return served.post(path, b"x", "text/x-none", actor=actor, authorization="Bearer none")


MARKS = {
    "people": (NAME,),
    "photos": (FIRST_PLACE, CONTENT),
    "photo_paths": (PLACE,),
    "decisions": ("decider-mark",),
    **{table: (text,) for table, text in IN_TEXT.items()},
}
"""What shows that a table was read, whichever table shows it."""


@pytest.mark.parametrize("name", SETTINGS)
def test_every_route_answers_every_actor_as_the_setting_says(database: Path, name: str) -> None:
    setting = SETTINGS[name]
    with served_with(database, setting) as served:
        known, wrong = keys(served), []
        # Of a private table it counts whether one is named, and whether one is root
        alike = set(setting.private) <= {*TABLES, *NOT_SHOWN}
        for actor in (None, "ann", "root") if setting.private and alike else ACTORS:
            for route in ROUTES:
                got, wanted = answer(served, route, known, actor), expected(route, setting, actor)
                if got.status_code != wanted:
                    wrong.append(f"{actor} {route.path}: {got.status_code}, not {wanted}")
                hidden = [mark for marks in MARKS.values() for mark in marks if wanted == 403]
                hidden += [
                    mark
                    for table, marks in MARKS.items()
                    if actor not in setting.private.get(table, EVERYBODY)
                    for mark in marks
                ]
                wrong += [f"{actor} {route.path}: {it}" for it in hidden if it in got.text]
        assert wrong == []


def test_the_walk_goes_over_every_route_of_the_plugin() -> None:
    walked = [route.path.partition("?")[0] for route in ROUTES]
    for pattern, view in routes():
        assert any(re.match(pattern, path.format(face="x", photo="x")) for path in walked), view
    assert {name for _, table in CANNED.items() for name in table} <= set(TABLES)


def test_the_walk_knows_every_table_that_holds_anything_of_people(database: Path) -> None:
    with closing(sqlite().connect(str(database))) as conn:
        every = {
            row[0] for row in conn.execute("select name from sqlite_master where type='table'")
        }
    kept_for_the_plugin = {"face_changes", "face_indexes", "face_index_parts"}
    own = {name for name in every if not name.startswith(("sqlite_", "_sqlite", "vec_"))}
    assert own - kept_for_the_plugin == {*TABLES, *NOT_SHOWN}


def test_every_table_is_walked_with_a_row_of_it(database: Path) -> None:
    with closing(sqlite().connect(str(database))) as conn:
        rows = {
            table: conn.execute(f"select * from {table}").fetchall()
            for table in {*TABLES, *NOT_SHOWN, *OF_INDEXES}
        }
        kept = conn.execute("select kept from face_drawings").fetchone()[0]
    assert [table for table in rows if not rows[table]] == []
    assert all(mark in kept for mark in (*IN_TEXT.values(), CONTENT))


def test_each_table_names_what_it_carries_and_where(database: Path) -> None:
    own = {*table_privacy.BASES, "models", "calibrations", "analyses", SECRET}
    with closing(sqlite().connect(str(database))) as conn:
        for table, carried in table_privacy.CARRIES.items():
            columns = {row[1] for row in conn.execute(f"pragma table_info({table})")}
            assert {column for names in carried.values() for column in names} <= columns, table
    assert {*table_privacy.CARRIES, *own} == {*TABLES, *NOT_SHOWN, *OF_INDEXES}
    assert {table: set(table_privacy.sources(table)) for table in TELL_OF} == {
        table: set(told) for table, told in TELL_OF.items()
    }
    for table in table_privacy.CARRIES:
        # Datasette 1.0 takes one table of which another one depends
        assert len({*table_privacy.sources(table)} - {*table_privacy.BASES}) <= 1, table


@pytest.mark.parametrize("actor", ACTORS)
def test_no_rule_shows_the_secret_of_public_ids(database: Path, actor: str | None) -> None:
    with served_with(database, Setting({SECRET: EVERYBODY - {None}})) as served:
        assert served.get(f"/people/{SECRET}.json", actor=actor).status_code == 403
        assert served.get(f"/people/{SECRET}/catalogue.json", actor=actor).status_code == 403
        assert SECRET not in listed(served, "people", actor)


def test_a_database_that_is_added_later_tells_as_little(database: Path, tmp_path: Path) -> None:
    private = {"people": ONE, "face_embeddings": ONE, "photo_paths": ONE}
    tables = {table: {"allow": allow} for table, allow in private.items()}
    whole = {"databases": {"later": {"tables": tables}}}
    later = copied(database, tmp_path / "later.db")
    closed = sorted({it for it in TELL_OF if not private.keys().isdisjoint(TELL_OF[it])} | {SECRET})
    with site(**{"config" if V1 else "metadata": whole}) as served:
        served.datasette.add_database(Database(served.datasette, path=str(later)), name="later")
        # Asked before anything else has read the file
        first = allowed(served.datasette, None, "view-table", database="later", table=closed[0])
        assert served.run(first) is False
        for table in closed:
            assert served.get(f"/later/{table}.json").status_code == 403, table
        assert not listed(served, "later", None).keys() & closed
        ann = listed(served, "later", "ann")
        assert SECRET not in ann
        assert ann["face_indexes"]
        assert not ann["decisions"]


def listed(served: Site, database: str, actor: str | None) -> dict[str, bool]:
    """The tables that a database's page lists for an actor, and whether it hides them."""
    tables = served.get(f"/{database}.json", actor=actor).json()["tables"]
    return {table["name"]: table["hidden"] for table in tables}


IN_A_TABLE = ("/people/faces", "/people/faces?_facet=person_id", "/people/faces.faces?_labels=on")


@pytest.mark.parametrize("path", IN_A_TABLE)
@pytest.mark.parametrize("name", ["private database", "private instance"])
def test_people_are_named_where_all_is_as_private_as_they_are(
    database: Path, name: str, path: str
) -> None:
    with served_with(database, SETTINGS[name]) as served:
        assert NAME in served.get(path, actor="ann").text


@pytest.mark.parametrize("path", IN_A_TABLE)
@pytest.mark.parametrize(
    "tables", [{"faces": True, "photos": True}, {"people": ONE, "faces": True}]
)
def test_faces_that_are_opened_to_everybody_name_nobody_of_a_private_database(
    database: Path, tables: dict[str, Any], path: str
) -> None:
    rules = {table: {"allow": rule} for table, rule in tables.items()}
    whole = {"databases": {"people": {"allow": ONE, "tables": rules}}}
    with site(database, **{"config" if V1 else "metadata": whole}) as served:
        assert NAME not in served.get(path, actor="bob").text


DECIDE = {
    "name": "person=2&name=Bob",
    "merge": "person=1&person=2",
    "merge-pairs": "pair=1:2",
    "apart": "person=1&person=2",
    "split": "face=1&person=1",
    "move": "face=1&to=Bob",
    "reject": "face=1&person=1",
    "not-a-face": "face=1",
    "cover": "face=1&person=1",
    "hide": "person=1",
    "unhide": "person=1",
    "undo": "decision=1",
    "redo": "decision=1",
    "draw": "photo=1&x=1&y=1&width=9&height=9",
}
"""What the forms send of each action; the decision, and the person, are those of the mark."""
ASKS_OF_DECISIONS = ("undo", "redo")
LOOKS_BACK = (*WHO, *DECIDED)


@pytest.mark.parametrize("action", DECIDE)
@pytest.mark.parametrize("name", ["private decisions", "private people", "private photos"])
def test_who_edits_is_told_nothing_that_they_may_not_see(
    database: Path, tmp_path: Path, name: str, action: str
) -> None:
    [table] = SETTINGS[name].private
    asked_of = "/people", "/people.json"
    with served_with(copied(database, tmp_path / "people.db"), SETTINGS[name]) as served:
        # Somebody who looked before the decision of the mark; then somebody who did not
        for seen in ("&seen=0", ""):
            for path in asked_of:
                body = f"action={action}&{DECIDE[action]}{seen}".encode()
                told = served.post(BASE + path, body, FORM, actor="ed", authorization="Bearer x")
                hidden = [*MARKS.get(table, ())]
                hidden += MARKS["decisions"] if table in LOOKS_BACK else ()
                assert not [mark for mark in hidden if mark in told.text], (path, told.text)
                refused = table == "people" or action in ASKS_OF_DECISIONS
                refused = refused or (table == "photos" and action == "draw")
                assert (told.status_code == 403) is refused, (path, told.status_code, told.text)


def test_the_answer_to_a_decision_gives_its_number_alone_to_who_may_not_see_it(
    database: Path, tmp_path: Path
) -> None:
    own = copied(database, tmp_path / "people.db")
    with served_with(own, SETTINGS["private decisions"]) as served:
        body = b"action=hide&person=2"
        address = f"{BASE}/people.json"
        told = served.post(address, body, FORM, actor="ed", authorization="Bearer x").json()
        number = told["decision"]["id"]
        assert told == {"ok": True, "decision": {"id": number}, "decisions": [{"id": number}]}


def test_where_somebody_was_merged_into_is_told_to_who_may_see_decisions(
    database: Path, tmp_path: Path
) -> None:
    own = copied(database, tmp_path / "people.db")
    with writing(str(own)) as conn, transaction(conn):
        decide.merge(conn, 1, 2, by=decide.Editor("ed"))
    for name, told in (("as it is", True), ("private decisions", False)):
        with served_with(own, SETTINGS[name]) as served:
            for path in ("/people/2", "/people/2.json"):
                answer_to_it = served.get(BASE + path)
                assert (answer_to_it.status_code == 302) is told
                assert (NAME in answer_to_it.text) is False


LINKS = {"/": "Faces in people", "/people": "Browse faces", "/people/faces": "Browse faces"}
MENUS = ("as it is", "private database", "view: one", "view: nobody")
MENUS += ("private faces", "private photos", "private people")


@pytest.mark.parametrize("name", MENUS)
def test_menus_and_lists_of_queries_name_only_what_an_actor_may_see(
    database: Path, name: str
) -> None:
    setting = SETTINGS[name]
    with served_with(database, setting) as served:
        for actor in (None, "ann"):
            may = expected(Route("", LOOKED_AT), setting, actor) == 200
            for path, label in LINKS.items():
                found = served.get(path, actor=actor)
                assert found.status_code in (200, 403)
                if found.status_code == 200:
                    assert (f'href="{BASE}"' in found.text) is may, (actor, path)
                    assert (label in found.text) is may, (actor, path)
            page_of_database = served.get("/people", actor=actor)
            for query, needs in CANNED.items():
                may_query = expected(Route("", needs), setting, actor) == 200
                shown = f'/people/{query}"' in page_of_database.text
                assert shown is (may_query and page_of_database.status_code == 200), (actor, query)


class Watch:
    """A plugin that notes which tables are read; of Datasette's connections."""

    __name__ = "Watch"

    def __init__(self) -> None:
        self.read: set[tuple[str, str]] = set()

    @hookimpl
    def prepare_connection(self, conn: Any) -> None:
        def note(action: int, table: str | None, column: str | None, *rest: Any) -> int:
            if action == sqlite().SQLITE_READ and column:
                self.read.add((str(table), column))
            return 0

        conn.set_authorizer(note)


READ_FOR_EVERYBODY = ("models", "calibrations")
"""What models there are, and how similarities become chances, is no secret of anybody's."""
READ_TO_HIDE = {"people": {"id", "hidden"}}
"""Hidden people's faces are left out for everybody: of people that much is read."""
READ_TO_LEAVE_OUT = "/review"
"""Pairs about which somebody has decided are not in the queue of those who may not see decisions."""
FOR_FORMS = ("/face/1", "/photo/1", "/people", READ_TO_LEAVE_OUT)
"""Pages whose forms hold the number of the last decision."""


@pytest.mark.parametrize("actor", ["bob", "ed"])
@pytest.mark.parametrize("table", [it for it in TABLES if it not in READ_FOR_EVERYBODY])
def test_no_page_reads_a_table_that_its_actor_may_not_see(
    database: Path, table: str, actor: str
) -> None:
    setting, watch = SETTINGS[f"private {table}"], Watch()
    meant: tuple[str, ...] = ()
    if table == "decisions":
        meant = FOR_FORMS if actor == "ed" else (READ_TO_LEAVE_OUT,)
    pm.register(watch)
    try:
        with served_with(database, setting) as served:
            known, wrong = keys(served), []
            for route in ROUTES:
                path = route.path.removeprefix(BASE)
                if route.post or path == route.path or path.startswith(meant):
                    continue
                watch.read.clear()
                status = answer(served, route, known, actor).status_code
                read = {column for of, column in watch.read if of == table}
                if read - READ_TO_HIDE.get(table, set()):
                    wrong.append((path, status, read))
            assert wrong == []
    finally:
        pm.unregister(watch)


@pytest.mark.parametrize(
    ("rules", "complaint"),
    [
        ({"face-view": False}, "no permission is face-view; known: faces-view, faces-upload"),
        ({VIEW: "ann"}, "faces-view takes true, false or an allow block"),
        (["faces-view"], "permissions takes rules for"),
    ],
)
@pytest.mark.parametrize("where", ["", " of people"])
def test_a_slip_in_the_rules_stops_the_server_from_starting(
    database: Path, rules: Any, complaint: str, where: str
) -> None:
    from datasette.utils import StartupError

    plugins = {"plugins": {"datasette-faces": {"permissions": rules}}}
    metadata = {"databases": {"people": plugins}} if where else plugins
    rest = complaint.partition(" ")[2]
    with pytest.raises(StartupError, match="datasette-faces: ") as told:
        Site(database, metadata=metadata)
    assert where in str(told.value)
    assert rest.split("; ")[-1] in str(told.value)


def test_a_rule_without_a_value_says_nothing(database: Path) -> None:
    with site(database, metadata={"plugins": {"datasette-faces": {"permissions": {VIEW: None}}}}):
        pass


@pytest.mark.skipif(not V1, reason="tokens of 0.65 cannot be limited")
def test_a_token_opens_nothing_that_it_does_not_name(database: Path) -> None:
    with served_with(database, Setting()) as served:

        def status(path: str, *actions: str) -> int:
            limited = {"id": "root", "_r": {"a": list(actions)}}
            cookie = served.datasette.sign({"a": limited}, "actor")
            return int(served.get(path, cookie=f"ds_actor={cookie}").status_code)

        seeing = ("view-instance", "view-database", "view-table")
        assert status(f"{BASE}/crop/1.jpg", *seeing) == 403
        assert status(f"{BASE}/crop/1.jpg", *seeing, VIEW) == 200
        assert status(f"{BASE}/image/1.jpg", *seeing, VIEW) == 403
        assert status(f"{BASE}/image/1.jpg", *seeing, VIEW, ORIGINALS) == 200


def test_another_plugin_s_no_is_a_no(database: Path) -> None:
    class Strict:
        __name__ = "Strict"

        @hookimpl
        def permission_allowed(self, action: str) -> bool | None:
            return False if action in RIGHTS else None

        @hookimpl
        def permission_resources_sql(self, action: str) -> Any:
            from datasette.permissions import PermissionSQL

            return PermissionSQL.deny(reason="strict") if action in RIGHTS else None

    strict = Strict()
    pm.register(strict)
    try:
        with served_with(database, Setting()) as served:
            for path in ("", "/crop/1.jpg", "/people"):
                assert served.get(BASE + path, actor="bob").status_code == 403
    finally:
        pm.unregister(strict)
