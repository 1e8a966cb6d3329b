"""Runs a function body against the definition of the Pade activation.

Usage: pau.py MODEL. The model's one PadeActivation function is wrapped into a graph of its own and run in ONNX Runtime on
values of both signs and several shapes; prints the largest relative difference from numpy in float64.
"""

import sys

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper


def main(path):
    model = onnx.load(path)
    (function,) = model.functions
    node = next(node for node in model.graph.node if node.op_type == function.name)
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    numerator, denominator = (stored[name].astype(numpy.float64) for name in node.input[1:])
    worst = 0.0
    for shape in [(61,), (2, 3, 4, 5), (1, 1)]:
        graph = helper.make_graph(
            [helper.make_node(function.name, ["x", "a", "b"], ["y"], domain=function.domain)],
            "pau",
            [
                helper.make_tensor_value_info("x", TensorProto.FLOAT, shape),
                helper.make_tensor_value_info("a", TensorProto.FLOAT, [len(numerator)]),
                helper.make_tensor_value_info("b", TensorProto.FLOAT, [len(denominator)]),
            ],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        )
        imports = model.opset_import
        alone = helper.make_model(graph, functions=[function], opset_imports=imports, ir_version=model.ir_version)
        onnx.checker.check_model(alone, full_check=True)
        session = onnxruntime.InferenceSession(alone.SerializeToString(), providers=["CPUExecutionProvider"])
        x = numpy.linspace(-3, 3, numpy.prod(shape), dtype=numpy.float32).reshape(shape)
        inputs = {"x": x, "a": numerator.astype(numpy.float32), "b": denominator.astype(numpy.float32)}
        (y,) = session.run(None, inputs)
        wide = x.astype(numpy.float64)
        p = numpy.polynomial.polynomial.polyval(wide, numerator)
        q = numpy.polynomial.polynomial.polyval(abs(wide), numpy.concatenate([[1.0], abs(denominator)]))
        assert y.shape == shape, (y.shape, shape)
        worst = max(worst, float(numpy.max(abs(y - p / q) / (1 + abs(p / q)))))
    print(worst)


if __name__ == "__main__":
    main(*sys.argv[1:])
