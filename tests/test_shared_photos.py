"""Real photographs with known people: what is found, how well it tells people apart, by two models."""

from __future__ import annotations

import csv
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import beside, faces, ingest, rows

from datasette_faces.algorithms import vectors
from datasette_faces.media.decode import decode_picture
from datasette_faces.models import registry
from datasette_faces.models.insightface import InsightFacePack
from datasette_faces.search import query_photos
from datasette_faces.search.query_photos import MatchOptions
from datasette_faces.search.searcher import Searcher
from datasette_faces.store.database import reading

pytestmark = [pytest.mark.once, pytest.mark.slow]
MODELS = ("sface", "insightface-mini")
TOGETHER = {
    "snapshots/two_people.jpg": {"person-22", "person-24"},
    "snapshots/knn_examples-test-obama_and_biden.jpg": {"person-22", "person-24"},
    "snapshots/knn_examples-test-kit_with_rose.jpg": {"person-25", "person-26"},
}
"""Photos of two people who have photos of their own, too; labels.csv holds those of one."""
FALSE_ACCEPTS = 0.001
TRUE_ACCEPTS = 0.99


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def two_models(
    real_faces: Callable[[str], Path], shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[dict[str, Any]]]:
    """The database of all photos by both models, and the two reports."""
    first = real_faces("sface")
    database = Path(shutil.copy(first, tmp_path_factory.mktemp("shared") / "x.db"))
    pack = shared / "models" / "insightface-mini"
    report = ingest(database, shared / "photos", model=str(pack))
    return database, [json.loads(first.with_suffix(".json").read_text()), report]


def test_90_photos_and_no_errors(two_models):
    database, (first, second) = two_models
    assert (first["photos"], first["errors"]) == (90, [])
    assert (second["photos"], second["errors"], second["analysed_again"]) == (
        90,
        [],
        90 - second["unchanged"],
    )
    status = json.loads(faces("status", database, "--json").stdout)
    assert (status["photos"], status["errors"], status["missing"]) == (90, 0, 0)
    assert [model["id"] for model in status["models"]] == list(MODELS)
    assert status["models"][0]["dimensions"] == 128
    assert beside(database) == []


@pytest.fixture(scope="module")
def found(two_models, shared: Path) -> dict[str, dict[str, int]]:
    """Faces by model and by the name of the file."""
    database, _ = two_models
    query = """
        select model_id, photo_paths.path, count(*)
        from face_embeddings join faces on faces.id = face_id join photo_paths using (photo_id)
        group by 1, 2
    """
    counts: dict[str, dict[str, int]] = {model: Counter() for model in MODELS}
    for model, path, count in rows(database, query):
        counts[model][str(Path(path).relative_to(Path(os.path.abspath(shared / "photos"))))] = count
    return counts


@pytest.mark.parametrize("model", MODELS)
def test_every_labelled_photo_has_a_face(found, shared, model):
    labelled = [row["file"] for row in table(shared / "photos" / "labels.csv")]
    assert [file for file in labelled if not found[model][file]] == []


@pytest.mark.parametrize("model", MODELS)
def test_the_counts_of_faces_hold(found, shared, model):
    wrong = {
        row["file"]: found[model][row["file"]]
        for row in table(shared / "photos" / "counts.csv")
        if not int(row["at_least"]) <= found[model][row["file"]] <= int(row["at_most"])
    }
    assert wrong == {}


@pytest.mark.parametrize("model", MODELS)
def test_the_same_person_is_told_from_others(two_models, shared, model):
    """True accepts at the similarity that 0.1 % of the pairs of two people reach."""
    database, _ = two_models
    query = """
        select photo_paths.path, embedding, max(faces.width * faces.height)
        from faces join face_embeddings on face_id = faces.id join photo_paths using (photo_id)
        where model_id = ? group by photo_paths.path
    """
    folder = Path(os.path.abspath(shared / "photos"))
    embeddings = {
        str(Path(path).relative_to(folder)): vectors.decode(blob)
        for path, blob, _ in rows(database, query, model)
    }
    several = {row["file"] for row in table(shared / "photos" / "counts.csv")}
    people = [
        (row["person"], embeddings[row["file"]])
        for row in table(shared / "photos" / "labels.csv")
        if row["file"] not in several
    ]
    same, other = [], []
    for (one, first), (two, second) in combinations(people, 2):
        (same if one == two else other).append(float(first @ second))
    limit = np.sort(other)[::-1][int(FALSE_ACCEPTS * len(other))]
    accepted = float(np.mean(np.array(same) > limit))
    assert accepted >= TRUE_ACCEPTS, (
        f"{accepted:.4f} at {limit:.3f}; {len(same)} and {len(other)} pairs"
    )


def name_of(model: str, shared: Path) -> str:
    """What `--model` takes for it: an id, or the folder of a pack."""
    return model if model == "sface" else str(shared / "models" / model)


@pytest.fixture(scope="module", params=MODELS)
def searches(two_models, shared, request) -> dict[str, dict[str, list[query_photos.PhotoMatch]]]:
    """The best matches of every labelled photo, by its name: with itself among them, and without."""
    database, _ = two_models
    files = [row["file"] for row in table(shared / "photos" / "labels.csv")]
    paths = [str(shared / "photos" / file) for file in files]
    info, examples = query_photos.find_faces(paths, registry.model(name_of(request.param, shared)))
    assert info.id == request.param
    found: dict[str, dict[str, list[query_photos.PhotoMatch]]] = {"all": {}, "others": {}}
    searcher = Searcher()
    with reading(str(database)) as conn:
        query_photos.check_weights(conn, info)
        for file, example in zip(files, examples, strict=True):
            query = query_photos.build_query(info, [example])
            found["all"][file] = query_photos.find_matches(conn, searcher, query, MatchOptions(k=1))
            found["others"][file] = query_photos.find_matches(
                conn, searcher, query, MatchOptions(k=9, others=True)
            )
    return found


def test_a_photo_of_the_database_finds_itself(searches, shared):
    folder = Path(os.path.abspath(shared / "photos"))
    for file, (best,) in searches["all"].items():
        assert best.similarity >= 0.999, file
        assert Path(best.path) == folder / file


def test_every_labelled_photo_finds_the_same_person_first(searches, shared):
    """The first match shows the person, and so does the first that shows nobody else."""
    folder = Path(os.path.abspath(shared / "photos"))
    labels = {row["file"]: row["person"] for row in table(shared / "photos" / "labels.csv")}
    photos = Counter(labels.values())
    shown = {file: {person} for file, person in labels.items()} | TOGETHER
    asked = [file for file, person in labels.items() if photos[person] > 1]
    wrong = {}
    for file in asked:
        matches = [str(Path(it.path).relative_to(folder)) for it in searches["others"][file]]
        alone = next(photo for photo in matches if photo in labels)
        if labels[file] not in shown.get(matches[0], ()) or labels[alone] != labels[file]:
            wrong[file] = matches
    assert len(asked) == 82
    assert wrong == {}


def command(*arguments: object) -> list[dict[str, Any]]:
    """The matches that a command prints as JSON."""
    result = faces(*arguments, "--format", "json")
    assert result.exit_code == 0, result.stderr
    return list(json.loads(result.stdout)["matches"])


@pytest.mark.parametrize("model", MODELS)
def test_the_command_finds_the_photo_itself_and_then_the_same_person(two_models, shared, model):
    database, _ = two_models
    query = shared / "photos" / "studio" / "img22.jpg"
    options = ("--model", name_of(model, shared), "-k", 1)
    (itself,) = command("search", database, query, *options)
    assert Path(itself["path"]).name == "img22.jpg"
    assert itself["similarity"] >= 0.999
    (other,) = command("search", database, query, *options, "--others")
    assert Path(other["path"]).name == "img23.jpg"


def test_find_gives_what_search_gives_and_leaves_crops_and_nothing_else(
    two_models, shared, tmp_path, monkeypatch
):
    database, _ = two_models
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    query, folder = shared / "photos" / "snapshots" / "biden.jpg", shared / "photos"
    before = sorted(folder.rglob("*"))
    found = command("find", query, folder, "-k", 5, "--crops", "out", "--workers", 2)
    wanted = command("search", database, query, "--model", "sface", "-k", 5)
    compared = ("path", "similarity", "x", "y", "width", "height", "taken_at")
    assert [[it[name] for name in compared] for it in found] == [
        [it[name] for name in compared] for it in wanted
    ]
    assert len(list((tmp_path / "out").iterdir())) == 5
    assert not list(tmp_path.rglob("*.db*"))
    assert not list(tmp_path.glob("datasette-faces-*"))
    assert sorted(folder.rglob("*")) == before


def test_the_adapter_gives_what_face_analysis_gives(shared):
    """Every file, decoded once; boxes within 2 px, embeddings at cosine 0.999."""
    insightface_app = pytest.importorskip("insightface.app")
    folder = shared / "models" / "insightface-mini"
    engine = InsightFacePack("", folder=str(folder)).load()
    published = insightface_app.FaceAnalysis(name=str(folder), providers=["CPUExecutionProvider"])
    published.prepare(ctx_id=-1)
    files = sorted(row["file"] for row in table(shared / "photos" / "labels.csv"))[::3]
    for file in [*files, *(row["file"] for row in table(shared / "photos" / "counts.csv"))]:
        picture = decode_picture((shared / "photos" / file).read_bytes())
        pixels = picture.pixels()
        wanted = published.get(np.ascontiguousarray(pixels[:, :, ::-1]))
        ours = engine.detect(pixels)
        assert len(ours) == len(wanted), file
        embeddings = vectors.normalise(
            engine.embed([engine.align(picture, item.landmarks) for item in ours])
        )
        boxes = np.array(
            [
                [one.box.x, one.box.y, one.box.x + one.box.width, one.box.y + one.box.height]
                for one in ours
            ]
        )
        for face in wanted:
            nearest = np.abs(boxes - face.bbox).max(axis=1).argmin()
            assert np.abs(boxes[nearest] - face.bbox).max() <= 2, file
            assert float(embeddings[nearest] @ face.normed_embedding) >= 0.999, file
