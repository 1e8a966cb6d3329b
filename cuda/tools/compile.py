#!/usr/bin/env python3
"""Compiles every kernel for every architecture, without a GPU, and records what each one takes.

Machine code of all families (`cuda/src/*/*.cu`) goes into `kernels.bin` in the shared cache, to which the link `.cuda-kernels`
points; a build of the crate embeds it. Registers, shared memory, stack and spills go to `resources.csv` beside it; `--record` copies
that into the repository, where the tests hold later builds to it. What was compiled of the same sources before is not
compiled again.
"""

import argparse
import concurrent.futures
import csv
import hashlib
import io
import os
import re
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from compiler import REQUIREMENTS, compiler  # noqa: E402
from nvrtc import CompileError, Nvrtc  # noqa: E402
from cache import ROOT, key, link, shared_folder  # noqa: E402

SOURCES = ROOT / "cuda" / "src"
RECORD = ROOT / "cuda" / "resources.csv"
BUILD_SCRIPT = ROOT / "cuda" / "build.rs"
# What the kernels are compiled by.
TOOLS = [Path(__file__).with_name(name) for name in ("compile.py", "compiler.py", "nvrtc.py")]
ARCHITECTURES = (80, 86, 87, 89, 90, 100, 120)
# What a GPU that none of the machine code fits compiles for itself: any of this compute capability or later.
PORTABLE = 90
OPTIONS = ["--std=c++17", "--device-as-default-execution-space"]
ASSEMBLER_OPTIONS = ["-O3", "-v"]
COLUMNS = ("kernel", "architecture", "registers", "shared_bytes", "stack_bytes", "spill_bytes")
MAGIC = b"DUALNET-CUDA-1\n"


def digest(parts: list[bytes]) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "little") + part)
    return whole.hexdigest()[:24]


def fnv(files: list[Path]) -> int:
    """FNV-1a over names and contents: by it a build knows whether `kernels.bin` belongs to its sources."""
    state = 0xCBF29CE484222325
    for file in files:
        for byte in file.relative_to(SOURCES).as_posix().encode() + b"\0" + file.read_bytes() + b"\0":
            state = (state ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return state


def device_sources() -> list[Path]:
    """What machine code is made of, in the order of their names."""
    files = [file for file in SOURCES.rglob("*") if file.suffix in (".cu", ".cuh") and file.name != "host.cuh"]
    return sorted(files, key=lambda file: file.relative_to(SOURCES).as_posix())


def unit(folder: Path, source: Path, architecture: int, store: Path) -> tuple[bytes, str, bytes]:
    """Machine code of a family for an architecture, what ptxas said of it, and its PTX."""
    headers = [file.read_bytes() for file in device_sources() if file.suffix == ".cuh"]
    options = [f"--gpu-architecture=compute_{architecture}", *OPTIONS]
    assembler_options = [f"-arch=sm_{architecture}", *ASSEMBLER_OPTIONS]
    commands = [" ".join(command).encode() for command in (options, assembler_options)]
    tools = [REQUIREMENTS.read_bytes(), Path(__file__).with_name("nvrtc.py").read_bytes()]
    made_of = digest([source.name.encode(), source.read_bytes(), *headers, *commands, *tools])
    kept = store / f"{source.stem}-{architecture}-{made_of}"
    if not kept.exists():
        ptx = Nvrtc(folder).ptx(source, [*options, f"-I{SOURCES / 'device'}"])
        with tempfile.TemporaryDirectory(dir=store) as workspace:
            beside = Path(workspace)
            (beside / "ptx").write_bytes(ptx)
            command = [folder / "ptxas", *assembler_options, beside / "ptx", "-o", beside / "cubin"]
            run = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            if run.returncode != 0:
                raise CompileError(f"{source}, sm_{architecture}: {run.stderr}")
            (beside / "log").write_text(run.stderr)
            (beside / "complete").mkdir()
            for name in ("ptx", "cubin", "log"):
                (beside / name).rename(beside / "complete" / name)
            try:
                (beside / "complete").rename(kept)
            except OSError:
                # Another clone, whose other sources differ, has compiled this one meanwhile.
                if not kept.exists():
                    raise
    return (kept / "cubin").read_bytes(), (kept / "log").read_text(), (kept / "ptx").read_bytes()


def resources(log: str, architecture: int) -> list[dict[str, object]]:
    """One row per kernel from what `ptxas -v` printed."""
    rows = []
    for part in log.split("Compiling entry function '")[1:]:
        name = part.split("'", 1)[0]
        # Functions that are not inlined follow the entry they were compiled for; the entry's own properties come first.
        number = lambda pattern: int(found.group(1)) if (found := re.search(pattern, part)) else 0  # noqa: E731
        spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", part)
        rows.append({
            "kernel": name, "architecture": f"sm_{architecture}", "registers": number(r"Used (\d+) registers"),
            "shared_bytes": number(r"(\d+) bytes smem"), "stack_bytes": number(r"(\d+) bytes stack frame"),
            "spill_bytes": sum(map(int, spills.groups())) if spills else 0,
        })
    return rows


def archive(entries: list[tuple[str, int, bytes]], identity: int) -> bytes:
    """See `cuda/src/archive.rs`. An architecture below 0 stands for PTX."""
    out = io.BytesIO()
    out.write(MAGIC + struct.pack("<QI", identity, len(entries)))
    for family, architecture, code in entries:
        packed = zlib.compress(code, 9)
        name = family.encode()
        out.write(struct.pack("<B", len(name)) + name + struct.pack("<iQQ", architecture, len(code), len(packed)))
        out.write(packed)
    return out.getvalue()


def build(target: Path) -> None:
    folder = compiler()
    store = target.parent.parent / "cuda-units"
    store.mkdir(exist_ok=True)
    families = sorted(SOURCES.glob("*/*.cu"))
    work = [(family, architecture) for family in families for architecture in ARCHITECTURES]
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        units = list(pool.map(unit, *zip(*((folder, family, architecture, store) for family, architecture in work))))
    rows, entries = [], []
    for (family, architecture), (cubin, log, ptx) in zip(work, units):
        rows += resources(log, architecture)
        entries.append((family.stem, architecture, cubin))
        if architecture == PORTABLE:
            entries.append((family.stem, -architecture, ptx))
    rows.sort(key=lambda row: (row["kernel"], ARCHITECTURES.index(int(str(row["architecture"])[3:]))))
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    (target / "resources.csv").write_text(table.getvalue())
    (target / "kernels.bin").write_bytes(archive(entries, fnv(device_sources())))


def record(table: Path, allow_spills: bool) -> None:
    """Puts the table into the repository, unless a kernel spills more than the one there says."""
    read = lambda path: {  # noqa: E731
        (row["kernel"], row["architecture"]): int(row["spill_bytes"])
        for row in csv.DictReader(path.open(newline=""))
    }
    recorded = read(RECORD) if RECORD.exists() else {}
    grown = [f"{kernel} on {architecture}" for (kernel, architecture), spills in read(table).items()
             if spills > recorded.get((kernel, architecture), 0)]
    if grown and not allow_spills:
        raise SystemExit(f"not recorded: {', '.join(grown)} would spill more; --allow-spills records it all the same")
    RECORD.write_bytes(table.read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="write cuda/resources.csv")
    parser.add_argument("--allow-spills", action="store_true", help="record even where a kernel spills more than before")
    arguments = parser.parse_args()
    was_there = (ROOT / ".cuda-kernels" / "kernels.bin").exists()
    folder = shared_folder(f"cuda-kernels-{key(*device_sources(), REQUIREMENTS, *TOOLS)}", build)
    if link(".cuda-kernels", folder) or not was_there:
        # Cargo does not watch kernels that were not there, and takes those of the cache, which can be older than a build, for up to date.
        os.utime(BUILD_SCRIPT)
    if arguments.record:
        record(folder / "resources.csv", arguments.allow_spills)
    print(folder)


if __name__ == "__main__":
    try:
        main()
    except CompileError as error:
        raise SystemExit(str(error))
