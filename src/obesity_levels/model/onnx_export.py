"""Export of a fitted classifier to ONNX. The same estimator gives the same bytes."""

import numpy as np
import onnx
import skl2onnx
from skl2onnx.common.data_types import FloatTensorType

from obesity_levels.model.augmentation import AugmentedClassifier
from obesity_levels.model.classifier import Calibration
from obesity_levels.schema import LEVELS

# Stated, so that a newer skl2onnx does not change the bytes of the artifact.
_OPSET = 21
_OUTPUT = "probabilities"


def export_onnx(fitted: AugmentedClassifier, calibration: Calibration) -> bytes:
    """Export `fitted` as an ONNX model: one input, float32 (rows, features); one output, probabilities (rows, 7).

    The probabilities are calibrated, and each row adds up to 1 within 1e-5.
    """
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
    _calibrate_output(model.graph, calibration)
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


def _calibrate_output(graph: onnx.GraphProto, calibration: Calibration) -> None:
    """Append what turns the model's scores into probabilities. Without a power the sums of trees are normalised."""
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = ["scores" if name == _OUTPUT else name for name in names]
    last = "scores"
    if calibration.method == "power":
        for operator, constant in (("Add", calibration.offset), ("Pow", calibration.exponent)):
            name = f"{operator.lower()}_constant"
            graph.initializer.append(onnx.helper.make_tensor(name, onnx.TensorProto.FLOAT, [], [constant]))
            graph.node.append(onnx.helper.make_node(operator, [last, name], [operator.lower()], name=operator))
            last = operator.lower()
    graph.node.append(onnx.helper.make_node("LpNormalization", [last], [_OUTPUT], name="LpNormalization", p=1, axis=1))
