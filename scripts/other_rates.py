#!/usr/bin/env python3
"""Takes the validation records of a split to other sampling rates and says how many of them `engine` then has right.

DATA is the unpacked PhysioNet/CinC 2017 training set. Each record is resampled with scipy's resample_poly, which has nothing of the engine's own
resampling, and written as a WFDB record of format 16, a number for each count. Needs numpy and scipy, and `engine` built in the release profile; further options are those of
`engine classify`. Prints a table: the
rate, the accuracy, and how many records have the class that they have at 300 Hz.
"""

import argparse
import csv
import fractions
import pathlib
import tempfile

import numpy
import scipy.io
import scipy.signal

from embed_model import PROGRAMS, labels_of, run

RATES = [500, 360, 300, 250, 200, 180, 128, 110, 100, 90, 80, 72, 60, 50]


def write(folder, name, samples, rate):
    """A record of format 16, 1000 numbers per mV as the data set has them."""
    rounded = numpy.clip(numpy.rint(samples), -32767, 32767).astype("<i2")
    (folder / f"{name}.dat").write_bytes(rounded.tobytes())
    line = f"{name}.dat 16 1000/mV 16 0 {rounded[0]} {int(rounded.sum(dtype='int64')) & 0xFFFF} 0 ECG"
    (folder / f"{name}.hea").write_text(f"{name} 1 {rate} {len(rounded)}\n{line}\n")


def classes(folder, options):
    """What the engine says of each record of a folder."""
    text = run(PROGRAMS / "engine", "classify", folder, "--format", "csv", *options)
    return {row["record"]: row["class"] for row in csv.DictReader(text.splitlines())}


def main(data, split, options):
    labels = labels_of(data, split, "validation")
    leads = {name: scipy.io.loadmat(data / f"{name}.mat")["val"][0].astype(float) for name in labels}
    answers = {}
    for rate in sorted(RATES, key=lambda rate: rate != 300):
        ratio = fractions.Fraction(rate, 300)
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            for record, lead in leads.items():
                taken = lead if rate == 300 else scipy.signal.resample_poly(lead, ratio.numerator, ratio.denominator)
                write(folder, record, taken, rate)
            answers[rate] = classes(folder, options)
    print("| Hz | accuracy | class as at 300 Hz |\n|---|---|---|")
    for rate in RATES:
        found = answers[rate]
        right = sum(found[record] == label for record, label in labels.items())
        same = sum(found[record] == answers[300][record] for record in labels)
        print(f"| {rate} | {right / len(labels):.4f} | {same} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--split", default="paper")
    arguments, options = parser.parse_known_args()
    main(arguments.data, arguments.split, options)
