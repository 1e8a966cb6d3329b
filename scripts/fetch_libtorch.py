#!/usr/bin/env python3
"""Fetches the libtorch that the trainer is linked against into the shared cache and points `.libtorch` at it.

Versions and hashes are pinned in `libtorch.txt`. Nothing is downloaded when the cache holds what they and this program make already.
"""

import platform
import re
import subprocess
import sys
from pathlib import Path

from cache import ROOT, key, link, require, shared_folder, unpack_wheels

REQUIREMENTS = ROOT / "scripts" / "libtorch.txt"
VERSION = re.search(r"^torch==(\S+)", REQUIREMENTS.read_text(), re.MULTILINE)[1]
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


def library(member: str) -> str:
    return f"lib/{Path(member).name}"


def wanted(member: str) -> str | None:
    if member in LIBRARIES:
        return library(member)
    return f"include/{member.removeprefix(HEADERS)}" if member.startswith(HEADERS) else None


def build(folder: Path) -> None:
    print(f"libtorch {VERSION}: downloading 545 MB, once for all clones, into {folder.parent.parent}", flush=True)
    unpack_wheels(REQUIREMENTS, PLATFORMS, wanted, folder)
    require(folder, map(library, LIBRARIES))
    (folder / "lib" / "libtorch.so").write_text(LINKER_SCRIPT)
    (folder / "build-version").write_text(BUILD + "\n")


def main() -> None:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise SystemExit(
            f"fetch_libtorch: libtorch is pinned for Linux on x86-64, this is {sys.platform} on {platform.machine()};"
            f" unpack libtorch {VERSION} yourself and set LIBTORCH to its folder"
        )
    link(".libtorch", shared_folder(f"libtorch-{VERSION}-{key(REQUIREMENTS, Path(__file__))}", build))


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"fetch_libtorch: pip could not download libtorch (exit status {error.returncode})")
    except OSError as error:
        raise SystemExit(f"fetch_libtorch: {error}")
