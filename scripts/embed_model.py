#!/usr/bin/env python3
"""Exports a run's best checkpoint as the embedded model, with a card measured by `engine` itself.

RUN is a folder that `trainer train` wrote (best.safetensors, last.safetensors), DATA the unpacked PhysioNet/CinC 2017 training
set. Both checkpoints are exported to a temporary folder and the engine runs each on the validation records; what it reaches, with
intervals, goes into the card of engine/models/<network>.onnx, which stores its weights in 16 bits. The programs are built first.

RUN may be an exported ONNX file with weights of 32 bits instead: it is stored in 16 bits and its best epoch is measured again.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile

from cache import ROOT

PROGRAMS = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "release"


def run(*command):
    return subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(model, data, split):
    """What the engine reaches with `model` on the validation records of the split, with 95 % intervals, as `trainer evaluate` measures it."""
    words = ("evaluate", model, "--data", data, "--split", split, "--format", "json")
    return json.loads(run(PROGRAMS / "trainer", *words))


def labels_of(data, split, part):
    """Names and labels of the records of a part of the split, `train` or `validation`."""
    lines = (data / "REFERENCE.csv").read_text().split()
    text = (ROOT / "trainer" / "src" / "data" / "splits" / f"{split}.txt").read_text()
    indexes = next(line for line in text.splitlines() if line.startswith(f"{part} ")).split()[1:]
    return dict(lines[int(index)].split(",")[:2] for index in indexes)


def figures(rows, classes):
    """Tables of named measurements: each figure with its interval, and the confusion of the first of them."""
    names = [
        ("accuracy", "accuracy"),
        ("macro F1", "f1_macro"),
        ("mean F1 of N, O, A", "f1_challenge"),
        ("AF sensitivity", "af_sensitivity"),
        ("AF specificity", "af_specificity"),
        ("calibration error", "calibration_error"),
    ]

    def cell(value, interval):
        if value is None:
            return "not stated"
        return f"{value:.4f}" + (f" ({interval[0]:.4f} to {interval[1]:.4f})" if interval else "")

    lines = []
    if any("intervals" in row for row in rows.values()):
        lines += ["In brackets 95 % intervals, by bootstrap over the records.", ""]
    lines += ["| | " + " | ".join(rows) + " |", "|---" * (len(rows) + 1) + "|"]
    for title, key in names:
        if all(row.get(key) is None for row in rows.values()):
            continue
        cells = [cell(row.get(key), row.get("intervals", {}).get(key)) for row in rows.values()]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    for index, name in enumerate(classes):
        intervals = [row.get("intervals", {}).get("f1_per_class") for row in rows.values()]
        per_class = zip([row["f1_per_class"][index] for row in rows.values()], intervals)
        cells = [cell(value, interval and interval[index]) for value, interval in per_class]
        lines.append(f"| F1 of {name} | " + " | ".join(cells) + " |")
    title, row = next(iter(rows.items()))
    lines += ["", f"Confusion, {title} (row: reference, column: predicted):", ""]
    lines += ["| | " + " | ".join(classes) + " |", "|---" * (len(classes) + 1) + "|"]
    for name, counts in zip(classes, row["confusion"]["counts"]):
        lines.append(f"| {name} | " + " | ".join(map(str, counts)) + " |")
    return lines


def page(card):
    """The card as a page."""
    training, validation = card["training"], card["metrics"]["validation"]
    options = training["options"]
    lines = [
        f"# {card['network']}",
        "Written by `scripts/embed_model.py` from what `engine info` prints.",
        "",
        f"- Trained on {training['data']}, labels {training['labels']}, split *{training['split']}*:"
        f" {training['training_records']} records.",
        f"- {training['epochs']} epochs, batch {options['batch_size']}, RAdam from {options['learning_rate']},"
        f" {options['schedule']} schedule, augmentation probability {options['augmentation']}, seed {training['seed']}.",
    ]
    for plan in options.get("earlier_plans", []):
        lines.append(f"- Up to epoch {plan['until_epoch']} the schedule was that of {plan['epochs']} epochs.")
    if options.get("average_decay"):
        lines.append(f"- Moving average of the weights, decay {options['average_decay']} a step: that is the network.")
    if options.get("label_smoothing"):
        lines.append(f"- {options['label_smoothing']:.0%} of each label spread over all classes.")
    if options.get("distillation"):
        taught = options["distillation"]
        by = [f"{len(taught[key])} {what}" for key, what in
              (("teachers", "trained networks"), ("answers", "files of cross-validated predictions")) if taught.get(key)]
        lines.append(f"- Taught by {' and '.join(by)} too: {taught['share']:.0%} of the target.")
    if training.get("augmentations_changed"):
        lines.append(f"- Augmentations not as published: {', '.join(training['augmentations_changed'])}.")
    if options.get("mixup"):
        lines.append(f"- Records blended with each other (mixup), α {options['mixup']}.")
    if options.get("clean_epochs"):
        lines.append(f"- The last {options['clean_epochs']} epochs trained without augmentation.")
    # Cards that do not say are of when there was no other.
    lines.append(f"- Dropout of {training.get('dropout_unit', 'channels')} in the spectrogram encoder.")
    if "note" in training:
        lines.append(f"- {training['note']}")
    lines += [
        f"- Measured on the split's {validation['records']} validation records with {validation['measured_with']};"
        f" {validation['note']}.",
        f"- Classes {', '.join(card['classes'])}; {card['sampling_rate_hz']:g} Hz; weights SHA-256 `{card['weights_sha256']}`.",
        "",
    ]
    epochs = {which: validation[f"{which}_epoch"] for which in ("best", "last")}
    lines += figures({f"{which} epoch ({row['epoch']})": row for which, row in epochs.items()}, card["classes"])
    return "\n".join(lines) + "\n\nResearch software, not a medical device. Do not diagnose with it.\n"


def build(*programs):
    words = [word for program in programs for word in ("--bin", program)]
    run("cargo", "build", "--release", "--workspace", "--manifest-path", ROOT / "Cargo.toml", *words)


def store_again(model, data, split):
    """Embeds the file `model` with weights of 16 bits and the figures it then reaches."""
    build("export", "engine", "trainer")
    with tempfile.TemporaryDirectory() as name:
        half = pathlib.Path(name) / "half.onnx"
        run(PROGRAMS / "export", model, "-o", half, "--store", "f16")
        card = json.loads(run(PROGRAMS / "engine", "info", "--model", half, "--format", "json"))
        metrics = card["metrics"]["f32"]["validation"]
        before = metrics["best_epoch"]
        metrics["best_epoch"] = {"epoch": before["epoch"], **measure(half, data, split)}
        metrics["measured_with"] = "engine, CPU, f32; the best epoch with its weights stored in 16 bits"
        target = ROOT / "engine" / "models" / f"{card['network']}.onnx"
        entry = f"metrics.validation={json.dumps(metrics)}"
        print(run(PROGRAMS / "export", model, "-o", target, "--store", "f16", "--card", entry), end="")
    finish(target, {"before": before, "after": metrics["best_epoch"]})


def finish(target, metrics):
    """Builds the engine again, so that the embedded file is the new one, and writes its page."""
    build("engine")
    card = json.loads(run(PROGRAMS / "engine", "info", "--format", "json"))
    target.with_suffix(".md").write_text(page(card))
    print(json.dumps(metrics, indent=1))


def main(run_folder, data, split, cards):
    build("export", "engine", "trainer")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        metrics = {"measured_with": "engine, CPU, f32"}
        for which in ("best", "last"):
            model = folder / f"{which}.onnx"
            run(PROGRAMS / "export", run_folder / f"{which}.safetensors", "-o", model, "--store", "f16")
            card = json.loads(run(PROGRAMS / "engine", "info", "--model", model, "--format", "json"))
            metrics[f"{which}_epoch"] = {"epoch": card["training"]["epoch"], **measure(model, data, split)}
        metrics["records"] = metrics["best_epoch"]["records"]
        metrics["note"] = "the best epoch was chosen by its accuracy on these same validation records"
        target = ROOT / "engine" / "models" / f"{card['network']}.onnx"
        target.parent.mkdir(exist_ok=True)
        cards = [f"metrics.validation={json.dumps(metrics)}", *cards]
        entries = [word for entry in cards for word in ("--card", entry)]
        weights = run_folder / "best.safetensors"
        print(run(PROGRAMS / "export", weights, "-o", target, "--store", "f16", *entries), end="")
    finish(target, metrics)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--split", default="paper", help="the split the run was trained on (default: %(default)s)")
    parser.add_argument(
        "--card", action="append", default=[], metavar="KEY=VALUE", help="an entry of the card's training part (repeatable)"
    )
    arguments = parser.parse_args()
    if arguments.run.is_file():
        store_again(arguments.run, arguments.data, arguments.split)
    else:
        main(arguments.run, arguments.data, arguments.split, arguments.card)
