#!/usr/bin/env python3
"""Quantizes the embedded model, with a card measured by `engine` itself.

DATA is the unpacked PhysioNet/CinC 2017 training set. The float file engine/models/<network>.onnx is calibrated on training records of
the split alone; the engine runs both files on the split's validation records, and what they reach, with intervals, goes into
the card of engine/models/<network>-int8.onnx. The programs are built first.
"""

import argparse
import json
import pathlib
import tempfile

from embed_model import PROGRAMS, ROOT, build, figures, labels_of, measure, run


def page(card):
    """The card as a page."""
    how, validation = card["quantization"], card["metrics"]["validation"]
    kept = ", ".join(how["kept_float"]) or "none but the conditions and the head"
    lines = [
        f"# {card['network']}, int8",
        "Written by `scripts/embed_int8.py` from what `engine info --precision int8` prints.",
        "",
        f"- The float file with weights SHA-256 `{how['float_weights_sha256']}`, quantized by `export quantize`; its card says how it was trained.",
        f"- Ranges of activations: {how['ranges']}, on {how['records']} training records of the split *{card['training']['split']}*"
        f" (seed {how['seed']}, SHA-256 of the records `{how['records_sha256']}`).",
        f"- Trained and calibrated on {card['training']['data']}.",
        f"- Weights: {how['weights']}; activations: {how['activations']}. Layers kept in float: {kept}.",
        f"- Measured on the split's {validation['records']} validation records with {validation['measured_with']}.",
        f"- Classes {', '.join(card['classes'])}; {card['sampling_rate_hz']:g} Hz; weights SHA-256 `{card['weights_sha256']}`.",
        "",
    ]
    lines += figures({which: validation[which] for which in ("int8", "float")}, card["classes"])
    return "\n".join(lines) + "\n\nResearch software, not a medical device. Do not diagnose with it.\n"


def main(network, data, split, options, is_built):
    if not is_built:
        build("export", "engine", "trainer")
    models = ROOT / "engine" / "models"
    source, target = models / f"{network}.onnx", models / f"{network}-int8.onnx"
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        names, draft = folder / "train.txt", folder / "int8.onnx"
        names.write_text("\n".join(labels_of(data, split, "train")) + "\n")
        quantize = (PROGRAMS / "export", "quantize", source, "--calibrate", data, "--only", names, *options)
        print(run(*quantize, "-o", draft), end="")
        metrics = {
            "measured_with": "engine, CPU",
            "float": measure(source, data, split),
            "int8": measure(draft, data, split),
        }
        metrics["records"] = metrics["int8"]["records"]
        print(run(*quantize, "-o", target, "--card", f"metrics.validation={json.dumps(metrics)}"), end="")
    card = json.loads(run(PROGRAMS / "engine", "info", "--model", target, "--format", "json"))
    target.with_suffix(".md").write_text(page(card))
    print(json.dumps(metrics, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--network", default="dualnet-s", help="the embedded network (default: %(default)s)")
    parser.add_argument("--split", default="paper", help="the split it was trained on (default: %(default)s)")
    parser.add_argument("--no-build", action="store_true", help="the programs are built already")
    arguments, options = parser.parse_known_args()
    main(arguments.network, arguments.data, arguments.split, options, arguments.no_build)
