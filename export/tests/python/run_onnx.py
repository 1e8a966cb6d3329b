"""Checks exported ONNX files and runs them in ONNX Runtime.

Usage: run_onnx.py ecg.f32 spectrogram.f32 RECORDS MODEL...

The inputs are raw little-endian float32: [RECORDS, 80, 256] and [RECORDS, 1, 563, 33]. For every model one line of JSON:
{"model": path, "probabilities": rows for the whole batch, "one_by_one": rows of single records}.
"""

import json
import sys

import numpy
import onnx
import onnxruntime


def main(ecg_path, spectrogram_path, records, *models):
    records = int(records)
    ecg = numpy.fromfile(ecg_path, "<f4").reshape(-1, 80, 256)[:records]
    spectrogram = numpy.fromfile(spectrogram_path, "<f4").reshape(-1, 1, 563, 33)[:records]
    for model in models:
        onnx.checker.check_model(model, full_check=True)
        # Without it, ONNX Runtime's products of 8-bit integers saturate at 16 bits on a processor without VNNI: other numbers than the file's.
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.x64quantprecision", "1")
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

        def run(first, last):
            inputs = {"ecg": ecg[first:last], "spectrogram": spectrogram[first:last]}
            return session.run(["probabilities"], inputs)[0].tolist()

        single = [run(record, record + 1)[0] for record in range(records)]
        print(json.dumps({"model": model, "probabilities": run(0, records), "one_by_one": single}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
