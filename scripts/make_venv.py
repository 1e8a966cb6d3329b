#!/usr/bin/env python3
"""Makes the virtual environment with ONNX Runtime that tests compare with, in the shared cache, and points `.venv` at it.

Versions and hashes are pinned in `requirements.txt`. The environment is made anew when these or the interpreter change.
"""

import subprocess
import sys
import venv
from pathlib import Path

from cache import ROOT, key, link, shared_folder

REQUIREMENTS = ROOT / "scripts" / "requirements.txt"
OLDEST = (3, 11)


def build(folder: Path) -> None:
    print(f"ONNX Runtime: installing 100 MB, once for all clones, into {folder.parent.parent}", flush=True)
    # Debian leaves out what `venv` needs to bring pip; the pip that runs now installs into the new environment instead.
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    command = [sys.executable, "-m", "pip", "install", "--only-binary=:all:", "--no-deps", "--require-hashes"]
    command += ["--disable-pip-version-check", "--progress-bar", "off", "--quiet", "--root-user-action=ignore"]
    command += ["--requirement", str(REQUIREMENTS), "--target", str(packages)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    # They name the folder as it is called while it is made.
    for script in folder.glob("bin/[Aa]ctivate*"):
        script.unlink()
    subprocess.run([str(folder / "bin" / "python"), "-c", "import onnx, onnxruntime"], check=True)


def main() -> None:
    if sys.version_info < OLDEST:
        raise SystemExit(f"make_venv: ONNX Runtime is pinned for Python 3.11 or newer, this is {sys.version.split()[0]}")
    interpreter = f"{sys.version}\n{Path(sys.executable).resolve()}"
    link(".venv", shared_folder(f"venv-{key(REQUIREMENTS, Path(__file__), of=interpreter)}", build))


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"make_venv: {error.cmd[0]} failed with exit status {error.returncode}")
    except OSError as error:
        raise SystemExit(f"make_venv: {error}")
