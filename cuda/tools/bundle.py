#!/usr/bin/env python3
"""Packs what proves the CUDA kernels on a machine with a GPU: the test program with the kernels in it, golden numbers, records and `run.sh`.

Run by `make gpu-bundle`, after the kernels were compiled. The machine needs neither Rust nor a network.
"""

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from cache import ROOT  # noqa: E402

LIMIT = 24 << 20
# The records that the GPU tests read.
RECORDS = ("A05493.mat", "A00001.mat")


def program() -> Path:
    """The test program, built."""
    command = ["cargo", "test", "--release", "--workspace", "--test", "proof", "--no-run", "--message-format=json"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    messages = (json.loads(line) for line in output.splitlines() if line.startswith("{"))
    found = [message["executable"] for message in messages
             if message.get("executable") and message["target"]["name"] == "proof"]
    return Path(found[-1])


def main() -> None:
    if not (ROOT / ".cuda-kernels" / "kernels.bin").exists():
        raise SystemExit("bundle: no compiled kernels; run `make kernels` first")
    target = ROOT / "target" / "gpu-bundle.tar.gz"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "gpu-bundle"
        (folder / "bin").mkdir(parents=True)
        shutil.copy(program(), folder / "bin" / "proof")
        subprocess.run(["strip", folder / "bin" / "proof"], check=True)
        shutil.copy(ROOT / "cuda" / "bundle" / "run.sh", folder / "run.sh")
        for part in ("golden", "records"):
            (folder / part).mkdir()
        shutil.copy(ROOT / "fixtures" / "golden" / "pau.json", folder / "golden")
        for record in RECORDS:
            shutil.copy(ROOT / "fixtures" / "records" / record, folder / "records")
        revision = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        (folder / "revision").write_text(revision.stdout.strip() or "unknown")
        with tarfile.open(target, "w:gz") as archive:
            archive.add(folder, folder.name)
    size = target.stat().st_size
    if size > LIMIT:
        raise SystemExit(f"bundle: {target} has {size} bytes, more than {LIMIT}")
    print(f"{target}: {size / (1 << 20):.1f} MiB")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"bundle: {error.cmd[0]} failed with exit status {error.returncode}")
