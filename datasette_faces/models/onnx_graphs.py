"""ONNX graphs prepared for onnxruntime: once, kept in the user's cache, with the same vectors.

Only graph surgery and sessions; what goes in and comes out of a network belongs to its model.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

PREPARATION = 1
"""Counts up when a preparation below changes, so that older cached graphs are not used."""


def open_session(weights: bytes, prepare: Callable[[Any], None]) -> Any:
    """An onnxruntime session, one thread, on weights prepared by `prepare` (from the cache)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # The arena keeps the largest batch seen for good: 100 MB a worker, and no faster
    options.enable_cpu_mem_arena = False
    graph = _load_prepared(weights, prepare)
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _load_prepared(weights: bytes, prepare: Callable[[Any], None]) -> bytes:
    cached = _cache_file(weights)
    try:
        digest, graph = cached.read_bytes().split(b"\n", 1)
        if hashlib.sha256(graph).hexdigest().encode() == digest:
            return graph
    except (OSError, ValueError):
        pass
    import onnx

    model = onnx.load_model_from_string(weights)
    prepare(model)
    graph = bytes(model.SerializeToString())
    _write_cache(cached, graph)
    return graph


def _cache_file(weights: bytes) -> Path:
    import platformdirs

    name = f"{hashlib.sha256(weights).hexdigest()[:16]}-{PREPARATION}.onnx"
    return Path(platformdirs.user_cache_dir("datasette-faces")) / name


def _write_cache(path: Path, graph: bytes) -> None:
    """Write a graph to the cache, all or nothing; without a cache each session prepares its own."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(hashlib.sha256(graph).hexdigest().encode() + b"\n" + graph)
        os.replace(file.name, path)
    except OSError:
        return


def prepare_detector(model: Any) -> None:
    """YuNet: float weights, and any input size that is a multiple of 32."""
    _fold_weights(model.graph)
    _free_dimensions(model.graph, {0: "batch", 2: "height", 3: "width"})


def prepare_recogniser(model: Any) -> None:
    """SFace: float weights, any batch size, PRelu as operations that onnxruntime runs fast."""
    _fold_weights(model.graph)
    _free_dimensions(model.graph, {0: "batch"})
    _rewrite_prelu(model.graph)


def _fold_weights(graph: Any) -> None:
    """Turn each constant DequantizeLinear (and the Reshape behind it) into a float32 weight."""
    from onnx import numpy_helper

    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    other_nodes = []
    for node in graph.node:
        is_constant = all(name in constants for name in node.input)
        if node.op_type == "DequantizeLinear" and is_constant:
            constants[node.output[0]] = _dequantise(node, constants)
        elif node.op_type == "Reshape" and is_constant:
            values, shape = (constants[name] for name in node.input)
            constants[node.output[0]] = values.reshape(shape)
        else:
            other_nodes.append(node)
    used = {name for node in other_nodes for name in node.input}
    del graph.node[:], graph.initializer[:]
    graph.node.extend(other_nodes)
    graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(value), name)
        for name, value in constants.items()
        if name in used
    )
    # The published SFace lists its weights as inputs as well, which onnxruntime refuses
    inputs = [item for item in graph.input if item.name in used and item.name not in constants]
    del graph.input[:]
    graph.input.extend(inputs)


def _dequantise(node: Any, constants: dict[str, Any]) -> Any:
    """(value - zero point) x scale, by blocks along an axis: ONNX DequantizeLinear-21."""
    attributes = {item.name: item.i for item in node.attribute}
    axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
    values, scales, zeros = (constants[name] for name in node.input)
    if block:
        size = values.shape[axis]
        scales, zeros = (
            np.take(np.repeat(part, block, axis), range(size), axis) for part in (scales, zeros)
        )
    return ((values.astype(np.float32) - zeros.astype(np.float32)) * scales).astype(np.float32)


def _free_dimensions(graph: Any, names: dict[int, str]) -> None:
    """Let these axes of the input have any size; the shapes after it are inferred again."""
    shape = graph.input[0].type.tensor_type.shape
    for axis, name in names.items():
        shape.dim[axis].dim_param = name
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    del graph.value_info[:]


def _rewrite_prelu(graph: Any) -> None:
    """PRelu(x) = Relu(x) + slope (x - Relu(x)): the same bits, in little more than half the time."""
    from onnx import helper

    nodes = []
    for node in graph.node:
        if node.op_type != "PRelu":
            nodes.append(node)
            continue
        (x, slope), (out,) = node.input, node.output
        positive, negative, scaled = (
            f"{out}_{part}" for part in ("positive", "negative", "scaled")
        )
        nodes += [
            helper.make_node("Relu", [x], [positive]),
            helper.make_node("Sub", [x, positive], [negative]),
            helper.make_node("Mul", [negative, slope], [scaled]),
            helper.make_node("Add", [positive, scaled], [out]),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
