"""The least a Python process does for an answer: load ONNX Runtime, open MODEL, run it once on inputs that lie in FOLDER.

Usage: one_run.py MODEL FOLDER
"""

import pathlib
import sys

import numpy
import onnxruntime


def main(model, folder):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    read = lambda name, shape: numpy.fromfile(pathlib.Path(folder) / name, "<f4").reshape(shape)
    inputs = {"ecg": read("ecg0.f32", (1, 80, 256)), "spectrogram": read("spectrogram0.f32", (1, 1, 563, 33))}
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    print(session.run(["probabilities"], inputs)[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
