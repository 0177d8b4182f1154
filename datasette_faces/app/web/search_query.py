"""What a search page's address asks for → one query: its faces, its model, its filters, its SQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Any

from datasette.utils.asgi import Base400

from ...algorithms import vectors
from ...errors import SearchError
from ...search import searcher
from ...shapes import FloatArray, ModelInfo
from ...store import gallery, models
from ...store.embeddings import Filters
from ...store.gallery import Query
from ..datasette.state import State
from .page import BadRequest, Page, id_of

RESULTS = 48
MAX_EXAMPLES = 100
"""Faces that are searched with at once: an address has room for thousands, each of which is looked up."""
FILTERS = {item.name: item.default for item in fields(Filters)}
TAKES = {
    "threshold": "a number, -1 to 1",
    "taken_from": "a day like 2019-05-31, a month or a year",
    "taken_to": "a day like 2019-05-31, a month or a year",
    "folder": "the path of a folder",
    "person_id": "the id of a person",
    "hidden": "1, or nothing",
}
NO = ("0", "no", "false", "off")

BEGINNING = """
select faces.id as face_id, json_extract(knn.value, '$.similarity') as similarity,
    face_probability(json_extract(knn.value, '$.similarity'), :model) as probability,
    faces.photo_id, photos.path, photos.taken_at,
    faces.x, faces.y, faces.width, faces.height, faces.crop
from json_each(faces_knn({vector}, {k}, :model{options})) as knn
join faces on faces.id = json_extract(knn.value, '$.face_id')
join photos on photos.id = faces.photo_id
""".strip()
WITHOUT = """
where faces.id not in ({own})
order by similarity desc, face_id
limit :k
""".rstrip()
ORDER = "\norder by similarity desc, face_id"


class NoSuchQuery(Base400):  # type: ignore[misc]
    """A key of no query face: wrong, of another database, or expired."""

    status = 404


@dataclass(frozen=True)
class Asked:
    """A search as its address says it.

    faces: ids of stored faces. keys: of uploaded ones. unlike: either, of people who are not meant.
    photos: keys of uploaded pictures of which a face is still to be chosen.
    """

    faces: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    photos: tuple[str, ...] = ()
    model: str | None = None
    k: int = RESULTS
    filters: Filters = field(default_factory=Filters)

    def address(self, **changes: Any) -> list[tuple[str, str]]:
        """The query string of this search, with changes, as names and values."""
        values: dict[str, Any] = {
            "face": self.faces,
            "key": self.keys,
            "not": self.unlike,
            "photo": self.photos,
            "model": self.model,
            "k": self.k if self.k != RESULTS else None,
            **{name: getattr(self.filters, name) for name in FILTERS},
            **changes,
        }
        # 0 is a threshold; what is as it would be without being said is not said
        values = {name: it for name, it in values.items() if it != FILTERS.get(name)}
        pairs: list[tuple[str, str]] = []
        for name, value in values.items():
            every = value if isinstance(value, tuple | list) else [value]
            pairs += [(name, str(int(it) if it is True else it)) for it in every if it is not None]
        return pairs


def asked(values: dict[str, list[str]]) -> Asked:
    """What names and values, of an address or of a form, ask for. Raises BadRequest."""

    def one(name: str) -> str | None:
        given = [value.strip() for value in values.get(name, []) if value.strip()]
        return given[-1] if given else None

    def several(name: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value for value in values.get(name, []) if value))

    wanted = Asked(
        faces=several("face"),
        keys=several("key"),
        unlike=several("not"),
        photos=several("photo"),
        model=one("model"),
        k=_whole(one("k") or str(RESULTS)),
        filters=_filters({name: value for name in FILTERS if (value := one(name))}),
    )
    for face in wanted.faces:
        if id_of(face) is None:
            raise BadRequest(f"face takes the id of a face, not {_short(face)}")
    if len(wanted.faces) + len(wanted.keys) + len(wanted.unlike) > MAX_EXAMPLES:
        raise BadRequest(f"Name at most {MAX_EXAMPLES} faces to search with")
    return wanted


def _whole(text: str) -> int:
    if not (
        text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= searcher.MAX_K
    ):
        raise BadRequest(f"k takes a whole number, 1 to {searcher.MAX_K:,}, not {_short(text)}")
    return int(text)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")


def _filters(given: dict[str, str]) -> Filters:
    """The filters of these names and values. Raises BadRequest."""
    if given.get("hidden", "").lower() in NO:
        del given["hidden"]
    for name, value in given.items():
        try:
            filters = searcher.filters_of({name: value})
            for day in filter(None, (filters.taken_from, filters.taken_to)):
                date.fromisoformat(f"{day}-01-01"[:10])
            if filters.person_id is not None and id_of(value) is None:
                raise ValueError
        except (SearchError, ValueError):
            raise BadRequest(f"{name} takes {TAKES[name]}, not {_short(value)}") from None
    return searcher.filters_of(given)


@dataclass(frozen=True)
class Ready:
    """A search that can be run: one vector, and the SQL that gives its rows.

    own: the stored faces that are searched with: they are none of the results.
    """

    model: ModelInfo
    embedding: FloatArray = field(repr=False)
    query: Query
    own: frozenset[int]


async def ready(page: Page, state: State, wanted: Asked) -> Ready | None:
    """The search, its faces looked up and fused; None where no face is named.

    Raises BadRequest and NoSuchQuery.
    """
    try:
        model = await page.read(searcher.model_of, wanted.model) if wanted.model else None
        positives: list[FloatArray] = []
        negatives: list[FloatArray] = []
        for key, look_up in _examples(wanted):
            made_by, embedding = await look_up(page, state, key, model.id if model else None)
            if model is None:
                model = await page.read(searcher.model_of, made_by)
            _compare(made_by, model.id)
            # A list each: the same face among both says nothing
            among = negatives if key in wanted.unlike else positives
            among.append(searcher.checked(embedding, model))
        if not positives or model is None:
            return None
        embedding = searcher.fuse(positives, negatives)
    except SearchError as error:
        raise BadRequest(str(error)) from None
    own = frozenset(
        int(face) for face in (*wanted.faces, *wanted.unlike) if id_of(face) is not None
    )
    query = _query(page, state, wanted, Ready(model, embedding, Query("", {}), own))
    return Ready(model, embedding, query, own)


def _compare(made_by: str, model: str) -> None:
    if made_by != model:
        raise BadRequest(
            f"A face of this search is by the model {made_by}; it cannot be compared with those of "
            f"{model}: search with each on its own"
        )


async def model_meant(page: Page, state: State, wanted: Asked) -> str | None:
    """The id of the model that a search is by: the one it names, or that of its first face."""
    if wanted.model:
        return wanted.model
    for key, look_up in _examples(wanted):
        with suppress(Base400):
            return (await look_up(page, state, key, None))[0]
    return None


async def alive(page: Page, state: State, wanted: Asked) -> Asked:
    """What is left of a search without the faces, pictures and models that are not there."""
    gone = set()
    for key, look_up in _examples(wanted):
        try:
            await look_up(page, state, key, None)
        except Base400:
            gone.add((key, look_up))
    known = [model.id for model in await page.read(models.every)]
    return replace(
        wanted,
        faces=tuple(face for face in wanted.faces if (face, _stored) not in gone),
        keys=tuple(key for key in wanted.keys if (key, _uploaded) not in gone),
        unlike=tuple(key for key in wanted.unlike if (key, _either(key)) not in gone),
        photos=tuple(key for key in wanted.photos if state.queries.photo(page.database, key)),
        model=wanted.model if wanted.model in known else None,
    )


LookUp = Callable[[Page, State, str, "str | None"], Awaitable["tuple[str, FloatArray]"]]


def _examples(wanted: Asked) -> list[tuple[str, LookUp]]:
    """The ids and keys that a search names, and how each is looked up."""
    return [
        *((key, _uploaded) for key in wanted.keys),
        *((face, _stored) for face in wanted.faces),
        *((key, _either(key)) for key in wanted.unlike),
    ]


def _either(key: str) -> LookUp:
    return _stored if id_of(key) is not None else _uploaded


async def _stored(page: Page, state: State, face: str, model: str | None) -> tuple[str, FloatArray]:
    """The model and the vector of a face by its id. Raises NoSuchQuery and BadRequest."""
    found = await page.read(gallery.embedding, int(face), model)
    if found is None:
        by = f" by {model}" if model else ""
        raise NoSuchQuery(f"There is no face {face} with an embedding{by} here")
    try:
        return found[0], vectors.decode(found[1])
    except (TypeError, ValueError) as error:
        raise BadRequest(f"The embedding of face {face} is broken: {error}") from None


async def _uploaded(
    page: Page, state: State, key: str, model: str | None
) -> tuple[str, FloatArray]:
    """The model and the vector of an uploaded face by its key. Raises NoSuchQuery."""
    vector = state.queries.vector(page.database, key)
    if vector is None:
        raise NoSuchQuery(
            "This query face is no longer available: an uploaded photo is kept in memory for an "
            "hour. Upload it again"
        )
    return vector


def _query(page: Page, state: State, wanted: Asked, found: Ready) -> Query:
    """The SQL of a search: a single face by itself, several by the key of what they were fused to."""
    params: dict[str, Any] = {"model": found.model.id}
    if wanted.unlike or len(wanted.faces) + len(wanted.keys) > 1:
        vector = "face_query(:key)"
        # By what it is: a face may be embedded anew
        fused = vectors.encode(found.embedding).hex()
        add = state.queries.add_vector
        params["key"] = add(page.database, found.model.id, found.embedding, "fused", fused)
    elif wanted.keys:
        vector, params["key"] = "face_query(:key)", wanted.keys[0]
    else:
        vector, params["face"] = "face_embedding(:face, :model)", int(wanted.faces[0])
    options = searcher.options_of(wanted.filters)
    if options:
        params["options"] = options
    params["k"] = wanted.k
    # The faces that are searched with find themselves; they are not what is looked for
    own, k, end = sorted(found.own), ":k", ORDER
    if own:
        k = f"min(:k + {len(own)}, {searcher.MAX_K})"
        end = WITHOUT.format(own=", ".join(map(str, own)))
    beginning = BEGINNING.format(vector=vector, k=k, options=", :options" if options else "")
    return Query(beginning + end, params)
