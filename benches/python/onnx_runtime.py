"""Times one record at a time in ONNX Runtime, one thread, all graph optimizations.

Usage: onnx_runtime.py MODEL ROUNDS ecg.f32 spectrogram.f32 [ecg.f32 spectrogram.f32 ...]

The inputs are raw little-endian float32. One line of JSON: {"version": text, "ms": the median for every record,
"probabilities": rows}.
"""

import json
import statistics
import sys
import time

import numpy
import onnxruntime


def main(model, rounds, *paths):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    medians, rows = [], []
    for ecg, spectrogram in zip(paths[::2], paths[1::2]):
        inputs = {
            "ecg": numpy.fromfile(ecg, "<f4").reshape(1, 80, 256),
            "spectrogram": numpy.fromfile(spectrogram, "<f4").reshape(1, 1, 563, 33),
        }
        times = []
        for _ in range(int(rounds) + 1):
            start = time.perf_counter()
            probabilities = session.run(["probabilities"], inputs)[0]
            times.append(1e3 * (time.perf_counter() - start))
        medians.append(statistics.median(times[1:]))
        rows.append(probabilities[0].tolist())
    print(json.dumps({"version": onnxruntime.__version__, "ms": medians, "probabilities": rows}))


if __name__ == "__main__":
    main(*sys.argv[1:])
