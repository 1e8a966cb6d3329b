"""The pinned compiler of CUDA kernels, in the shared cache: NVRTC and ptxas, from their wheels."""

import platform
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from cache import key, require, shared_folder, unpack_wheels  # noqa: E402

REQUIREMENTS = Path(__file__).resolve().parent / "requirements.txt"
MEMBERS = {
    "nvidia/cuda_nvrtc/lib/libnvrtc.so.12": "libnvrtc.so.12",
    "nvidia/cuda_nvrtc/lib/libnvrtc-builtins.so.12.9": "libnvrtc-builtins.so.12.9",
    "nvidia/cuda_nvcc/bin/ptxas": "ptxas",
}
PLATFORMS = ("manylinux2010_x86_64", "manylinux_2_12_x86_64")


def _build(folder: Path) -> None:
    print(f"CUDA compiler: downloading 130 MB, once for all clones, into {folder.parent.parent}", file=sys.stderr, flush=True)
    unpack_wheels(REQUIREMENTS, PLATFORMS, MEMBERS.get, folder)
    require(folder, MEMBERS.values())
    (folder / "ptxas").chmod(0o755)


def compiler() -> Path:
    """The folder with `libnvrtc.so.12` and `ptxas`."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise SystemExit(f"the CUDA compiler is pinned for Linux on x86-64, this is {sys.platform} on {platform.machine()}")
    try:
        return shared_folder(f"cuda-compiler-{key(REQUIREMENTS, Path(__file__))}", _build)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"pip could not download the CUDA compiler (exit status {error.returncode})") from None
