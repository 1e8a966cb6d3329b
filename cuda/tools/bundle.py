#!/usr/bin/env python3
"""Packs what proves and times the CUDA kernels on a machine with a GPU: programs with the kernels in them, golden numbers, records and `run.sh`.

Run by `make gpu-bundle`, after the kernels were compiled. The machine needs neither Rust nor a network. `bundle.py data FOLDER` packs the
2017 challenge's training set, which is in FOLDER, for `run.sh train`.
"""

import lzma
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from cache import ROOT  # noqa: E402
from programs import build  # noqa: E402

LIMIT = 24 << 20
# The records that the GPU's tests and its benchmark read; two calibrate 8-bit networks.
RECORDS = ("A05493.mat", "A00001.mat")
# One set of features for all programs, so that nothing is built twice.
CARGO = ["cargo", "build", "--release", "--workspace", "--features", "dualnet-engine/cuda,dualnet-export/cuda"]
# Every program has the same kernels in it, which a dictionary of this size stores once.
DICTIONARY = 1 << 27


def programs() -> dict[str, str]:
    """The programs by their names in the bundle."""
    built = build([*CARGO, "--test", "proof", "--test", "gpu", "--bin", "trainer"], {"proof", "gpu", "trainer"})
    bench = build([*CARGO, "--bench", "gpu"], {"gpu"})
    return {"proof": built["proof"], "networks": built["gpu"], "bench": bench["gpu"], "trainer": built["trainer"]}


def elsewhere(name: bytes, length: int) -> bytes:
    """A path of so many bytes that begins with a name and goes nowhere from there."""
    return (name + b"/." * length)[:length]


def without_paths(program: bytes) -> bytes:
    """The same program with this machine's folders, which its messages name, written over by as many other bytes."""
    # Where the loader looks for libtorch; `run.sh` says that.
    program = re.sub(rb"(?<=\0)[^\0]*/libtorch-[\w.+-]+/lib(?=\0)", lambda path: elsewhere(b"$ORIGIN", len(path[0])), program)
    folders = [
        # Of a crate, of libtorch's headers, and of this repository, also where parts of it were built in another copy.
        rb"/[\w.+/-]{1,200}?/registry/src/[\w.+-]+?-[0-9a-f]{16}(?=/)",
        rb"/[\w.+/-]{1,200}?/\.libtorch(?=/)",
        re.escape(os.fsencode(ROOT)),
        re.escape(os.fsencode(Path.home())),
    ]
    for folder in folders:
        program = re.sub(folder, lambda path: elsewhere(b".", len(path[0])), program)
    # Any other folder of this machine, those of the system apart.
    system = {"bin", "boot", "dev", "etc", "lib", "lib64", "opt", "proc", "run", "sbin", "srv", "sys", "tmp", "usr", "var"}
    ours = [re.escape(os.fsencode(folder.name)) for folder in Path("/").iterdir() if folder.is_dir() and folder.name not in system]
    left = re.search(rb"/(?:%s)/[\w.+/-]+" % b"|".join(ours), program) if ours else None
    if left:
        raise SystemExit(f"bundle: a program names this machine's {left[0].decode()}")
    return program


def nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """An entry of the archive that is nobody's."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def pack(target: Path, folder: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": DICTIONARY}]
    with lzma.open(target, "wb", format=lzma.FORMAT_XZ, filters=filters) as stream:
        with tarfile.open(fileobj=stream, mode="w") as archive:
            archive.add(folder, folder.name, filter=nobody)


def bundle() -> None:
    compiled = ROOT / ".cuda-kernels" / "kernels.bin"
    if not compiled.exists():
        raise SystemExit("bundle: no compiled kernels; run `make kernels` first")
    kernels = compiled.read_bytes()
    target = ROOT / "target" / "gpu-bundle.tar.xz"
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "gpu-bundle"
        (folder / "bin").mkdir(parents=True)
        for program, path in programs().items():
            if kernels not in Path(path).read_bytes():
                raise SystemExit(f"bundle: {program} was built without {compiled}; touch cuda/build.rs and try again")
            shutil.copy(path, folder / "bin" / program)
            subprocess.run(["strip", folder / "bin" / program], check=True)
            (folder / "bin" / program).write_bytes(without_paths((folder / "bin" / program).read_bytes()))
        for part in ("run.sh", "peers.py"):
            shutil.copy(ROOT / "cuda" / "bundle" / part, folder / part)
        (folder / "records").mkdir()
        shutil.copytree(ROOT / "fixtures" / "golden" / "models", folder / "golden" / "models")
        shutil.copy(ROOT / "fixtures" / "golden" / "pau.json", folder / "golden")
        for record in RECORDS:
            shutil.copy(ROOT / "fixtures" / "records" / record, folder / "records")
        shutil.copy(ROOT / "fixtures" / "README.md", folder / "records")
        shutil.copy(ROOT / "LICENSE", folder)
        revision = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        (folder / "revision").write_text(revision.stdout.strip() or "unknown")
        pack(target, folder)
    size = target.stat().st_size
    if size > LIMIT:
        raise SystemExit(f"bundle: {target} has {size} bytes, more than {LIMIT}")
    print(f"{target}: {size / (1 << 20):.1f} MiB")


def data(source: Path) -> None:
    if not (source / "REFERENCE.csv").exists():
        raise SystemExit(f"bundle: {source} has no REFERENCE.csv; it is not the unpacked training set")
    target = ROOT / "target" / "gpu-data.tar.gz"
    target.parent.mkdir(exist_ok=True)
    with tarfile.open(target, "w:gz") as archive:
        archive.add(ROOT / "fixtures" / "README.md", "gpu-data/README.md", filter=nobody)
        for file in sorted(source.iterdir()):
            if file.suffix in (".mat", ".hea", ".csv"):
                archive.add(file, f"gpu-data/training2017/{file.name}", filter=nobody)
    print(f"{target}: {target.stat().st_size / (1 << 20):.1f} MiB")


if __name__ == "__main__":
    try:
        if sys.argv[1:2] == ["data"]:
            data(Path(sys.argv[2]))
        else:
            bundle()
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"bundle: {error.cmd[0]} failed with exit status {error.returncode}")
