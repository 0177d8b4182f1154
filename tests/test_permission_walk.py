"""Every route, every actor, every permission setting: who gets what, by ids that can be guessed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasette import hookimpl
from datasette.plugins import pm
from desks import make_clustered
from jinja2.bccache import Bucket, BytecodeCache
from serving import QUERY, Site, site

from datasette_faces.compat import V1
from datasette_faces.connections import sqlite, transaction, writing
from datasette_faces.permissions import EDIT, ORIGINALS, RIGHTS, UPLOAD, VIEW
from datasette_faces.shapes import Analysis, Box, Detection, Face, Photo, Pose
from datasette_faces.state import state_of
from datasette_faces.views import routes

ACTORS = (None, "bob", "ann", "ed", "root")
"""Nobody is logged in; somebody; whom a setting names; an editor; root."""
EVERYBODY = frozenset(ACTORS)
ANN = frozenset({"ann"})
BASE = "/people/-/faces"
NAME, PLACE = "Ada Lovelace", "photo-paths-mark"


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
    Route("/people/face_embeddings.faces", ("faces", "face_embeddings")),
    Route(f"/people{QUERY}.faces?sql=select+1+as+face_id", FACES, sql=True),
    # Whoever may run SQL may read any table by it: a function of ours gives nothing more
    Route(f"/people{QUERY}.json?sql=select+count(*)+from+people", rights=(), sql=True),
    Route(f"/people{QUERY}.json?sql=select+face_embedding(1)", rights=(), sql=True),
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
    "names_read",
    "said_names",
    "face_keys",
)
"""Tables that no page needs."""


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
        make_quick(served.datasette)
        yield served


class Compiled(BytecodeCache):
    """Templates that one Datasette compiled, for the next one."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self.kept:
            bucket.bytecode_from_string(self.kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self.kept[bucket.key] = bucket.bytecode_to_string()


COMPILED = Compiled()


def make_quick(datasette: Any) -> None:
    """Make the routes once, not for each request, and no template twice: what is asked for is many."""
    env = datasette.get_jinja_environment() if V1 else datasette.jinja_env
    env.bytecode_cache = COMPILED
    app = datasette.app()
    datasette.app = lambda: app


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
    """Twelve faces of three people, one with a name, a decision, and an error."""
    path = make_clustered(tmp_path_factory.mktemp("walk") / "people.db")
    from datasette_faces import people

    with writing(str(path)) as conn, transaction(conn):
        people.name(conn, 1, NAME, by=people.Editor("decider-mark"))
        conn.execute("update photo_paths set path = ? || photo_id", [f"/{PLACE}/"])
    return path


def keys(served: Site) -> dict[str, str]:
    """The keys of an uploaded picture and of the face in it."""
    vector = np.eye(8, dtype=np.float32)[0]
    detection = Detection(Box(0, 0, 9, 9), 1.0, np.zeros((5, 2), np.float32))
    face = Face(detection, 1.0, Pose(0, 0, 0), b"\xff\xd8\xff", vector)
    photo = Photo(9, 9, "JPEG", None, None, None, None, b"\xff\xd8\xff")
    store = state_of(served.datasette).queries
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


MARKS = {"people": NAME, "photo_paths": PLACE, "decisions": "decider-mark"}


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
                hidden = [mark for mark in MARKS.values() if wanted == 403]
                hidden += [
                    mark
                    for table, mark in MARKS.items()
                    if actor not in setting.private.get(table, EVERYBODY)
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
            listed = served.get("/people", actor=actor)
            for query, needs in CANNED.items():
                may_query = expected(Route("", needs), setting, actor) == 200
                shown = f'/people/{query}"' in listed.text
                assert shown is (may_query and listed.status_code == 200), (actor, query)


class Watch:
    """A plugin that notes which tables are read; of Datasette's connections."""

    __name__ = "Watch"

    def __init__(self) -> None:
        self.read: set[str] = set()

    @hookimpl
    def prepare_connection(self, conn: Any) -> None:
        def note(action: int, table: str | None, column: str | None, *rest: Any) -> int:
            if action == sqlite().SQLITE_READ and column:
                self.read.add(str(table))
            return 0

        conn.set_authorizer(note)


READ_FOR_EVERYBODY = ("models", "calibrations", "people")
"""What models there are, and how similarities become chances, is no secret of anybody's; and hidden
people's faces are left out for everybody. The walk looks for names."""
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
                if table in watch.read:
                    wrong.append((path, status))
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
