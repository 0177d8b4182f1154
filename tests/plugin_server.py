"""Beside other people's plugins: `python tests/plugin_server.py DATABASE CATALOGUE [PLUGIN …]`.

Looks at every page of ours, of Datasette and of those plugins, in a Datasette that has them all. Exit
status 1, and why, where an answer is an error, a page of ours lacks its content, its policy refuses a
script of theirs, or a plugin that is named is not installed. Needs only what these packages install.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from serving import QUERY, Site, site

from datasette_faces.app.datasette.compat import V1
from datasette_faces.store.connection import connect_to_write, load_vector_extension

NAME = "faces"
OUR = f"/{NAME}/-/faces"
SECRET = "face_keys"
"""The table that nobody sees."""
PAGES = ("", "/photo/{photo}", "/face/{face}", "/people", "/people/{person}", "/search")
PAGES += ("/search?face={face}", "/.json", "/people.json", "/face/{face}.json")
PAGES += ("/search.json?face={face}", "/crop/{face}.jpg", "/thumbnail/{photo}.jpg")
PRIVATE_PAGES = ("/history", "/review", "/calibration")
OF_DATASETTE = ("/", f"/{NAME}", f"/{NAME}.json", "/-/plugins", "/-/databases", "/-/versions")
OF_DATASETTE += (
    f"/{NAME}/faces/{{face}}",
    f"/{NAME}/photos/{{photo}}",
    f"/{NAME}/faces/{{face}}.json",
)
OF_DATASETTE += (f"/{NAME}/faces.faces", f"/{NAME}/faces_like_face?face_id={{face}}")
SHOWN = {
    OUR: f'src="{OUR}/crop/',
    f"/{NAME}/faces": f'<img src="{OUR}/crop/',
    f"/{NAME}/photos": f'<img src="{OUR}/thumbnail/',
    f"/{NAME}/people": f'<img src="{OUR}/crop/',
    f"/{NAME}/face_embeddings": "-d</small></span></td>",
    f"/{NAME}/faces.faces": f'src="{OUR}/crop/',
}
"""What a page has of ours, whatever others add: pictures and vectors in cells, a gallery."""
GRAPHQL = "{faces{nodes{photo_id{path} face_embeddings_list{totalCount} person_id{name}}}}"
"""Across references, both ways. No ids: those of a catalogue are greater than an Int of GraphQL."""
THEIRS = {
    "datasette-graphql": (
        "/graphql",
        f"/graphql/{NAME}",
        f"/graphql/{NAME}.graphql",
        f"/graphql/{NAME}?query={quote(GRAPHQL)}",
    ),
    "datasette-cluster-map": (f"/{NAME}/photos",),
    "datasette-dashboards": ("/-/dashboards", "/-/dashboards/ours"),
    "datasette-search-all": ("/-/search?q=ada", "/-/search"),
    "datasette-copyable": (f"/{NAME}/faces.copyable", f"/{NAME}{QUERY}.copyable?sql=select+1"),
    "datasette-export-notebook": (f"/{NAME}/faces.Notebook", f"/{NAME}/people.Notebook"),
    "datasette-edit-schema": tuple(
        f"/-/edit-schema/{NAME}/{table}" for table in ("faces", "photos", "people")
    ),
    "datasette-block-robots": ("/robots.txt",),
    "datasette-auth-passwords": ("/-/login", "/-/password-tool"),
}
"""The pages that a plugin brings, and those that it changes."""
CONTENT = {
    f"/graphql/{NAME}?query={quote(GRAPHQL)}": '"photo_id": {"path": "',
    f"/{NAME}/photos": "datasette-cluster-map.js",
    "/-/search?q=ada": "/people",
    "/-/dashboards/ours": "How many",
}
"""What shows that a page of theirs works with our file."""
DASHBOARD = {
    "title": "Ours",
    "charts": {
        "count": {
            "title": "How many",
            "db": NAME,
            "query": "select count(*) as n from faces",
            "library": "metric",
            "display": {"field": "n"},
        }
    },
}
METADATA = {"plugins": {"datasette-dashboards": {"ours": DASHBOARD}}}
SCRIPT = re.compile(r"<script(?P<attributes>[^>]*)>(?P<text>.*?)</script>", re.DOTALL)
STYLE = re.compile(r"<link[^>]+rel=\"stylesheet\"[^>]*>")
SOURCE = re.compile(r"\b(?:src|href)=\"([^\"]+)\"")
HOST = "http://localhost"


def prepared(database: Path, folder: Path) -> Path:
    """A copy under the name that addresses here have, with a full-text search."""
    copy = Path(shutil.copy(database, folder / f"{NAME}.db"))
    with closing(connect_to_write(str(copy))) as conn:
        load_vector_extension(conn)
        conn.execute("create virtual table people_fts using fts5(name, content=[people])")
        conn.execute("insert into people_fts(rowid, name) select id, name from people")
    return copy


def installed() -> set[str]:
    """The distributions of all plugins that Datasette loads."""
    from datasette.plugins import pm

    return {found.project_name for _, found in pm.list_plugin_distinfo()}


def addresses(served: Site, plugins: set[str]) -> Iterator[str]:
    """All pages that are looked at."""
    asked = (
        "select id as face, photo_id as photo, person_id as person from faces where person_id > 0"
    )
    ids = served.sql(NAME, asked)[0]
    tables = served.run(served.datasette.get_database(NAME).table_names())
    pages = (*PAGES, *(PRIVATE_PAGES if "decisions" in tables else ()))
    yield from (page.format(**ids) for page in (*OF_DATASETTE, *(OUR + page for page in pages)))
    for table in tables:
        if not table.startswith("people_fts_"):
            yield from (f"/{NAME}/{table}{ending}" for ending in ("", ".json", ".csv"))
    for ending in ("", ".json", ".csv", ".faces"):
        yield f"/{NAME}{QUERY}{ending}?sql=select+id+as+face_id,crop+from+faces"
    for plugin, pages in THEIRS.items():
        yield from pages if plugin in plugins else ()


def look(database: Path, *, plugins: set[str] | None = None) -> list[str]:
    """What is wrong with the pages of a file; plugins: those whose pages there are."""
    wrong: list[str] = []
    plugins = installed() if plugins is None else plugins
    theirs = {page for plugin in plugins for page in THEIRS.get(plugin, ())}
    with tempfile.TemporaryDirectory() as folder:
        copy = prepared(database, Path(folder))
        with site(copy, metadata=METADATA) as served:
            if V1:
                served.datasette.root_enabled = True
            for address in dict.fromkeys(addresses(served, plugins)):
                wrong += look_at(served, address, theirs)
    return wrong


def look_at(served: Site, address: str, theirs: set[str]) -> Iterator[str]:
    """What is wrong with a page; theirs: those of other plugins."""
    accept = "application/json" if "?query=" in address else "text/html"
    answer = served.get(address, actor="root", follow=True, accept=accept)
    expected = 403 if address.partition(".")[0] == f"/{NAME}/{SECRET}" else 200
    if answer.status_code != expected:
        yield f"{address}: {answer.status_code}, {_reason(answer.text)}"
        return
    if expected == 200 and not _has(answer.text, SHOWN.get(address)):
        yield f"{address} has no {SHOWN[address]}"
    if address in theirs and not _has(answer.text, CONTENT.get(address)):
        yield f"{address} has no {CONTENT[address]}: {_reason(answer.text)}"
    policy = answer.headers.get("content-security-policy")
    if policy and answer.headers["content-type"].startswith("text/html"):
        yield from (
            f"{address}: its policy refuses {what}" for what in refused(policy, answer.text)
        )


def _has(text: str, wanted: str | None) -> bool:
    return wanted is None or wanted in text


def _reason(text: str) -> str:
    return re.sub(r"(<(script|style).*?</\2>|<[^>]+>|\s)+", " ", text, flags=re.DOTALL)[:200]


def refused(policy: str, page: str) -> Iterator[str]:
    """The scripts and styles of a page that a browser would not run under this policy."""
    parts = (part.split() for part in policy.split(";"))
    sources = {name: set(allowed) for name, *allowed in parts}
    for script in SCRIPT.finditer(page):
        source = SOURCE.search(script["attributes"])
        if source is None:
            digest = b64encode(sha256(script["text"].encode()).digest()).decode()
            if f"'sha256-{digest}'" not in sources["script-src"]:
                yield f"the script {script['text'].strip()[:60]!r}"
        elif not _is_allowed(source[1], sources["script-src"]):
            yield source[1]
    for link in STYLE.findall(page):
        source = SOURCE.search(link)
        if source and not _is_allowed(source[1], sources["style-src"]):
            yield source[1]


def _is_allowed(address: str, sources: set[str]) -> bool:
    full = urljoin(HOST, unescape(address))
    if full.startswith(f"{HOST}/"):
        return "'self'" in sources
    return urlsplit(full)._replace(query="", fragment="").geturl() in sources


def main() -> None:
    """Look at both files, with all plugins that are named."""
    database, catalogue, *named = sys.argv[1:]
    there: Any = installed()
    wrong = [f"{name} is not installed" for name in named if name not in there]
    for file in (database, catalogue):
        wrong += [f"{Path(file).name}: {line}" for line in look(Path(file))]
    for line in wrong:
        print(line, file=sys.stderr)
    if not wrong:
        print(f"pages work beside {', '.join(sorted(there - {'datasette-faces'}))}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
