#!/usr/bin/env python3
"""Fetches the libtorch that the trainer is linked against into the shared cache and points `.libtorch` at it.

Versions and hashes are pinned in `libtorch.txt`. Nothing is downloaded when the cache holds that version already.
"""

import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from cache import ROOT, link, shared_folder

VERSION = "2.11.0"
BUILD = f"{VERSION}+cu130"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_25_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
# The CUDA half of the wheel is left out: the CPU half loads without it.
LIBRARIES = {
    "torch/lib/libtorch_cpu.so",
    "torch/lib/libc10.so",
    "torch/lib/libgomp.so.1",
    "nvidia/cu13/lib/libcudart.so.13",
    "nvidia/cu13/lib/libcupti.so.13",
}
HEADERS = "torch/include/"
# torch-sys asks the linker for `torch`; the wheel's own libtorch.so would pull in CUDA.
LINKER_SCRIPT = "INPUT(libtorch_cpu.so libc10.so)\n"


def download(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--python-version", "3.12"]
    for tag in PLATFORMS:
        command += ["--platform", tag]
    command += ["--disable-pip-version-check", "--no-cache-dir", "--progress-bar", "off", "--quiet", "--require-hashes"]
    command += ["--requirement", str(ROOT / "scripts" / "libtorch.txt"), "--dest", str(folder)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def destination(member: str, folder: Path) -> Path | None:
    if member in LIBRARIES:
        return folder / "lib" / Path(member).name
    if member.startswith(HEADERS) and not member.endswith("/"):
        return folder / "include" / member.removeprefix(HEADERS)
    return None


def unpack(wheels: Path, folder: Path) -> None:
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                if target := destination(member, folder):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(member) as source, target.open("wb") as sink:
                        shutil.copyfileobj(source, sink, 1 << 20)
    missing = sorted(library for library in LIBRARIES if not (folder / "lib" / Path(library).name).exists())
    if missing:
        raise SystemExit(f"fetch_libtorch: the wheels hold no {', '.join(missing)}")


def build(folder: Path) -> None:
    print(f"libtorch {VERSION}: downloading 545 MB, once for all clones, into {folder.parent.parent}", flush=True)
    with tempfile.TemporaryDirectory(prefix="wheels-", dir=folder.parent) as wheels:
        download(Path(wheels))
        unpack(Path(wheels), folder)
    (folder / "lib" / "libtorch.so").write_text(LINKER_SCRIPT)
    (folder / "build-version").write_text(BUILD + "\n")


def main() -> None:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise SystemExit(
            f"fetch_libtorch: libtorch is pinned for Linux on x86-64, this is {sys.platform} on {platform.machine()};"
            f" unpack libtorch {VERSION} yourself and set LIBTORCH to its folder"
        )
    link(".libtorch", shared_folder(f"libtorch-{VERSION}", build))


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"fetch_libtorch: pip could not download libtorch (exit status {error.returncode})")
    except OSError as error:
        raise SystemExit(f"fetch_libtorch: {error}")
