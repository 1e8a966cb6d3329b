"""Runs ONNX Runtime on one thread, all graph optimizations, for a benchmark that asks for single runs, so that it and its peers take turns.

Usage: onnx_runtime.py MODEL FOLDER RECORDS

FOLDER holds ecg0.f32, spectrogram0.f32, …, raw little-endian float32, for RECORDS records. Three sessions are made: `float`, the file as it is;
`int8`, ONNX Runtime's own static quantization of it (QDQ, per channel, calibrated on the records); `relu`, the file with every PadeActivation replaced
by a Relu, below which no implementation of the activation can get there. The first line printed is {"version": text, "sessions": names}.
Then every line "SESSION RECORD" on standard input is answered by {"ms": time of one run, "probabilities": row}.
"""

import json
import logging
import pathlib
import sys
import time

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
    files = {"float": path, "int8": folder / "int8.onnx", "relu": folder / "relu.onnx"}
    logging.disable(logging.WARNING)
    quantize_static(
        path, files["int8"], Records(inputs), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )
    onnx.save(with_relu(onnx.load(path)), files["relu"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = lambda file: onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    sessions = {name: session(file) for name, file in files.items()}
    print(json.dumps({"version": onnxruntime.__version__, "sessions": list(files)}), flush=True)
    for line in sys.stdin:
        name, index = line.split()
        start = time.perf_counter()
        probabilities = sessions[name].run(["probabilities"], inputs[int(index)])[0]
        elapsed = 1e3 * (time.perf_counter() - start)
        print(json.dumps({"ms": elapsed, "probabilities": probabilities[0].tolist()}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
