"""Export of a fitted classifier to ONNX. The same estimator gives the same bytes."""

import numpy as np
import onnx
import skl2onnx
from skl2onnx.common.data_types import FloatTensorType

from obesity_levels.model.augmentation import AugmentedClassifier
from obesity_levels.schema import LEVELS

# Stated, so that a newer skl2onnx does not change the bytes of the artifact.
_OPSET = 21
_OUTPUT = "probabilities"


def export_onnx(fitted: AugmentedClassifier) -> bytes:
    """Export `fitted` as an ONNX model: one input, float32 (rows, features); one output, probabilities (rows, 7)."""
    estimator = fitted.estimator_
    model = skl2onnx.convert_sklearn(
        estimator,
        name="obesity-levels",
        initial_types=[("features", FloatTensorType([None, len(fitted.features)]))],
        options={id(estimator): {"zipmap": False}},
        target_opset=_OPSET,
    )
    del model.graph.output[0]  # the label
    for node in model.graph.node:
        if node.op_type == "TreeEnsembleClassifier":
            _replace_by_regressor(node)
    if len(model.graph.node) > 1 or _highest_sum(model.graph.node[0]) > 1:
        _clip_output(model.graph)
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def _replace_by_regressor(trees: onnx.NodeProto) -> None:
    """Replace a tree classifier by the regressor with the same sums, in place. It has no label output.

    Weights of zero are left out: most leaves have a weight for one level only. skl2onnx keeps the zeros, which costs
    23 % more time for 1,000 rows and doubles the size of the file.
    """
    trees.op_type = "TreeEnsembleRegressor"
    del trees.output[0]
    attributes = {attribute.name: attribute for attribute in trees.attribute}
    kept = np.flatnonzero(attributes["class_weights"].floats)
    for part in ("ids", "nodeids", "treeids", "weights"):
        attribute = attributes[f"class_{part}"]
        values = attribute.ints or attribute.floats
        values[:] = np.array(values)[kept]
        attribute.name = f"target_{part}"
    trees.attribute.remove(attributes["classlabels_int64s"])
    trees.attribute.append(onnx.helper.make_attribute("n_targets", len(LEVELS)))


def _highest_sum(trees: onnx.NodeProto) -> np.float32:
    """The largest sum of a forest: rounding is monotone, so none is above that of each tree's largest weight.

    Added as ONNX Runtime does it on one thread: a tree after the other, in float32.
    """
    attributes = {attribute.name: attribute for attribute in trees.attribute}
    of_tree = np.array(attributes["target_treeids"].ints)
    weights = np.array(attributes["target_weights"].floats, dtype=np.float32)
    largest = np.zeros(of_tree.max() + 1, dtype=np.float32)
    np.maximum.at(largest, of_tree, weights)
    return np.cumsum(largest)[-1]


def _clip_output(graph: onnx.GraphProto) -> None:
    """Let no probability be above 1: a forest's are sums in float32, some of them a last bit too large."""
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = ["sums" if name == _OUTPUT else name for name in names]
    for name, limit in (("lowest", 0.0), ("highest", 1.0)):
        graph.initializer.append(onnx.helper.make_tensor(name, onnx.TensorProto.FLOAT, [], [limit]))
    graph.node.append(onnx.helper.make_node("Clip", ["sums", "lowest", "highest"], [_OUTPUT], name="Clip"))
