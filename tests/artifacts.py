"""Small artifacts that are real: ONNX graphs that do what a test needs, with a manifest."""

from pathlib import Path

import msgspec
import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from obesity_levels.paths import CLASSIFIER, MANIFEST
from obesity_levels.schema import LEVELS, PROFILES
from tests.obesity_levels.manifests import manifest_of

COLUMNS = len(PROFILES["full"])


def onnx_model(nodes: list[NodeProto], **constants: np.ndarray) -> bytes:
    """A graph from `features`, float32 (rows, 17), to `p`, float32 (rows, 7)."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, COLUMNS])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, len(LEVELS)])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return model.SerializeToString()


def constant_onnx(level: int = 0, score: float = 0) -> bytes:
    """Whatever the input: a score for a level, and 0 for the others; without one, all are equally probable."""
    bias = np.zeros(len(LEVELS), np.float32)
    bias[level] = score
    return onnx_model(
        [
            helper.make_node("MatMul", ["features", "weights"], ["nothing"]),
            helper.make_node("Add", ["nothing", "bias"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["p"]),
        ],
        weights=np.zeros((COLUMNS, len(LEVELS)), np.float32),
        bias=bias,
    )


def write_artifact(folder: Path, onnx: bytes) -> Path:
    """`folder` with the classifier and a manifest of it."""
    folder.mkdir(exist_ok=True)
    (folder / CLASSIFIER).write_bytes(onnx)
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest_of(onnx)))
    return folder
