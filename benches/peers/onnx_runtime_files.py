"""Writes the files that ONNX Runtime runs in a benchmark, and says where its library lies.

Usage: onnx_runtime_files.py MODEL FOLDER RECORDS

FOLDER holds ecg0.f32, spectrogram0.f32, …, raw little-endian float32, for RECORDS records. Into it are written `int8.onnx`, ONNX Runtime's own static
quantization of the file (QDQ, per channel, calibrated on the records), and `relu.onnx`, the file with every PadeActivation replaced by a Relu, below
which no implementation of the activation can get there. Prints {"version": text, "library": path}.
"""

import json
import logging
import pathlib
import sys

import numpy
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

DOMAIN = "ecg.dualnet"


class Records(CalibrationDataReader):
    def __init__(self, inputs):
        self.inputs = iter(inputs)

    def get_next(self):
        return next(self.inputs, None)


def with_relu(model):
    """The model with Relu in place of PadeActivation."""
    for node in model.graph.node:
        if node.domain == DOMAIN:
            node.op_type, node.domain = "Relu", ""
            del node.input[1:]
    del model.functions[:]
    read = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model


def main(path, folder, records):
    folder = pathlib.Path(folder)
    read = lambda name, shape: numpy.fromfile(folder / name, "<f4").reshape(shape)
    inputs = [
        {
            "ecg": read(f"ecg{index}.f32", (1, 80, 256)),
            "spectrogram": read(f"spectrogram{index}.f32", (1, 1, 563, 33)),
        }
        for index in range(int(records))
    ]
    logging.disable(logging.WARNING)
    quantize_static(
        path, folder / "int8.onnx", Records(inputs), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )
    onnx.save(with_relu(onnx.load(path)), folder / "relu.onnx")
    (library,) = pathlib.Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*")
    print(json.dumps({"version": onnxruntime.__version__, "library": str(library)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
